"""Lines of a guest's journal that say why nobody gets in, as sshd and PAM write them."""

from __future__ import annotations

import time

import pytest

from metallize.verify.why.journal import explained


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("User ops from 10.0.2.2 not allowed because not listed in AllowUsers", ("ops", "AllowUsers", "sshd_config")),
        (
            "User ops from 10.0.2.2 not allowed because none of user's groups are listed in AllowGroups",
            ("groups", "AllowGroups"),
        ),
        ("User ops from 10.0.2.2 not allowed because listed in DenyUsers", ("DenyUsers", "take it out")),
        ("User ops from 10.0.2.2 not allowed because account is locked", ("passwd -u ops",)),
        ("User ops not allowed because shell /usr/bin/zsh does not exist", ("/usr/bin/zsh does not exist",)),
        ("Invalid user ops from 10.0.2.2 port 40000", ("no user ops", "useradd")),
        (
            "Permissions 0644 for '/etc/ssh/ssh_host_ed25519_key' are too open.",
            ("0644", "too open", "chmod 600 /etc/ssh/ssh_host_ed25519_key"),
        ),
        ("@ WARNING: UNPROTECTED PRIVATE KEY FILE! @", ("Unprotected private key file", "chmod 600")),
        ("sshd: no hostkeys available -- exiting.", ("no hostkeys available", "ssh-keygen -A")),
        (
            "Authentication refused: bad ownership or modes for directory /home/ops",
            ("directory /home/ops", "chmod go-w /home/ops"),
        ),
        ("pam_access(sshd:account): access denied for user `ops' from `10.0.2.2'", ("access.conf", "ops")),
        ("pam_unix(sshd:account): account ops has expired (account expired)", ("has expired", "chage -E -1 ops")),
        ("pam_faillock(sshd:auth): Consecutive login failures for user ops account temporarily locked", ("faillock",)),
    ],
)
def test_a_line_is_a_cause_with_its_remedy(line: str, words: tuple[str, ...]) -> None:
    said = explained(f"Server listening on 0.0.0.0 port 22.\n{line}\nConnection closed by 10.0.2.2\n")
    for word in words:
        assert word in said
    assert "{" not in said
    assert "\n" not in said


PASSWORD = "Failed password for ops from 10.0.2.2 port 40000 ssh2"


def test_a_wrong_password_is_a_cause_only_where_the_right_one_was_tried() -> None:
    assert explained(PASSWORD) == ""
    assert "another password of ops" in explained(PASSWORD, passwords=True)
    both = f"{PASSWORD}\nUser ops from 10.0.2.2 not allowed because not listed in AllowUsers"
    assert "AllowUsers" in explained(both, passwords=True)


def test_the_key_that_is_too_open_is_the_cause_of_having_none() -> None:
    text = "Permissions 0644 for '/etc/ssh/ssh_host_rsa_key' are too open.\nsshd: no hostkeys available -- exiting."
    assert "are too open" in explained(text)


def test_nothing_said_is_no_cause_and_a_long_line_takes_no_time() -> None:
    assert explained("") == explained("Server listening on :: port 22.\n") == ""
    begun = time.process_time()
    assert explained("User " * 40_000 + "\n" + "pam_unix(x): authentication failure; " * 10_000, passwords=True) == ""
    assert time.process_time() - begun < 0.5
