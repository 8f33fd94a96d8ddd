"""A login at the getty of a serial port, which shares its line with the kernel and with every other writer.

It is one when a shell has answered a challenge: what a prompt looks like proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from metallize.console.interrupted import without_kernel_lines
from metallize.deadline import Deadline
from metallize.guest import Console, Watch
from metallize.model.report import Stage
from metallize.patience import DIALOGUE_NUDGE as NUDGE_SECONDS
from metallize.patience import LOGIN_ANSWER as ANSWER_SECONDS
from metallize.patience import LOGIN_NO_PROMPT as NO_PROMPT_SECONDS
from metallize.patience import LOGIN_NOT_YET as NOT_YET_SECONDS
from metallize.patience import LOGIN_ODD_PROMPT as ODD_PROMPT_SECONDS
from metallize.patience import LOGIN_PROMPT as PROMPT_SECONDS
from metallize.shells.challenge import Challenge
from metallize.shells.dialogue import Dialogue
from metallize.shells.login_words import ACCOUNT_EXPIRED, INCORRECT, MUST_CHANGE

ATTEMPTS = 3
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
_STANDING = (
    r"(?:^|\n)(?![^\n]{0,80}(?i:initramfs|initrd|dracut|grub|rescue|switch_root|u-boot|shell>|=>))"
    r"(?:[^\n]{0,80}[^\n#$])?[#$][ \t]?\Z"
)
"""A shell's prompt before any login's: nothing that firmware, loader or initrd stop at, and no bar that grows."""
_NO_SHELL = r"(?m:^)[^\n]*(?:\bno shell: |[Cc]annot execute /)[^\n]*"
_LATE = r"(?i)login:? timed out after \d+ seconds"
"""LOGIN_TIMEOUT of login.defs(5), and busybox's own: all attempts at one prompt share it, and a slow guest may need
more."""
_MENU = r"Type one of the keys in parentheses"
"""What zsh asks a user who has no settings."""
_AUTOMATIC = r"\blogin: \S+ \(automatic login\)"
_ANSWERS = {
    "closed": _CLOSED,
    "change": _CHANGE,
    "not yet": _NOT_YET,
    "refused": _REFUSED,
    "no shell": _NO_SHELL,
    "late": _LATE,
    "shell": _SHELL,
}


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
    DEAF = "what looks like a prompt of a shell answers nothing: no shell stands behind it"
    NO_LOGIN = "a shell stands where a login was expected: is it init=/bin/bash, or --autologin on the getty?"
    LATE = "login gave up before the answer came (LOGIN_TIMEOUT): the guest is too slow"


_OUTCOMES = {
    "alive": LoginOutcome.ACCEPTED,
    "deaf": LoginOutcome.DEAF,
    "refused": LoginOutcome.REFUSED,
    "no shell": LoginOutcome.NO_SHELL,
    "late": LoginOutcome.LATE,
    "again": LoginOutcome.ENDED,
    "change": LoginOutcome.PASSWORD_CHANGE,
    "closed": LoginOutcome.CLOSED,
    "not yet": LoginOutcome.NOT_YET,
}


_UNANSWERED = (LoginOutcome.NO_ANSWER, LoginOutcome.SILENT, LoginOutcome.DEAF, LoginOutcome.LATE)
_TYPED = (LoginOutcome.SILENT, LoginOutcome.DEAF, LoginOutcome.FLOODED)
"""The password was typed: a shell may still come."""
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
        self._begun = (0.0, 0.0)
        """When the last attempt was, and for how long the console had been flooded by then."""

    def attempt(self, user: str, password: str, deadline: Deadline) -> LoginResult:
        """Answer the prompts once, and again where no answer came in time or logins are not allowed yet.

        An attempt that a flood has drowned does not count: another is made when the flood is over.

        Raises GuestFailed when the guest fails meanwhile, ShellError when it takes no input.
        """
        result = self._attempts(user, password, deadline)
        if result.outcome in UNSEEN and self._was_flooded():
            return replace(result, outcome=LoginOutcome.FLOODED)
        return result

    def _was_flooded(self) -> bool:
        """Whether it is so now, or was for most of the last attempt: a getty that gives up may end what printed."""
        begun, flooded = self._begun
        lasted = self._watch.seconds - begun
        return self._watch.flooded or (self._watch.flooded_seconds - flooded) * 2 > lasted

    def _attempts(self, user: str, password: str, deadline: Deadline) -> LoginResult:
        attempts, before = 0, None
        while True:
            self._begun = (self._watch.seconds, self._watch.flooded_seconds)
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
        came = self._prompt(deadline, before)
        slowness = self._watch.slowness
        floods, nothing = self._talk.floods, LoginOutcome.NO_ANSWER
        limit = deadline.sooner(ANSWER_SECONDS * slowness, "the shell behind a prompt")
        if came is None:
            return self._result(LoginOutcome.NO_PROMPT)
        if came == "standing":
            return self._result(LoginOutcome.NO_LOGIN)
        if came == "automatic":
            said = self._talk.matched
            self._answer(dict(_ANSWERS), limit, floods)  # wait for its shell, so that a person sees it
            return self._result(LoginOutcome.NO_LOGIN, said)
        if came == "prompt":
            self._watch.reached(Stage.LOGIN)
            self._met = True
            self._talk.send(f"{user}\r")
            came = self._talk.first_of(
                _ANSWERS | {"password": _SECRET_PROMPT},
                deadline.sooner(PROMPT_SECONDS * slowness, "a password prompt"),
                busy={"password": _SECRET_BETWEEN},
                late={"anew": _LOGIN, "between": _SECRET_BETWEEN, "asks": _ASKS},
                plain=("password",),
                enough=self._enough(PROMPT_SECONDS, floods),
                quiet_seconds=NO_PROMPT_SECONDS * max(1.0, slowness / 4),
            )
        if came in {"password", "between", "asks"}:
            nothing = LoginOutcome.SILENT
            self._talk.send(f"{password}\r")
            limit = deadline.sooner(ANSWER_SECONDS * slowness, "the answer to the login")
            came = self._answer(dict(_ANSWERS), limit, floods)
        elif came == "shell":
            came = self._answer(dict(_ANSWERS), limit, floods, stands=True)
        if self._talk.floods > floods and came in (None, "deaf"):
            return self._drowned()
        outcome = _OUTCOMES.get(came or "", nothing)
        if outcome is LoginOutcome.PASSWORD_CHANGE:
            self._talk.send("\x04")
        elif outcome in (nothing, LoginOutcome.DEAF):
            self._talk.send("\r")
        said = self._talk.matched.strip(" -\n") if outcome in _SAYING else ""
        return self._result(outcome, said)

    def _prompt(self, deadline: Deadline, before: LoginResult | None) -> str | None:
        """Wait for what may be answered: a login's prompt, a getty that logs in by itself, a shell that stands there.

        What looks like a shell is asked whether it is one: `standing` when it has answered.
        """
        prompts = {"prompt": _LOGIN, "automatic": _AUTOMATIC}
        if before is not None and before.outcome in _TYPED:
            prompts["shell"] = _SHELL  # the answer, late
        late = {"prompt": _ASKS} if self._met else {"standing": _STANDING}
        enough: Callable[[], bool] = (lambda: False) if before is None else self._idle(PROMPT_SECONDS)
        challenge = Challenge()
        while True:
            came = self._talk.first_of(
                {"alive": challenge.pattern} | prompts,
                deadline,
                busy={"prompt": _LOGIN_BETWEEN},
                late=late,
                plain=("prompt",),
                enough=enough,
                on_quiet=self._nudge,
            )
            if came == "standing":
                # what firmware and loaders show is none of ours
                if self._watch.stage.rank >= Stage.KERNEL.rank:
                    self._talk.send(f"{challenge.line}\r")
                continue
            return "standing" if came == "alive" else came

    def _drowned(self) -> LoginResult:
        """What was asked or answered in a flood cannot be found in it: a newline asks for what comes next."""
        if not self._watch.flooded:
            self._talk.position = self._console.position
            self._talk.send("\r")
        return self._result(LoginOutcome.FLOODED)

    def _answer(self, answers: dict[str, str], limit: Deadline, floods: int, *, stands: bool = False) -> str | None:
        """What the system makes of a login; what looks like a shell, or like nothing known, is asked for a sum.

        `stands` says that it looks like a shell already. None when nothing came, `deaf` when no shell answered.
        """
        challenge = Challenge()
        answers = {"alive": challenge.pattern} | answers | {"menu": _MENU, "again": _LOGIN}
        enough = self._enough(ANSWER_SECONDS, floods)

        def ask() -> None:
            self._talk.send(f"{challenge.line}\r")

        asked = False
        while True:
            if stands and not asked:
                asked = True
                del answers["shell"]
                ask()
            came = self._talk.first_of(
                answers,
                limit,
                enough=enough,
                on_quiet=ask,
                quiet_seconds=ODD_PROMPT_SECONDS * max(1.0, self._watch.slowness / 2),
            )
            if came == "menu":
                self._talk.send("q")
            elif came == "shell":
                stands = True
            else:
                return "deaf" if came is None and stands else came

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
