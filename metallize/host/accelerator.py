"""Which accelerator runs the guests: decided by a guest that really runs, not by the presence of /dev/kvm.

The probe (probe.S, built as probe.bin) goes through what a kernel does in its first seconds and times a loop. KVM is
taken when it runs the probe with the very CPU model that the guests get; anything else falls back to TCG, with the
reason and the measured cost.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from enum import StrEnum
from importlib.resources import as_file, files
from pathlib import Path
from typing import IO

from metallize.command import run, spawn, tethered
from metallize.deadline import Deadline
from metallize.errors import CommandError, HostError
from metallize.files import cache
from metallize.files.json_file import read_mapping
from metallize.host.turns import POLL_SECONDS, try_lock
from metallize.model.machine import Machine
from metallize.model.report import AcceleratorUse

_SLOWEST = 1000.0
"""Slower than what a probe could show that ended in its time."""
PROBE_SECONDS = 5.0
"""The hard limit of one probe: one that works takes a quarter of a second."""
_CACHE_VERSION = 2
_MEASURING_SECONDS = 60.0
"""A measurement is a few probes at most."""
_GIVEN_UP_BYTES = 1000
"""A register dump is longer than that, and a warning shorter."""
_SHARE_SECONDS = 0.1
"""Long enough for a few turns of the scheduler."""
KVM = Path("/dev/kvm")


class Choice(StrEnum):
    """What --accel asks for."""

    AUTO = "auto"
    KVM = "kvm"
    TCG = "tcg"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """One run of the probe; `problem` is empty when it came to its end."""

    problem: str
    loop_seconds: float = 0.0


def probe(machine: Machine, accelerator: str, cpu: str) -> ProbeResult:
    """Run the probe once. Raises HostError when QEMU is missing."""
    with as_file(files("metallize.host").joinpath(machine.probe)) as program:
        argv = probe_argv(machine, accelerator, cpu, program)
        with (
            tempfile.TemporaryFile() as messages,
            spawn(tethered(argv), stdout=subprocess.PIPE, stderr=messages, grace=timedelta(0)) as process,
        ):
            said, status = _listen(process, messages)
            if status is None:
                process.kill()
            messages.seek(0)
            text = messages.read(65536).decode(errors="replace")
    return judge_probe(said, status, text, done=machine.probe_status)


def probe_argv(machine: Machine, accelerator: str, cpu: str, program: Path) -> tuple[str, ...]:
    """The probe's guest: nothing but a CPU, a serial port and a way out."""
    return (
        machine.qemu,
        *("-no-user-config", "-nodefaults", "-display", "none", "-no-reboot"),
        *("-machine", machine.qemu_machine, "-accel", accelerator, "-cpu", cpu),
        *("-chardev", "stdio,id=serial0,signal=off", "-serial", "chardev:serial0"),
        *machine.probe_options,
        *("-kernel", str(program)),
    )


def _listen(process: subprocess.Popen[bytes], messages: IO[bytes]) -> tuple[list[tuple[float, str]], int | None]:
    """What the probe said, each line with its time, and QEMU's status; None when its time was over.

    QEMU stops a guest that KVM gave up on, and lives on: its message ends the waiting.
    """
    if process.stdout is None:
        raise AssertionError("the probe was started without a pipe")
    os.set_blocking(process.stdout.fileno(), False)
    said: list[tuple[float, str]] = []
    held = b""
    end = time.monotonic() + PROBE_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(BlockingIOError):
            data = os.read(process.stdout.fileno(), 65536)
            held += data
            *lines, held = held.split(b"\n")
            said += [(time.monotonic(), line.decode(errors="replace").strip()) for line in lines]
            if not data:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return said, process.wait(max(0.1, end - time.monotonic()))
                return said, None
        if os.fstat(messages.fileno()).st_size > _GIVEN_UP_BYTES:
            time.sleep(0.05)
            return said, None
        time.sleep(0.0005)
    return said, None


