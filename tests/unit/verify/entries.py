"""Entries of a checklist for tests of what judges one."""

from __future__ import annotations

from collections.abc import Sequence

from metallize.model.assertion import Assertion
from metallize.model.report import Entry
from metallize.verify.checklist import FIRST
from metallize.verify.phases import assertions


def entry(title: str = "what is judged", kind: str = "kind", *, id_: str = "", location: str = "") -> Entry:
    """One of the first boot."""
    return FIRST.entry(id_ or f"{kind}/{title}", title, kind, location=location)


def entries_of(asked: Sequence[Assertion]) -> tuple[Entry, ...]:
    """Those of assertions."""
    return assertions.plan(FIRST, asked)
