"""What explains that nobody can log in on the serial port, from what another shell saw."""

from __future__ import annotations

import pytest

from metallize.model.kind import Observation
from metallize.verify.why.login import explain_no_login, explain_no_prompt, explain_refusal, login_probes

COMMAND_LINE = "BOOT_IMAGE=/vmlinuz root=UUID=1 rw console=tty0 console=ttyS0,115200"


def seen(**texts: str) -> dict[str, Observation | None]:
    base = {"command line": COMMAND_LINE, "getty": getty()} | {name.replace("_", " "): texts[name] for name in texts}
    return {
        name: Observation(status=0, stdout=base[name], stderr="", seconds=0.1) if name in base else None
        for name in login_probes("ttyS0", "admin")
    }


def getty(load: str = "loaded", active: str = "inactive", sub: str = "dead", job: str = "") -> str:
    return f"LoadState={load}\nActiveState={active}\nSubState={sub}\nResult=success\n" + (f"Job={job}\n" if job else "")


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"getty": getty(load="masked")}, "serial-getty@ttyS0.service is masked"),
        ({"getty": getty(active="failed", sub="failed")}, "is failed (failed, success)"),
        ({"getty": getty(active="activating", sub="auto-restart")}, "is activating (auto-restart"),
        ({"gettys": "getty@tty1.service\nserial-getty@ttyS1.service\n"}, "serial-getty@ttyS1.service is, on another"),
        ({"command_line": "root=UUID=1 console=tty0"}, "has no console=ttyS0, but only console=tty0"),
        ({"command_line": "root=UUID=1"}, "has no console=ttyS0, but no console= at all"),
        ({"command_line": "root=UUID=1 console=ttyS01"}, "has no console=ttyS0, but only console=ttyS01"),
        ({}, "serial-getty@ttyS0.service is not started"),
    ],
)
def test_no_prompt_has_a_reason(texts: dict[str, str], words: str) -> None:
    assert words in explain_no_prompt(seen(**texts), "ttyS0")
    assert explain_no_prompt(seen(**texts), "ttyS0").startswith("nothing offers a login on ttyS0: ")


@pytest.mark.parametrize(
    "texts",
    [
        {"getty": getty(active="active", sub="running")},
        {"getty": getty(job="77")},
        {"processes": "agetty\n"},
        {"getty": ""},
    ],
    ids=["it runs", "it is about to start", "something else has the port", "there is no systemd"],
)
def test_where_a_prompt_may_still_come_there_is_none(texts: dict[str, str]) -> None:
    assert explain_no_prompt(seen(**texts), "ttyS0") == ""


def test_nothing_seen_is_survived() -> None:
    assert explain_no_prompt(dict.fromkeys(login_probes("ttyS0", "admin")), "ttyS0") == ""
    assert explain_refusal(dict.fromkeys(login_probes("ttyS0", "admin")), "admin") == ""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("admin L 2026-11-23 0 99999 7 -1\n", "is locked"),
        ("admin NP 2026-11-23 0 99999 7 -1\n", "has no password"),
        ("admin P 2026-11-23 0 99999 7 -1\n", ""),
    ],
)
def test_the_account_explains_a_refusal(line: str, words: str) -> None:
    told = explain_refusal(seen(account=line), "admin")
    assert words in told
    assert bool(told) == bool(words)


def test_a_name_is_quoted() -> None:
    assert "'a;b'" in login_probes("ttyS0", "a;b")["account"]


AUTOLOGIN = """\
# /usr/lib/systemd/system/serial-getty@.service
ExecStart=-/sbin/agetty -o '-- \\\\u' --noreset --noclear --keep-baud 115200,57600,38400,9600 - ${TERM}
# /etc/systemd/system/serial-getty@ttyS0.service.d/auto.conf
ExecStart=
ExecStart=-/sbin/agetty --autologin root --noclear --keep-baud 115200 - ${TERM}
"""


def test_a_getty_that_logs_in_by_itself_is_named_with_its_file() -> None:
    def told(text: str) -> str:
        observation = Observation(status=0, stdout=text, stderr="", seconds=0.1)
        return explain_no_login({"getty's command": observation}, "ttyS0")

    said = told(AUTOLOGIN)
    assert "--autologin in /etc/systemd/system/serial-getty@ttyS0.service.d/auto.conf" in said
    assert told(AUTOLOGIN.partition("# /etc")[0]) == ""
    assert "--autologin" in told("S0:12345:respawn:/sbin/getty -a root -L ttyS0 115200\n")
    assert explain_no_login({"getty's command": None}, "ttyS0") == ""


WRONG = "pam_unix(login:auth): authentication failure; logname=LOGIN uid=0 tty=/dev/ttyS0 ruser= rhost=  user=admin\n"


def test_the_journal_explains_a_refusal_and_not_by_the_wrong_password_that_was_tried() -> None:
    account = "admin P 2026-11-23 0 99999 7 -1\n"
    expired = "pam_unix(login:account): account admin has expired (account expired)\n"

    def told(journal: str) -> str:
        said = {"account": account, "login's journal": journal}
        observed = {name: Observation(status=0, stdout=text, stderr="", seconds=0.1) for name, text in said.items()}
        return explain_refusal(observed, "admin")

    assert told(WRONG) == ""
    assert "PAM knows another password of admin" in told(WRONG * 2)
    assert "chage -E -1 admin" in told(WRONG + expired)
