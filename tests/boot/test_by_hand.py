"""Guests for a person: on the terminal, and kept after a failure."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import paramiko
import pytest

from tests.boot.sector import POWER_OFF, tiny_image

pytestmark = pytest.mark.boot
KERNEL = "[    0.000000] Linux version 6.12 (tiny)\r\n"
BOOT = """
import sys
from pathlib import Path
from metallize.events import Note
from metallize.machines import seabios
from metallize.model.profile import ImageFormat
from metallize.qemu.by_hand.interactive import boot_interactive
from metallize.qemu.network import Forward
class Printer:
    def emit(self, event):
        print(event.text, flush=True)
path = Path(sys.argv[1])
ports = [Forward(host=int(host), guest=int(guest)) for host, guest in (pair.split(":") for pair in sys.argv[2:])]
sys.exit(boot_interactive(image=path, image_format=ImageFormat.RAW, machine=seabios.MACHINE, events=Printer(),
    forwards=ports))
"""
KEEP = """
import sys
from pathlib import Path
from metallize.events import Note
from metallize.machines import seabios
from metallize.model.boot import Boot, Ssh
from metallize.model.profile import ImageFormat
from metallize.verify import VerifyRequest, verify_machine
class Printer:
    def emit(self, event):
        print(getattr(event, "text", event), flush=True)
path = Path(sys.argv[1])
boot = Boot(timeout=60, ssh=Ssh(user="root", key="ephemeral"))
request = VerifyRequest(image=path, image_format=ImageFormat.RAW, boot=boot, assertions=(),
    machine_entry="seabios", machine=seabios.MACHINE, kinds={}, runs_dir=path.parent / "runs", keep_running=True)
