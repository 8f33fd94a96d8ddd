"""A login at the getty of a serial port, which shares its line with the kernel and with every other writer."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from metallize.console.interrupted import without_kernel_lines
from metallize.deadline import Deadline
from metallize.guest import Console, Watch
from metallize.model.report import Stage
from metallize.shells.dialogue import NUDGE_SECONDS, Dialogue
from metallize.shells.login_words import ACCOUNT_EXPIRED, INCORRECT, MUST_CHANGE

ATTEMPTS = 3
ODD_PROMPT_SECONDS = 6.0
"""After the password, on a host of normal speed: longer than login(1) waits before it says that it was wrong."""
NO_PROMPT_SECONDS = 2.0
"""After the user's name, on a host of normal speed: what was printed till then is looked at for a prompt that somebody
wrote over, and for a getty that began anew."""
NOT_YET_SECONDS = 2.0
PROMPT_SECONDS = 15.0
ANSWER_SECONDS = 25.0
"""How long a prompt or an answer may take on a host of normal speed, and of a guest that only waits on any host."""
SEEN_LINES = 6
"""Of what the login said, shown to a person: the kernel's messages between are not among them."""
LOOKED_AT_LINES = 60

_LOGIN = r"(?<!Last )\blogin: ?\Z"
_LOGIN_BETWEEN = r"(?:^|\n)[^\s:\[]+ login: "
_PROMPTED = re.compile(r"(?:^|\n)(?!Last )(?:[^\s:\[]+ )?login: ")
"""A login prompt, whatever came after it."""
_SECRET = r"(?i:password|kennwort)(?: for \S+| \(\S+\))?:"  # noqa: S105 - a pattern
_SECRET_PROMPT = rf"{_SECRET} ?\Z"
_SECRET_BETWEEN = rf"(?:^|\n){_SECRET} "
"""Prompts on a console on which somebody else prints."""
_ASKS = r"(?:^|\n)[^\n]*[^\s:][ \u00a0]?[:\uff1a\u17d6] ?\Z"
"""A prompt in any language: what to do with it says the moment at which it comes."""
_ENGLISH = r"Login incorrect|Login failed|Authentication failure|Permission denied|Access denied|incorrect password"
_REFUSED = "|".join([_ENGLISH, *map(re.escape, INCORRECT)])
_CHANGE = (
    rf"(?:{'|'.join(map(re.escape, MUST_CHANGE))})[^\n]*|"
    r"You are required to change your password[^\n]*|[Pp]assword (?:has )?expired|Changing password for"
    r"|Current (?:UNIX )?password: ?\Z|\(current\) UNIX password: ?\Z|New password: ?\Z"
)
_CLOSED = (
    rf"{'|'.join(map(re.escape, ACCOUNT_EXPIRED))}|"
    r"(?m:^)[^\n]*(?:account has expired|[Aa]ccount (?:is )?(?:temporarily )?locked)[^\n]*"
    r"|This account is currently not available[^\n]*|(?m:^)[^\n]*(?:System is going down|too many logins)[^\n]*"
)
_NOT_YET = r"System is booting up\.[^\n]*|Unprivileged users are not permitted to log in yet[^\n]*"
_SHELL = r"(?:^|\n)[^\n]*[$#%>❯➜λ»][ \t]?\Z"  # noqa: RUF001 - signs of prompts
_ALIVE = "printf '%s%s\\n' mz- alive\r"
_IS_ALIVE = r"(?:^|\n)mz-alive\n"
_NO_SHELL = r"(?m:^)[^\n]*(?:\bno shell: |[Cc]annot execute /)[^\n]*"
_LATE = r"(?i)login:? timed out after \d+ seconds"
"""LOGIN_TIMEOUT of login.defs(5), and busybox's own: all attempts at one prompt share it, and a slow guest may need
more."""
_MENU = r"Type one of the keys in parentheses"
"""What zsh asks a user who has no settings."""
_AUTOMATIC = r"\blogin: \S+ \(automatic login\)"


