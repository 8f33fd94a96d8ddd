"""The console's reader: what is on disk, what is kept, and what a flood costs."""

from __future__ import annotations

import resource
import socket
import threading
import time
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from metallize.model.profile import ConsoleRules
from metallize.qemu.console import KEPT_CHARACTERS, LONGEST_LINE, SerialConsole, break_lines
from metallize.qemu.rules import Scanner
from metallize.qemu.watch import BootWatch


def run(folder: Path, *reads: bytes) -> tuple[SerialConsole, BootWatch]:
    near, far = socket.socketpair()
    watch = BootWatch(Scanner(ConsoleRules()), console_name="ttyS0")
    console = SerialConsole(near, folder, watch)
    console.start()

    def send() -> None:
        with far:
            for data in reads:
                far.sendall(data)

    sender = threading.Thread(target=send)
    sender.start()
    sender.join()
    console.close()
    return console, watch


def test_raw_bytes_and_clean_lines_are_on_disk(tmp_path: Path) -> None:
    console, _ = run(tmp_path, b"\x1b[1mone\x1b[0m\r\ntwo", b" more\r\nlogin: ")
    assert (tmp_path / "console.log").read_bytes() == b"\x1b[1mone\x1b[0m\r\ntwo more\r\nlogin: "
    lines = (tmp_path / "console.txt").read_text().splitlines()
    assert [line.partition("] ")[2] for line in lines[:2]] == ["one", "two more"]
    assert lines[2] == "login: "
    assert console.line == "login: "
    assert console.since(4) == "two more\nlogin: "
    assert console.tail(2) == ("two more", "login: ")


def test_a_flood_costs_little_time_and_no_memory(tmp_path: Path) -> None:
    line = b"[    1.234567] \x1b[1msome\x1b[0m kernel line of ordinary length that comes again and again\r\n"
    before = resource.getrusage(resource.RUSAGE_SELF)
    console, watch = run(tmp_path, *[line * 1000] * (25_000_000 // (1000 * len(line))))
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_utime - before.ru_utime < 5
    assert after.ru_maxrss - before.ru_maxrss < 100_000  # KiB
    assert len(console.since(0)) <= KEPT_CHARACTERS + (1 << 19)
    watch.check()


def test_a_line_without_an_end_is_broken(tmp_path: Path) -> None:
    begun = time.monotonic()
    console, _ = run(tmp_path, *[b"x" * 100_000] * 50)
    assert len(console.line) <= LONGEST_LINE
    assert time.monotonic() - begun < 10


@settings(deadline=None)
@given(st.lists(st.integers(0, 3 * LONGEST_LINE), max_size=4))
def test_broken_lines_hold_everything(lengths: list[int]) -> None:
    text = "\n".join("x" * length for length in lengths)
    whole, rest = break_lines(text)
    assert (whole + rest).replace("\n", "") == text.replace("\n", "")
    assert all(len(line) <= LONGEST_LINE for line in (whole + rest).split("\n"))
