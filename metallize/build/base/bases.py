"""Where a base image comes from: what is local, else its registry, else the distribution's own packages."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from metallize.build.base.bootstrap import TIME_LIMIT, distribution, pulled_tag
from metallize.build.engines import buildkit
from metallize.build.engines.engine import Engine, ImageInfo, Output
from metallize.build.step import DOCKER, SCRATCH, Kind, Step, filled, pin_of
from metallize.command import run, spawn, tethered
from metallize.deadline import Deadline
from metallize.errors import EngineError, HostError, told_if_left
from metallize.events import Events, Level, Note, step
from metallize.files.cache import cache_folder
from metallize.files.vanishing import remove_if_left

_TAIL_LINES = 30
_CLEANING = timedelta(seconds=30)
_PAUSE_SECONDS = 0.2
_SCRATCH = "metallize-base-"
_INSTALL = "install it (apt-get install mmdebstrap), or run scripts/quickstart, which does"


class Renewal(StrEnum):
    """What of the bases that are here is not good enough."""

    NOTHING = "nothing"
    MADE = "made"
    """What was made here of packages."""
    ALL = "all"
    """That, and what a registry may have newer."""


class Origin(StrEnum):
    """How a base image got here; the manifest records it."""

    LOCAL = "local"
    REGISTRY = "registry"
    BOOTSTRAP = "bootstrap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A base image that is here, and where it came from."""

    reference: str
    image: ImageInfo
    origin: Origin


def resolve(engine: Engine, base: Step, events: Events, renew: Renewal = Renewal.NOTHING) -> Base:
    """Find, fetch or make the image of a base's step, and give it a name that stays with it.

    Raises EngineError where the registry does not give it and the distribution cannot be bootstrapped; it says both.
    """
    origins = (Origin.LOCAL, Origin.REGISTRY, Origin.BOOTSTRAP)
    for reference, origin in zip(base.places, origins if base.argv else origins[-1:], strict=False):
        found = engine.inspect(reference)
        if found is None or found.platform not in (None, base.platform) or _is_renewed(origin, renew):
            continue
        return _named(engine, base, found, origin)
    if base.argv and (renew is not Renewal.MADE or engine.inspect(base.places[-1]) is None):
        _keep_other_platforms(engine, base)
        with step(events, f"base {base.output}", f"fetch {base.output}") as fetching:
            lines = engine.run(filled(base.argv, {DOCKER.name: engine.command}), fetching.output)
            image = engine.inspect(base.output) if lines is None else None
            if image is not None and image.platform in (None, base.platform):
                engine.tag(image, base.places[1])
                return _named(engine, base, image, Origin.REGISTRY)
            reason = _refusal(base, lines, image)
            fetching.nothing("no registry gave it")
        if not base.otherwise:
            raise EngineError(
                reason,
                hint=_next_step(base.output, reason),
            )
        events.emit(
            Note(
                text=f"{base.output} is made from the distribution's own packages, because no registry gave it "
                f"({_first_line(reason)})",
                level=Level.WARNING,
            )
        )
    return bootstrap(engine, base, events)


def _keep_other_platforms(engine: Engine, base: Step) -> None:
    """A pull takes the reference away from the image of another platform that has it: that gets a name of its own."""
    there = engine.inspect(base.output)
    if there is not None and there.platform not in (None, base.platform):
        assert there.platform is not None  # noqa: S101 - as above
        own = pulled_tag(base.output, there.platform)
        if engine.inspect(own) is None:
            engine.tag(there, own)
        if "@" in base.output:  # a digest is an index's too, and Docker gives it to one image alone, and to no other
            engine.run((engine.command, "rmi", _digest_alone(base.output)), lambda _line: None)


def _digest_alone(reference: str) -> str:
    """`host:5000/debian@sha256:...` of `host:5000/debian:trixie@sha256:...`."""
    name, _, digest = reference.partition("@")
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}@{digest}"


