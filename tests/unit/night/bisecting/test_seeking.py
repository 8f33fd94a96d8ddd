"""The search for the layer at fault: how many images it takes, what is written down, and what it says in the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metallize.build.store import Stored
from metallize.errors import LayerError, MetallizeError, UsageError
from metallize.night.attempt import Attempt
from metallize.night.bisecting.chain import Chain, Change, Stack
from metallize.night.bisecting.search import Shown, between
from metallize.night.bisecting.seeking import seek
from metallize.night.confirming import confirm
from metallize.night.judging.findings import Kind, Verdict, lines_of
from metallize.night.judging.judgement import Sought, judge
from metallize.night.lines import attempt_of, line_of
from metallize.night.outcomes import cell_nights
from tests.unit.night.attempts import attempt, night
from tests.unit.night.in_turn import Simulated
from tests.unit.night.test_judging import NEW, OLD, no_facts, quiet, slow

FAILED = [
    *quiet(),
    attempt(11, "FAIL", sha256=NEW, signature="panic", metrics={"seconds": 60.0}),
    attempt(11, "FAIL", sha256=NEW, signature="panic", attempt=2),
]
EMPTY = Stack(base="debian", base_digest="d", layers=(), tools="t", inputs="i", epoch=0)


@dataclass
class OnPaper:
    """A chain of so many changes, of which one is at fault: with it undone all is well."""

    changes: int
    fault: int
    """Counted from 1."""
    broken: frozenset[int] = frozenset()
    """Cuts that cannot be built."""
    otherwise: frozenset[int] = frozenset()
    """Cuts that fail in another way."""
    lacks: str = ""
    kernel: tuple[float, float] = (5.1, 6.0)
    """How long it takes, well and at fault."""
    cuts: list[int] = field(default_factory=list)

    def chain(self, _sought: Sought) -> Chain:
        if self.lacks:
            raise UsageError(self.lacks)
        changes = tuple(Change(what=f"layer {number}", old=number, new=number) for number in range(1, self.changes + 1))
        return Chain(before=EMPTY, changes=changes, anew=False)

    @contextmanager
    def image(self, _sought: Sought, _chain: Chain, cut: int) -> Iterator[Stored]:
        assert 0 < cut < self.changes, "both ends are known"
        assert cut not in self.cuts, "each once"
        self.cuts.append(cut)
        if cut in self.broken:
            raise LayerError("no such package\nsecond line")
        yield Stored(path=Path("image"), manifest={"sha256": f"{cut:064x}"})

    def boot(self, sought: Sought, number: int, cut: int, image: Stored | None) -> Attempt:
        bad = image is not None and cut < self.fault
        sha256 = sought.before if image is None else image.sha256
        said: dict[str, Any] = {"attempt": number, "confirms": sought.attempt.run, "cut": cut, "sha256": sha256}
        if sought.stage:
            return slow(11, self.kernel[bad] + number % 7 / 100, **said)
        if cut in self.otherwise:
            return attempt(11, "FAIL", signature="another", **said)
        return attempt(11, "FAIL" if bad else "PASS", signature="panic" if bad else "", **said)

    def ended(self, sought: Sought, cut: int, layer: str, reason: str) -> Attempt:
        said: dict[str, Any] = {"attempt": 100 * cut, "confirms": sought.attempt.run, "cut": cut, "sha256": ""}
        return attempt(11, "SKIP", layer=layer, reason=reason, **said)


@given(st.integers(1, 40), st.data())
def test_the_change_at_fault_is_found_in_few_images(count: int, data: st.DataObject) -> None:
    bench = OnPaper(count, data.draw(st.integers(1, count)))
    *boots, line = seek(FAILED, no_facts, bench)
    assert line.layer == f"layer {bench.fault}"
    assert len(boots) == len(bench.cuts) <= (count - 1).bit_length()
    assert len({each.run for each in (*boots, line)}) == len(boots) + 1
    assert [attempt_of(line_of(each)) for each in (*boots, line)] == [*boots, line], "the history keeps all of it"
    found = judge([*FAILED, *boots, line], no_facts)
    [finding] = [each for each in found.findings if each.kind is Kind.STATUS]
    assert finding.causes[0].startswith(f"layer {bench.fault} (")
    assert f"because   layer {bench.fault} (" in lines_of(finding)[2]
    assert not list(seek([*FAILED, *boots, line], no_facts, bench)), "it is looked for once"


@given(st.integers(2, 30), st.sets(st.integers(1, 29)), st.data())
def test_what_says_nothing_is_passed_over(count: int, silent: set[int], data: st.DataObject) -> None:
    fault = data.draw(st.integers(1, count))
    bench = OnPaper(count, fault, broken=frozenset(silent))
    *_, line = seek(FAILED, no_facts, bench)
    told = line.layer.split("; or ")
    assert f"layer {fault}" in told
    open_ends = [cut for cut in range(count + 1) if cut in (0, count) or cut not in silent]
    low = max(cut for cut in open_ends if cut < fault)
    high = min(cut for cut in open_ends if cut >= fault)
    assert told == [f"layer {number}" for number in range(low + 1, high + 1)], (
        "and no more than nobody could tell apart"
    )
    if high - low > 1:
        assert "could not tell, the first since no such package" in line.reason
        assert "second line" not in line.reason


@given(st.integers(1, 50), st.dictionaries(st.integers(1, 49), st.sampled_from(Shown)))
def test_a_search_always_ends(count: int, shown: dict[int, Shown]) -> None:
    shown = {cut: what for cut, what in shown.items() if cut < count}
    for _ in range(count):
        found = between(count, shown)
        assert 0 <= found.bad < found.good <= count
        if found.following is None:
            return
        assert found.bad < found.following < found.good
        assert found.following not in shown
        shown[found.following] = Shown.NOTHING
    pytest.fail("it goes on for ever")


def test_a_failure_of_another_kind_is_none_of_the_fault() -> None:
    bench = OnPaper(8, 3, otherwise=frozenset({3, 4}))
    *_, line = seek(FAILED, no_facts, bench)
    assert line.layer == "layer 3; or layer 4; or layer 5"
    assert "2 could not tell, the first since it fails in another way" in line.reason


@pytest.mark.parametrize("fault", range(1, 7))
def test_a_time_is_looked_for_by_boots_in_turn(fault: int) -> None:
    suspected = [*quiet(), slow(11, 6.0, metrics={"seconds": 60.0})]
    confirmed = [*suspected, *confirm(suspected, no_facts, Simulated(5.1, 6.0))]
    before = judge(confirmed, no_facts)
    bench = OnPaper(6, fault)
    *boots, line = seek(confirmed, no_facts, bench)
    assert line.layer == f"layer {fault}"
    assert len(boots) == 10 * len(bench.cuts)
    first = [each for each in boots if each.cut == bench.cuts[0]]
    assert "".join("A" if each.sha256 == OLD else "B" for each in first) == "ABBABAABBA"
    after = judge([*confirmed, *boots, line], no_facts)
    assert [each.verdict for each in after.findings] == [each.verdict for each in before.findings]
    assert [each.what for each in after.findings] == [each.what for each in before.findings], "they confirm nothing"
    assert after.findings[-1].verdict is Verdict.WORSE
    assert after.findings[-1].causes[0].startswith(f"layer {fault} (")
    assert cell_nights([*confirmed, *boots, line]) == cell_nights(confirmed)
    assert not list(confirm([*confirmed, *boots, line], no_facts, Simulated(5.1, 6.0)))


@pytest.mark.parametrize("made", range(1, 25))
def test_a_night_that_was_interrupted_goes_on_behind_the_boots_that_were_made(made: int) -> None:
    suspected = [*quiet(), slow(11, 6.0)]
    confirmed = [*suspected, *confirm(suspected, no_facts, Simulated(5.1, 6.0))]
    whole = list(seek(confirmed, no_facts, OnPaper(6, 4)))
    rest = list(seek([*confirmed, *whole[:made]], no_facts, OnPaper(6, 4)))
    assert [(each.cut, each.attempt, each.sha256) for each in (*whole[:made], *rest)] == [
        (each.cut, each.attempt, each.sha256) for each in whole
    ]


@pytest.mark.parametrize(
    ("bench", "most", "why"),
    [
        (OnPaper(4, 2, lacks="the last good image is there no longer"), 60, "the last good image is there no longer"),
        (OnPaper(0, 0), 60, "nothing that it is made of is another"),
        (OnPaper(4, 2), 1, "it is one of 4: layer 1; or layer 2; or layer 3; or layer 4; the next of 2 images takes 1"),
    ],
)
def test_why_nothing_was_found_is_written_down(bench: OnPaper, most: int, why: str) -> None:
    [line] = seek(FAILED, no_facts, bench, most=timedelta(minutes=most), clock=lambda: 0.0)
    assert not line.layer
    assert why in line.reason
    [finding] = [each for each in judge([*FAILED, line], no_facts).findings if each.kind is Kind.STATUS]
    assert finding.causes[-1] == f"which layer is not known: {line.reason}"
    assert not list(seek([*FAILED, line], no_facts, bench)), "it is not tried again in this night"


def test_time_that_goes_by_ends_the_search() -> None:
    times = iter((0.0, 10.0, 3590.0))
    *_, line = seek(FAILED, no_facts, OnPaper(16, 1), clock=lambda: next(times))
    assert line.reason.startswith("it is one of 8: layer 1; or layer 2; ")
    assert line.reason.endswith("the next of 3 images takes 1 minutes, and of the night's 0 are left")


def test_the_only_change_needs_no_image() -> None:
    bench = OnPaper(1, 1)
    [line] = seek(FAILED, no_facts, bench)
    assert (line.layer, line.reason, bench.cuts) == ("layer 1", "nothing else is another", [])


@pytest.mark.parametrize(
    "attempts",
    [
        FAILED[:-2],
        [*FAILED[:-1], attempt(11, "PASS", sha256=NEW, attempt=2)],  # flaky
        [*FAILED, attempt(12, "FAIL", sha256=NEW, signature="panic")],  # it was worse the night before already
        [*quiet(), attempt(11, "FAIL", sha256=OLD)],  # the same bytes
        [attempt(11, "FAIL", sha256=NEW)],  # never was good
        [replace(each, known_issue="own/web#1") if each.sha256 == NEW else each for each in FAILED],
    ],
)
def test_what_no_layer_is_looked_for(attempts: list[Attempt]) -> None:
    assert judge(attempts, no_facts).sought == ()


def test_only_what_is_of_this_night_is_looked_into() -> None:
    assert not list(seek(FAILED, no_facts, OnPaper(3, 1), mine=lambda each: each.night == night(10)))


def test_a_boot_that_cannot_be_made_is_passed_over() -> None:
    class Broken(OnPaper):
        def boot(self, sought: Sought, number: int, cut: int, image: Stored | None) -> Attempt:
            if cut == 2:
                raise MetallizeError("no QEMU any more")
            return OnPaper.boot(self, sought, number, cut, image)

    *_, line = seek(FAILED, no_facts, Broken(4, 2))
    assert line.layer == "layer 2; or layer 3"
    assert line.reason == "2 images between tell so; 1 could not tell, the first since no QEMU any more"
