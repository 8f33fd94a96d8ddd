"""A talk over the serial port: wait for what is printed, type, and never look at more than the last of it.

Every wait has a deadline, costs no more memory than a window of the console, and ends when the guest fails. This is
what logins and shells are made of, and what a person or a test drives a guest's menus and prompts with. pexpect can
be put on top of a socket of its own where somebody wants it; the flood goes past it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

from metallize.console.flood import waits_for_the_end
from metallize.console.interrupted import without_kernel_lines
from metallize.deadline import Deadline
from metallize.guest import Console, ShellError, Watch
from metallize.patience import DIALOGUE_BUSY as BUSY_SECONDS
from metallize.patience import DIALOGUE_LAST_LOOK as LAST_LOOK_SECONDS
from metallize.patience import DIALOGUE_NUDGE as NUDGE_SECONDS
from metallize.patience import DIALOGUE_PLAIN_PROMPT as PLAIN_PROMPT_SECONDS
from metallize.patience import DIALOGUE_SETTLED as SETTLED_SECONDS

WINDOW = 262_144
"""Characters before the console's end in which a pattern is looked for."""
_END = r"\Z"


class ExpectError(ShellError):
    """What was waited for did not come in time."""


class Dialogue:
    """Waits for patterns in what the console prints from here on, each of which ends where the next wait begins.

    Messages of the kernel are seen through: what they cut is matched as if they were not there. Who waits for prompts
    `sees_floods_out`: while the console is flooded, nothing is typed, and of what is printed only its last line counts.
    """

    def __init__(
        self,
        console: Console,
        watch: Watch,
        given_up: Callable[[], bool] = lambda: False,
        *,
        sees_floods_out: bool = False,
    ) -> None:
        self._console = console
        self._watch = watch
        self._given_up = given_up
        self._sees_floods_out = sees_floods_out
        self._drowned = False
        self.floods = 0
        """How many floods were seen out; the last may go on."""
        self.position = console.position
        self.matched = ""
        """What the last pattern matched."""

    def send(self, text: str) -> None:
        """Type. Raises ShellError when the guest takes nothing."""
        self._console.write(text.encode())

    def text_between(self, start: int, end: int) -> str:
        """Clean text by its positions, as far back as the console keeps it."""
        return self._console.since(start)[: max(0, end - start)]

    def seen(self) -> str:
        """What came since the last match."""
        return self._console.since(self.position)

    def expect(self, pattern: str, deadline: Deadline) -> str:
        """Wait for a regular expression and return what it matched; one that ends the text is a prompt.

        Raises ExpectError when the time is over, GuestFailed when the guest fails meanwhile.
        """
        if self.first_of({"it": pattern}, deadline) is None:
            seen = "\n".join(self._console.tail(6))
            raise ExpectError(
                f"/{pattern}/ was not seen within the time for {deadline.purpose}; the last lines:\n{seen}"
            )
        return self.matched

    def first_of(
        self,
        patterns: Mapping[str, str],
        deadline: Deadline,
        *,
        busy: Mapping[str, str] | None = None,
        late: Mapping[str, str] | None = None,
        plain: Collection[str] = (),
        enough: Callable[[], bool] = lambda: False,
        on_quiet: Callable[[], None] | None = None,
        quiet_seconds: float = NUDGE_SECONDS,
    ) -> str | None:
        """The name of the first pattern that matches, or None when the time is over, or enough. Raises GuestFailed.

        `on_quiet` is called each time that nothing was printed for so long, or that the console is too busy for that;
        the patterns of `busy` count on such a console besides, those of `late` once nothing was printed for so long.
        The names of `plain` are those of prompts that need no long silence behind them.
        """
        compiled = {name: re.compile(pattern) for name, pattern in patterns.items()}
        loose = {name: re.compile(pattern) for name, pattern in (busy or {}).items()}
        last = {name: re.compile(pattern) for name, pattern in (late or {}).items()}
        nudged = Deadline.after(quiet_seconds, "quiet")
        patience = Deadline.after(BUSY_SECONDS, "a quiet moment")

        def look() -> str | None:
            nonlocal nudged, patience
            if self._is_drowned():
                nudged = Deadline.after(quiet_seconds, "quiet")
                patience = Deadline.after(BUSY_SECONDS, "a quiet moment")
                return "" if self._given_up() else None
            start = max(self.position, self._console.position - WINDOW)
            quiet = self._console.quiet_seconds
            text, original = without_kernel_lines(self._console.since(start))
            if quiet >= NUDGE_SECONDS:
                patience = Deadline.after(BUSY_SECONDS, "a quiet moment")
            asked = list(compiled.items())
            if patience.expired:
                asked += loose.items()
            if quiet >= quiet_seconds:
                asked += last.items()
            over = deadline.remaining < LAST_LOOK_SECONDS
            for name, pattern in asked:
                match = pattern.search(text)
                settled = over or quiet >= (PLAIN_PROMPT_SECONDS if name in plain else SETTLED_SECONDS)
                if match is None or (match.end() == len(text) and _END in pattern.pattern and not settled):
                    continue
                self.position = start + (original(match.end() - 1) + 1 if match.end() else 0)
                self.matched = match[0]
                return name
            if self._given_up() or enough():
                return ""
            if on_quiet is not None and nudged.expired and (quiet >= quiet_seconds or patience.expired):
                on_quiet()
                nudged = Deadline.after(quiet_seconds * 2, "quiet")
            return None

        return self._watch.wait(look, deadline) or None

    def _is_drowned(self) -> bool:
        """Whether a flood is seen out; when it has ended, what comes is looked for from its last line on."""
        drowned = self._sees_floods_out and waits_for_the_end(self._watch)
        if drowned and not self._drowned:
            self.floods += 1
        elif self._drowned and not drowned:
            self.position = self._console.position - len(self._console.line)
        self._drowned = drowned
        return drowned
