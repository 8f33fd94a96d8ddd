"""`metallize ssh` and `metallize shell`: the guest that is held is found, and the terminal is on it."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metallize.errors import ExitCode
from metallize.qemu.by_hand.held import RECORD, Held, held_guests, read, recorded

from .conftest import Call, write

RUN = "web/seabios/20260101T000000Z"


class Port:
    """A serial port as whoever holds a guest serves it: what is typed is printed, in capitals."""

    def __init__(self, name: str) -> None:
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(f"\0{name}")
        self._server.listen()
        self.typed = b""
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = self._server.accept()
                with line, contextlib.suppress(ConnectionError):
                    while data := line.recv(4096):
                        self.typed += data
                        if data.endswith(b"off"):
                            break
                        line.sendall(data.upper())

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


Hold = Callable[..., Port]


@pytest.fixture
def hold(call: Call) -> Iterator[Hold]:
    """Hold a guest, whose run is in a folder below build/runs."""
    with contextlib.ExitStack() as stack:
        count = iter(range(99))

        def held(run: str = RUN, machine: str = "seabios", **more: object) -> Port:
            folder = Path("build/runs", run)
            folder.mkdir(parents=True)
            name = f"metallize-test-{os.getpid()}-{time.monotonic_ns()}-{next(count)}"
            port = Port(name)
            stack.callback(port.close)
            known = {"image": "/x/build/web.iso", "ssh_port": 40022, "user": "admin", **more}
            stack.enter_context(recorded(Held(machine=machine, console=name, **known), folder))  # type: ignore[arg-type]  # a test's own words
            return port

        yield held


@pytest.fixture
def ssh(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, list[str], str]]:
    """Run `metallize ssh` as a process of its own, with an `ssh` that says what it was told, and ends with 7."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "ssh").write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\nexit 7\n')
    (programs / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")

    def run(*words: str) -> tuple[int, list[str], str]:
        argv = [sys.executable, "-m", "metallize", "ssh", *words]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout.splitlines(), done.stderr

    return run


UNKNOWN = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]


@pytest.mark.slow
def test_the_only_guest_is_logged_in_to(hold: Hold, ssh: Callable[..., tuple[int, list[str], str]]) -> None:
    hold(key="/proc/1/fd/3")
    key = ["-i", "/proc/1/fd/3", "-o", "IdentitiesOnly=yes"]
    assert ssh() == (7, [*key, "-p", "40022", *UNKNOWN, "admin@127.0.0.1"], "")
    command = "systemctl --failed | cat; echo 'a b'"
    assert ssh(f"build/runs/{RUN}", "-c", command)[1][-3:] == ["admin@127.0.0.1", "--", command]
    assert ssh("--user", "root")[1] == ["-p", "40022", *UNKNOWN, "root@127.0.0.1"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [(f"build/runs/{RUN}",), ("web",), ("web.yaml",), ("build/web.iso",), ("--machine", "seabios"), ("web.iso",)],
)
def test_one_of_several_is_named(
    hold: Hold, ssh: Callable[..., tuple[int, list[str], str]], words: tuple[str, ...]
) -> None:
    write()
    hold()
    hold("db/ovmf/20260101T000000Z", machine="ovmf", image="/x/build/db.img", user="", ssh_port=40033)
    status, told, err = ssh(*words)
    assert (status, told[-1:]) == (7, ["admin@127.0.0.1"]), err


def test_which_one_is_meant_must_be_said(call: Call, hold: Hold) -> None:
    hold()
    hold("web/seabios/20260101T000001Z")
    said = call("ssh", "web")
    assert said.status == ExitCode.BAD_INPUT
    assert f"2 guests are held: build/runs/{RUN}, build/runs/web/seabios/20260101T000001Z" in said.err


@pytest.mark.parametrize("verb", ["ssh", "shell"])
@pytest.mark.parametrize("target", [(), ("web.yaml",), ("nothing, of that name",), ("--machine", "ovmf")])
def test_where_none_is_held_it_is_said_how_to_hold_one(call: Call, verb: str, target: tuple[str, ...]) -> None:
    said = call(verb, *target)
    assert said.status == ExitCode.BAD_INPUT
    assert "is held in build/runs" in said.err
    assert "--keep-running-on-failure" in said.err


def test_what_a_killed_holder_left_is_no_guest_and_goes(call: Call, hold: Hold) -> None:
    folder = Path("build/runs", RUN)
    folder.mkdir(parents=True)
    gone = Held(machine="seabios", image="x", console="metallize-nobody", ssh_port=1)
    with recorded(gone, folder):
        text = (folder / RECORD).read_text()
    assert not (folder / RECORD).exists()
    for content in (text, "", "{", "[]", '{"machine": 1}', text.replace("metallize-nobody", "a" * 200)):
        (folder / RECORD).write_text(content)
        assert read(folder) is None
        assert held_guests(Path("build/runs")) == {}
        assert not (folder / RECORD).exists()


def test_only_our_own_user_reads_how_to_get_in(hold: Hold) -> None:
    hold()
    assert Path("build/runs", RUN, RECORD).stat().st_mode & 0o777 == 0o600


def test_a_guest_with_no_ssh_and_one_with_no_user(call: Call, hold: Hold) -> None:
    hold("a/x/1", ssh_port=None)
    assert "nothing leads into seabios over SSH" in call("ssh", "a").err
    hold("b/x/1", user="")
    assert "--user NAME" in call("ssh", "b").err


@contextlib.contextmanager
def on_a_terminal(*words: str) -> Iterator[tuple[int, int, subprocess.Popen[bytes]]]:
    near, far = pty.openpty()
    argv = [sys.executable, "-m", "metallize", *words]
    with subprocess.Popen(argv, stdin=far, stdout=far, stderr=far, start_new_session=True) as child:
        try:
            yield near, far, child
        finally:
            child.kill()
            os.close(near)
            os.close(far)


def shown(number: int, words: str) -> str:
    text, end = "", time.monotonic() + 60
    while words not in text:
        assert time.monotonic() < end, text
        if select.select([number], [], [], 0.2)[0]:
            text += os.read(number, 4096).decode(errors="replace")
    return text


@pytest.mark.slow
@pytest.mark.parametrize("how", ["leave", "off", "signal"])
def test_the_terminal_is_on_the_serial_port_and_given_back(hold: Hold, how: str) -> None:
    port = hold()
    with on_a_terminal("shell") as (near, far, child):
        shown(near, "Ctrl-] leaves it")
        end = time.monotonic() + 30
        while termios.tcgetattr(far)[3] & termios.ECHO:
            assert time.monotonic() < end
            time.sleep(0.02)
        os.write(near, b"ls \x03\x1a")
        assert "LS \x03\x1a" in shown(near, "\x1a"), "Ctrl-C and Ctrl-Z are the guest's"
        if how == "leave":
            os.write(near, b"x\x1dignored")
        elif how == "off":
            os.write(near, b"off")
        else:
            child.send_signal(signal.SIGTERM)
        assert child.wait(30) == (130 if how == "signal" else 0)
        assert termios.tcgetattr(far)[3] & termios.ECHO
    assert port.typed == b"ls \x03\x1a" + {"leave": b"x", "off": b"off", "signal": b""}[how]


@pytest.mark.slow
def test_what_a_file_holds_is_typed(hold: Hold, tmp_path: Path) -> None:
    hold()
    (tmp_path / "typed").write_bytes(b"echo 1\n\x1d")
    with (tmp_path / "typed").open("rb") as typed:
        argv = [sys.executable, "-m", "metallize", "shell", "web"]
        done = subprocess.run(argv, check=False, stdin=typed, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
