"""Logging in over a serial line, with a recorded getty."""

from __future__ import annotations

import time

import pytest

from metallize.deadline import Deadline
from metallize.shells import login
from metallize.shells.login import LoginOutcome, SerialLogin
from tests.unit.shells.fakes import ADDS, FakeWatch, Getty


def attempt(getty: Getty, *, seconds: float = 15) -> LoginOutcome:
    way_in = SerialLogin(getty.console, FakeWatch())
    return way_in.attempt("admin", "admin", Deadline.after(seconds, "a test")).outcome


GREETING = "\r\nDebian GNU/Linux 13 debian ttyS0\r\n\r\ndebian login: "
NOT_YET = (
    "\r\nSystem is booting up. Unprivileged users are not permitted to log in yet. Please come back later.\r\n"
    "\r\nLogin incorrect\r\ndebian login: "
)
MOTD = "\r\nLinux debian 6.12\r\nLast login: Mon Nov 23 from 10.0.2.2\r\n\x1b[?2004hadmin@debian:~$ "


@pytest.mark.parametrize(
    ("turns", "outcome"),
    [
        ([("admin", "admin\r\nPassword: "), ("admin", MOTD), ADDS], LoginOutcome.ACCEPTED),
        (
            [("admin", "admin\r\nPassword: "), ("admin", "\r\n\r\nLogin incorrect\r\ndebian login: ")],
            LoginOutcome.REFUSED,
        ),
        ([("admin", f"admin\r\n{MOTD}"), ADDS], LoginOutcome.ACCEPTED),
        (
            [
                ("admin", "admin\r\nPassword: "),
                ("admin", "\r\nYou are required to change your password immediately.\r\nCurrent password: "),
            ],
            LoginOutcome.PASSWORD_CHANGE,
        ),
        ([("admin", "admin\r\nPassword: "), ("admin", "\r\nYour account has expired; bye\r\n")], LoginOutcome.CLOSED),
        (
            [
                ("admin", "admin\r\nPassword: "),
                ("admin", "\r\nLast login: Mon\r\nThis account is currently not available.\r\ndebian login: "),
            ],
            LoginOutcome.CLOSED,
        ),
        (
            [("admin", "admin\r\nPassword: "), ("admin", "\r\nLast login: Mon\r\n\r\ndebian login: ")],
            LoginOutcome.ENDED,
        ),
        pytest.param(
            [
                ("admin", "admin\r\nPassword: "),
                ("admin", NOT_YET),
                ("admin", "admin\r\nPassword: "),
                ("admin", MOTD),
                ADDS,
            ],
            LoginOutcome.ACCEPTED,
            marks=pytest.mark.slow,
        ),
        (
            [
                ("admin", "admin\r\nPassword: "),
                ("admin", "\r\n~ \u276f\u276f "),
                ADDS,
            ],
            LoginOutcome.ACCEPTED,
        ),
        pytest.param(
            [
                ("admin", "admin\r\nPassword: "),
                ("admin", "\r\nwhat now (please)?! "),
                ADDS,
            ],
            LoginOutcome.ACCEPTED,
            marks=pytest.mark.slow,
        ),
        (
            [
                ("admin", "admin\r\nPassword: "),
                ("admin", f"\r\nlogin: timed out after 60 seconds\r\n{GREETING}"),
                ("admin", "admin\r\nPassword: "),
                ("admin", MOTD),
                ADDS,
            ],
            LoginOutcome.ACCEPTED,
        ),
        (
            [("admin", "admin\r\nPassword: "), ("admin", f"\r\nlogin: timed out after 60 seconds\r\n{GREETING}")] * 3,
            LoginOutcome.LATE,
        ),
        ([("admin", "admin\r\n[   33.1] noise\r\nPassword: "), ("admin", MOTD), ADDS], LoginOutcome.ACCEPTED),
    ],
)
def test_the_ways_a_login_ends(turns: list[tuple[str, str]], outcome: LoginOutcome) -> None:
    getty = Getty(GREETING, turns)
    assert attempt(getty) is outcome


