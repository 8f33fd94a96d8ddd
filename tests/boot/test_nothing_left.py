"""What a run leaves behind: nothing but its run folder, however it ends and however often it is made."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from metallize.events import Silent
from metallize.machines import seabios
from metallize.model.boot import Boot, ConsoleRules
from metallize.model.profile import ImageFormat
from metallize.model.report import Verdict
from metallize.verify import VerifyRequest, verify_machine
from tests.boot.sector import tiny_image
from tests.conftest import ROOT, Cli

KERNEL = "[    0.000000] Linux version 6.12 (tiny)\r\n"
GONE_SECONDS = 2.0
EVIDENCE = re.compile(r"[a-z][\w-]*\.(txt|log|json|html|xml|sh|png|pcap)")


MARK = "METALLIZE_TEST_RUN"


def ours(mark: str) -> dict[int, str]:
    """The processes that carry our mark in their environment, with what each runs."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                if state != "Z":
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


def listening() -> dict[str, str]:
    """Every TCP socket of this host that is listened on: its inode, and its address."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {f"socket:[{words[9]}]": words[1] for words in lines if words[3] == "0A"}


def ports_of(processes: dict[int, str]) -> dict[str, str]:
    """Those that these processes listen on."""
    opened = set()
    for number in processes:
        for link in Path(f"/proc/{number}/fd").glob("*"):
            with contextlib.suppress(OSError):
                opened.add(str(link.readlink()))
    return {inode: address for inode, address in listening().items() if inode in opened}


def files_below(*folders: Path) -> set[str]:
    return {str(path) for folder in folders for path in folder.rglob("*")}


def left_in(folder: Path) -> list[str]:
    """What stands in a run folder and is no evidence."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and not EVIDENCE.fullmatch(path.name)]


def wait_until_gone(mark: str, ports: dict[str, str] | None = None, seconds: float = GONE_SECONDS) -> list[str]:
    """The processes and the ports that are still there when their time is over."""
    end = time.monotonic() + seconds
    while True:
        left = [*ours(mark).values(), *((ports or {}).keys() & listening().keys())]
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.02)


