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
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from metallize.build.bootstrap import NATIVE_TOOLS_STAGE, TIME_LIMIT, base_tag, bootstrap_argv, distribution
from metallize.build.engines.engine import Engine, ImageInfo, Output
from metallize.build.plan import BaseImage, LayerBuild
from metallize.command import run, spawn
from metallize.deadline import Deadline
from metallize.errors import EngineError, HostError, told_if_left
from metallize.events import Events, Level, Note, step

_TAIL_LINES = 30
_NATIVE_ARGUMENT = "METALLIZE_NATIVE_IMG"
_CLEANING = timedelta(seconds=30)
_PAUSE_SECONDS = 0.2
_INSTALL = "install it (apt-get install mmdebstrap), or run scripts/quickstart, which does"


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


def resolve(engine: Engine, base: BaseImage, events: Events, native: LayerBuild | None = None) -> Base:
    """Find, fetch or make the base image; `native` is the layer of this host's tools for another architecture.

    Raises EngineError where the registry does not give it and the distribution cannot be bootstrapped; it says both.
    """
    places = [(base.reference, Origin.LOCAL)]
    if distribution(base.reference) is not None:
        places.append((base_tag(base.reference, base.platform), Origin.BOOTSTRAP))
    for reference, origin in places:
        found = engine.inspect(reference)
        if found and found.platform in (None, base.platform):
            return Base(reference=base.reference, image=found, origin=origin)
    with step(events, f"base {base.reference}", f"fetch {base.reference}") as fetching:
        try:
            image = engine.pull(base.reference, base.platform, fetching.output)
            return Base(reference=base.reference, image=image, origin=Origin.REGISTRY)
        except EngineError as refusal:
            fetching.detail = "no registry gave it"
            reason = refusal
    if distribution(base.reference) is None:
        raise EngineError(
            f"{reason.message}",
            hint=f"load it (docker load), or name a Debian or Ubuntu image, which can be made from packages "
            f"({base.reference} cannot)",
        ) from reason
    events.emit(
        Note(
            text=f"{base.reference} is made from the distribution's own packages, because no registry gave it "
            f"({_first_line(reason.message)})",
            level=Level.WARNING,
        )
    )
    return bootstrap(engine, base, events, native)


def with_native_base(engine: Engine, layer: LayerBuild, events: Events) -> LayerBuild:
    """The layer with all its arguments: the image of this host's architecture that it takes tools from, if any."""
    if layer.native_base is None:
        return layer
    found = resolve(engine, layer.native_base, events)
    return replace(layer, build_args={**layer.build_args, _NATIVE_ARGUMENT: found.image.reference})


def bootstrap(engine: Engine, base: BaseImage, events: Events, native: LayerBuild | None = None) -> Base:
    """Make the base with mmdebstrap. Raises HostError where it is missing or fails, EngineError for other images."""
    wanted = distribution(base.reference)
    if wanted is None:
        raise EngineError(
            f"{base.reference} cannot be made from packages: that works for Debian and Ubuntu",
            hint="references such as debian:trixie, debian:12, ubuntu:24.04",
        )
    tag = base_tag(base.reference, base.platform)
    if shutil.which("mmdebstrap") is None:
        raise HostError(f"making {base.reference} from packages needs mmdebstrap, which is not here", hint=_INSTALL)
    with _scratch() as folder, ExitStack() as stack:
        tools = _native_tools(engine, native, base, folder, events) if native else None
        making = stack.enter_context(
            step(events, f"bootstrap {base.reference}", f"bootstrap {wanted.id} {wanted.suite}")
        )
        waited = stack.enter_context(_alone(tag, events))
        image = engine.inspect(tag) if waited else None
        if image is not None:
            making.cached()
        else:
            archive = folder / "base.tar"
            tail = _mmdebstrap(bootstrap_argv(wanted, base.platform, str(archive), native_tools=tools), making.output)
            if tail is not None:
                raise HostError(
                    f"{base.reference} could not be made from the distribution's packages:\n{tail}",
                    hint=_bootstrap_hint(tail, wanted.id),
                )
            image = engine.load_base(archive, tag, base.platform, making.output)
    return Base(reference=base.reference, image=image, origin=Origin.BOOTSTRAP)


def _native_tools(engine: Engine, native: LayerBuild, base: BaseImage, folder: Path, events: Events) -> str:
    """Have the engine write an archive of this host's tools for the base, and return its path."""
    complete = with_native_base(engine, native, events)
    archive = folder / "native.tar"
    with step(events, f"tools {base.reference}", f"tools of this host for {base.platform}") as collecting:
        engine.export(complete, NATIVE_TOOLS_STAGE, base.platform, archive, collecting.output)
    return str(archive)


def _mmdebstrap(argv: Sequence[str], output: Output) -> str | None:
    """Run it to its end; the last lines it printed where it failed, None where it did not.

    Where we are interrupted it is asked to end, and given the time to remove its folder and its mounts.
    """
    lines: deque[str] = deque(maxlen=_TAIL_LINES)
    folder = str(Path(argv[-1]).parent)
    with spawn(
        (*_enclosure(), *argv),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"TMPDIR": folder},
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


def _enclosure() -> tuple[str, ...]:
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
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "metallize"
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
def _scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="metallize-base-"))
    folder.chmod(0o755)  # mmdebstrap works in it as other users: apt's, or those of a user namespace
    with told_if_left(lambda: [str(folder)] if folder.exists() else []):
        try:
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


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0][:200] if text.strip() else "no reason given"


def _bootstrap_hint(output: str, identity: str) -> str:
    if "keyring" in output or "NO_PUBKEY" in output or "not signed" in output:
        return f"the distribution's signing keys are missing: install {identity}-keyring or {identity}-archive-keyring"
    if "resolve" in output or "connect" in output or "Failed to fetch" in output:
        return "the distribution's package servers cannot be reached from here"
    if "unshare" in output or "newuidmap" in output:
        return "without root, mmdebstrap needs user namespaces and uidmap; run as root, or install uidmap"
    if "exec format" in output or "arch-test" in output or "qemu" in output:
        return "another architecture needs emulation: install qemu-user-static, binfmt-support and arch-test"
    if "No space left" in output:
        return "the disk that holds temporary files is full; TMPDIR names another folder"
    return "the message above is mmdebstrap's"
