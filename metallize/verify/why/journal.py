"""Lines of the guest's own journal that say why nobody gets in: each is the cause, in one sentence with its remedy."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cause:
    """A pattern, searched line by line, and what it means; {1} is its first group."""

    pattern: re.Pattern[str]
    means: str


def _cause(pattern: str, means: str) -> _Cause:
    return _Cause(pattern=re.compile(pattern), means=means)


LONGEST_LINE = 400
_CAUSES = (
    _cause(
        r"User (\S+) from \S+ not allowed because not listed in (AllowUsers|AllowGroups)",
        "sshd lets {1} not in, who is not listed in {2}: add it to {2} in sshd_config",
    ),
    _cause(
        r"User (\S+) from \S+ not allowed because none of user's groups are listed in (AllowGroups)",
        "sshd lets {1} not in, of whose groups none is listed in {2}: add one to {2} in sshd_config",
    ),
    _cause(
        r"User (\S+) from \S+ not allowed because (?:listed in|a group is listed in|listed) ?(DenyUsers|DenyGroups)?",
        "sshd lets {1} not in, whom {2} names: take it out of sshd_config",
    ),
    _cause(
        r"User (\S+) from \S+ not allowed because account is locked",
        "the account of {1} is locked: passwd -u {1} unlocks it",
    ),
    _cause(
        r"User (\S+) from \S+ not allowed because (shell \S+ (?:does not exist|is not executable))",
        "sshd lets {1} not in, for its {2}: install it, or give {1} another with usermod -s",
    ),
    _cause(
        r"User (\S+) (?:from \S+ )?not allowed because ([^\n]{1,120})",
        "sshd lets {1} not in: {2}",
    ),
    _cause(r"[Ii]nvalid user (\S+) from", "there is no user {1} in the guest: add it with useradd"),
    _cause(
        r"Permissions (0\d+) for '?(/[^'\s]+)'? are too open",
        "the permissions {1} of {2} are too open for sshd, which takes no such key: chmod 600 {2}",
    ),
    _cause(
        r"Authentication refused: bad ownership or modes for (file|directory) (\S+)",
        "sshd takes no key of that user, for others may write to the {1} {2}: chmod go-w {2}, and give it to its user",
    ),
    _cause(
        r"no hostkeys available",
        "sshd has no host key (no hostkeys available): ssh-keygen -A makes them, at build time or before sshd starts",
    ),
    _cause(
        r"Unprotected private key file|UNPROTECTED PRIVATE KEY FILE",
        "a host key may be read by others, and sshd does not take it (Unprotected private key file): chmod 600 "
        "/etc/ssh/ssh_host_*_key",
    ),
    _cause(
        r"pam_access\(\S+\): access denied for user [`'](\S+)'",
        "PAM's access.conf denies {1} (pam_access): see /etc/security/access.conf",
    ),
    _cause(
        r"pam_unix\(\S+\): account (\S+) has expired",
        "the account of {1} has expired: chage -E -1 {1} makes it last",
    ),
    _cause(
        r"pam_unix\(\S+\): (?:expired password for user|password for user) (\S+)",
        "the password of {1} has expired: chage -d, or -M -1, makes it last",
    ),
    _cause(
        r"pam_faillock\(\S+\): Consecutive login failures for user (\S+) account",
        "pam_faillock has locked {1} after wrong passwords: faillock --user {1} --reset",
    ),
    _cause(r"account (?:has )?expired", "the account has expired: chage -E -1 makes it last"),
)
_PASSWORDS = (
    _cause(
        r"pam_unix\(\S+\): authentication failure;[^\n]{0,200}\buser=(\S+)",
        "PAM knows another password of {1} than the profile's (pam_unix: authentication failure)",
    ),
    _cause(
        r"Failed password for (?:invalid user )?(\S+) from",
        "sshd knows another password of {1} than the profile's (Failed password)",
    ),
)


def explained(text: str, *, passwords: bool = False) -> str:
    """The first cause that a line of a journal holds, in their order of weight; empty where none does. Pure.

    That a password was wrong is a cause only where the right one is known to be among those that were tried.
    """
    lines = [line[:LONGEST_LINE] for line in text.splitlines()]
    for cause in (*_CAUSES, *(_PASSWORDS if passwords else ())):
        for line in lines:
            found = cause.pattern.search(line)
            if found is not None:
                words: str = cause.means
                for number, group in enumerate(found.groups(), start=1):
                    words = words.replace(f"{{{number}}}", str(group or "a rule"))
                return words
    return ""