def _is_renewed(origin: Origin, renew: Renewal) -> bool:
    """Whether what is here is passed over: all of it for --pull, what was made here for --no-cache."""
    return renew is Renewal.ALL or (renew is Renewal.MADE and origin is Origin.BOOTSTRAP)


def _refusal(base: Step, lines: Sequence[str] | None, image: ImageInfo | None) -> str:
    said = [line for line in lines or () if line.strip()]
    if lines is None:
        said = [f"it gave one for {image.platform}" if image else "it gave none"]
    return f"{base.output} could not be fetched from its registry: {said[-1] if said else 'no reason given'}"


def _named(engine: Engine, base: Step, image: ImageInfo, origin: Origin) -> Base:
    """With a name of its own, which no pull and no other build gives to another image (a reference may move)."""
    pinned = engine.tag(image, pin_of(image.id))
    return Base(reference=base.output, image=pinned, origin=origin)


def bootstrap(engine: Engine, base: Step, events: Events) -> Base:
    """Make the base with mmdebstrap. Raises HostError where it is missing or fails, EngineError for other images."""
    if not base.otherwise:
        raise EngineError(
            f"{base.output} cannot be made from packages: that works for Debian and Ubuntu",
            hint="references such as debian:trixie, debian:12, ubuntu:24.04",
        )
    tag = base.places[-1]
    if shutil.which("mmdebstrap") is None:
        raise HostError(f"making {base.output} from packages needs mmdebstrap, which is not here", hint=_INSTALL)
    image: ImageInfo | None = None
    with _alone(tag, events) as waited, _scratch() as folder:
        values = {DOCKER.name: engine.command, SCRATCH: str(folder)}
        for each in base.otherwise:
            if each.kind is Kind.BASE:
                values[each.id] = resolve(engine, each, events).image.reference
                continue
            with step(events, f"{each.kind} {base.output}", each.explain) as making:
                image = engine.inspect(tag) if waited else None
                if image is not None:
                    making.cached()
                    continue
                _make(engine, base, each, filled(each.argv, values), folder, making.output)
                image = engine.inspect(tag) if each.kind is Kind.LOAD else None
    if image is None:
        raise EngineError(f"Docker says it made {tag}, but does not know it", hint="is its disk full?")
    return _named(engine, base, image, Origin.BOOTSTRAP)


def _make(engine: Engine, base: Step, each: Step, argv: Sequence[str], folder: Path, output: Output) -> None:
    """Run one of the steps that make a base."""
    if each.kind is Kind.BOOTSTRAP:
        tail = _mmdebstrap(argv, folder, output)
        if tail is not None:
            raise HostError(
                f"{base.output} could not be made from the distribution's packages:\n{tail}",
                hint=_bootstrap_hint(tail, each.explain.split()[0]),
            )
        return
    lines = engine.run(argv, output)
    if lines is not None:
        tail = "\n".join(f"  | {line}" for line in buildkit.readable(lines)[-_TAIL_LINES:])
        raise EngineError(f"{each.explain} could not be made\n{tail}", hint=buildkit.hint_for("\n".join(lines)))


def _mmdebstrap(argv: Sequence[str], folder: Path, output: Output) -> str | None:
    """Run it to its end; the last lines it printed where it failed, None where it did not.

    Where we are interrupted it is asked to end, and given the time to remove its folder and its mounts.
    """
    lines: deque[str] = deque(maxlen=_TAIL_LINES)
    with spawn(
        tethered((*enclosure(), *argv)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"TMPDIR": str(folder), SCRATCH: str(folder)},
        grace=_CLEANING,
    ) as process:
        limit = threading.Timer(TIME_LIMIT.total_seconds(), process.terminate)
        limit.daemon = True
        limit.start()
        try:
            for raw in process.stdout or ():
                lines.append(raw.decode("utf-8", "replace").rstrip())
                output(lines[-1])
            status = process.wait()
        except BaseException:
            with suppress(ProcessLookupError):  # apt and dpkg too, as Ctrl-C on a terminal would
                os.killpg(process.pid, signal.SIGTERM)
            raise
        finally:
            limit.cancel()
    return None if status == 0 else "\n".join(lines)


