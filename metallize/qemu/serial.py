"""A login and a shell over the serial console, which shares its line with the kernel and with every other writer."""

from __future__ import annotations

import base64
import binascii
import gzip
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from metallize.deadline import Deadline
from metallize.guest import Console, ShellError, ShellOutput, Watch
from metallize.model.report import Stage

QUIET_SECONDS = 2.0
"""getty throws away what is typed before its prompt: a newline asks for it again when nothing came for so long."""
ATTEMPTS = 3

_LOGIN = r"(?<!Last )\blogin: ?\Z"
_SECRET_PROMPT = r"(?i:password|kennwort)[^\n]{0,40}: ?\Z"  # noqa: S105 - a pattern
_REFUSED = r"Login incorrect|Login failed|Authentication failure|Permission denied|Access denied|incorrect password"
_CHANGE = (
    r"You are required to change your password|[Pp]assword (?:has )?expired|Changing password for"
    r"|Current (?:UNIX )?password: ?\Z|\(current\) UNIX password: ?\Z|New password: ?\Z"
)
_CLOSED = r"account has expired|[Aa]ccount (?:is )?locked|This account is currently not available|System is going down"
_SHELL = r"(?:^|\n)[^\n]*[$#%>][ \t]?\Z"
_AUTOMATIC = r"\blogin: \S+ \(automatic login\)"


class LoginOutcome(StrEnum):
    """How an attempt to log in ended."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    PASSWORD_CHANGE = "a password change was demanded"  # noqa: S105 - words for a report
    CLOSED = "the account is closed"
    NO_PROMPT = "no login prompt came"
    NO_ANSWER = "no answer came"


_OUTCOMES = {
    "shell": LoginOutcome.ACCEPTED,
    "refused": LoginOutcome.REFUSED,
    "again": LoginOutcome.REFUSED,
    "change": LoginOutcome.PASSWORD_CHANGE,
    "closed": LoginOutcome.CLOSED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginResult:
    """An attempt's outcome, and the last lines that were seen."""

    outcome: LoginOutcome
    seen: str = ""


class Dialogue:
    """Waits for patterns in what the console prints from here on, each of which ends where the next wait begins."""

    def __init__(self, console: Console, watch: Watch, given_up: Callable[[], bool] = lambda: False) -> None:
        self._console = console
        self._watch = watch
        self._given_up = given_up
        self.position = console.position

    def type(self, text: str) -> None:
        self._console.write(text.encode())

    def text_between(self, start: int, end: int) -> str:
        """Clean text by its positions, as far back as the console keeps it."""
        text = self._console.since(start)
        return text[: max(0, end - start)]

    def seen(self) -> str:
        return self._console.since(self.position)

    def expect(
        self, patterns: dict[str, str], deadline: Deadline, *, on_quiet: Callable[[], None] | None = None
    ) -> str | None:
        """The name of the first pattern that matches, or None when the time is over. Raises GuestFailed."""
        compiled = {name: re.compile(pattern) for name, pattern in patterns.items()}
        nudged = Deadline.after(QUIET_SECONDS, "quiet")

        def look() -> str | None:
            nonlocal nudged
            start = max(self.position, self._console.position - 65_536)
            text = self._console.since(start)
            for name, pattern in compiled.items():
                if match := pattern.search(text):
                    self.position = start + match.end()
                    return name
            if self._given_up():
                return ""
            if on_quiet is not None and nudged.expired and self._console.quiet_seconds >= QUIET_SECONDS:
                on_quiet()
                nudged = Deadline.after(QUIET_SECONDS * 2, "quiet")
            return None

        return self._watch.wait(look, deadline) or None


class SerialLogin:
    """Logs in at the getty of a serial port; looks at what the console printed from `position` on."""

    def __init__(
        self, console: Console, watch: Watch, *, position: int = 0, given_up: Callable[[], bool] = lambda: False
    ) -> None:
        self._console = console
        self._watch = watch
        self._talk = Dialogue(console, watch, given_up)
        self._talk.position = position

    def attempt(self, user: str, password: str, deadline: Deadline) -> LoginResult:
        """Answer the prompts once. Raises GuestFailed when the guest fails meanwhile."""
        for _ in range(ATTEMPTS):
            result = self._attempt(user, password, deadline)
            if result.outcome is not LoginOutcome.NO_ANSWER or deadline.expired:
                return result
        return result

    def _attempt(self, user: str, password: str, deadline: Deadline) -> LoginResult:
        came = self._talk.expect({"prompt": _LOGIN, "automatic": _AUTOMATIC}, deadline, on_quiet=self._nudge)
        if came is None:
            return self._result(LoginOutcome.NO_PROMPT)
        if came == "automatic":
            return self._result(LoginOutcome.ACCEPTED)
        self._watch.reached(Stage.LOGIN)
        self._talk.type(f"{user}\r")
        answers = {
            "closed": _CLOSED,
            "change": _CHANGE,
            "refused": _REFUSED,
            "password": _SECRET_PROMPT,
            "shell": _SHELL,
        }
        came = self._talk.expect(answers, deadline.sooner(15 * self._watch.slowness, "a password prompt"))
        if came == "password":
            self._talk.type(f"{password}\r")
            del answers["password"]
            answers["again"] = _LOGIN
            came = self._talk.expect(answers, deadline.sooner(20 * self._watch.slowness, "the answer to the login"))
        outcome = _OUTCOMES.get(came or "", LoginOutcome.NO_ANSWER)
        if outcome is LoginOutcome.PASSWORD_CHANGE:
            self._talk.type("\x04")
        elif outcome is LoginOutcome.NO_ANSWER:
            self._talk.type("\r")
        return self._result(outcome)

    def _nudge(self) -> None:
        if self._watch.stage.rank >= Stage.USERSPACE.rank:
            self._talk.type("\r")

    def _result(self, outcome: LoginOutcome) -> LoginResult:
        return LoginResult(outcome=outcome, seen="\n".join(self._console.tail(6)))


