"""What a layer's build depends on, read from disk and reduced to a digest."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from metallize.build.dockerfile import ContextRead, Dockerfile, Instruction, parse
from metallize.build.dockerfile.dockerignore import Ignored, excluded, ignore_file, read_ignored, relative, wildcards
from metallize.errors import Location, MetallizeError, Problem, ProfileError
from metallize.model.catalogue import Layer

TRUSTED = "trusted."
"""What the names of attributes begin with that only CAP_SYS_ADMIN reads (xattr(7)): COPY takes them into a layer, where
no build sees them any more, the seal's either."""
_CAPABILITY = "security.capability"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSource:
    """A layer's dockerfile, read, and the digest of it and of every file it takes from its context."""

    layer: Layer
    dockerfile: Dockerfile
    digest: str
    trusted: tuple[Path, ...] = ()
    """The files among them with extended attributes that no image keeps, see `TRUSTED`."""

    @property
    def faults(self) -> tuple[Problem, ...]:
        """What BuildKit would end with, each with its place in the dockerfile."""
        return tuple(
            Problem(
                location=Location(path=self.layer.path, line=each.line, column=1),
                message=each.message,
                hint=each.hint,
            )
            for each in self.dockerfile.faults
        )


def read_layer(layer: Layer, *, triggers: Sequence[Instruction] = (), refuse: bool = True) -> LayerSource:
    """Read a layer and digest its inputs: the same digest means that its build would do the same.

    `triggers` are the layer's below (Dockerfile.triggers): they run in this build, and read this context. Raises
    ProfileError, with places, for what BuildKit would refuse, unless `refuse` is off and it stands in `faults`;
    MetallizeError when the dockerfile, its ignore file or a file of its context cannot be read.
    """
    text = _bytes(layer.path)
    dockerfile = parse(text.decode("utf-8", "replace"))
    source = LayerSource(layer=layer, dockerfile=dockerfile, digest="")
    if refuse and source.faults:
        raise ProfileError(source.faults)
    reads = dockerfile.context_reads(triggers)
    digest = hashlib.sha256(text)
    trusted: list[Path] = []
    if reads is None:
        reads = (ContextRead(pattern=".", line=0),)
    if reads:
        ignored_by = ignore_file(layer.path, layer.context)
        paths = set(_read(layer.context, reads, read_ignored(ignored_by)))
        for path in sorted({*paths, *([ignored_by] if ignored_by else [])}):
            names = _digest_file(digest, layer.context, path)
            if any(name.startswith(TRUSTED) for name in names):
                trusted.append(path)
    return replace(source, digest=digest.hexdigest(), trusted=tuple(trusted))


def swallowing(source: LayerSource, folder: Path) -> int | None:
    """The line that copies a folder, or a file of it, out of the build context; 0 where only a build could tell.

    None where nothing does. A folder that metallize itself writes into, build/ above all, never stays the same: the
    layer that takes it is built anew each time, with the last image inside.
    """
    layer, folder = source.layer, _real(folder)
    context = _real(layer.context)
    if not folder.is_relative_to(context) or folder == context:
        return None
    name = relative(folder, context)
    ignored = read_ignored(ignore_file(layer.path, layer.context))
    if name in ignored and not ignored.returns:
        return None
    reads = source.dockerfile.context_reads()
    if reads is None:
        return 0
    for read in reads:
        pattern = _cleaned(read.pattern)
        above = ["", *("/".join(name.split("/")[: count + 1]) for count in range(name.count("/") + 1))]
        if name not in excluded(read.excludes) and any(_matches(pattern, each) for each in above):
            return read.line
    return None


def _matches(pattern: str, path: str) -> bool:
    try:
        return re.fullmatch(wildcards(pattern, deep=False), path) is not None
    except ValueError:
        return False


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise MetallizeError(f"{path}: cannot be read: {exc.strerror}") from exc


def _cleaned(pattern: str) -> str:
    """A source as a path below the context: COPY /a, ./a and a/ are all a, and ../a is a too."""
    cleaned = os.path.normpath(f"/{pattern}").lstrip("/")
    return "" if cleaned == "." else cleaned


def _read(context: Path, reads: tuple[ContextRead, ...], ignored: Ignored) -> Iterator[Path]:
    """The files of the context that the build sees and that one of the reads takes."""
    for read in reads:
        left_out = excluded(read.excludes)
        for found in _matching(context, _cleaned(read.pattern), ignored):
            for path in _below(context, found, ignored):
                if relative(path, context) not in left_out:
                    yield path
            if found.is_symlink() and (target := _real(found)).is_relative_to(_real(context)):  # COPY follows it
                yield from _below(context, context / target.relative_to(_real(context)), ignored)


def _real(path: Path) -> Path:
    """Where links lead; one that leads to itself leads nowhere, and is no error as it is to Path.resolve."""
    return Path(os.path.realpath(path))


def _matching(context: Path, pattern: str, ignored: Ignored) -> Iterator[Path]:
    """The paths that a source names, which may have wildcards in any of its parts."""
    found = [context]
    for part in pattern.split("/") if pattern else ():
        if not re.search(r"[*?\[\\]", part):
            found = [path / part for path in found if os.path.lexists(path / part)]
            continue
        found = [
            entry for folder in found if folder.is_dir() for entry in folder.iterdir() if _matches(part, entry.name)
        ]
    for path in found:
        name = "" if path == context else relative(path, context)
        if name and not _real(path.parent).is_relative_to(_real(context)):
            continue  # a link on the way leads out of the context, where the build does not follow it
        if not name or name not in ignored or ignored.returns:
            yield path


def _below(context: Path, root: Path, ignored: Ignored) -> Iterator[Path]:
    """A file, or a folder with all that is in it, without what is left out; a folder that holds something stays."""
    name = "" if root == context else relative(root, context)
    left_out = bool(name) and name in ignored
    if left_out and not ignored.returns:
        return
    if not root.is_dir() or root.is_symlink():
        if not left_out and os.path.lexists(root):
            yield root
        return
    try:
        entries = sorted(root.iterdir())
    except OSError as exc:
        raise MetallizeError(f"{root}: cannot be read: {exc.strerror}") from exc
    inside = [path for entry in entries for path in _below(context, entry, ignored)]
    if inside or not left_out:
        yield root
        yield from inside


def _digest_file(digest: hashlib._Hash, context: Path, path: Path) -> tuple[str, ...]:
    """Digest its name, mode, contents and extended attributes; the names of these."""
    name = path.relative_to(context) if path.is_relative_to(context) else Path(path.name)
    info = path.lstat()
    digest.update(b"\0%b\0%b\0" % (os.fsencode(name), stat.filemode(info.st_mode).encode()))
    if path.is_symlink():
        digest.update(os.fsencode(path.readlink()))
    elif stat.S_ISREG(info.st_mode):
        digest.update(hashlib.sha256(_bytes(path)).digest())
    attributes = _attributes(path)
    for key, value in attributes:
        digest.update(b"\0\0%b\0%b" % (os.fsencode(key), hashlib.sha256(value).digest()))
    return tuple(key for key, _ in attributes)


def _attributes(path: Path) -> tuple[tuple[str, bytes], ...]:
    """The extended attributes by which BuildKit tells files apart (cache/contenthash), as far as we see them."""
    try:
        listed = os.listxattr(path, follow_symlinks=False)
        names = sorted(name for name in listed if name == _CAPABILITY or not name.startswith(("security.", "system.")))
        return tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in names)
    except OSError:  # also where one goes away meanwhile
        return ()
