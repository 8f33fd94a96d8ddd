"""Several machines at a time: their order, what one's end does to the others, and what a signal ends."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from metallize.errors import HostError
from metallize.host.turns import Need
from metallize.verify import beside
from metallize.verify.beside import Cancelled, side_by_side

SMALL = Need(what="small", cpus=1, memory_bytes=1)


@pytest.fixture(autouse=True)
def _room_for_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "room_beside", lambda _need, running: len(running) < 2)


def works(*each: Callable[[], str]) -> list[tuple[Need, Callable[[], str]]]:
    return [(SMALL, work) for work in each]


def test_two_run_together_and_a_third_when_there_is_room() -> None:
    together = threading.Barrier(2, timeout=10)
    most, now, lock = [0], [0], threading.Lock()

    def work(name: str, *, meets: bool) -> str:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        if meets:
            together.wait()
        time.sleep(0.05)
        with lock:
            now[0] -= 1
        return name

    got = side_by_side(
        works(lambda: work("a", meets=True), lambda: work("b", meets=True), lambda: work("c", meets=False))
    )
    assert got == ("a", "b", "c")
    assert most == [2]


def test_results_come_in_the_order_asked_not_in_that_of_the_ends() -> None:
    first = threading.Event()

    def slow() -> str:
        assert first.wait(10)
        return "slow"

    def fast() -> str:
        first.set()
        return "fast"

    assert side_by_side(works(slow, fast)) == ("slow", "fast")


class Held:
    """A boot that goes on until it is ended, and notes that it released what it held."""

    def __init__(self) -> None:
        self.runs = threading.Event()
        self.released = threading.Event()
        self.how: BaseException | None = None

    def __call__(self) -> str:
        self.runs.set()
        try:
            while True:
                time.sleep(0.01)
        except BaseException as exc:
            self.how = exc
            raise
        finally:
            time.sleep(0.1)  # as a QEMU that is waited for
            self.released.set()


def test_a_small_one_does_not_wait_behind_one_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        beside, "room_beside", lambda need, running: sum(each.cpus for each in running) + need.cpus <= 2
    )
    large = Need(what="large", cpus=2, memory_bytes=1)
    order: list[str] = []
    together = threading.Barrier(2, timeout=10)

    def small(name: str) -> str:
        together.wait()
        order.append(name)
        return name

    def last() -> str:
        order.append("large")
        return "large"

    some = [(SMALL, lambda: small("a")), (large, last), (SMALL, lambda: small("b"))]
    assert side_by_side(some) == ("a", "large", "b")
    assert order[-1] == "large"


def test_what_has_ended_may_bring_more() -> None:
    told: list[tuple[int, str]] = []

    def ended(number: int, value: str) -> list[tuple[Need, Callable[[], str]]]:
        told.append((number, value))
        return works(lambda: f"{value} again") if number == 0 else []

    assert side_by_side(works(lambda: "a", lambda: "b"), ended) == ("a", "b", "a again")
    assert sorted(told) == [(0, "a"), (1, "b"), (2, "a again")]


def test_machinery_that_breaks_on_one_ends_the_other_and_is_raised() -> None:
    held, third = Held(), Held()

    def broken() -> str:
        assert held.runs.wait(10)
        raise HostError("no QEMU")

    with pytest.raises(HostError, match="no QEMU"):
        side_by_side(works(held, broken, third))
    assert held.released.is_set()
    assert isinstance(held.how, Cancelled)
    assert not third.runs.is_set()


@pytest.mark.parametrize("times", [1, 3], ids=["once", "impatiently"])
def test_a_signal_ends_both_and_waits_for_what_they_hold(times: int) -> None:
    one, two = Held(), Held()

    def interrupt() -> None:
        assert one.runs.wait(10)
        assert two.runs.wait(10)
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.03)

    sender = threading.Thread(target=interrupt)
    sender.start()
    with pytest.raises(KeyboardInterrupt):
        side_by_side(works(one, two))
    assert one.released.is_set()
    assert two.released.is_set()
    assert not [each.name for each in threading.enumerate() if each.name == "small"]
    sender.join(10)


def test_a_cancellation_that_was_swallowed_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "_AGAIN_SECONDS", 0.2)
    swallowed = threading.Event()

    def deaf() -> str:
        try:
            while True:
                time.sleep(0.01)
        except Cancelled:
            swallowed.set()
        while True:
            time.sleep(0.01)

    def broken() -> str:
        time.sleep(0.1)
        raise HostError("x")

    with pytest.raises(HostError):
        side_by_side(works(deaf, broken))
    assert swallowed.is_set()
