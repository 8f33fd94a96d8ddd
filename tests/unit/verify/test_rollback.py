"""A machine that is offered releases which cannot come up: what is asked of it, and what is made of what it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

import pytest

from metallize.deadline import Deadline
from metallize.guest import GuestFailed
from metallize.model.boot import Boot
from metallize.model.kind import Observation
from metallize.model.report import Finding, Result, Severity, Status
from metallize.model.update import Broken
from metallize.verify.checklist import Checklist
from metallize.verify.course import plan_course
from metallize.verify.phases import rollback, update, upkeep
from metallize.verify.phases.groups import judge_command
from metallize.verify.phases.rollback import Offered
from metallize.verify.phases.update import Offers, Updating
from metallize.verify.prepared import PreparedBoot
from metallize.verify.request import VerifyRequest
from tests.unit.verify.bad_answers import Clock, Line
from tests.unit.verify.healthy import HealthyGuest, HealthyWatch, _in_place, request
from tests.unit.verify.test_update import LOGINS, OldImage, not_held

T = TypeVar("T")
UPDATE = {
    "from": "old.img",
    "engine": "sysupdate",
    "keep": ["/etc/app"],
    "broken": ["kernel", "service"],
    "tamper": ["downgrade"],
}
URL = "http://10.0.2.100"
OFFERS = Offers(
    url=URL,
    broken=(
        Offered(broken=Broken.KERNEL, version="1-a1.kernel", url=f"{URL}/kernel"),
        Offered(broken=Broken.SERVICE, version="1-a2.service", url=f"{URL}/service"),
    ),
    older=f"{URL}/downgrade",
)


def asked(**changes: object) -> VerifyRequest:
    boot = Boot.model_validate({**LOGINS, "update": {**UPDATE, **changes}})
    return replace(request(with_assertions=False), boot=boot)


@dataclass
class TryingWatch(HealthyWatch):
    """It sees a guest start again by itself as often as it has tries; each try fails with a panic or in silence."""

    tries: int = 0
    rules: list[str] = field(default_factory=list)
    went_on: int = 0

    def wait(self, condition: Callable[[], T | None], deadline: Deadline) -> T | None:
        if self.expects_reset and self.tries > 0 and condition() is None:
            self.clock.now += 5
            if self.rules:
                raise GuestFailed(
                    Finding(rule=self.rules.pop(), stage=self.stage, severity=Severity.FATAL, cause="it panicked")
                )
            self.tries -= 1
            self.resets += 1
            self.expects_reset = False
        return super().wait(condition, deadline)

    def go_on(self) -> None:
        self.went_on += 1


@dataclass
class Slots(HealthyGuest):
    """A machine with two slots; `said` changes what it answers, by a part of the probe."""

    said: dict[str, Callable[[], tuple[int, str]]] = field(default_factory=dict)
    token: str = ""
    installed: list[str] = field(default_factory=list)
    falls_back: int = 3

    def answers(self, probe: str) -> tuple[int, str]:
        for part, answer in self.said.items():
            if part in probe:
                return answer()
        if "printf %s" in probe and upkeep.PLACE in probe:
            self.token = probe.split()[2]
            return 0, ""
        if "systemd-sysupdate" in probe:
            return self.takes(probe)
        failed = "".join(
            f"{each} has not come up, and is not tried any more\n" for each in self.installed if "-a" in each
        )
        for part, text in (
            (f"cat {upkeep.PLACE}", self.token),
            ("metallize-boot-good", f"1 is the system to start\n{failed}"),
            ("PARTLABEL", f"web_1\n{self.installed[-1:]}\n"),
            ("IMAGE_VERSION", "2\n" if self.installed[-1:] == ["2"] else "1\n"),
            ("cksum", "4711 12\n"),
        ):
            if part in probe:
                return 0, text
        return super().answers(probe)

    def takes(self, probe: str) -> tuple[int, str]:
        """It installs what it is offered, but for what is older."""
        name = {"/kernel": "1-a1.kernel", "/service": "1-a2.service", "/downgrade": ""}
        offered = next((version for place, version in name.items() if f"{URL}{place}" in probe), "2")
        if offered:
            self.installed.append(offered)
        if "-a" in offered:
            cast("TryingWatch", self.watch).tries = self.falls_back
        return 0, ""


def updated(*, rules: tuple[str, ...] = (), falls_back: int = 3, **said: object) -> tuple[dict[str, Result], Slots]:
    """What became of each entry, by its id."""
    wanted = asked()
    clock = Clock()
    guest = Slots(
        line=Line(clock=clock, faults=()),
        watch=TryingWatch(clock=clock, rules=list(rules)),
        clock=clock,
        said={part.replace("_", " "): cast("Any", answer) for part, answer in said.items()},
        falls_back=falls_back,
    )
    checklist = Checklist(update.plan(wanted))
    assert wanted.boot.update is not None
    with _in_place(guest):
        Updating(
            update=wanted.boot.update,
            boot=cast("PreparedBoot", OldImage(request=wanted)),
            checklist=checklist,
            version="2",
            offers=OFFERS,
        ).run(cast("Any", guest))
    return {result.id: result for result in checklist.results()}, guest


def test_each_broken_release_is_planned_before_the_update() -> None:
    ids = [entry.id for entry in plan_course(asked())]
    begin = ids.index("update/update/before")
    each = ["install/1", "restart", "tried", "back", "state", "keep/1", "says"]
    assert ids[begin + 1 :][: 2 * len(each) + 1] == [
        *(f"broken-kernel/update/{name}" for name in each),
        *(f"broken-service/update/{name}" for name in each),
        "update/update/install/1",
    ]
    assert ids[-2:] == ["update/update/downgrade", "update/update/guest"]


def test_a_machine_that_comes_back_and_is_updated_then_holds() -> None:
    results, guest = updated()
    assert not_held(results) == []
    assert guest.installed == ["1-a1.kernel", "1-a2.service", "2"], "and nothing that is older"


def test_the_failures_of_what_is_meant_to_fail_end_nothing() -> None:
    results, guest = updated(rules=("kernel-panic", "kernel-panic"))
    assert not_held(results) == []
    assert "kernel-panic: it panicked" in results["broken-kernel/update/tried"].note
    assert cast("TryingWatch", guest.watch).went_on == 2 + 2, "after each failure, and before what comes then"


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_system_that_is_not_tried_as_often_as_it_may_be_is_told(count: int) -> None:
    results, guest = updated(falls_back=count)
    tried = results["broken-kernel/update/tried"]
    assert (tried.status, tried.claims[0].actual) == (Status.FAILED, str(count))
    assert "did not end in a restart within" in tried.note
    assert results["broken-kernel/update/back"].status is Status.UNSEEN
    assert results["update/update/version"].status is Status.UNSEEN
    assert guest.installed == ["1-a1.kernel"]


def test_a_machine_that_stands_still_is_not_waited_for() -> None:
    results, guest = updated(rules=("silent-console",))
    tried = results["broken-kernel/update/tried"]
    assert tried.status is Status.FAILED
    assert tried.note.endswith("try 1 did not end in a restart: it panicked")
    assert guest.clock.now < 1200


@pytest.mark.parametrize(
    ("said", "failing"),
    [
        ({"compare-versions": lambda: (1, "")}, "broken-kernel/update/install/1"),
        ({"echo nothing was installed": lambda: (1, "")}, "broken-kernel/update/install/1"),
        ({"cat_/var/tmp": lambda: (0, "another")}, "broken-kernel/update/state"),
        ({"metallize-boot-good": lambda: (0, "1 is the system to start\n")}, "broken-kernel/update/says"),
        ({"metallize-boot-good": lambda: (1, "")}, "broken-service/update/says"),
    ],
)
def test_what_is_not_as_it_must_be_is_told(said: dict[str, Any], failing: str) -> None:
    results, _ = updated(**said)
    assert failing in not_held(results)


def test_a_release_that_is_no_newer_one_is_not_restarted_into() -> None:
    results, guest = updated(**cast("Any", {"compare-versions": lambda: (1, "")}))
    assert results["broken-kernel/update/install/1"].status is Status.FAILED
    assert results["broken-kernel/update/restart"].status is Status.UNSEEN
    assert guest.installed == []


def test_another_version_than_before_is_not_back() -> None:
    entry = asked_entry("broken-kernel/update/back")
    assert rollback.judge_back(entry, "1", "1-a1.kernel", "ssh").status is Status.FAILED
    assert rollback.judge_back(entry, "1", None, "ssh").status is Status.UNSEEN
    assert rollback.judge_back(entry, "1", "1", "ssh").status is Status.HELD


def test_a_downgrade_that_changes_something_fails() -> None:
    entry = asked_entry("update/update/downgrade")

    def seen(text: str, status: int = 0) -> Observation:
        return Observation(status=status, stdout=text, stderr="", seconds=0.0)

    done = judge_command(entry, "x", seen(""), observed="ssh")
    judged = update.judge_untouched(entry, seen("a\nb\n"), done, seen("a\nc\n"), "ssh")
    assert judged.status is Status.FAILED
    assert "b; c" in judged.claims[0].actual
    assert update.judge_untouched(entry, seen("a"), done, seen("a"), "ssh").status is Status.HELD
    refused = judge_command(entry, "x", seen("", 1), observed="ssh")
    assert update.judge_untouched(entry, seen("a"), refused, seen("a"), "ssh").status is Status.HELD
    assert update.judge_untouched(entry, None, done, seen("a"), "ssh").status is Status.UNSEEN
    silent = judge_command(entry, "x", None, observed="ssh")
    assert update.judge_untouched(entry, seen("a"), silent, seen("a"), "ssh").status is Status.UNSEEN


def asked_entry(id_: str) -> Any:
    return Checklist(update.plan(asked()))[id_]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"broken": ["disk"]}, "broken"),
        ({"broken": ["init", "init"]}, "names something twice"),
        ({"tries": 0}, "tries"),
        ({"files": "updates"}, "and no `files`"),
        ({"engine": None, "install": ["a"], "version": "v"}, "it needs `engine: sysupdate`"),
        ({"engine": "rauc", "files": "bundles"}, "it needs `engine: sysupdate`"),
    ],
)
def test_what_nobody_can_break_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        asked(**changes)