def test_a_prompt_that_the_kernel_wrote_over_is_seen_through() -> None:
    getty = Getty(
        "debian login: [   33.123456] kvm_amd: noise\r\n",
        [("admin", "admin\r\nPassword: [   34.123456] more\r\n"), ("admin", MOTD), ADDS],
    )
    assert attempt(getty, seconds=10) is LoginOutcome.ACCEPTED


@pytest.mark.slow
def test_a_prompt_that_somebody_wrote_over_is_asked_for_again() -> None:
    getty = Getty(
        "debian login: tea is ready\r\n",
        [("", "\r\ndebian login: "), ("admin", "admin\r\nPassword: "), ("admin", MOTD), ADDS],
    )
    assert attempt(getty) is LoginOutcome.ACCEPTED


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "answers"),
    [
        ("admin\r\nPassword: [153] Nov 26 15:26:04 Not backgrounding\r\n", []),
        ("admin\r\nPassword for admin: tea is ready\r\n", []),
        ("admin\r\n\r\nLogin timed out after 60 seconds\r\ndebian login: ", [("admin", "admin\r\nPassword: ")]),
        ("admin\r\nbye\r\ndebian login: ", [("", "\r\ndebian login: "), ("admin", "admin\r\nPassword: ")]),
    ],
    ids=["a daemon's words", "a daemon's words after a longer prompt", "timed out", "a getty that began anew"],
)
def test_a_password_prompt_that_somebody_wrote_over_or_that_did_not_come(
    first: str, answers: list[tuple[str, str]]
) -> None:
    getty = Getty(GREETING, [("admin", first), *answers, ("admin", MOTD), ADDS])
    begun = time.monotonic()
    assert attempt(getty, seconds=30) is LoginOutcome.ACCEPTED
    assert time.monotonic() - begun < 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("password", "refused", "login_again"),
    [
        ("Passwort: ", "Login fehlerhaft", "debian Login: "),
        ("Mot de passe\u00a0: ", "Identifiant incorrect", "debian connexion\u00a0: "),
        ("密码：", "登录错误", "debian 用户名："),  # noqa: RUF001 - as it is written there
        ("パスワード: ", "ログインが失敗しました", "debian login: "),
    ],
    ids=["German", "French", "Chinese", "Japanese"],
)
def test_a_login_in_another_language(password: str, refused: str, login_again: str) -> None:
    getty = Getty(
        GREETING,
        [
            ("admin", f"admin\r\n{password}"),
            ("wrong", f"\r\n\r\n{refused}\r\n{login_again}"),
            ("admin", f"admin\r\n{password}"),
            ("admin", MOTD),
            ADDS,
        ],
    )
    way_in = SerialLogin(getty.console, FakeWatch())
    deadline = Deadline.after(30, "a test")
    assert way_in.attempt("admin", "wrong", deadline).outcome is LoginOutcome.REFUSED
    assert way_in.attempt("admin", "admin", deadline).outcome is LoginOutcome.ACCEPTED


@pytest.mark.parametrize(
    ("asked", "current"),
    [
        ("You are required to change your password immediately (administrator enforced).", "Current password: "),
        ("Sie müssen Ihr Passwort sofort ändern (von root erzwungen).", "Geben Sie das aktuelle Passwort ein: "),
        ("您必须立即更改密码（管理员强制）。", "当前的密码： "),  # noqa: RUF001 - as it is written there
    ],
    ids=["English", "German", "Chinese"],
)
def test_a_password_change_is_said_in_the_systems_own_words(asked: str, current: str) -> None:
    getty = Getty("debian login: ", [("admin", "Password: "), ("admin", f"\r\n{asked}\r\n{current}")])
    result = SerialLogin(getty.console, FakeWatch()).attempt("admin", "admin", Deadline.after(5, "a test"))
    assert str(result) == f"the password must be changed at first login: {asked}"


@pytest.mark.slow
def test_an_expired_account_is_said_in_the_systems_own_words() -> None:
    said = "Ihr Konto ist abgelaufen. Wenden Sie sich an den Systemadministrator."
    getty = Getty("debian login: ", [("admin", "Passwort: "), ("admin", f"\r\n{said}\r\n\r\ndebian login: ")])
    result = SerialLogin(getty.console, FakeWatch()).attempt("admin", "admin", Deadline.after(30, "a test"))
    assert str(result) == f"the account is closed: {said}"