class LoginOutcome(StrEnum):
    """How an attempt to log in ended."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    PASSWORD_CHANGE = "the password must be changed at first login"  # noqa: S105 - words for a report
    CLOSED = "the account is closed"
    NO_SHELL = "the user's shell cannot be run"
    NOT_YET = "logins were not allowed yet"
    ENDED = "the session ended at once: is the user's shell nologin or false, or does a script of /etc/profile.d exit?"
    NO_PROMPT = "no login prompt came"
    NO_ANSWER = "no answer came"
    SILENT = "nothing answered the password: does a script of /etc/profile or of PAM wait for something?"
    FLOODED = "the console was flooded: no prompt and no answer could be told from what was printed all the time"
    LATE = "login gave up before the answer came (LOGIN_TIMEOUT): the guest is too slow"


_OUTCOMES = {
    "shell": LoginOutcome.ACCEPTED,
    "alive": LoginOutcome.ACCEPTED,
    "refused": LoginOutcome.REFUSED,
    "no shell": LoginOutcome.NO_SHELL,
    "late": LoginOutcome.LATE,
    "again": LoginOutcome.ENDED,
    "change": LoginOutcome.PASSWORD_CHANGE,
    "closed": LoginOutcome.CLOSED,
    "not yet": LoginOutcome.NOT_YET,
}


_UNANSWERED = (LoginOutcome.NO_ANSWER, LoginOutcome.SILENT, LoginOutcome.LATE)
UNSEEN = (LoginOutcome.NO_PROMPT, *_UNANSWERED, LoginOutcome.FLOODED)
"""What may have come and was not seen: nothing is known of the password."""
_SAYING = (LoginOutcome.CLOSED, LoginOutcome.PASSWORD_CHANGE, LoginOutcome.NO_SHELL)
"""The system's own words say more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginResult:
    """An attempt's outcome, what the system said of it, and the last lines that were seen."""

    outcome: LoginOutcome
    said: str = ""
    seen: str = ""

    def __str__(self) -> str:
        return f"{self.outcome}: {self.said}" if self.said else str(self.outcome)


