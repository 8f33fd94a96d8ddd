"""Floods of the console: when they are seen, how long they last, and logins that they drown."""

from __future__ import annotations

import time

import pytest

from metallize import patience
from metallize.console import flood
from metallize.console.flood import Flood
from metallize.deadline import Deadline
from metallize.model.report import Stage
from metallize.shells.login import LoginOutcome, LoginResult, SerialLogin
from metallize.verify.patience import Patience
from tests.unit.shells.fakes import ADDS, FakeWatch, Getty

FLOOD = "login: # the same line again\r\n" * 100
ASKED = ("admin", "admin\r\nPassword: ")
IN = ("admin", "\r\nLinux debian 6.12\r\n\x1b[?2004hadmin@debian:~$ ")


def measured(*printed: tuple[float, int]) -> Flood:
    measure = Flood()
    for now, size_bytes in printed:
        measure.printed(now, size_bytes)
    return measure


def test_what_a_boot_prints_is_no_flood() -> None:
    assert not measured((0.0, 60_000), *((second / 10, 900) for second in range(1, 600))).goes_on(60.0)


def test_a_flood_begins_ends_and_is_timed() -> None:
    measure = measured(*((second / 10, 18_000) for second in range(100)))
    assert measure.goes_on(10.0)
    assert measure.seconds(10.0) == pytest.approx(9.6, abs=0.2)
    assert measure.size_bytes == pytest.approx(100 * 18_000, rel=0.06)
    assert measure.goes_on(11.8)
    assert not measure.goes_on(12.0)
    assert measure.seconds(100.0) == pytest.approx(11.5, abs=0.2)


class Flooded(FakeWatch):
    """A guest whose console is flooded for so long from now on."""

    def __init__(self, until: float, seconds: float = 0.0) -> None:
        self._begun, self._end = time.monotonic(), time.monotonic() + until
        self._before = seconds

    @property
    def seconds(self) -> float:  # type: ignore[override]  # as below
        return time.monotonic()

    @property
    def flooded_seconds(self) -> float:  # type: ignore[override]  # as below
        return self._before + max(0.0, min(time.monotonic(), self._end) - self._begun)

    @property
    def flooded(self) -> bool:  # type: ignore[override]  # read-only in Watch; a class attribute in the fake
        return time.monotonic() < self._end

    def flood(self, seconds: float) -> None:
        self._before = self.flooded_seconds
        self._begun, self._end = time.monotonic(), time.monotonic() + seconds


class FloodedGetty(Getty):
    """Its console is flooded when a line of `floods` is typed."""

    def __init__(
        self, watch: Flooded, greeting: str, turns: list[tuple[str, str]], floods: tuple[int, ...] = ()
    ) -> None:
        super().__init__(greeting, turns)
        self._watch = watch
        self._floods = floods

    def _typed(self, data: bytes) -> None:
        assert not self._watch.flooded, "nobody must type into a flood"
        super()._typed(data)
        if len(self.lines) in self._floods:
            self._floods = tuple(number for number in self._floods if number != len(self.lines))
            self._watch.flood(0.3)


def attempt(watch: FakeWatch, getty: Getty, *, seconds: float = 20) -> LoginResult:
    return SerialLogin(getty.console, watch).attempt("admin", "admin", Deadline.after(seconds, "a test"))


def test_a_flood_that_ends_in_what_looks_like_a_prompt_is_seen_out() -> None:
    watch = Flooded(0.5)
    getty = FloodedGetty(watch, f"{FLOOD}debian login: ", [ASKED, IN, ADDS])
    assert attempt(watch, getty).outcome is LoginOutcome.ACCEPTED
    assert getty.lines == ["admin", "admin", ADDS[0]]


@pytest.mark.slow
def test_a_prompt_that_was_lost_in_a_flood_is_asked_for() -> None:
    watch = Flooded(0.3)
    getty = FloodedGetty(watch, "y\r\n" * 200, [("", "\r\ndebian login: "), ASKED, IN, ADDS])
    assert attempt(watch, getty).outcome is LoginOutcome.ACCEPTED


