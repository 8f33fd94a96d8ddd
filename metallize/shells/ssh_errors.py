"""The ways in which SSH ends without a shell: each with its reason, its words, and how often it is seen to count."""

from __future__ import annotations

import re

from metallize.guest import ShellError

REFUSALS = 3
"""So often a login must be refused to count as such; pam_faillock locks an account at the fourth."""
SHOWN_CHARACTERS = 200
_NOLOGIN = re.compile(r"This account is currently not available[^\n]*", re.IGNORECASE)
LETS_IN = "the SSH server lets"
"""How begins what is said of a server that took the login and gave no shell."""


class SshError(ShellError):
    """SSH gave no shell. What may pass while a system settles is final when it was seen `often`."""

    often = 1


class NoServerError(SshError):
    """Nothing answered as an SSH server in time."""

    reason = "no SSH server answered"


class SshRefusedError(SshError):
    """The server answered and did not let us in."""

    # before user sessions are allowed (pam_nologin) a right password is refused too
    reason = "refused"
    often = REFUSALS


class ServerClosedError(SshError):
    """The connection was cut before a shell answered."""

    # sshd may restart while the system settles
    reason = "the server hangs up"
    often = 10


class StalledError(SshError):
    """The server began to speak and then said nothing, while the guest only waited."""

    reason = "the server says nothing more"
    often = 3


class BadServerError(SshError):
    """What the server says is no SSH that anybody speaks, or has no end."""

    reason = "no SSH that anybody speaks"
    often = 2


class NoCommonAlgorithmError(SshError):
    """Client and server have no cipher, key exchange, MAC or kind of host key in common."""

    reason = "no algorithm in common"


class NoClientError(NoCommonAlgorithmError):
    """Another client might speak to the server, and is not on this host."""

    reason = "this host has no client for that server"


class NoShellError(SshError):
    """The login was taken and no shell answered."""

    reason = "no shell behind the login"
    often = 2


class ForcedCommandError(NoShellError):
    """Something else than a shell answered."""

    reason = "another command than a shell answered"


class SessionRefusedError(NoShellError):
    """The server takes the login and opens no session."""

    reason = "no session is allowed"


class SilentShellError(NoShellError):
    """The login was taken, and then nothing was said."""

    reason = "the shell does not answer"


def no_shell(user: str, status: int | None, said: str) -> NoShellError:
    """What came in place of the answer to the challenge; pure."""
    text = said.strip()
    begin = f"{LETS_IN} {user} in, but"
    if found := _NOLOGIN.search(text):
        return NoShellError(
            f"{begin} its shell is none: {found[0].strip()} (nologin; `usermod -s /bin/sh {user}` gives it one)"
        )
    ended = "" if status is None or status < 0 else f" and ended with status {status}"
    if text:
        shown = text[:SHOWN_CHARACTERS] + (" ..." if len(text) > SHOWN_CHARACTERS else "")
        return ForcedCommandError(
            f"{begin} what runs there is no shell: it printed {shown!r}{ended} "
            "(ForceCommand in sshd_config, or command= in authorized_keys?)"
        )
    return NoShellError(
        f"{begin} no shell answers: what runs instead printed nothing{ended} "
        f"(is the shell of {user} false or nologin? see /etc/passwd)"
    )


def no_session(user: str, said: str) -> SessionRefusedError:
    return SessionRefusedError(
        f"{LETS_IN} {user} in, but opens no session: {said} (MaxSessions in sshd_config must be 1 or more)"
    )


def no_word(user: str, seconds: float) -> SilentShellError:
    return SilentShellError(
        f"{LETS_IN} {user} in, but no shell answered, although the guest had {seconds:.0f} s for it: does a start-up "
        "file of the shell, or PAM, wait for something?"
    )