print(verify_machine(request, Printer()).verdict, flush=True)
"""


@contextlib.contextmanager
def started(
    program: str, image: Path, env: dict[str, str], stdout: int, terminal: int | None = None, words: Sequence[str] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """A program of ours over an image; it is gone afterwards, and its guest with it."""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(image), *words], env=env, stdin=terminal, stdout=stdout, stderr=terminal
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def read_until(number: int, pattern: str, seconds: float = 90) -> str:
    text = ""
    end = time.monotonic() + seconds
    while not re.search(pattern, text):
        assert time.monotonic() < end, text
        if select.select([number], [], [], 0.2)[0]:
            with contextlib.suppress(OSError):
                data = os.read(number, 4096)
                assert data, text
                text += data.decode(errors="replace")
    return text


def test_the_serial_port_is_on_the_terminal_and_the_terminal_is_given_back(tmp_path: Path) -> None:
    image = tiny_image(tmp_path, f"{KERNEL}good bye\r\n", POWER_OFF)
    before = image.read_bytes()
    near, far = pty.openpty()
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    with started(BOOT, image, env, stdout=far, terminal=far) as child:
        text = read_until(near, "good bye")
        assert child.wait(30) == 0
    assert re.search(r"ssh -p \d+ .*@127\.0\.0\.1", text)
    assert "Linux version 6.12 (tiny)" in text
    assert termios.tcgetattr(far)[3] & termios.ECHO
    assert image.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.img"]
    os.close(near)
    os.close(far)


def test_ports_of_this_host_lead_into_the_guest(tmp_path: Path) -> None:
    image = tiny_image(tmp_path, f"{KERNEL}good day\r\n")
    near, far = pty.openpty()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [f"{port}:80", "0:443"]
    with started(BOOT, image, dict(os.environ), stdout=far, terminal=far, words=words) as child:
        text = read_until(near, "good day")
        assert f"port {port} here is the guest's 80" in text
        other = re.search(r"port (\d+) here is the guest's 443", text)
        assert other
        for each in (port, int(other[1])):
            with socket.create_connection(("127.0.0.1", each), timeout=10):
                pass  # QEMU takes it; whether the guest does is the guest's
        os.write(near, b"\x01x")
        child.wait(30)
    os.close(near)
    os.close(far)


@pytest.mark.parametrize("when", ["seabios: ", "good day"], ids=["before the guest runs", "while the guest runs"])
def test_ctrl_a_x_ends_it(tmp_path: Path, when: str) -> None:
    image = tiny_image(tmp_path, f"{KERNEL}good day\r\n")
    near, far = pty.openpty()
    with started(BOOT, image, dict(os.environ), stdout=far, terminal=far) as child:
        read_until(near, when)
        os.write(near, b"\x01x")
        # QEMU 7.2 may crash in its own end, when that comes between the monitor's first commands
        assert child.wait(30) in ({0} if when == "good day" else {0, 0x100 - signal.SIGSEGV})
    os.close(near)
    os.close(far)


def test_a_guest_that_failed_is_kept_until_ctrl_c(tmp_path: Path) -> None:
    image = tiny_image(tmp_path, f"{KERNEL}[    1.0] Kernel panic - not syncing: x\r\n")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    env = {**os.environ, "TMPDIR": str(scratch)}
    with started(KEEP, image, env, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        text = read_until(child.stdout.fileno(), r"Ctrl-C ends it")
        assert "the kernel panicked: x" in text
        match = re.search(r"ABSTRACT-CONNECT:(\S+)", text)
        assert match
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"\0{match[1]}")
            client.sendall(b"\r")
        found = metallize("shell", "--build-dir", tmp_path, typed=b"\r\x1d")
        assert (found.returncode, b"the serial port of seabios" in found.stderr) == (0, True), found.stderr
        [folder] = (tmp_path / "runs" / "seabios").iterdir()
        assert {"report.json", "junit.xml", "report.html"} <= {path.name for path in folder.iterdir()}
        key = re.search(r"ssh -i (/proc/\d+/fd/\d+) -o IdentitiesOnly=yes -p \d+ .* root@127", text)
        assert key
        assert Path(key[1]).stat().st_mode & 0o077 == 0  # else ssh(1) would not take it
        assert paramiko.PKey.from_path(key[1]).get_name() == "ssh-ed25519"
        child.send_signal(signal.SIGINT)
        assert "failed" in read_until(child.stdout.fileno(), "failed")
        assert child.wait(30) == 0
    assert not list(scratch.iterdir())
    gone = metallize("ssh", "--build-dir", tmp_path)
    assert (gone.returncode, b"no guest is held" in gone.stderr) == (2, True), gone.stderr


def metallize(*words: str | Path, typed: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    argv: list[str | Path] = [sys.executable, "-m", "metallize", *words]
    return subprocess.run(argv, check=False, input=typed, capture_output=True, timeout=60)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def test_verify_keeps_a_guest_with_its_reports_written_and_leaves_nothing(tmp_path: Path, how: signal.Signals) -> None:
    image = tiny_image(tmp_path, f"{KERNEL}[    1.0] Kernel panic - not syncing: x\r\n")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    argv: list[str | Path] = [
        sys.executable,
        "-m",
        "metallize",
        "verify",
        "--image",
        image,
        "--keep-running-on-failure",
    ]
    argv += ["--user", "admin", "--password", "secret", "--build-dir", tmp_path / "build"]
    env = {**os.environ, "TMPDIR": str(scratch)}
    with subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as child:
        assert child.stderr is not None
        text = read_until(child.stderr.fileno(), "Ctrl-C ends it")
        for words in (
            "the kernel panicked: x",
            "ABSTRACT-CONNECT:metallize-",
            "UserKnownHostsFile=/dev/null admin@127",
        ):
            assert words in text
        [folder] = (tmp_path / "build" / "runs" / "tiny" / "seabios").iterdir()
        assert "The kernel panicked: x" in (folder / "report.html").read_text()
        name = re.search(r"ABSTRACT-CONNECT:(\S+)", text)
        assert name
        child.send_signal(how)
        rest = child.stderr.read().decode()
        status = child.wait(30)
    if how is signal.SIGINT:
        assert status == 1
        assert "the image failed its verification on seabios" in rest
    assert not list(scratch.iterdir())
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(ConnectionRefusedError):
        client.connect(f"\0{name[1]}")
