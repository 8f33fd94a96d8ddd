"""The assertions of a profile and its suites: one entry each, observed in one round trip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metallize.model.assertion import Assertion
from metallize.model.kind import Kind
from metallize.model.report import Entry, Result
from metallize.verify.checklist import Turn
from metallize.verify.judge import judge_assertion
from metallize.verify.looks.batch import NOTHING_SEEN

NOBODY = (
    "nobody is logged in to the guest: declare boot.login or boot.ssh; with --image: --user (pytest: --metallize-user)"
)


def plan(turn: Turn, assertions: Sequence[Assertion], *, place: str = "assert", suffix: str = "") -> tuple[Entry, ...]:
    """One entry for each, in their order; `place` is what their ids begin with."""
    return tuple(
        turn.entry(
            f"{place}/{number}/{each.kind}/{each.resource}",
            f"{each.title}{suffix}",
            each.kind,
            location=str(each.location),
        )
        for number, each in enumerate(assertions, start=1)
    )


def unobserved(
    entries: Sequence[Entry], assertions: Sequence[Assertion], kinds: Mapping[str, Kind], why: str = NOBODY
) -> list[Result]:
    """With no shell to look with: only what needs no look at the guest can hold."""
    results = []
    for entry, item in zip(entries, assertions, strict=True):
        kind = kinds[item.kind]
        needs_look = bool(kind.probe(item.resource, item.options))
        if needs_look and not item.skip:
            results.append(entry.unseen(why))
        else:
            results.append(judge_assertion(entry, item, kind, NOTHING_SEEN, observed=""))
    return results
