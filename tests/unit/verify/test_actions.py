"""Actions are done in their order, judged, and undone, whatever becomes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from metallize.catalog import Catalog
from metallize.deadline import Deadline
from metallize.errors import HostError, Location
from metallize.machines import seabios
from metallize.model.assertion import Assertion
from metallize.model.boot import Action, Boot, LinkState
from metallize.model.nic import Nic
from metallize.model.profile import ImageFormat
from metallize.qemu.vm import RunningGuest
from metallize.verify import VerifyRequest
from metallize.verify.checklist import FIRST, Checklist
from metallize.verify.phases import actions as phase
from metallize.verify.session import BootSession
from tests.unit.shells.fakes import FakeWatch

KINDS = Catalog().kinds


@dataclass
class FakeMonitor:
    broken: str = ""
    links: list[tuple[str, bool]] = field(default_factory=list)

    def execute(self, command: str, **arguments: Any) -> object:
        assert command == "set_link"
        self.links.append((arguments["name"], arguments["up"]))
        if arguments["name"] == self.broken and not arguments["up"]:
            raise HostError("QEMU refused `set_link`")
        return {}


@dataclass
class FakeGuest:
    monitor: FakeMonitor
    watch: FakeWatch = field(default_factory=FakeWatch)


def session(monitor: FakeMonitor, *actions: Action) -> BootSession:
    options = KINDS["file"].options.model_validate({"exists": True})
    place = Location(path=Path("p.yaml"), line=1, column=1)
    assertions = tuple(
        Assertion(kind="file", resource=f"/{number}", options=options, location=place, action=number)
        for number in (None, 0, 1)
    )
    request = VerifyRequest(
        image=Path("x.img"),
        image_format=ImageFormat.RAW,
        boot=Boot(nics=(Nic(), Nic()), actions=actions),
        assertions=assertions,
        machine_entry="seabios",
        machine=seabios.MACHINE,
        kinds=KINDS,
        runs_dir=Path("runs"),
    )
    guest = cast("RunningGuest", FakeGuest(monitor))
    return BootSession(
        request=request,
        guest=guest,
        deadline=Deadline.after(5, "x"),
        access=None,
        turn=FIRST,
        checklist=Checklist(phase.plan(request, FIRST)),
        ready_seconds=1.0,
    )


CUT = Action(title="cut", link={"nic0": LinkState.DOWN})
OTHER = Action(title="other", link={"nic0": LinkState.UP, "nic1": LinkState.DOWN})


def test_each_action_has_its_own_assertions_and_cables_are_put_back() -> None:
    monitor = FakeMonitor()
    done = session(monitor, CUT, OTHER)
    phase.run(done)
    assert monitor.links == [("nic0", False), ("nic0", True), ("nic1", False), ("nic0", True), ("nic1", True)]
    assert [(result.title, str(result.status)) for result in done.results] == [
        ("done: cut", "held"),
        ("file /0 after: cut", "unseen"),
        ("done: other", "held"),
        ("file /1 after: other", "unseen"),
    ], "with no shell nothing was observed, and so nothing holds"


def test_a_machine_with_nothing_to_do_is_left_alone() -> None:
    monitor = FakeMonitor()
    phase.run(session(monitor))
    assert monitor.links == []


def test_cables_are_put_back_when_an_action_cannot_be_done() -> None:
    monitor = FakeMonitor(broken="nic1")
    with pytest.raises(HostError):
        phase.run(session(monitor, OTHER))
    assert monitor.links[-2:] == [("nic0", True), ("nic1", True)]
