"""Running scripts over a serial line, with a real shell on a terminal."""

from __future__ import annotations

import base64
import contextlib
import gzip
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metallize.deadline import Deadline
from metallize.guest import ShellError
from metallize.shells import login
from metallize.shells.answer import Answer, decode, is_chatter, sed_lines
from metallize.shells.dialogue import Dialogue, ExpectError
from metallize.shells.serial import SerialShell
from tests.unit.shells.fakes import FakeConsole, FakeWatch, as_it_is, terminal_with_a_shell


class Noise:
    """Puts a kernel message after so many bytes, wherever that is."""

    def __init__(self, message: bytes, every: int) -> None:
        self._message = message
        self._every = every
        self._left = every
        self.count = 0

    def __call__(self, data: bytes) -> bytes:
        out = b""
        while len(data) > self._left:
            out += data[: self._left] + self._message
            data = data[self._left :]
            self._left = self._every
            self.count += 1
        self._left -= len(data)
        return out + data


class Lossy:
    """Loses one byte of so many."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._seen = 0
        self.active = False
        self.count = 0

    def __call__(self, data: bytes) -> bytes:
        kept = bytearray()
        for byte in data:
            self._seen += self.active
            if self.active and self._seen % self._every == 0:
                self.count += 1
            else:
                kept.append(byte)
        return bytes(kept)


@contextlib.contextmanager
def shell_on_a_terminal(
    argv: list[str], *, change: Callable[[bytes], bytes] = as_it_is, typed: Callable[[bytes], bytes] = as_it_is
) -> Iterator[SerialShell]:
    """A real login shell on a terminal; what comes and what is typed is changed."""
    with terminal_with_a_shell(argv, change=change, typed=typed) as console:
        yield SerialShell(console, FakeWatch())


@pytest.mark.parametrize("argv", [["sh", "-i"], ["bash", "--norc", "-i"]])
def test_scripts_run_and_answer_with_status_and_bytes(argv: list[str]) -> None:
    with shell_on_a_terminal(argv) as shell:
        deadline = Deadline.after(20, "a test")
        shell.start(deadline)
        answer = shell.run("echo out; echo err >&2; printf '\\000\\377mz-end-1\\n'; exit 7", deadline)
        assert (answer.status, answer.stderr) == (7, b"err\n")
        assert answer.stdout == b"out\n\x00\xffmz-end-1\n"
        long = "x" * 20_000
        assert shell.run(f"echo {long}", deadline).stdout == f"{long}\n".encode()
        shell.leave()


def test_a_script_that_does_not_end_is_given_up() -> None:
    with shell_on_a_terminal(["sh", "-i"]) as shell:
        shell.start(Deadline.after(20, "a test"))
        with pytest.raises(ShellError, match="no end of the script"):
            shell.run("sleep 30", Deadline.after(1, "a test"))


def framed(number: int, out: bytes, err: bytes = b"", status: int = 0) -> tuple[str, list[str]]:
    """An answer as the guest prints it, and its lines alone."""
    body = gzip.compress(f"{status}\n{len(out)}\n".encode() + out + err, mtime=0)
    lines = base64.encodebytes(body).decode().splitlines()
    numbered = [f"{at + 1:6}\t{line}" for at, line in enumerate(lines)]
    mark = f"{number}-{len(lines)}"
    return "\n".join(["", f"mz-begin-{mark}", *numbered, "", f"mz-end-{mark}", ""]), numbered


@settings(deadline=None)
@given(st.binary(max_size=800), st.binary(max_size=100), st.integers(0, 255), st.data())
def test_an_answer_is_whole_or_asked_for_again(out: bytes, err: bytes, status: int, data: st.DataObject) -> None:
    text, lines = framed(1, out, err, status)
    whole = Answer()
    whole.take(text, 1)
    expected = whole.output()
    assert expected is not None
    assert (expected.status, expected.stdout, expected.stderr) == (status, out, err)
    cut = data.draw(st.integers(0, len(text) - 1))
    length = data.draw(st.integers(1, 9))
    broken = Answer()
    broken.take(text[:cut] + text[cut + length :], 1)
    output = broken.output()
    assert output is None or output == expected
    for number in range(2, 5):  # what the shell does next: the missing lines alone, then all of them
        missing = broken.missing
        if output is None and not missing:
            broken.forget()
            missing = None
        wanted = lines if missing is None else [lines[at - 1] for at in missing]
        broken.take("\n".join([f"mz-begin-{number}-{len(lines)}", *wanted, f"mz-end-{number}-{len(lines)}", ""]), 1)
        output = broken.output()
        if output is not None:
            break
    assert output == expected


def test_an_answer_to_an_earlier_script_is_none() -> None:
    answer = Answer()
    answer.take("mz-begin-1-1\nmz-end-1-1\n", first=2)
    assert answer.missing is None
    assert not answer.ended
    assert decode("AAAA") is None


def test_missing_lines_are_asked_for_in_spans() -> None:
    assert sed_lines([1, 2, 3, 7, 9, 10]) == "1,3p;7,7p;9,10p"


@pytest.mark.parametrize("every", [700, 5000])
def test_a_line_on_which_the_kernel_never_stops_to_write(every: int) -> None:
    """Messages come in the middle of everything, also of the markers and of what is typed back."""
    noise = Noise(b"[   33.123456] kvm_amd: Nested Paging disabled\r\n", every)
    with shell_on_a_terminal(["sh", "-i"], change=noise) as shell:
        deadline = Deadline.after(40, "a test")
        shell.start(deadline)
        answer = shell.run("seq 20000; exit 3", deadline)
        assert answer.status == 3
        assert answer.stdout == b"".join(b"%d\n" % number for number in range(1, 20_001))
        shell.leave()
    assert noise.count > 3


def test_bytes_that_are_lost_on_the_way_are_sent_again() -> None:
    lossy = Lossy(997)
    with shell_on_a_terminal(["sh", "-i"], change=lossy) as shell:
        deadline = Deadline.after(60, "a test")
        shell.start(deadline)
        lossy.active = True
        assert shell.run("seq 5000", deadline).stdout.splitlines()[-1] == b"5000"
        lossy.active = False
        shell.leave()
    assert lossy.count > 1


def test_a_script_that_was_garbled_on_its_way_in_does_not_run(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    script = f"echo once >>{seen}\n" + "# padding that makes it long\n" + "".join(f": {n * n}\n" for n in range(600))
    garble = [True]

    def typed(data: bytes) -> bytes:
        if garble and len(data) > 200:
            garble.clear()
            return data[:100] + data[103:]
        return data

    with shell_on_a_terminal(["sh", "-i"], typed=typed) as shell:
        deadline = Deadline.after(30, "a test")
        shell.start(deadline)
        assert shell.run(script, deadline).status == 0
        shell.leave()
    assert not garble
    assert seen.read_text() == "once\n"


def test_one_script_after_another() -> None:
    with shell_on_a_terminal(["bash", "--norc", "-i"]) as shell:
        deadline = Deadline.after(30, "a test")
        for number in range(5):
            assert shell.run(f"echo {number}", deadline).stdout == f"{number}\n".encode()
        shell.leave()


RECORDED = [
    (b"\r\nDebian GNU/Linux 13 debian ttyS0\r\n\r\ndebian login: ", "login"),
    (b"debian login: [   33.123456] kvm_amd: noise\r\n", "login"),
    (b"debian lo[   33.123456] kvm_amd: noise\r\ngin: ", "login"),
    (b"Last login: Mon Nov 23 11:00:00 UTC 2026 on ttyS0\r\n", None),
    (b"Last login: ", None),
    (b"admin\r\nPassword: ", "password"),
    (b"\r\nLogin incorrect\r\ndebian login: ", "refused"),
    (b"Linux debian 6.12\r\n########\r\nbe quick > or not\r\n\x1b[?2004hadmin@debian:~$ ", "shell"),
    (b"\x1b]0;admin@debian: ~\x07\x1b[01;32madmin@debian\x1b[00m:\x1b[01;34m~\x1b[00m$ ", "shell"),
    (b"Welcome to fish, the friendly interactive shell\r\n\x1b[92madmin\x1b[m@debian ~> ", "shell"),
    (b"\x1b[1m\x1b[7m%\x1b[27m\x1b[1m\x1b[0m   \r \r\r\x1b[0m\x1b[27m\x1b[24m\x1b[Jdebian% \x1b[K\x1b[?2004h", "shell"),
    (b"You are required to change your password immediately (administrator enforced).\r\nCurrent password: ", "change"),
    (b"\r\nThis account is currently not available.\r\n", "closed"),
    (b'"System is booting up. Unprivileged users are not permitted to log in yet."\r\n', "not yet"),
]


@pytest.mark.parametrize(("text", "name"), RECORDED)
def test_a_recorded_answer_is_read_the_same_however_it_is_cut(text: bytes, name: str | None) -> None:
    patterns = {"closed": login._CLOSED, "change": login._CHANGE, "not yet": login._NOT_YET}
    patterns |= {"refused": login._REFUSED, "password": login._SECRET_PROMPT, "login": login._LOGIN}
    patterns["shell"] = login._SHELL
    watch = FakeWatch()
    for cut in range(len(text) + 1):
        console = FakeConsole(lambda _: None)
        talk = Dialogue(console, watch)
        console.feed(text[:cut])
        console.now += 0.1
        first = talk.first_of(patterns, Deadline.after(0, "a look"))
        console.feed(text[cut:])
        console.now += 1
        came = first or talk.first_of(patterns, Deadline.after(0, "a look"))
        assert came == name, (cut, first)


def test_expect_and_send_for_a_person() -> None:
    console = FakeConsole(lambda data: console.feed(b"you typed " + data + b"\r\n"))
    talk = Dialogue(console, FakeWatch())
    talk.send("menu")
    assert talk.expect("you typed (.+)", Deadline.after(1, "a test")) == "you typed menu"
    with pytest.raises(ExpectError, match="/never/ was not seen within the time for a test"):
        talk.expect("never", Deadline.after(0.05, "a test"))
    console.feed(b"x" * 10_000_000 + b" done\r\n")
    begun = time.process_time()
    assert talk.expect("done", Deadline.after(1, "a test")) == "done"
    assert time.process_time() - begun < 0.5


@pytest.mark.parametrize(
    "line",
    [
        "    177\tBtaB+fbTt7W89igMtw8rrT8hqqcllUiBEbK7xkvO5kLtNNtdkYrnZIlc76u8YqSy0NRv+RH7mWQ7",
        "     19\tAH4IAAA==",
        "mz-got-4-16",
        "mz-end-3-19",
        "mz-alive",
        "mz-shell-started",
    ],
)
def test_what_the_protocol_prints_is_known_as_its_own(line: str) -> None:
    assert is_chatter(line)


@pytest.mark.parametrize(
    "line", ["[    1.2] mz-got-4-16", "177 bottles of beer", "12 Nov", "login: ", "[  OK  ] Started ssh.service."]
)
def test_what_others_print_is_not(line: str) -> None:
    assert not is_chatter(line)
