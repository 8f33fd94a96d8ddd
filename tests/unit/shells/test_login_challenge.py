"""A login on a serial line is one when a shell has added two numbers, and a shell without a login is told at once."""

from __future__ import annotations

import shutil
import time

import pytest

from metallize.deadline import Deadline
from metallize.model.report import Stage
from metallize.shells import login
from metallize.shells.login import LoginOutcome, SerialLogin
from tests.unit.shells.fakes import ADDS, ASKED, FakeWatch, Getty, terminal_with_a_shell
from tests.unit.shells.test_login import GREETING, MOTD, attempt

REPEATS = (ASKED, "{typed}\r\n{typed}\r\n$ ")


@pytest.mark.slow
@pytest.mark.parametrize(
    "answers",
    [[], [(ASKED, "{typed}\r\n")], [REPEATS] * 9, [(ASKED, "{typed}\r\nmz-alive\r\nmz-alive-1\r\n$ ")] * 9],
    ids=["nothing", "an echo", "a program that repeats", "a program that guesses"],
)
def test_what_looks_like_a_shell_and_cannot_add_is_none(
    answers: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "PROMPT_SECONDS", 0.5)
    monkeypatch.setattr(login, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(FakeWatch, "idles", True)
    getty = Getty(GREETING, [("admin", "admin\r\nPassword: "), ("admin", MOTD), *answers])
    result = SerialLogin(getty.console, FakeWatch()).attempt("admin", "admin", Deadline.after(30, "a test"))
    assert result.outcome is LoginOutcome.DEAF
    assert ASKED in getty.lines


def test_words_that_look_like_a_prompt_hide_no_refusal() -> None:
    """What was asked too early is asked again by nobody: what comes then is what counts."""
    closed = "\r\nThis account is currently not available.\r\n"
    getty = Getty(GREETING, [("admin", "Password: "), ("admin", "\r\nUpdates: 50% "), (ASKED, closed)])
    assert attempt(getty, seconds=10) is LoginOutcome.CLOSED


@pytest.mark.slow
@pytest.mark.parametrize(
    "printed",
    [
        "Begin: Running /scripts/init-bottom ... done.\r\nbash: no job control in this shell\r\nroot@(none):/# ",
        "[    3.1] Run /bin/sh as init process\r\n# ",
        "\r\nroot@debian:~# ",
        "\r\n\x1b[?2004hbash-5.2# ",
    ],
    ids=["init=/bin/bash", "init=/bin/sh", "a shell on the port", "a plain bash"],
)
def test_a_shell_where_a_login_was_expected_is_told_at_once(printed: str) -> None:
    watch = FakeWatch()
    watch.stage = Stage.INITRD
    getty = Getty(printed, [ADDS])
    begun = time.monotonic()
    result = SerialLogin(getty.console, watch).attempt("admin", "admin", Deadline.after(30, "a test"))
    assert result.outcome is LoginOutcome.NO_LOGIN
    assert "init=/bin/bash" in str(result)
    assert "--autologin" in str(result)
    assert time.monotonic() - begun < 5
    assert getty.lines == [ASKED]


def test_a_getty_that_logs_in_by_itself_is_no_login() -> None:
    getty = Getty("\r\ndebian login: root (automatic login)\r\n\r\nroot@debian:~# ", [ADDS])
    result = SerialLogin(getty.console, FakeWatch()).attempt("admin", "admin", Deadline.after(10, "a test"))
    assert result.outcome is LoginOutcome.NO_LOGIN
    assert result.said.endswith("login: root (automatic login)")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("printed", "stage"),
    [
        ("(initramfs) # ", Stage.INITRD),
        ("dracut:/# ", Stage.INITRD),
        ("grub># ", Stage.KERNEL),
        ("root@debian:~# ", Stage.LOADER),
        ("unpacking ########", Stage.USERSPACE),
        ("U-Boot# ", Stage.KERNEL),
    ],
)
def test_nothing_is_typed_where_firmware_a_loader_or_an_initrd_asks(printed: str, stage: Stage) -> None:
    watch = FakeWatch()
    watch.stage = stage
    getty = Getty(printed, [])
    result = SerialLogin(getty.console, watch).attempt("admin", "admin", Deadline.after(4, "a test"))
    assert result.outcome is LoginOutcome.NO_PROMPT
    assert getty.lines == []


@pytest.mark.slow
def test_what_looked_like_a_shell_before_the_login_does_not_keep_it_from_coming() -> None:
    late = (ASKED, "\r\nDebian GNU/Linux 13\r\n\r\ndebian login: ")
    asked = ("admin", "admin\r\nPassword: ")
    assert attempt(Getty("starting $ ", [late, asked, ("admin", MOTD), ADDS])) is LoginOutcome.ACCEPTED


@pytest.mark.slow
@pytest.mark.parametrize("argv", [["sh", "-i"], ["bash", "--norc", "-i"], ["busybox", "sh"], ["zsh", "-f"], ["fish"]])
def test_shells_of_this_host_answer_at_a_terminal(argv: list[str]) -> None:
    if shutil.which(argv[0]) is None:
        argv = ["sh", "-i"]
    with terminal_with_a_shell(argv, prompt="debian login: ") as console:
        way_in = SerialLogin(console, FakeWatch())
        way_in._talk.position = 0
        assert way_in._answer(dict(login._ANSWERS), Deadline.after(20, "a test"), 0, stands=True) == "alive"
