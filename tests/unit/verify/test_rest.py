"""The second look: `boot.settle` after the guest was ready, against the first, and unseen where nobody can look."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import pytest

from metallize.deadline import Deadline
from metallize.model.boot import Boot
from metallize.model.kind import Observation
from metallize.model.report import Result, Status
from metallize.verify.checklist import FIRST, Checklist
from metallize.verify.phases import rest
from metallize.verify.session import BootSession
from tests.unit.shells.fakes import FakeWatch
from tests.unit.verify.test_system import HEALTHY, seen

T = TypeVar("T")


class Waits(FakeWatch):
    """Remembers how long was waited."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.waited: list[float] = []

    def wait(self, condition: Callable[[], T | None], deadline: Deadline) -> T | None:
        self.waited.append(deadline.remaining)
        return condition()


def run(
    *,
    now: float = 12.0,
    settle: str = "10s",
    shell: str | None = "ssh",
    ready: float | None = 10.0,
    said: dict[str, str | None] | None = None,
) -> tuple[dict[str, Result], Waits]:
    request = cast("Any", SimpleNamespace(boot=Boot.model_validate({"settle": settle}), has_ways_in=True))
    checklist = Checklist(rest.plan(request, FIRST))
    watch = Waits(now)
    answers = [
        Observation(status=0, stdout=text, stderr="", seconds=0) if text is not None else None
        for text in {**HEALTHY, **(said or {})}.values()
    ]
    session = SimpleNamespace(
        request=request,
        guest=SimpleNamespace(watch=watch),
        checklist=checklist,
        ready_seconds=ready,
        first_look=seen(),
        best_shell=lambda: shell and SimpleNamespace(name=shell),
        entries=lambda place: [each for each in checklist.entries if each.id.startswith(f"boot/{place}/")],
        observer=SimpleNamespace(
            run=lambda _shell, probes, **_limits: SimpleNamespace(
                observations=[*answers, *[None] * (len(probes) - len(answers))], problem=""
            )
        ),
    )
    rest.run(cast("BootSession", session))
    return {result.id.rpartition("/")[2]: result for result in checklist.results()}, watch


@pytest.mark.parametrize(("now", "settle", "waited"), [(12.0, "10s", 8.0), (12.0, "0s", 0.0), (60.0, "10s", 0.0)])
def test_the_look_comes_when_the_system_has_settled(now: float, settle: str, waited: float) -> None:
    results, watch = run(now=now, settle=settle)
    assert {result.status for result in results.values()} == {Status.HELD}
    assert all(result.title.startswith("at the end: ") for result in results.values())
    assert watch.waited == [pytest.approx(waited, abs=0.5)]


def test_what_has_changed_since_the_first_look_fails() -> None:
    results, _ = run(
        said={
            "restarts": "services 2\nunit Id=shop.service NRestarts=1 SubState=running Result=success\nend\n",
            "root": "ext4 ro\n/dev/vda3 7 6 6 1% /\n/dev/vda3 7 6 6 1% /\nend\n",
        }
    )
    assert "since the first look" in results["restarts"].claims[0].note
    assert results["root"].status is results["restarts"].status is Status.FAILED
    failed = "shop.service loaded failed failed Shop\nend\n"
    results, _ = run(said={"state": "init systemd\nstate degraded\n", "failed": failed})
    assert results["units"].status is results["state"].status is Status.FAILED


def test_a_system_that_does_not_answer_any_more_is_unseen() -> None:
    results, _ = run(said=dict.fromkeys(HEALTHY))
    assert {result.status for result in results.values()} == {Status.UNSEEN}


@pytest.mark.parametrize("missing", [{"shell": None}, {"ready": None}])
def test_with_nobody_to_look_it_is_unseen(missing: dict[str, None]) -> None:
    results, _ = run(**missing)  # type: ignore[arg-type]  # one of two
    assert {result.status for result in results.values()} == {Status.UNSEEN}
