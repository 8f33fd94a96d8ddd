"""What is told of the nights, on edges only: what is new, in order again, about to expire, or did not come."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from metallize.model.visible import visible
from metallize.night.attempt import Attempt, Cell, time_of
from metallize.night.judging.findings import Finding, day, grouped, lines_of
from metallize.night.outcomes import CellNight, Outcome, cell_nights

MOST = 20
"""So many are told in full; of the others how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing to tell, once."""

    key: str
    """The same whenever it is found again."""
    kind: str
    """In a word: worse, fixed, known, missed."""
    night: str
    text: str
    """Some lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """What one message tells."""

    items: tuple[Item, ...]

    @property
    def title(self) -> str:
        counts = {kind: sum(each.kind == kind for each in self.items) for kind in ("missed", "worse", "fixed", "known")}
        words = [f"{count} {_NAMES[kind]}" for kind, count in counts.items() if count]
        return f"Metallize: {', '.join(words)}"

    @property
    def body(self) -> str:
        shown = [each.text for each in self.items[:MOST]]
        rest = len(self.items) - len(shown)
        more = [f"and {rest} more: metallize regressions"] if rest else []
        return "\n\n".join([*shown, *more])


_NAMES = {"missed": "missed", "worse": "worse", "fixed": "in order again", "known": "of known.yaml"}


def items_of(
    findings: Iterable[Finding], attempts: Sequence[Attempt], advised: Iterable[str], night: str
) -> tuple[Item, ...]:
    """All edges that there are, those of every night; the worst first. Pure. `advised` is what known.yaml asks for."""
    worse = [each for each in findings if each.alarms]
    return (
        *(
            Item(key=f"worse {_key(each)}", kind="worse", night=each.night, text=_lines(each))
            for each in grouped(worse)
        ),
        *_fixed(attempts),
        *(
            Item(key=f"known {_NIGHTS.sub('', text)}", kind="known", night=night, text=f"known: {visible(text)}")
            for text in advised
        ),
    )


_NIGHTS = re.compile(r"\d+ (?=(clean )?nights)")
"""What changes each night in a sentence that is the same."""


def _key(finding: Finding) -> str:
    return " | ".join((finding.night, finding.kind, str(finding.cell), finding.subject, finding.since))


def _lines(finding: Finding) -> str:
    return visible("\n".join(lines_of(finding)))


def _fixed(attempts: Sequence[Attempt]) -> Iterator[Item]:
    """The cells that passed on a host where they were bad before."""
    before: dict[tuple[Cell, str], CellNight] = {}
    for night in cell_nights(attempts):
        place = (night.cell, night.attempts[0].leader)
        last = before.get(place)
        if night.outcome in (Outcome.SKIP, Outcome.MISS):  # nothing was seen of it
            continue
        before[place] = night
        if last is not None and last.outcome.bad and night.outcome is Outcome.PASS:
            text = f"FIXED  {night.cell}: passes again\n  since     the night of {day(night.night)}"
            was = f"\n  before    {last.outcome}: {last.decisive.reason or 'no reason is known'}"
            key = f"fixed {night.night} | {night.cell} | {place[1]}"
            yield Item(key=key, kind="fixed", night=night.night, text=visible(text + was))


def missed(attempts: Iterable[Attempt], now: datetime, after: timedelta, began: str = "") -> Item | None:
    """What is to be told where the last night began too long ago; None where one came. Pure.

    `began` is a night that is under way, or did not come to its end. A history in which no night has a time says
    nothing.
    """
    times = [found for found in (time_of(each.night) for each in attempts) if found is not None]
    last = max(times, default=None)
    if last is None or now - last < after:
        return None
    hours = (now - last) / timedelta(hours=1)
    night = last.isoformat(timespec="seconds")
    text = f"MISSED  no night has come for {hours:.0f} hours; the last began at {day(night)}"
    if began:
        text += f"\n  one began at {day(began)} and did not come to its end"
    return Item(key=f"missed {night}", kind="missed", night=night, text=visible(text))


def new_of(items: Iterable[Item], told: Mapping[str, str], since: str) -> Digest | None:
    """What has not been told, of the nights from `since` on; None where there is nothing."""
    found = tuple(each for each in items if each.key not in told and each.night >= since)
    return Digest(items=found) if found else None