class SerialShell:
    """A shell on the serial port, already logged in; what it prints is framed, compressed and checked.

    A script goes to a file in the guest, its output to another, and that is read as base64 of gzip, whose checksum
    shows when the kernel wrote in between: then it is read again, and the script is not run twice.
    """

    name = "serial"

    def __init__(self, console: Console, watch: Watch) -> None:
        self._console = console
        self._watch = watch
        self._talk = Dialogue(console, watch)
        self._number = 0
        self._started = False

    def start(self, deadline: Deadline) -> None:
        """Make the login shell a plain one. Raises ShellError when none answers.

        An interactive shell may take all that was typed ahead with it: each step waits for the one before.
        """
        limit = deadline.sooner(20 * self._watch.slowness, "a shell")
        self._talk.type(
            "exec env PS1= PS2= PROMPT_COMMAND= TERM=dumb HISTFILE= "
            "sh -c 'stty -echo cols 250; printf \"\\n%s%s\\n\" mz- shell-started; exec sh'\r"
        )
        if self._talk.expect({"started": r"\nmz-shell-started\n"}, limit) is None:
            raise ShellError("no shell answered after the login")
        self._talk.type(
            "set +o emacs 2>/dev/null; for mz in /dev/shm /run /tmp; do [ -w $mz ] && break; done; "
            "mz=$mz/.metallize.$$; mkdir -m 700 $mz; [ $(id -u) = 0 ] && dmesg -n 1; "
            "mzp() { { cat $mz/r; wc -c <$mz/o; cat $mz/o $mz/e; } | gzip -c >$mz/z; "
            "printf '\\n%s%s\\n' mz- begin-$1; base64 <$mz/z; printf '%s%s\\n' mz- end-$1; }; "
            "printf '\\n%s%s\\n' mz- shell-ready\r"
        )
        if self._talk.expect({"ready": r"\nmz-shell-ready\n"}, limit) is None:
            raise ShellError("the shell did not become a plain one")
        self._started = True

    def run(self, script: str, deadline: Deadline) -> ShellOutput:
        if not self._started:
            self.start(deadline)
        self._number += 1
        number = self._number
        self._talk.position = self._console.position
        self._talk.type(
            f"printf '\\n%s%s\\n' mz- go-{number}; base64 -d 2>/dev/null | gzip -d >$mz/s; "
            f"sh $mz/s >$mz/o 2>$mz/e </dev/null; echo $? >$mz/r; mzp {number}\r"
        )
        if (
            self._talk.expect(
                {"go": rf"\nmz-go-{number}\n"}, deadline.sooner(15 * self._watch.slowness, "the shell to listen")
            )
            is None
        ):
            raise ShellError("the serial shell does not answer")
        body = base64.b64encode(gzip.compress(script.encode(), mtime=0)).decode()
        lines = [body[at : at + 76] for at in range(0, len(body), 76)]
        self._talk.type("".join(f"{line}\r" for line in lines) + "\x04")
        for _ in range(ATTEMPTS):
            output = self._read(number, deadline)
            if output is not None:
                return output
            number = self._number = self._number + 1
            self._talk.type(f"mzp {number}\r")
        raise ShellError("the serial line garbled the answer three times")

    def leave(self) -> None:
        """Log out; getty comes back."""
        self._talk.type("rm -rf $mz; stty sane 2>/dev/null; exit\r")

    def close(self) -> None:
        """Nothing to close: the port is the machine's."""

    def _read(self, number: int, deadline: Deadline) -> ShellOutput | None:
        begin, end = f"\nmz-begin-{number}\n", f"mz-end-{number}\n"
        start = self._talk.position

        def look() -> str | None:
            text = self._console.since(max(start, self._console.position - 1_000_000))
            return text if end in text[-200_000:] else None

        text = self._watch.wait(look, deadline)
        if text is None:
            self._talk.type("\x03")
            raise ShellError(f"no end of the script within the time for {deadline.purpose}")
        self._talk.position = self._console.position
        return decode_answer(text.rpartition(end)[0].rpartition(begin)[2])


def decode_answer(text: str) -> ShellOutput | None:
    """What stands between the markers, or None where the line was disturbed; pure."""
    lines = [line for line in text.split("\n") if re.fullmatch(r"[A-Za-z0-9+/=]+", line)]
    try:
        body = gzip.decompress(base64.b64decode("".join(lines), validate=True))
        status, size, rest = body.split(b"\n", 2)
        length = int(size)
        return ShellOutput(status=int(status), stdout=rest[:length], stderr=rest[length:])
    except (binascii.Error, zlib.error, ValueError, OSError, EOFError):
        return None