def judge_probe(said: list[tuple[float, str]], status: int | None, messages: str, *, done: int) -> ProbeResult:
    """What a probe's output means, where QEMU's status is `done` at the end of one that works; pure."""
    lines = [line for _, line in said if line.startswith("probe: ")]
    last = lines[-1].removeprefix("probe: ") if lines else "its first instruction"
    if status == done and last == "done":
        begins = [at for at, line in said if line == "probe: loop"]
        ends = [at for at, line in said if line == "probe: end of loop"]
        spans = [end - begin for begin, end in zip(begins, ends, strict=True)]
        return ProbeResult(problem="", loop_seconds=min(spans))
    complaint = next((line for line in messages.splitlines() if not re.search(r"warning: ", line) and line.strip()), "")
    complaint = re.sub(r"^qemu-system-\S+: (?:error: )?", "", complaint).strip()
    if last in ("wrong result", "unexpected exception"):
        return ProbeResult(problem=f"the probe guest got a {last} at {lines[-2].removeprefix('probe: ')}")
    if complaint:
        where = f" at {last}" if lines else ""
        return ProbeResult(problem=f"{complaint}{where}")
    if status is None:
        return ProbeResult(problem=f"the probe guest hung at {last}")
    return ProbeResult(problem=f"QEMU ended with status {status} at {last}")


def choose(machine: Machine, choice: Choice | str = Choice.AUTO, *, cache_folder: Path | None = None) -> AcceleratorUse:
    """The accelerator for a machine, with its reason and its measured slowness, from the cache where it holds.

    Raises HostError when QEMU is missing, or when KVM was asked for and cannot run a guest.
    """
    choice = Choice(choice)
    key = _key(machine, choice)
    path = (cache_folder or cache.cache_folder()) / f"accelerator-{key}.json"
    if (known := _cached(path)) is not None:
        return replace(known, slowness=round(known.slowness * busyness(), 2))
    with _measuring_alone(path.parent):
        if (known := _cached(path)) is not None:  # another measured it while we waited
            return replace(known, slowness=round(known.slowness * busyness(), 2))
        use = _choose(machine, choice)
        with contextlib.suppress(OSError):  # the cache is a courtesy
            path.unlink(missing_ok=True)
            _put(path, json.dumps(asdict(use)))
    return replace(use, slowness=round(use.slowness * busyness(), 2))


@contextlib.contextmanager
def _measuring_alone(folder: Path) -> Iterator[None]:
    """Keep other threads and processes from measuring at the same time: two that do measure each other.

    A host where no lock can be had, or where one is held for longer than any measurement takes, measures anyway.
    """
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            lock = held.enter_context((folder / "measuring.lock").open("a+", encoding="utf-8"))
            deadline = Deadline.after(_MEASURING_SECONDS, "another measurement of this host to end")
            while not try_lock(lock) and not deadline.expired:
                time.sleep(POLL_SECONDS)
        yield


