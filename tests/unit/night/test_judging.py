"""What the judge says: of statuses, sets and times, and why; and the few numbers that it goes by."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from metallize.night.attempt import Attempt
from metallize.night.confirming import Budget, confirm
from metallize.night.facts import ImageFacts, Seen
from metallize.night.judging.differences import differences, image_changes
from metallize.night.judging.findings import Finding, Kind, Verdict, lines_of
from metallize.night.judging.judgement import Judgement, Terms, judge
from metallize.night.judging.pace import Pair
from tests.unit.night.attempts import HOST, attempt, night, of
from tests.unit.night.in_turn import Simulated

MIB = 1 << 20
OLD, NEW, NEWER = "1" * 64, "2" * 64, "3" * 64
BEFORE = ImageFacts(
    sha256=OLD, size_bytes=400 * MIB, rootfs_bytes=900 * MIB, kernel="6.12.1",
    packages={"ssh": "1", "curl": "8"}, layers={"base": "sha256:aa", "app": "sha256:bb"},
    seen={"seabios": Seen(failed=frozenset(), warnings=frozenset({"a warning"}), ports=frozenset({"tcp:22"}))},
)  # fmt: skip


def facts(**others: ImageFacts) -> Any:
    known = {OLD: BEFORE, **{each.sha256: each for each in others.values()}}
    return known.get


def after(**said: Any) -> ImageFacts:
    seen = said.pop("seen", None)
    made = replace(BEFORE, sha256=NEW, **said)
    return made if seen is None else replace(made, seen={"seabios": replace(BEFORE.seen["seabios"], **seen)})


def no_facts(_sha256: str) -> None:
    return None


def of_kind(judgement: Judgement, kind: Kind) -> list[Finding]:
    return [each for each in judgement.findings if each.kind is kind]


def quiet(count: int = 10, sha256: str = OLD, **said: Any) -> list[Attempt]:
    """Nights that differ by a tenth of a second."""
    return [
        attempt(number, sha256=sha256, stages={"kernel": 5 + number % 3 / 10, "ready": 20 + number % 3 / 10}, **said)
        for number in range(1, count + 1)
    ]


def slow(number: int, kernel: float, sha256: str = NEW, **said: Any) -> Attempt:
    return attempt(number, sha256=sha256, stages={"kernel": kernel, "ready": 15 + kernel}, **said)


def in_turn(pair: Pair, before: float, later: float) -> list[Attempt]:
    return [
        slow(11, (before if side == "A" else later) + count / 100, pair.before if side == "A" else pair.attempt.sha256,
             confirms=pair.attempt.run, attempt=count)
        for count, side in enumerate(pair.order)
    ]  # fmt: skip


# ---------------------------------------------------------------- sets


@pytest.mark.parametrize(
    ("later", "kind", "verdict", "words"),
    [
        (after(seen={"failed": frozenset({"shop.service"})}), Kind.UNIT, Verdict.WORSE, "shop.service has failed"),
        (after(seen={"ports": frozenset({"tcp:2222"})}), Kind.PORT, Verdict.WORSE, "nothing on tcp:22 any more"),
        (after(seen={"ports": frozenset()}), Kind.PORT, Verdict.WORSE, "nothing listens on tcp:22 any more"),
        (after(seen={"warnings": frozenset({"BUG"})}), Kind.WARNING, Verdict.WORSE, "did not before: BUG"),
        (after(rootfs_bytes=990 * MIB), Kind.SIZE, Verdict.WORSE, "its rootfs grew by 10.0%"),
        (after(packages={"ssh": "2", "curl": "8"}), Kind.PACKAGE, Verdict.CHANGED, "ssh 1 to 2"),
        (after(packages={"ssh": "1", "jq": "1"}), Kind.PACKAGE, Verdict.CHANGED, "curl 8 is gone, jq 1 is new"),
    ],
)
def test_a_set_that_differs_is_told(later: ImageFacts, kind: Kind, verdict: Verdict, words: str) -> None:
    [found] = differences(BEFORE, later, "seabios")
    assert (found.kind, found.verdict) == (kind, verdict)
    assert words in found.what


def test_what_nobody_saw_is_no_difference() -> None:
    for name in ("failed", "warnings", "ports"):
        assert not list(differences(BEFORE, after(seen={name: None}), "seabios"))
    bare = ImageFacts(sha256=NEW)
    assert not list(differences(BEFORE, bare, "seabios"))
    assert not list(differences(bare, BEFORE, "seabios"))
    assert image_changes(bare, BEFORE) == ()


def test_a_warning_of_some_nights_ago_is_not_new_and_a_size_has_a_budget() -> None:
    earlier = replace(BEFORE, seen={"seabios": Seen(warnings=frozenset({"BUG"}))})
    again = after(seen={"warnings": frozenset({"BUG", "a warning"})})
    assert not list(differences(BEFORE, again, "seabios", earlier=[earlier]))
    assert not list(differences(BEFORE, after(rootfs_bytes=909 * MIB), "seabios"))
    assert list(differences(BEFORE, after(rootfs_bytes=909 * MIB), "seabios", budget=0.005))
    assert not list(differences(BEFORE, after(rootfs_bytes=902 * MIB), "seabios", budget=0.0)), "less than 4 MiB"


def test_sets_are_judged_against_the_night_before_and_the_release() -> None:
    later = after(packages={"ssh": "2", "curl": "8"})
    known = facts(later=later, last=replace(later, sha256=NEWER))
    attempts = [attempt(1, sha256=OLD), attempt(2, sha256=OLD), attempt(3, sha256=NEW), attempt(4, sha256=NEWER)]
    both = [replace(each, cell=each.cell.on("ovmf"), run=f"{each.run}-") for each in attempts]
    [found] = of_kind(judge([*attempts, *both], known), Kind.PACKAGE)
    assert (found.night, found.cell, found.since) == (
        night(3),
        of("web", ""),
        "the image of the night before (111111111111)",
    )
    terms = Terms(released={OLD: "the release 20260101.1"})
    [_, released] = of_kind(judge(attempts, known, terms), Kind.PACKAGE)
    assert (released.night, released.since) == (night(4), "the release 20260101.1 (111111111111)")
    assert not of_kind(judge([attempt(1, sha256=OLD), attempt(2, sha256=NEW)], no_facts), Kind.PACKAGE)


# ---------------------------------------------------------------- statuses


def test_a_failure_is_told_on_its_edges() -> None:
    attempts = [
        attempt(1), attempt(2, "FAIL", signature="a"), attempt(3, "FAIL", signature="a"),
        attempt(4, "MISS"), attempt(5, "FAIL", signature="a"), attempt(6, "FAIL", signature="b"), attempt(7),
        attempt(8, "ERROR", reason="no such package", stage="build"),
    ]  # fmt: skip
    found = of_kind(judge(attempts, no_facts), Kind.STATUS)
    assert [each.night for each in found] == [night(2), night(6), night(8)]
    assert found[0].what == "it fails: the kernel panicked"
    assert found[1].what == "it fails in another way than before: the kernel panicked"
    assert found[2].what == "it could not be made: no such package"
    assert found[1].causes == ("stage kernel", "kernel 6.12.1 to 6.12.2", "image aaaaaaaaaaaa to bbbbbbbbbbbb")
    assert all(each.alarms for each in found)


def test_a_flaky_night_is_told_and_a_known_failure_does_not_alarm() -> None:
    [flaky] = of_kind(judge([attempt(1), attempt(2, "FAIL"), attempt(2, attempt=2)], no_facts), Kind.STATUS)
    assert "flaky" in flaky.what
    assert flaky.alarms
    [known] = of_kind(judge([attempt(1), attempt(2, "FAIL", known_issue="#7")], no_facts), Kind.STATUS)
    assert (known.verdict, known.known_issue) == (Verdict.CHANGED, "#7")
    assert "(known: #7)" in lines_of(known)[0]
    lapsed = [
        attempt(1),
        *(attempt(number, "FAIL", known_issue=issue) for number, issue in ((2, "#7"), (3, "#7"), (4, ""))),
    ]
    found = of_kind(judge(lapsed, no_facts), Kind.STATUS)
    assert [(each.night, each.alarms) for each in found] == [(night(2), False), (night(4), True)]


def test_the_same_bytes_that_pass_elsewhere_are_a_host_conflict() -> None:
    other = replace(HOST, id="h2", qemu="9.2.0")
    attempts = [attempt(1), attempt(2, "FAIL", sha256=OLD), attempt(2, host=other, sha256=OLD)]
    judgement = judge(attempts, no_facts)
    assert not of_kind(judgement, Kind.STATUS)
    [found] = of_kind(judgement, Kind.CONFLICT)
    assert found.what == "the same bytes fail on h1 and pass on h2: the kernel panicked"
    assert "QEMU 7.2.1 here, 9.2.0 there" in found.causes
    assert not found.alarms
    [regression] = of_kind(judge([*attempts[:2], replace(attempts[2], sha256=NEW)], no_facts), Kind.STATUS)
    assert regression.alarms


# ---------------------------------------------------------------- times


def test_fewer_than_eight_nights_are_too_young_to_judge() -> None:
    found = of_kind(judge([*quiet(7), slow(8, 50.0)], no_facts), Kind.TIME)
    assert {each.verdict for each in found} == {Verdict.YOUNG}
    assert len(found) == 8
    [*_, late] = of_kind(judge([*quiet(8), slow(9, 50.0)], no_facts), Kind.TIME)
    assert late.verdict is Verdict.SUSPECT


def test_another_qemu_or_host_begins_anew_visibly() -> None:
    elsewhere = slow(11, 50.0, host=replace(HOST, qemu="9.2.0"))
    [*_, found] = of_kind(judge([*quiet(), elsewhere], no_facts), Kind.TIME)
    assert found.verdict is Verdict.YOUNG
    assert "QEMU 9.2.0" in found.causes[0]


def test_a_slower_image_is_confirmed_and_explained() -> None:
    later = after(kernel="6.12.2", layers={"base": "sha256:aa", "app": "sha256:cc"})
    attempts = [*quiet(), slow(11, 6.0)]
    judgement = judge(attempts, facts(later=later))
    assert [each.verdict for each in of_kind(judgement, Kind.TIME)][-1] is Verdict.SUSPECT
    [pair] = judgement.wanted
    assert (pair.before, pair.attempt, pair.order) == (OLD, attempts[-1], "ABBABAABBA")
    boots = tuple(confirm(attempts, facts(later=later), Simulated(5.1, 6.0)))
    assert len(boots) == 10
    confirmed = judge([*attempts, *boots], facts(later=later))
    [*_, found] = of_kind(confirmed, Kind.TIME)
    assert found.verdict is Verdict.WORSE
    assert found.subject == "kernel"
    assert found.what.startswith(
        "the stage kernel took 6.00 s, usually 5.10 s (+0.90 s, +18%); both images in turn: +0.9"
    )
    assert found.what.endswith("p = 0.004: confirmed; longer too: ready")
    assert found.causes[:3] == ("stage kernel", "kernel 6.12.1 to 6.12.2", "layer app")
    assert not confirmed.wanted
    assert len(lines_of(found)) == 5


def test_noise_is_cleared_and_written_down() -> None:
    attempts = [*quiet(), slow(11, 6.0)]
    boots = tuple(confirm(attempts, no_facts, Simulated(5.1, 5.1)))
    [*_, found] = of_kind(judge([*attempts, *boots], no_facts), Kind.TIME)
    assert found.verdict is Verdict.CLEARED
    assert not found.alarms
    assert ": refuted" in found.what


def test_boots_that_are_too_few_or_of_another_host_clear_nothing() -> None:
    attempts = [*quiet(), slow(11, 6.0)]
    pair = judge(attempts, no_facts).wanted[0]
    for boots in (
        in_turn(pair, 5.1, 6.0)[:6],
        [replace(each, host=replace(HOST, qemu="9")) for each in in_turn(pair, 5, 6)],
    ):
        [*_, found] = of_kind(judge([*attempts, *boots], no_facts), Kind.TIME)
        assert found.verdict is Verdict.SUSPECT


def test_the_same_bytes_are_only_slower_because_of_the_host() -> None:
    attempts = [*quiet(), slow(11, 9.0, OLD)]
    judgement = judge(attempts, no_facts)
    [*_, found] = of_kind(judgement, Kind.TIME)
    assert found.verdict is Verdict.CLEARED
    assert "the host was slower" in found.causes[0]
    assert not judgement.wanted
    assert [each.verdict for each in of_kind(judge([*quiet(), slow(11, 5.5, OLD)], no_facts), Kind.TIME)][8:] == []


def test_what_was_confirmed_is_usual_from_then_on_and_told_once() -> None:
    attempts = [*quiet(), slow(11, 6.0)]
    boots = tuple(confirm(attempts, no_facts, Simulated(5.1, 6.0)))
    later = [slow(number, 6.0 + number % 3 / 50) for number in range(12, 20)]
    found = of_kind(judge([*attempts, *boots, *later], no_facts), Kind.TIME)
    assert [each.night for each in found if each.verdict is Verdict.WORSE] == [night(11)]
    assert not [each for each in found if each.verdict is Verdict.SUSPECT]


def test_what_nobody_confirms_stays_suspected_until_it_is_usual() -> None:
    later = [slow(number, 6.0 + number % 3 / 50) for number in range(11, 25)]
    found = [
        each for each in of_kind(judge([*quiet(), *later], no_facts), Kind.TIME) if each.verdict is Verdict.SUSPECT
    ]
    assert [each.night for each in found] == [night(number) for number in range(11, 19)]


def test_a_slow_service_makes_userspace_suspected_and_is_named() -> None:
    def boot(number: int, slower: float, sha256: str, **said: Any) -> Attempt:
        units = {"ssh.service": 0.5, **({"slow-app.service": 2.0} if slower else {})}
        stages = {"userspace": 30 + number % 4 + slower, "ready": 50 + number % 4 + slower}
        return attempt(number, sha256=sha256, stages=stages, units=MappingProxyType(units), **said)

    attempts = [*(boot(number, 0, OLD) for number in range(1, 12)), boot(15, 2.0, NEW)]
    [pair] = judge(attempts, no_facts).wanted
    boots = [
        boot(15, 0 if side == "A" else 2.0, OLD if side == "A" else NEW, confirms=pair.attempt.run, attempt=count)
        for count, side in enumerate(pair.order, start=2)
    ]
    [*_, found] = of_kind(judge([*attempts, *boots], no_facts), Kind.TIME)
    assert (found.verdict, found.subject) == (Verdict.WORSE, "userspace")
    assert found.causes[:2] == ("stage userspace", "slow-app.service takes 2.0 s and is new")


def test_a_night_in_which_all_is_slow_costs_no_more_than_a_few_confirmations() -> None:
    attempts = [
        each
        for machine in "abcdefgh"
        for each in (*quiet(cell=of("web", machine)), slow(11, 6.0 + ord(machine) / 100, cell=of("web", machine)))
    ]
    host = Simulated(5.1, 6.0)
    made = tuple(confirm(attempts, no_facts, host))
    assert [each.attempt.cell.machine for each in host.asked] == ["h", "g", "f", "e"]
    assert len([each for each in made if each.status.judges]) == Budget().boots == 40
    judgement = judge([*attempts, *made], no_facts)
    found = {each.cell.machine: each for each in of_kind(judgement, Kind.TIME) if each.night == night(11)}
    assert {name: each.verdict for name, each in found.items()} == {
        **dict.fromkeys("hgfe", Verdict.WORSE), **dict.fromkeys("dcba", Verdict.SUSPECT),
    }  # fmt: skip
    assert "unconfirmed: 10 boots more, and of the night's 40 for that 0 are left" in found["a"].what
    assert tuple(confirm([*attempts, *made], no_facts, host)) == (), "nothing is made or said twice"
