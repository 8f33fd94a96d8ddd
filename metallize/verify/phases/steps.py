"""Console steps: what a profile waits for and types while the guest boots, at menus and prompts.

They go on beside the other phases: whoever needs the console to itself waits until they are done.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from metallize.deadline import Deadline
from metallize.guest import Guest, GuestFailed
from metallize.model.boot import Step
from metallize.model.go_regex import Found, GoRegex, compile_go_regex, literal
from metallize.model.keys import typed
from metallize.model.kind import Claim
from metallize.model.report import Entry, Finding, Severity
from metallize.verify.checklist import Checklist, Turn
from metallize.verify.request import VerifyRequest
from metallize.verify.session import BootSession

_LOOKED_AT = 65_536
"""Characters before the console's end in which a step's pattern is looked for."""
_LINE = 1024
_SHOWN_LINES = 10
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


def plan(request: VerifyRequest, turn: Turn) -> tuple[Entry, ...]:
    """One for each."""
    return tuple(
        turn.entry(f"step/{number}", title_of(number, step), "step")
        for number, step in enumerate(request.boot.steps, start=1)
    )


def run(session: BootSession) -> None:
    """Begin them."""
    steps = session.request.boot.steps
    if steps:
        taken = Steps(
            guest=session.guest,
            steps=steps,
            entries=session.entries("step"),
            checklist=session.checklist,
            position=session.from_position,
        )
        session.steps = session.task("steps", taken.take, session.guest.watch)


@dataclass(slots=True, kw_only=True)
class Steps:
    """The steps of one boot, each of which is settled as it is taken; `position` is where the next one looks from."""

    guest: Guest
    steps: Sequence[Step]
    entries: Sequence[Entry]
    checklist: Checklist
    position: int = 0
    _typed: tuple[str, ...] = ()
    """The lines that the step before has typed, and the guest's terminal shows again."""
    _typed_at: int = 0

    def take(self) -> int:
        """Take all of them; the position at which they ended. Raises GuestFailed, which then ends every wait."""
        try:
            self.run()
        except GuestFailed as failed:
            missed = failed.finding
            self.guest.watch.fail(missed.rule, missed.cause, remedy=missed.remedy, stage=missed.stage)
            raise
        return self.position

    def run(self) -> None:
        """Take them one after the other. Raises GuestFailed at the first that finds nothing in its time."""
        for number, (step, entry) in enumerate(zip(self.steps, self.entries, strict=True), start=1):
            begun = self.guest.watch.seconds
            seen = self._wait(number, step, entry)
            if step.send is not None:
                text = typed(step.send)
                self._typed, self._typed_at = tuple(_CONTROLS.split(text.rpartition("\r")[0])), self.position
                self.guest.console.write(text.encode())
            claim = Claim(attribute="console", expected=step.expect or "to type", actual=seen or "typed", holds=True)
            self.checklist.settle(entry.judged(claim, observed="console", seconds=self.guest.watch.seconds - begun))

    def _wait(self, number: int, step: Step, entry: Entry) -> str:
        """The text that was waited for; empty where the step only types."""
        if step.expect is None:
            return ""
        console, watch = self.guest.console, self.guest.watch
        pattern = step_pattern(step.expect)
        seconds = step.timeout.total_seconds() * watch.slowness

        def look() -> str | None:
            start = max(self.position, console.position - _LOOKED_AT)
            begin = max(0, start - _LINE)
            text = console.since(begin)
            shown = echoes(text, max(0, self._typed_at - begin), self._typed)
            match = pattern.search(text, start - begin)  # so that ^ is a line's beginning
            while match is not None and (end := _within(match, shown)):
                match = pattern.search(text, end)
            if match is None:
                return None
            self.position = begin + match.end()
            return match[0].strip() or match[0]

        seen = watch.wait(look, Deadline.after(seconds, f"step {number}"))
        if seen is None:
            raise GuestFailed(self._missed(number, step, entry, seconds))
        return seen

    def _missed(self, number: int, step: Step, entry: Entry, seconds: float) -> Finding:
        title = title_of(number, step)
        shown = self.guest.console.tail(_SHOWN_LINES)
        claim = Claim(
            attribute="console",
            expected=str(step.expect),
            actual=f"no such text within {seconds:.0f} s" + (f"; last: {shown[-1].strip()}" if shown else ""),
            holds=False,
        )
        self.checklist.settle(entry.judged(claim, observed="console"))
        return Finding(
            rule="console-step",
            stage=self.guest.watch.stage,
            severity=Severity.FATAL,
            cause=f"{title}: the console did not show it within {seconds:.0f} s"
            + ("" if number == 1 else f", after the {number - 1} before it were taken"),
            remedy="compare the pattern with the console's last lines; `timeout` of the step says how long to wait",
            context=shown,
            seconds=self.guest.watch.seconds,
        )


def echoes(text: str, start: int, lines: Sequence[str]) -> list[tuple[int, int]]:
    """Where a console shows again what was typed at it, each line the first time: that is no answer to it. Pure.

    The last may have come in part.
    """
    found = []
    for line in filter(None, lines):
        at = start - 1
        while (at := text.find(line[0], at + 1)) >= 0:
            end = min(at + len(line), len(text))
            if line.startswith(text[at:end]) and text[end : end + 1] in ("", "\n"):
                found.append((at, end))
                start = end
                break
        if at < 0:
            break
    return found


def _within(match: Found, spans: Sequence[tuple[int, int]]) -> int:
    """The end of what was typed, where the match is a part of it; else 0."""
    return next((end for begin, end in spans if begin <= match.start() and match.end() <= end), 0)


def title_of(number: int, step: Step) -> str:
    """How a step is called in a report."""
    if step.expect is None:
        return f"step {number}: type {'something secret' if step.secret else repr(step.send)}"
    return f"step {number}: expect {step.expect}"


def step_pattern(source: str) -> GoRegex:
    """`/re/` or `/re/i`, in which ^ and $ are a line's ends, or the text itself. Raises ValueError for a bad one."""
    match = re.fullmatch(r"/(.+)/([ims]*)", source, re.DOTALL)
    return compile_go_regex(match[1], f"{match[2]}m") if match else literal(source)
