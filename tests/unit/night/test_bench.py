"""What the bench makes of a night's lines: how long it booted, and how long it had to."""

from __future__ import annotations

from typing import Any

import pytest
from bench.matrix import span_of


def boot(start: int, seconds: float) -> dict[str, Any]:
    return {"started": f"2026-01-01T02:{start // 60:02}:{start % 60:02}+00:00", "metrics": {"seconds": seconds}}


@pytest.mark.parametrize(
    ("boots", "seconds", "bound"),
    [
        ([boot(0, 60), boot(0, 60), boot(60, 60), boot(60, 60)], 120, 120),  # both cores, and no gap
        ([boot(0, 60), boot(60, 60), boot(120, 60), boot(180, 60)], 240, 120),  # one after the other
        ([boot(0, 100), boot(0, 20), boot(20, 20)], 100, 100),  # the longest is the path
        ([{"started": "2026-01-01T02:00:00+00:00"}, boot(5, 30)], 30, 30),  # what was not booted counts for nothing
    ],
)
def test_a_night_against_its_critical_path(boots: list[dict[str, Any]], seconds: float, bound: float) -> None:
    found = span_of(boots, cores=2)
    assert (found.seconds, found.bound_seconds) == (seconds, bound)
