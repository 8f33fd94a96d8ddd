"""How long a write still takes, as far as its pace tells."""

from __future__ import annotations

import pytest

from metallize.meter import time_left


@pytest.mark.parametrize(
    ("seconds", "done", "said"),
    [
        (0.5, 50, ""),
        (10.0, 0, ""),
        (10.0, 50, ", about 10 s left"),
        (10.0, 99, ", about 0 s left"),
        (10.0, 100, ""),
        (100.0, 25, ", about 5 min left"),
    ],
)
def test_the_pace_so_far_tells_the_rest(seconds: float, done: int, said: str) -> None:
    assert time_left(seconds, done, 100) == said
