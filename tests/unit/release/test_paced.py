"""Bytes from a server that may waste time: they come whole, in order, and never for ever."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from metallize.release.remote.paced import pieces

MIB = 1 << 20


class Drip:
    """Gives what it has, one at each call, after a while; then what comes next."""

    def __init__(self, given: Sequence[bytes], after: float = 0.0, end: Exception | None = None) -> None:
        self.given, self.after, self.end = list(given), after, end

    def read1(self, amt: int, /) -> bytes:
        time.sleep(self.after)
        if not self.given:
            if self.end is not None:
                raise self.end
            return b""
        first = self.given.pop(0)
        if len(first) > amt:
            self.given.insert(0, first[amt:])
        return first[:amt]


def test_what_comes_in_any_parts_is_given_whole_a_mib_at_a_time() -> None:
    content = bytes(range(256)) * 10_000
    for size in (1 << 14, 1 << 20, 3 << 20, 777):
        parts = [content[at : at + size] for at in range(0, len(content), size)]
        found = list(pieces(Drip(parts), (OSError,)))
        assert b"".join(found) == content
        assert [len(each) for each in found[:-1]] == [MIB] * (len(found) - 1)


def test_what_came_before_a_break_is_given_first() -> None:
    given = pieces(Drip([b"a" * 10, b"b"], end=ConnectionResetError()), (OSError,))
    assert next(given) == b"a" * 10 + b"b"
    with pytest.raises(ConnectionResetError):
        next(given)


def test_what_is_no_broken_line_is_raised_as_it_is() -> None:
    with pytest.raises(KeyError):
        list(pieces(Drip([b"a"], end=KeyError()), (OSError,)))


def test_a_server_that_sends_nearly_nothing_is_left() -> None:
    started, given = time.monotonic(), pieces(Drip([b"x"] * 1000, after=0.01), (OSError,), slow=0.1)
    assert 1 <= len(next(given)) < 1000
    with pytest.raises(TimeoutError, match="the server sends"):
        next(given)
    assert time.monotonic() - started < 5


def test_a_slow_server_that_sends_enough_is_waited_for() -> None:
    parts = [b"x" * (80 << 10)] * 20
    assert len(b"".join(pieces(Drip(parts, after=0.01), (OSError,), slow=0.05))) == 20 * (80 << 10)
