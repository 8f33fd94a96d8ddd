"""What is asked of an image on one machine: parts with names for people and digests for comparing."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from metallize.build.store import sha256_by, stamp_of
from metallize.errors import HostError
from metallize.guest import ShellError
from metallize.model.assertion import Assertion
from metallize.model.boot import Boot, Ssh
from metallize.model.canonical import canonical
from metallize.model.update import Update
from metallize.shells.ssh_access import EPHEMERAL, public_key, ssh_access
from metallize.verify.request import VerifyRequest

_WITH_SECRETS = frozenset({"login", "ssh", "reach", "seed", "steps"})
"""Keys of `boot` that may hold a password."""
_NOT_OF_ONE_MACHINE = frozenset({"machines"})
"""What boot.machines says of this machine is asked as its overrides; of the others it is no matter here."""
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One thing that is asked. Where it is written down belongs to its name, and not to what is asked."""

    what: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Everything that is asked on one machine, in its order."""

    parts: tuple[Part, ...]

    @property
    def id(self) -> str:
        """Equal where the same is asked, in whatever process and wherever the profile is."""
        return hashlib.sha256("\n".join(part.digest for part in self.parts).encode()).hexdigest()

    def contains(self, other: Asked) -> bool:
        """Whether all that the other asks is asked here too."""
        return not _more(other.parts, self.parts)

    def changes(self, before: Asked) -> str:
        """What is not as it was before, by name; empty where nothing is."""
        now, then = _more(self.parts, before.parts), _more(before.parts, self.parts)
        named = [part.what for part in now]
        known = {_name(part.what) for part in now}
        named += [f"{part.what} (asked no longer)" for part in then if _name(part.what) not in known]
        if not named:
            return "" if self.id == before.id else "the order of what is asked"
        rest = len(named) - _MOST_NAMED
        return ", ".join([*named[:_MOST_NAMED], *([f"and {rest} more"] if rest > 0 else [])])


def asked_of(request: VerifyRequest) -> Asked:
    """What a request asks of its image. Raises HostError where the key to log in with cannot be read."""
    return Asked(parts=tuple(_parts(request)))


def _parts(request: VerifyRequest) -> Iterator[Part]:
    entry = request.machine_entry
    yield _part(f"the machine {entry}", ("machine", request.machine))
    yield _part(f"boot.machines.{entry}", ("overrides", request.overrides))
    yield _part("the image's format", ("format", request.image_format))
    for name in sorted(Boot.model_fields):
        if name not in _NOT_OF_ONE_MACHINE:
            value = getattr(request.boot, name)
            if name == "ssh":
                value = _way_in(request.boot.ssh)
            elif name == "update":
                value = _update(request.boot.update)
            yield _part(f"boot.{name}", (f"boot.{name}", value), secret=name in _WITH_SECRETS and bool(value))
    yield from _assertions(request.assertions)
    for group in request.groups:
        yield _part(f"group {group.name} at {group.location}", ("group", group.name, group.run))
        yield from _assertions(group.assertions, group=group.name)


def _assertions(assertions: Iterable[Assertion], group: str | None = None) -> Iterator[Part]:
    for each in assertions:
        options = each.options.model_copy(update={"meta": {}})  # nothing reads it
        value = ("assertion", group, each.kind, each.resource, options, each.action)
        secret = bool(getattr(options, "password", ""))
        yield _part(f"{each.title} at {each.location}", value, secret=secret)


def _way_in(ssh: Ssh | None) -> object:
    """A login over SSH, of its key the public half: a key is the same wherever its file is."""
    if ssh is None:
        return None
    if ssh.key in (None, EPHEMERAL):
        return ssh
    try:
        return ssh.model_copy(update={"key": public_key(ssh_access(ssh))})
    except ShellError as exc:
        raise HostError(str(exc), hint="it is one of the ways in that the profile names: boot.ssh.key") from exc


def _update(update: Update | None) -> object:
    """An update from an image, which is the same wherever its file is; of one that is not there, from its name."""
    if update is None:
        return None
    image = Path(update.before)
    try:
        before = _content(image)
    except OSError:
        before = image.name
    files = canonical(tuple(_in_folder(Path(update.files)))) if update.files is not None else None
    return update.model_copy(update={"before": before, "files": files})


def _in_folder(folder: Path) -> Iterator[tuple[str, str]]:
    """The files that a guest finds there, by their names and contents; nothing of a folder that is not there."""
    for path in sorted(folder.rglob("*")):
        try:
            if path.is_file():
                yield path.relative_to(folder).as_posix(), _content(path)
        except OSError:  # gone, or a link to nothing: it is handed out to nobody
            continue


def _content(path: Path) -> str:
    """A file's digest; the manifest beside an image may tell it. Raises OSError."""
    return _read(path, *stamp_of(path.stat()).values())


@cache
def _read(path: Path, *_stamp: int) -> str:
    return sha256_by(path.with_name(f"{path.name}.manifest.json"), path)


def _part(what: str, value: object, *, secret: bool = False) -> Part:
    text = canonical(value).encode("ascii")
    return Part(what=what, digest=_stretched(text) if secret else hashlib.sha256(text).hexdigest())


@cache
def _stretched(text: bytes) -> str:
    """A digest that is costly to make: the record is published, and a password must not be guessed from it.

    scrypt(n=16384, r=8, p=1) takes 16 MiB and about 50 ms (RFC 7914).
    """
    return hashlib.scrypt(text, salt=b"metallize", n=1 << 14, r=8, p=1, dklen=32).hex()


def _more(some: Sequence[Part], others: Sequence[Part]) -> list[Part]:
    """The parts of the first that the second lacks, however often each is there."""
    left = Counter(part.digest for part in others)
    found = []
    for part in some:
        if left[part.digest] > 0:
            left[part.digest] -= 1
        else:
            found.append(part)
    return found


def _name(what: str) -> str:
    """A part's name without its place."""
    return what.rpartition(" at ")[0] or what
