"""A boot in which nobody is logged in: what was not observed does not hold, whoever asks for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from metallize.catalog import Catalog
from metallize.deadline import Deadline
from metallize.errors import Location
from metallize.machines import seabios
from metallize.model.assertion import Assertion
from metallize.model.boot import Boot
from metallize.model.profile import ImageFormat
from metallize.model.report import Stage
from metallize.qemu.vm import RunningGuest
from metallize.verify import VerifyRequest
from metallize.verify.boot import plan_boot, run_boot
from metallize.verify.checklist import FIRST, Checklist
from metallize.verify.phases import prompt
from metallize.verify.phases.assertions import NOBODY
from metallize.verify.session import BootSession
from tests.unit.shells.fakes import FakeWatch

KINDS = Catalog().kinds
PLACE = Location(path=Path("p.yaml"), line=1, column=1)


@dataclass
class FakeGuest:
    watch: FakeWatch = field(default_factory=FakeWatch)
    monitor: None = None


def assertion(kind: str, resource: str, **options: object) -> Assertion:
    given = KINDS[kind].options.model_validate(options)
    return Assertion(kind=kind, resource=resource, options=given, location=PLACE)


def test_only_what_needs_no_look_at_the_guest_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt, "SEEN_SECONDS", 0.0)
    monkeypatch.setattr(FakeWatch, "stage", Stage.LOGIN)
    asked = (
        assertion("file", "/etc/passwd", exists=True),
        assertion("matching", "words", content="some words", matches={"have-prefix": "some"}),
        assertion("service", "ssh", running=True, skip=True),
    )
    request = VerifyRequest(
        image=Path("x.img"),
        image_format=ImageFormat.RAW,
        boot=Boot(),
        assertions=asked,
        machine_entry="seabios",
        machine=seabios.MACHINE,
        kinds=KINDS,
        runs_dir=Path("runs"),
    )
    guest = cast("RunningGuest", FakeGuest())
    boot = BootSession(
        request=request,
        guest=guest,
        deadline=Deadline.after(5, "a test"),
        access=None,
        turn=FIRST,
        checklist=Checklist(plan_boot(request, FIRST)),
    )
    run_boot(boot)
    assert [(result.kind, str(result.status)) for result in boot.results] == [
        ("file", "unseen"),
        ("matching", "held"),
        ("service", "skipped"),
        ("console", "held"),
    ]
    assert boot.results[0].note == NOBODY
    assert "boot.login or boot.ssh" in NOBODY
    assert not boot.checklist.passed