def _put(path: Path, text: str) -> None:
    """Make a file whole or not at all: it has no name, not even one in passing, before everything is in it."""
    number = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o644)
    with open(number, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
        file.write(text)
        file.flush()
        names = os.open("/proc/self/fd", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.link(str(number), path, src_dir_fd=names, follow_symlinks=True)  # open(2), O_TMPFILE
        finally:
            os.close(names)


def busyness() -> float:
    """How much slower the host is because others work on it too: its load over its CPUs, from 1 to 4.

    The load counts those as well that give way to us (nice(1)), and a wait four times as long for their sake is lost:
    no more than half as much again as a thread of ours is kept waiting for a core just now.
    """
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    return 1.0 if load <= 1 else min(4.0, load, max(1.0, 1.5 * _kept_waiting()))


def _kept_waiting() -> float:
    """How long a thread that wants a core takes for what it would do in a second, in seconds."""
    begun, had = time.monotonic(), time.thread_time()
    while (took := time.monotonic() - begun) < _SHARE_SECONDS:
        pass
    return took / max(time.thread_time() - had, 0.01 * took)


def forget(machine: Machine, choice: Choice | str = Choice.AUTO, *, cache_folder: Path | None = None) -> None:
    """Drop what the cache says: a guest has shown it wrong."""
    folder = cache_folder or cache.cache_folder()
    (folder / f"accelerator-{_key(machine, Choice(choice))}.json").unlink(missing_ok=True)


def _choose(machine: Machine, choice: Choice) -> AcceleratorUse:
    problem = ""
    if choice is not Choice.TCG:
        problem = kvm_absence(machine)
        for cpu in machine.cpus_hardware if not problem else ():
            result = probe(machine, "kvm", cpu)
            if not result.problem:
                reason = "KVM ran the probe guest" + (f" with -cpu {cpu} ({problem})" if problem else "")
                return _use(machine, "kvm", cpu, reason, result)
            problem = "; ".join(filter(None, (problem, f"-cpu {cpu}: {result.problem}")))
        if choice is Choice.KVM:
            raise HostError(
                f"KVM cannot run a guest on this host: {problem}",
                hint="use --accel auto or tcg, which emulates the CPU",
            )
    result = probe(machine, "tcg", machine.cpu_emulated)
    if result.problem:
        raise HostError(f"{machine.qemu} cannot run a guest even with TCG: {result.problem}", hint="reinstall QEMU")
    if choice is Choice.TCG:
        reason = "TCG was asked for"
    elif machine.cpus_hardware and KVM.exists():
        reason = f"/dev/kvm is there, but does not run a guest ({problem})"
    else:
        reason = problem
    return _use(machine, "tcg", machine.cpu_emulated, reason, result)


def kvm_absence(machine: Machine) -> str:
    """Why KVM need not be tried; empty when it should be."""
    if not machine.cpus_hardware:
        return f"QEMU emulates {machine.name} only"
    if platform.machine() != {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}[machine.platform]:
        return f"KVM runs no {machine.platform} guest on {platform.machine()}"
    if not KVM.exists():
        return "this host has no /dev/kvm"
    if not os.access(KVM, os.R_OK | os.W_OK):
        return "/dev/kvm may not be opened by this user (group kvm)"
    return ""


def _use(machine: Machine, name: str, cpu: str, reason: str, result: ProbeResult) -> AcceleratorUse:
    slowness = max(1.0, result.loop_seconds / machine.probe_normal_seconds)
    return AcceleratorUse(name=name, cpu=cpu, reason=reason, slowness=round(slowness, 2), cached=False)


def _cached(path: Path) -> AcceleratorUse | None:
    try:
        use = AcceleratorUse(**read_mapping(path))
        # whatever else is there, no wait is to have no end, and none is to be over before it begins
        sound = type(use.slowness) in {int, float} and 1.0 <= use.slowness <= _SLOWEST
        words = (use.name, use.cpu, use.reason)
        return replace(use, cached=True) if sound and all(isinstance(each, str) for each in words) else None
    except (OSError, ValueError, TypeError):
        return None


def _key(machine: Machine, choice: Choice) -> str:
    """What the answer depends on: this boot of this kernel, this QEMU, this /dev/kvm, this user, this machine."""
    try:
        version = run((machine.qemu, "--version")).stdout
    except CommandError as exc:
        raise HostError(f"{machine.qemu} does not run: {exc}", hint="reinstall QEMU") from exc
    boot_id = Path("/proc/sys/kernel/random/boot_id")
    kvm: tuple[int, ...] = ()
    with contextlib.suppress(OSError):
        node = KVM.stat()
        kvm = (node.st_rdev, node.st_mode, node.st_uid, node.st_gid, os.access(KVM, os.R_OK | os.W_OK))
    parts = (
        _CACHE_VERSION,
        choice,
        platform.release(),
        boot_id.read_text(encoding="ascii").strip() if boot_id.exists() else "",
        version,
        kvm,
        (machine.qemu, machine.qemu_machine, machine.cpu_emulated, machine.cpus_hardware),
        files("metallize.host").joinpath(machine.probe).read_bytes(),
        (machine.probe_options, machine.probe_normal_seconds),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
