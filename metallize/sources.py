"""What a layer's build depends on, read from disk and reduced to a digest."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from metallize.dockerfile import Dockerfile, parse
from metallize.errors import MetallizeError
from metallize.model.catalogue import Layer


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSource:
    """A layer's dockerfile, read, and the digest of it and of every file it takes from its context."""

    layer: Layer
    dockerfile: Dockerfile
    digest: str


def read_layer(layer: Layer) -> LayerSource:
    """Read a layer and digest its inputs: the same digest means that its build would do the same.

    Raises MetallizeError when the dockerfile or a file of its context cannot be read.
    """
    text = _bytes(layer.path)
    dockerfile = parse(text.decode("utf-8", "replace"))
    sources = dockerfile.context_sources()
    digest = hashlib.sha256(text)
    for path in sorted(set(_matching(layer.context, sources))):
        _digest_file(digest, layer.context, path)
    return LayerSource(layer=layer, dockerfile=dockerfile, digest=digest.hexdigest())


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise MetallizeError(f"{path}: cannot be read: {exc.strerror}") from exc


def _matching(context: Path, sources: Iterable[str] | None) -> Iterator[Path]:
    """The files below `context` that the sources name; all of them for None."""
    if sources is None:
        yield from _files(context)
        return
    ignore = context / ".dockerignore"
    if ignore.is_file():
        yield ignore
    for source in sources:
        pattern = source.strip().lstrip("/").removeprefix("./").rstrip("/")
        if pattern in ("", "."):
            yield from _files(context)
            return
        if ".." in Path(pattern).parts:
            continue  # outside of the context: BuildKit refuses it
        for found in context.glob(pattern):
            yield from _files(found)


def _files(root: Path) -> Iterator[Path]:
    if root.is_dir() and not root.is_symlink():
        yield from (path for path in root.rglob("*") if path.is_symlink() or not path.is_dir())
    else:
        yield root


def _digest_file(digest: hashlib._Hash, context: Path, path: Path) -> None:
    name = path.relative_to(context).as_posix()
    info = path.lstat()
    digest.update(f"\0{name}\0{stat.filemode(info.st_mode)}\0".encode())
    if path.is_symlink():
        digest.update(str(path.readlink()).encode())
    elif stat.S_ISREG(info.st_mode):
        digest.update(hashlib.sha256(_bytes(path)).digest())