def killed_after(
    argv: list[str], seconds: float, mark: str, folder: Path, env: dict[str, str]
) -> tuple[dict[int, str], dict[str, str]]:
    """Run a command in a folder and kill it so long after its start; the processes and the ports that it had then."""
    child = subprocess.Popen(
        argv,
        cwd=folder,
        env={**os.environ, **env, MARK: mark},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(seconds)
    processes = ours(mark)
    ports = ports_of(processes)
    child.send_signal(signal.SIGKILL)
    child.wait(5)
    return processes, ports


@pytest.mark.boot
def test_nothing_is_left_of_a_verify_that_is_killed_at_any_moment(tmp_path: Path) -> None:
    """Ten moments over the whole run: imports, overlay, QEMU's start, handshake, running, reporting."""
    tiny_image(tmp_path, f"{KERNEL}[    1.0] Kernel panic - not syncing: x\r\n")  # soon over: each part is hit
    scratch, runtime, cache = tmp_path / "scratch", tmp_path / "runtime", tmp_path / "cache"
    for folder in (scratch, runtime, cache):
        folder.mkdir()
    env = {
        "TMPDIR": str(scratch),
        "XDG_RUNTIME_DIR": str(runtime),
        "XDG_CACHE_HOME": str(cache),
        "METALLIZE_GUESTS": "1",
    }
    argv = [sys.executable, "-m", "metallize", "verify", "--image", "tiny.img", "--build-dir", "out"]
    whole = 0.0
    for _ in range(2):  # the first also probes the accelerators
        begun = time.monotonic()
        done = subprocess.run(argv, cwd=tmp_path, env={**os.environ, **env}, check=False, capture_output=True)
        assert done.returncode == 1
        whole = time.monotonic() - begun
    kept = files_below(scratch, runtime, cache)
    guests = 0
    chance = random.Random(20)  # noqa: S311 - moments, not secrets
    for number in range(10):
        moment = whole * (number + chance.random()) / 10
        processes, ports = killed_after(argv, moment, f"{tmp_path.name}-{number}", tmp_path, env)
        guests += bool(ports) and any("metallize-seabios" in command for command in processes.values())
        left = wait_until_gone(f"{tmp_path.name}-{number}", ports)
        assert not left, f"killed after {moment:.2f} s of {whole:.2f} s: {left}"
        assert files_below(scratch, runtime, cache) == kept
        assert not left_in(tmp_path / "out")
    assert guests, "some of a run is a guest that runs"
    shown = {path.name for path in tmp_path.iterdir()}
    assert shown == {"tiny.img", "scratch", "runtime", "cache", "out"}


@pytest.mark.boot
@pytest.mark.parametrize("moment", [0.0, 0.01, 0.02, 0.03, 0.05])
def test_no_qemu_is_started_for_a_parent_that_is_gone(tmp_path: Path, moment: float) -> None:
    """The window between the fork and QEMU's first instruction, in which the kernel kills nobody yet."""
    program = (
        "import os, signal, subprocess, sys, threading, time\n"
        "from metallize.command import tethered\n"
        "def end():\n"
        "    time.sleep(float(sys.argv[1]))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "for _ in range(3):\n"
        "    subprocess.Popen(tethered(['sleep', '60']), start_new_session=True)\n"
        "threading.Thread(target=end).start()\n"
        "subprocess.Popen(tethered(['sleep', '60']), start_new_session=True)\n"
        "time.sleep(60)\n"
    )
    mark = f"{tmp_path.name}-tether"
    child = subprocess.Popen([sys.executable, "-c", program, str(moment)], cwd=ROOT, env={**os.environ, MARK: mark})
    assert child.wait(30) == -signal.SIGKILL
    assert not wait_until_gone(mark)


@pytest.mark.boot
def test_fifty_runs_leave_the_host_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny_image(tmp_path, f"{KERNEL}\r\ntiny login: \r\nenough\r\n")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    request = VerifyRequest(
        image=path,
        image_format=ImageFormat.RAW,
        # a line that ends the run: fifty times the quiet after a login prompt would be minutes
        boot=Boot(timeout=20, memory="64M", console=ConsoleRules(forbid=("enough",))),
        assertions=(),
        machine_entry="seabios",
        machine=seabios.MACHINE,
        kinds={},
        runs_dir=tmp_path / "runs",
    )
    for _ in range(3):
        assert verify_machine(request, Silent()).verdict is Verdict.FAILED
    threads = set(threading.enumerate())  # one of an earlier test may still be about to end
    before = _own()
    begun = _memory_kib()
    for _ in range(50):
        report = verify_machine(request, Silent())
        assert report.failure is not None
        assert report.failure.rule == "console.forbid"
    assert [each.name for each in threading.enumerate() if each not in threads] == []
    assert _own() == before
    assert _memory_kib() - begun < 20_000, "less than half a MiB a run, whatever the allocator keeps"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["runs", "tiny.img"]
    assert len(list((tmp_path / "runs").rglob("report.json"))) == 53
    assert not left_in(tmp_path / "runs")


def _own() -> tuple[int, int]:
    """Descriptors and children of this process."""
    gc.collect()
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return len(list(Path("/proc/self/fd").iterdir())), len(children)


def _memory_kib() -> int:
    match = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())
    assert match is not None
    return int(match[1])


@pytest.mark.boot
@pytest.mark.docker
def test_nothing_is_left_of_a_real_guest_whose_verify_is_killed(cli: Cli, build_dir: Path, tmp_path: Path) -> None:
    profile = ROOT / "profiles" / "debian13-livecd.yaml"
    assert cli("build", profile, "--build-dir", build_dir).status == 0
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    image = build_dir / "debian13-livecd.iso"
    argv = [
        sys.executable,
        "-m",
        "metallize",
        "verify",
        "--image",
        str(image),
        "--machine",
        "ovmf",
        "--build-dir",
        "out",
    ]
    for number, moment in enumerate((3.0, 8.0, 16.0)):  # firmware, loader, kernel
        mark = f"{tmp_path.name}-{number}"
        processes, ports = killed_after(argv, moment, mark, tmp_path, {"TMPDIR": str(scratch)})
        assert any("metallize-ovmf" in command for command in processes.values())
        assert ports
        assert not wait_until_gone(mark, ports)
        assert not list(scratch.iterdir())
        assert not left_in(tmp_path / "out")