def enclosure() -> tuple[str, ...]:
    """Words before a command that give it namespaces of its own, where root may do so; else none.

    mmdebstrap as root mounts proc, sys and dev in its folder. In a mount and a PID namespace (unshare(1)) these
    mounts and every process end with it, however it ends; without root it makes such namespaces by itself.
    """
    words = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--")
    with suppress(HostError):
        if os.geteuid() == 0 and run((*words, "true"), check=False).status == 0:
            return words
    return ()


@contextmanager
def _alone(tag: str, events: Events) -> Iterator[bool]:
    """Hold off other builds of this user that want to make the same base; yields whether one had to be waited for."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{tag.replace('/', '-').replace(':', '-')}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            waited = False
        except BlockingIOError:
            events.emit(Note(text=f"another build is making {tag}; waiting for it"))
            fcntl.flock(lock, fcntl.LOCK_EX)
            waited = True
        yield waited


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Show that its owner is alive, as `remove_if_left` asks it."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder to make a base in; what a killed build left is removed first, unless something is mounted there."""
    for stale in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*"):
        if not _mounted_below(stale):
            remove_if_left(stale, _SCRATCH)
    folder = Path(tempfile.mkdtemp(prefix=_SCRATCH))
    folder.chmod(0o755)  # mmdebstrap works in it as other users: apt's, or those of a user namespace
    with told_if_left(lambda: [str(folder)] if folder.exists() else []):
        try:
            with _locked(folder):
                yield folder
        finally:
            deadline = Deadline.after(_CLEANING, f"{folder} is removed")
            while folder.exists() and not deadline.expired and not _mounted_below(folder):
                shutil.rmtree(folder, ignore_errors=True)
                if folder.exists():  # a dpkg that was interrupted may still write there
                    time.sleep(_PAUSE_SECONDS)


def _mounted_below(folder: Path) -> bool:
    """Whether something is mounted there: then removing the folder would remove what is not ours (proc(5))."""
    places = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return any(place.startswith(f"{folder}/") for place in places)


def _next_step(reference: str, reason: str) -> str:
    """What to do where a registry does not give an image that no packages make."""
    if any(word in reason for word in ("unauthorized", "no basic auth credentials", "access denied", "authentication")):
        host = reference.partition("/")[0]
        registry = f" {host}" if "/" in reference and any(mark in host for mark in ".:") else ""
        return f"log in to its registry (docker login{registry}), or load it (docker load)"
    unpinned = reference.partition("@")[0]
    if unpinned != reference and distribution(unpinned) is not None:
        return f"load it (docker load), or leave the digest out: {unpinned} can be made from packages"
    return (
        f"load it (docker load), or name a Debian or Ubuntu image, which can be made from packages ({reference} cannot)"
    )


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0][:200] if text.strip() else "no reason given"


def _bootstrap_hint(output: str, identity: str) -> str:
    for words, hint in _HINTS:
        if any(word in output for word in words):
            return hint.format(identity=identity, settings=f"METALLIZE_{identity.upper()}")
    return "the message above is mmdebstrap's"


_HINTS = (
    (
        ("does not have a Release file", "404  Not Found"),
        "the mirror has nothing there: see {settings}_MIRROR, or base.snapshot and {settings}_SNAPSHOT",
    ),
    (
        ("keyring", "NO_PUBKEY", "not signed"),
        "the distribution's signing keys are missing: install {identity}-keyring or {identity}-archive-keyring",
    ),
    (("resolve", "connect", "Failed to fetch"), "the distribution's package servers cannot be reached from here"),
    (
        ("unshare", "newuidmap"),
        "without root, mmdebstrap needs user namespaces and uidmap; run as root, or install uidmap",
    ),
    (
        ("exec format", "arch-test", "qemu"),
        "another architecture needs emulation: install qemu-user-static, binfmt-support and arch-test",
    ),
    (("No space left",), "the disk that holds temporary files is full; TMPDIR names another folder"),
)
"""What to do, by words of mmdebstrap's and apt's."""