def test_a_shell_that_is_not_there_is_said() -> None:
    said = "\r\nLinux debian 6.12\r\n -- admin: no shell: No such file or directory\r\n"
    getty = Getty("debian login: ", [("admin", "Password: "), ("admin", f"{said}\r\ndebian login: ")])
    result = SerialLogin(getty.console, FakeWatch()).attempt("admin", "admin", Deadline.after(5, "a test"))
    assert str(result) == "the user's shell cannot be run: admin: no shell: No such file or directory"


def test_what_a_login_said_is_shown_without_the_kernels_messages() -> None:
    noise = "".join(f"[  139.{number:06}] ata{number}: SATA link down\r\n" for number in range(12))
    refused = "\r\nDown for maintenance until Monday.\r\n\r\nLogin incorrect\r\n"
    getty = Getty("debian login: ", [("admin", f"admin{refused}{noise}debian login: ")])
    result = SerialLogin(getty.console, FakeWatch()).attempt("admin", "admin", Deadline.after(5, "a test"))
    assert result.outcome is LoginOutcome.REFUSED
    assert result.seen.split("\n")[-4:] == [
        "debian login: admin",
        "Down for maintenance until Monday.",
        "Login incorrect",
        "debian login: ",
    ]


def test_no_prompt_is_said() -> None:
    assert attempt(Getty("Last login: ", []), seconds=0.3) is LoginOutcome.NO_PROMPT


@pytest.mark.slow
def test_a_session_that_waits_for_ever_is_told_from_a_login_that_does_not_answer() -> None:
    asked = ("admin", "admin\r\nPassword: ")
    assert attempt(Getty(GREETING, [asked, ("admin", "\r\nLinux debian\r\n")]), seconds=3) is LoginOutcome.SILENT
    assert attempt(Getty(GREETING, [("admin", "admin\r\n")]), seconds=3) is LoginOutcome.NO_ANSWER


@pytest.mark.slow
def test_a_guest_that_only_waits_is_given_no_more_time_for_a_slow_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "PROMPT_SECONDS", 1.0)
    monkeypatch.setattr(login, "ANSWER_SECONDS", 2.0)
    monkeypatch.setattr(FakeWatch, "slowness", 100.0)
    monkeypatch.setattr(FakeWatch, "idles", True)
    asked = ("admin", "admin\r\nPassword: ")
    begun = time.monotonic()
    assert attempt(Getty(GREETING, [asked, ("admin", "\r\nLinux debian\r\n")]), seconds=60) is LoginOutcome.SILENT
    assert attempt(Getty(GREETING, [("admin", "admin\r\n")]), seconds=60) is LoginOutcome.NO_ANSWER
    assert time.monotonic() - begun < 10
    late = [asked, ("admin", "\r\nLinux debian\r\n"), ("", "\r\n\r\ndebian:~$ "), ADDS]
    assert attempt(Getty(GREETING, late), seconds=60) is LoginOutcome.ACCEPTED


@pytest.mark.slow
@pytest.mark.parametrize(
    "question",
    [
        "Please configure your system!\r\n\r\n-- Press any key to proceed --",
        "Please enter passphrase for disk data (cryptdata): (press TAB for no echo) ",
        "Last login: never\r\nContinue? [Y/n] ",
    ],
)
def test_what_a_boot_asks_before_its_login_is_left_unanswered(question: str) -> None:
    getty = Getty(question, [])
    assert attempt(getty, seconds=3) is LoginOutcome.NO_PROMPT
    assert getty.lines == []


def test_a_wrong_password_and_then_the_right_one() -> None:
    getty = Getty(
        "debian login: ",
        [
            ("admin", "admin\r\nPassword: "),
            ("wrong", "\r\nLogin incorrect\r\ndebian login: "),
            ("admin", "admin\r\nPassword: "),
            ("admin", MOTD),
            ADDS,
        ],
    )
    way_in = SerialLogin(getty.console, FakeWatch())
    deadline = Deadline.after(5, "a test")
    assert way_in.attempt("admin", "wrong", deadline).outcome is LoginOutcome.REFUSED
    assert way_in.attempt("admin", "admin", deadline).outcome is LoginOutcome.ACCEPTED
