"""What is collected where a boot has stopped: with recorded prompts, and with a real shell on a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from metallize.model.boot import Login
from metallize.model.report import Finding, Severity, Stage
from metallize.verify.why.rescue import EMERGENCY, INITRD, PLACES, rescue
from tests.unit.shells.fakes import FakeWatch, Getty, terminal_with_a_shell

ROOT_LOGIN = Login(user="root", password="secret")


def finding(rule: str) -> Finding:
    return Finding(rule=rule, stage=Stage.INITRD, severity=Severity.FATAL, cause="x")


def at(getty: Getty, folder: Path, rule: str = "emergency-mode", login: Login | None = None) -> str | None:
    return rescue(getty.console, FakeWatch(), folder, finding(rule), login=login, slowness=0.1)


@pytest.mark.parametrize("shell", [["sh", "-i"], ["bash", "--norc", "-i"]])
def test_an_initramfs_prompt_is_asked_what_it_sees(shell: list[str], tmp_path: Path) -> None:
    with terminal_with_a_shell(shell, prompt="(initramfs) ") as console:
        note = rescue(console, FakeWatch(), tmp_path, finding("initrd-shell"), login=None, slowness=2)
    count = len(INITRD.commands)
    assert note == f"{count} of {count} things to see were collected where the boot stopped: initramfs.txt"
    text = (tmp_path / "initramfs.txt").read_text()
    assert "$ cat /proc/cmdline\n" + Path("/proc/cmdline").read_text().split("\n")[0][:20] in text
    assert " /proc proc " in text
    assert "mz-" not in text


@pytest.mark.slow
def test_a_command_that_does_not_end_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = type(INITRD)(file="initramfs.txt", commands=("sleep 60", "echo still here"))
    monkeypatch.setitem(PLACES, "initrd-shell", place)
    with terminal_with_a_shell(["sh", "-i"], prompt="# ") as console:
        note = rescue(console, FakeWatch(), tmp_path, finding("initrd-shell"), login=None, slowness=0.5)
    assert note is not None
    text = (tmp_path / "initramfs.txt").read_text()
    assert "(no end within the time)" in text
    assert "still here" in text.partition("echo still here")[2]


LOCKED = """\
You are in emergency mode.\r
Cannot open access to console, the root account is locked.\r
See sulogin(8) man page for more details.\r
\r
Press Enter to continue.\r
"""


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (LOCKED, "root's account is locked"),
        (
            "You are in emergency mode.\r\nGive root password for maintenance\r\n(or press Control-D to continue): ",
            "asks for root's password, which the profile does not declare",
        ),
        ("nothing of the kind\r\n", "no prompt came"),
    ],
)
def test_no_shell_is_said_and_why(greeting: str, words: str, tmp_path: Path) -> None:
    note = at(Getty(greeting, []), tmp_path)
    assert note is not None
    assert words in note
    assert not list(tmp_path.iterdir())


PROMPTS = {
    "debian 12": "Give root password for maintenance\r\n(or press Control-D to continue): ",
    "debian 13": "Enter root password for system maintenance\r\n(or press Control-D to continue): ",
    "kernel messages after it": (
        "Enter root password for system maintenance\r\n(or press Control-D to continue): "
        "[   20.365457] input: PC Speaker as /devices/platform/pcspkr/input/input4\r\n"
        "[   22.181081] powernow_k8: Power state transitions not supported\r\n"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_roots_password_opens_the_emergency_shell(prompt: str, tmp_path: Path) -> None:
    setup = "PAGER=cat SYSTEMD_COLORS=0 TERM=dumb; export PAGER SYSTEMD_COLORS TERM"
    first = f"echo mz''-begin-0; {EMERGENCY.commands[0]} 2>&1; echo mz''-end-0"
    getty = Getty(
        prompt,
        [
            ("secret", "\r\nroot@vm:~# "),
            (setup, "\r\nroot@vm:~# "),
            (first, f"{first}\r\nmz-begin-0\r\ndata.mount loaded failed failed /data\r\nmz-end-0\r\nroot@vm:~# "),
        ],
    )
    note = at(getty, tmp_path, login=ROOT_LOGIN)
    assert note is not None
    assert note.startswith("1 of ")
    assert getty.lines[0] == "secret"
    assert "data.mount loaded failed" in (tmp_path / "emergency.txt").read_text()


def test_a_root_without_a_password_needs_one_key(tmp_path: Path) -> None:
    prompt = "Press Enter for maintenance\r\n(or press Control-D to continue): "
    getty = Getty(prompt, [("", "\r\nroot@vm:~# ")])
    note = at(getty, tmp_path)
    assert note is not None
    assert getty.lines[0] == ""
    assert "export PAGER" in getty.lines[1]


def test_a_wrong_password_of_root_is_said(tmp_path: Path) -> None:
    prompt = "Give root password for maintenance\r\n(or press Control-D to continue): "
    getty = Getty(prompt, [("secret", f"\r\nLogin incorrect\r\n\r\n{prompt}")])
    note = at(getty, tmp_path, login=ROOT_LOGIN)
    assert note is not None
    assert "does not take the password" in note


@pytest.mark.parametrize("rule", ["kernel-panic", "timeout", "bios-no-bootable-device"])
def test_nothing_is_typed_where_no_prompt_can_be(rule: str, tmp_path: Path) -> None:
    getty = Getty("(initramfs) ", [])
    assert at(getty, tmp_path, rule) is None
    assert getty.lines == []


def test_the_rules_that_lead_to_a_prompt_exist() -> None:
    from metallize.console.rules import built_in_rules

    assert set(PLACES) <= {rule.id for rule in built_in_rules()}
