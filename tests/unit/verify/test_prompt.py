"""With no login something must be seen all the same: what console.require names, or a login prompt."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from metallize.deadline import Deadline
from metallize.guest import GuestFailed
from metallize.model.boot import Boot
from metallize.model.report import Stage
from metallize.verify.checklist import FIRST, Checklist
from metallize.verify.phases import prompt
from metallize.verify.session import BootSession
from tests.unit.shells.fakes import FakeWatch


class Shows(FakeWatch):
    """A guest that has come to a stage, and whose console lacks some lines."""

    def __init__(self, stage: Stage, missing: tuple[str, ...] = ()) -> None:
        self.stage, self.missing = stage, missing

    def reached(self, stage: Stage) -> None:
        self.stage = stage


def run(watch: Shows, **boot: object) -> Checklist:
    request = cast("Any", SimpleNamespace(boot=Boot.model_validate(boot), has_ways_in=False))
    checklist = Checklist(prompt.plan(request, FIRST))
    session = SimpleNamespace(
        request=request,
        guest=SimpleNamespace(watch=watch, console=SimpleNamespace(tail=lambda _lines: ())),
        deadline=Deadline.after(0.1, "a test"),
        checklist=checklist,
        notes=[],
        ready_seconds=None,
        steps_done=lambda: 0,
        entry=lambda id_: checklist[f"boot/{id_}"],
        ways=SimpleNamespace(patience=SimpleNamespace(limit=lambda *_: lambda: True)),
    )
    try:
        prompt.run(cast("BootSession", session))
    finally:
        assert (session.ready_seconds is not None) == checklist.passed
        assert bool(session.notes) == checklist.passed, "the report says how far anybody looked"
    return checklist


@pytest.mark.parametrize("steps", [[], [{"expect": "boot:"}]])
def test_steps_alone_do_not_make_it_pass(steps: list[dict[str, str]]) -> None:
    with pytest.raises(GuestFailed, match="a login prompt was not seen"):
        run(Shows(Stage.USERSPACE), steps=steps)
    assert run(Shows(Stage.LOGIN), steps=steps).passed


def test_what_is_required_is_waited_for_by_name() -> None:
    with pytest.raises(GuestFailed, match="never showed /Welcome/") as caught:
        run(Shows(Stage.LOGIN, ("Welcome",)), console={"require": ["Welcome"]})
    assert caught.value.finding.rule == "timeout"
    assert run(Shows(Stage.KERNEL), console={"require": ["Welcome"]}).passed
