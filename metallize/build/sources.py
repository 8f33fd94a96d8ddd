"""What a layer's build depends on, read from disk and reduced to a digest."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from metallize.build.dockerfile import Dockerfile, parse
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
    for path in sorted({*_matching(layer.context, sources), *_ignore_files(layer, sources)}):
        _digest_file(digest, layer.context, path)
    return LayerSource(layer=layer, dockerfile=dockerfile, digest=digest.hexdigest())


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise MetallizeError(f"{path}: cannot be read: {exc.strerror}") from exc


def _ignore_files(layer: Layer, sources: tuple[str, ...] | None) -> list[Path]:
    """The files that say what of the context does not exist for the build."""
    named = layer.path.with_name(f"{layer.path.name}.dockerignore")
    candidates = [layer.context / ".dockerignore", named]
    reads_context = sources is None or bool(sources)
    return [path for path in candidates if reads_context and path.is_file()]


def _matching(context: Path, sources: Iterable[str] | None) -> Iterator[Path]:
    """The files below `context` that the sources name; all of them for None."""
    if sources is None:
        yield from _files(context)
        return
    for source in sources:
        pattern = source.strip().lstrip("/").removeprefix("./").rstrip("/")
        if pattern in ("", "."):
            yield from _files(context)
            return
        if ".." in Path(pattern).parts:
            continue  # outside of the context: BuildKit refuses it
        for found in context.glob(pattern):
            yield from _files(found)
            if found.is_symlink() and found.resolve().is_relative_to(context.resolve()):  # COPY follows it
                yield from _files(context / found.resolve().relative_to(context.resolve()))


def _files(root: Path) -> Iterator[Path]:
    yield root
    if root.is_dir() and not root.is_symlink():
        yield from root.rglob("*")


def _digest_file(digest: hashlib._Hash, context: Path, path: Path) -> None:
    name = path.relative_to(context) if path.is_relative_to(context) else Path(path.name)
    info = path.lstat()
    digest.update(b"\0%b\0%b\0" % (os.fsencode(name), stat.filemode(info.st_mode).encode()))
    if path.is_symlink():
        digest.update(os.fsencode(path.readlink()))
    elif stat.S_ISREG(info.st_mode):
        digest.update(hashlib.sha256(_bytes(path)).digest())
