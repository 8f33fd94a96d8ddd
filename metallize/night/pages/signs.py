"""What an outcome is called on pages, and its sign."""

from __future__ import annotations

from collections.abc import Callable

from metallize.night.attempt import Attempt
from metallize.night.outcomes import Outcome
from metallize.report.page import Markup, mark

LinkOf = Callable[[Attempt], str | None]
"""Where a run's own report is, seen from the page; None where its folder is no more."""
SIGNS = {
    Outcome.PASS: "passed",
    Outcome.FAIL: "failed",
    Outcome.FLAKY: "flaky",
    Outcome.ERROR: "broken",
    Outcome.MISS: "missed",
    Outcome.SKIP: "skipped",
}
"""The word, and the class that colours it."""


def outcome_mark(outcome: Outcome) -> Markup:
    """Its sign, said aloud too."""
    return mark(SIGNS[outcome])
