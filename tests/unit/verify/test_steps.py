"""Console steps against a console that answers: what is typed, and what is said of that which never comes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from metallize.guest import GuestFailed, Monitor
from metallize.model.boot import Step
from metallize.model.keys import KEYS, typed, unknown_keys
from metallize.model.report import Stage
from metallize.verify.checklist import Checklist
from metallize.verify.phases.steps import Steps, echoes, step_pattern, title_of
from tests.unit.shells.fakes import FakeConsole, FakeWatch
from tests.unit.verify.entries import entry


@dataclass
class FakeGuest:
    console: FakeConsole
    watch: FakeWatch

    @property
    def monitor(self) -> Monitor:
        raise AssertionError("steps need no monitor")

    def host_port(self, guest_port: int) -> int:
        raise AssertionError("steps need no network")


class Told(FakeWatch):
    """Remembers what it was told of."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def fail(self, rule: str, cause: str, *, remedy: str = "", line: str = "", stage: Stage | None = None) -> None:
        self.told.append((rule, cause))


class Menu:
    """Prints the next text whenever something is typed."""

    def __init__(self, *texts: str) -> None:
        self.console = FakeConsole(self._typed)
        self.texts = list(texts)
        self.seen: list[bytes] = []
        self._show()

    def _show(self) -> None:
        if self.texts:
            self.console.feed(self.texts.pop(0).encode())

    def _typed(self, data: bytes) -> None:
        self.seen.append(data)
        self._show()


def steps_of(menu: Menu, *steps: Step, watch: FakeWatch | None = None) -> Steps:
    entries = [entry(title_of(number, step), "step") for number, step in enumerate(steps, start=1)]
    checklist = Checklist(entries)
    return Steps(guest=FakeGuest(menu.console, watch or FakeWatch()), steps=steps, entries=entries, checklist=checklist)


def test_each_step_looks_from_where_the_one_before_ended() -> None:
    menu = Menu("boot: ", "^boot:\r\nboot: \r\nPassword: ", "\r\nwelcome\r\n")
    taken = steps_of(
        menu,
        Step(expect="boot:", send="linux single\n"),
        Step(expect="/^boot: $/"),
        Step(expect="/pass\\w+/i", send="secret<enter>"),
        Step(expect="welcome"),
    )
    taken.run()
    assert menu.seen == [b"linux single\r", b"secret\r"]
    results = taken.checklist.results()
    assert taken.checklist.passed
    assert results[0].title == "step 1: expect boot:"
    assert results[2].claims[0].actual == "Password"


def test_a_step_that_finds_nothing_is_named_with_what_was_shown() -> None:
    menu = Menu("boot: ", "\r\nunknown label\r\nboot: ")
    watch = Told()
    taken = steps_of(
        menu,
        Step(expect="boot:", send="linx\n"),
        Step(expect="Loading", timeout=0.05),
        Step(expect="welcome"),
        watch=watch,
    )
    with pytest.raises(GuestFailed) as caught:
        taken.take()
    finding = caught.value.finding
    assert finding.rule == "console-step"
    assert finding.cause.startswith("step 2: expect Loading: the console did not show it within")
    assert "unknown label" in finding.context
    assert watch.told == [("console-step", finding.cause)], "every other wait ends with it"
    assert [str(each.status) for each in taken.checklist.results()] == ["held", "failed", "unseen"]


def test_keys_are_what_a_terminal_sends() -> None:
    assert typed("a\nb<enter><esc><DOWN><ctrl-c><f1><f5>") == "a\rb\r\x1b\x1b[B\x03\x1bOP\x1b[15~"
    assert typed("1 < 2 <lt>x> <nokey>") == "1 < 2 <x> <nokey>"
    assert unknown_keys("<enter><entr> 1 < 2 <lt>") == ("entr",)
    assert len(set(KEYS.values()) - {"\r", "\t"}) == len(KEYS) - 4  # <enter> is <ctrl-m>, <tab> is <ctrl-i>


def test_a_pattern_knows_lines() -> None:
    assert step_pattern("/^grub> $/").search("x\ngrub> ")
    assert not step_pattern("/^rub>/").search("x\ngrub> ")
    assert step_pattern("a.b(").search("xa.b(c")
    assert not step_pattern("a.b").search("axb")


@pytest.mark.parametrize("answer", ["sh: app: not found\r\n$ ", "", "$ "])
def test_what_was_typed_is_no_answer_though_the_terminal_shows_it_again(answer: str) -> None:
    command = "app --check && echo PASSED"
    menu = Menu("$ ", f"{command}\r\n{answer}")
    taken = steps_of(menu, Step(expect="$", send=f"{command}\n"), Step(expect="PASSED", timeout=0.05))
    with pytest.raises(GuestFailed):
        taken.run()


@pytest.mark.parametrize("answer", ["PASSED\r\n$ ", "all PASSED\r\n"])
def test_the_answer_after_it_is_one(answer: str) -> None:
    command = "app --check && echo PASSED"
    menu = Menu("$ ", f"{command}\r\n{answer}")
    taken = steps_of(menu, Step(expect="$", send=f"{command}\n"), Step(expect="/PASSED$/"), Step(expect="/\\n/"))
    taken.run()
    assert taken.checklist.passed


def test_where_nothing_is_shown_again_the_first_answer_counts() -> None:
    menu = Menu("boot: ", "\r\nLoading linux...\r\n")
    taken = steps_of(menu, Step(expect="boot:", send="linux\n"), Step(expect="linux"))
    taken.run()
    assert taken.checklist.passed


def test_what_was_typed_may_have_come_in_part() -> None:
    assert echoes("$ app && ec", 0, ("app && echo OK",)) == [(2, 11)]
    assert echoes("$ app\nb\n", 0, ("app", "b")) == [(2, 5), (6, 7)]
    assert echoes("an app that runs\n", 0, ("app",)) == []
    assert echoes("app\napp\n", 4, ("app",)) == [(4, 7)]
    assert echoes("x\n", 0, ("", "y", "x")) == []