@pytest.mark.slow
def test_a_passphrase_is_not_answered_because_of_a_flood() -> None:
    watch = Flooded(0.3)
    watch.stage = Stage.INITRD
    getty = FloodedGetty(watch, f"{FLOOD.replace('login', 'log')}Enter passphrase for disk: ", [])
    assert attempt(watch, getty, seconds=4).outcome is LoginOutcome.NO_PROMPT
    assert getty.lines == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("turns", "floods"),
    [
        pytest.param([("admin", FLOOD), ("", "\r\ndebian login: "), ASKED, IN, ADDS], (1,), id="behind-the-name"),
        pytest.param(
            [ASKED, ("admin", f"Login incorrect\r\n{FLOOD}"), ("", "\r\ndebian login: "), ASKED, IN, ADDS],
            (2,),
            id="behind-the-password",
        ),
        pytest.param([ASKED, ("admin", FLOOD), ("", "\r\nadmin@debian:~$ "), ADDS], (2,), id="a-shell-was-there"),
        pytest.param(
            [ASKED, ("admin", f"{FLOOD}100% "), ("", "\r\ndebian login: "), ASKED, IN, ADDS],
            (2,),
            id="it-looks-like-a-shell",
        ),
    ],
)
def test_an_attempt_that_a_flood_drowned_is_made_again(
    turns: list[tuple[str, str]], floods: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metallize.shells.login.PROMPT_SECONDS", 2.0)
    monkeypatch.setattr(FakeWatch, "idles", True)
    watch = Flooded(0.0)
    assert attempt(watch, FloodedGetty(watch, "debian login: ", turns, floods)).outcome is LoginOutcome.ACCEPTED


def test_a_flood_without_end_is_named() -> None:
    watch = Flooded(100)
    result = attempt(watch, FloodedGetty(watch, FLOOD, []), seconds=0.3)
    assert result.outcome is LoginOutcome.FLOODED
    assert "flooded" in str(result)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flooded", "outcome"), [(0.7, LoginOutcome.FLOODED), (0.2, LoginOutcome.NO_PROMPT)], ids=["most of it", "a while"]
)
def test_a_flood_that_ended_with_the_attempt_is_named(flooded: float, outcome: LoginOutcome) -> None:
    """As where getty hangs up, which ends what wrote to the line."""
    watch = Flooded(flooded, seconds=patience.FLOOD_WAIT)
    assert attempt(watch, Getty(FLOOD.replace("login", "log"), []), seconds=1).outcome is outcome


def test_a_flood_that_lasted_too_long_is_not_waited_for() -> None:
    watch = Flooded(100, seconds=patience.FLOOD_WAIT)
    getty = Getty("debian login: ", [ASKED, IN, ADDS])
    assert attempt(watch, getty).outcome is LoginOutcome.ACCEPTED


@pytest.mark.parametrize(
    ("seconds", "size_bytes", "waits"),
    [(100.0, 0, True), (600.0, 70 << 20, True), (600.0, 20 << 20, False), (600.0, flood.WAIT_BYTES, False)],
    ids=["short", "fast", "slow", "without end"],
)
def test_how_long_a_flood_is_waited_for(seconds: float, size_bytes: int, waits: bool) -> None:
    watch = Flooded(100, seconds=seconds)
    watch.flooded_bytes = size_bytes
    assert flood.waits_for_the_end(watch) == waits


@pytest.mark.slow
def test_what_looks_like_a_shell_in_a_flood_that_is_not_waited_for_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is a wrong password accepted because of it, nor the right one."""
    monkeypatch.setattr("metallize.shells.login.PROMPT_SECONDS", 1.0)
    monkeypatch.setattr(FakeWatch, "idles", True)
    watch = Flooded(100, seconds=patience.FLOOD_WAIT)
    getty = Getty("debian login: ", [ASKED, ("admin", "\r\nlogin: # ")])
    assert attempt(watch, getty).outcome is LoginOutcome.FLOODED


def test_patience_begins_anew_after_a_flood() -> None:
    watch = Flooded(0.4)
    over = Patience(watch).limit(0.3, "a test")
    begun = time.monotonic()
    while not over():
        time.sleep(0.02)
    assert 0.65 < time.monotonic() - begun < 2


def test_patience_of_no_time_is_over_in_a_flood_as_well() -> None:
    assert Patience(Flooded(10)).limit(0.0, "a test")()