class SerialLogin:
    """Logs in at the getty of a serial port; looks at what the console printed from `position` on."""

    def __init__(
        self, console: Console, watch: Watch, *, position: int = 0, given_up: Callable[[], bool] = lambda: False
    ) -> None:
        self._console = console
        self._watch = watch
        self._talk = Dialogue(console, watch, given_up, sees_floods_out=True)
        self._talk.position = position
        self._met = False
        """Whether a login's prompt was answered: the next may be in its own language."""

    def attempt(self, user: str, password: str, deadline: Deadline) -> LoginResult:
        """Answer the prompts once, and again where no answer came in time or logins are not allowed yet.

        An attempt that a flood has drowned does not count: another is made when the flood is over.

        Raises GuestFailed when the guest fails meanwhile, ShellError when it takes no input.
        """
        result = self._attempts(user, password, deadline)
        if result.outcome in UNSEEN and self._watch.flooded:
            return replace(result, outcome=LoginOutcome.FLOODED)
        return result

    def _attempts(self, user: str, password: str, deadline: Deadline) -> LoginResult:
        attempts, before = 0, None
        while True:
            result = self._attempt(user, password, deadline, before)
            if before is not None and result.outcome is LoginOutcome.NO_PROMPT:
                return replace(before, seen=result.seen)
            if result.outcome is LoginOutcome.NOT_YET and not deadline.expired:
                self._watch.wait(lambda: None, deadline.sooner(NOT_YET_SECONDS, "logins to be allowed"))
                continue
            drowned = result.outcome is LoginOutcome.FLOODED
            attempts += not drowned
            may_try = drowned or result.outcome in _UNANSWERED
            if not may_try or deadline.expired or attempts == ATTEMPTS:
                return result
            before = result

    def _attempt(self, user: str, password: str, deadline: Deadline, before: LoginResult | None = None) -> LoginResult:
        prompts = {"prompt": _LOGIN, "automatic": _AUTOMATIC}
        if before is not None and before.outcome in (LoginOutcome.SILENT, LoginOutcome.FLOODED):
            prompts["shell"] = _SHELL  # the answer, late
        came = self._talk.first_of(
            prompts,
            deadline,
            busy={"prompt": _LOGIN_BETWEEN},
            late={"prompt": _ASKS} if self._met else {},
            plain=("prompt",),
            enough=(lambda: False) if before is None else self._idle(PROMPT_SECONDS),
            on_quiet=self._nudge,
        )
        if came is None:
            return self._result(LoginOutcome.NO_PROMPT)
        if came == "shell" and not self._is_alive(0.0, deadline):
            return self._result(LoginOutcome.NO_ANSWER)
        if came != "prompt":
            return self._result(LoginOutcome.ACCEPTED)
        self._watch.reached(Stage.LOGIN)
        self._met = True
        floods, flooded_seconds = self._talk.floods, self._watch.flooded_seconds
        self._talk.send(f"{user}\r")
        answers = {
            "closed": _CLOSED,
            "change": _CHANGE,
            "not yet": _NOT_YET,
            "refused": _REFUSED,
            "no shell": _NO_SHELL,
            "late": _LATE,
            "password": _SECRET_PROMPT,
            "shell": _SHELL,
        }
        slowness = self._watch.slowness
        limit = deadline.sooner(PROMPT_SECONDS * slowness, "a password prompt")
        came = self._talk.first_of(
            answers,
            limit,
            busy={"password": _SECRET_BETWEEN},
            late={"anew": _LOGIN, "between": _SECRET_BETWEEN, "asks": _ASKS},
            plain=("password",),
            enough=self._enough(PROMPT_SECONDS, floods),
            quiet_seconds=NO_PROMPT_SECONDS * max(1.0, slowness / 4),
        )
        nothing = LoginOutcome.NO_ANSWER
        if came in {"password", "between", "asks"}:
            nothing = LoginOutcome.SILENT
            self._talk.send(f"{password}\r")
            limit = deadline.sooner(ANSWER_SECONDS * slowness, "the answer to the login")
            came = self._after_password(answers, limit, floods)
        if came == "shell" and not self._is_alive(flooded_seconds, deadline):
            came = None
        if self._talk.floods > floods and not came:
            return self._drowned()
        outcome = _OUTCOMES.get(came or "", nothing)
        if outcome is LoginOutcome.PASSWORD_CHANGE:
            self._talk.send("\x04")
        elif outcome is nothing:
            self._talk.send("\r")
        said = self._talk.matched.strip(" -\n") if outcome in _SAYING else ""
        return self._result(outcome, said)

    def _is_alive(self, flooded_seconds: float, deadline: Deadline) -> bool:
        """Whether what looks like a shell's prompt is one: what is printed in a flood may look like anything.

        `flooded_seconds` is how long the console had been flooded when the user's name was typed.
        """
        if self._watch.flooded_seconds <= flooded_seconds:
            return True
        self._talk.send(_ALIVE)
        limit = deadline.sooner(ANSWER_SECONDS * self._watch.slowness, "the shell behind a flood")
        return self._talk.first_of({"alive": _IS_ALIVE}, limit, enough=self._idle(PROMPT_SECONDS)) is not None

    def _drowned(self) -> LoginResult:
        """What was asked or answered in a flood cannot be found in it: a newline asks for what comes next."""
        if not self._watch.flooded:
            self._talk.position = self._console.position
            self._talk.send("\r")
        return self._result(LoginOutcome.FLOODED)

    def _after_password(self, answers: dict[str, str], limit: Deadline, floods: int) -> str | None:
        """What the system makes of the password; a shell whose prompt looks like none is asked whether it is there."""
        del answers["password"]
        answers |= {"alive": _IS_ALIVE, "menu": _MENU, "again": _LOGIN}
        enough = self._enough(ANSWER_SECONDS, floods)
        while True:
            came = self._talk.first_of(
                answers,
                limit,
                enough=enough,
                on_quiet=lambda: self._talk.send(_ALIVE),
                quiet_seconds=ODD_PROMPT_SECONDS * max(1.0, self._watch.slowness / 2),
            )
            if came != "menu":
                return came
            self._talk.send("q")

    def _idle(self, seconds: float) -> Callable[[], bool]:
        """Whether the guest has waited for so long from now on, or from the end of the last flood."""
        idle, floods = self._watch.idle_meter(), self._talk.floods

        def over() -> bool:
            nonlocal idle, floods
            if floods != self._talk.floods:
                idle, floods = self._watch.idle_meter(), self._talk.floods
            return idle() >= seconds

        return over

    def _enough(self, seconds: float, floods: int) -> Callable[[], bool]:
        """Whether an answer is waited for no more: when the guest only waits, or when a flood that came has ended."""
        idle = self._idle(seconds)
        return lambda: idle() or (self._talk.floods > floods and self._console.quiet_seconds >= NUDGE_SECONDS)

    def _nudge(self) -> None:
        """A prompt that was written over is asked for again; what else a boot may ask, nobody must answer for it."""
        lost = self._talk.floods and self._watch.stage.rank >= Stage.USERSPACE.rank
        if lost or self._watch.stage.rank >= Stage.LOGIN.rank or _PROMPTED.search(self._talk.seen()):
            self._talk.send("\r")

    def _result(self, outcome: LoginOutcome, said: str = "") -> LoginResult:
        text, _ = without_kernel_lines("\n".join(self._console.tail(LOOKED_AT_LINES)))
        lines = [line for line in text.split("\n") if line.strip()][-SEEN_LINES:]
        return LoginResult(outcome=outcome, said=said, seen="\n".join(lines))
