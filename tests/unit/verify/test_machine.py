"""A failure that is the host's own doing gets another boot; one that is the image's does not."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from metallize.events import Silent
from metallize.host import accelerator
from metallize.machines import seabios
from metallize.model.boot import Boot
from metallize.model.profile import ImageFormat
from metallize.model.report import AcceleratorUse, BootReport, Finding, Severity, Stage, Verdict
from metallize.verify import VerifyRequest, machine, verify_machine

REQUEST = VerifyRequest(
    image=Path("x.iso"),
    image_format=ImageFormat.ISO,
    boot=Boot(),
    assertions=(),
    machine_entry="seabios",
    machine=seabios.MACHINE,
    kinds={},
    runs_dir=Path("runs"),
)


def use(name: str) -> AcceleratorUse:
    return AcceleratorUse(name=name, cpu="x", reason="because", slowness=1.0, cached=False)


def report(name: str, rule: str = "") -> BootReport:
    finding = Finding(rule=rule, stage=Stage.KERNEL, severity=Severity.FATAL, cause="x", line="the line")
    return BootReport(
        machine="seabios",
        image=Path("x.iso"),
        media="cd",
        verdict=Verdict.FAILED if rule else Verdict.PASSED,
        stage=Stage.KERNEL,
        seconds=1.0,
        accelerator=use(name),
        stages=(),
        results=(),
        failure=finding if rule else None,
        findings=(),
        console_tail=(),
        run_folder=Path("runs/1"),
    )


class Boots:
    """Reports in place of boots, and how each was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, first: str, *reports: BootReport) -> None:
        self.reports = list(reports)
        self.asked: list[tuple[str, bool]] = []
        monkeypatch.setattr(machine, "_boot", self)
        monkeypatch.setattr(accelerator, "choose", lambda _machine, choice: use("tcg" if choice == "tcg" else first))
        monkeypatch.setattr(accelerator, "forget", lambda _machine, _choice: None)

    def __call__(
        self,
        _request: object,
        how: AcceleratorUse,
        _events: object,
        *,
        one_thread: bool = False,
        notes: tuple[str, ...] = (),
    ) -> contextlib.AbstractContextManager[SimpleNamespace]:
        self.asked.append((how.name, one_thread))
        return contextlib.nullcontext(SimpleNamespace(report=replace(self.reports.pop(0), notes=notes)))


def test_a_kvm_that_gives_up_gives_way_to_tcg(monkeypatch: pytest.MonkeyPatch) -> None:
    boots = Boots(monkeypatch, "kvm", report("kvm", "qemu-kvm"), report("tcg"))
    result = verify_machine(REQUEST, Silent())
    assert boots.asked == [("kvm", False), ("tcg", False)]
    assert result.passed
    assert "KVM gave up on the guest (the line)" in result.notes[0]


def test_a_kvm_that_was_asked_for_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    boots = Boots(monkeypatch, "kvm", report("kvm", "qemu-kvm"))
    assert not verify_machine(replace(REQUEST, accel="kvm"), Silent()).passed
    assert boots.asked == [("kvm", False)]


def test_cpus_out_of_step_are_emulated_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    boots = Boots(monkeypatch, "tcg", report("tcg", "kernel-int3"), report("tcg", "kernel-int3"))
    result = verify_machine(REQUEST, Silent())
    assert boots.asked == [("tcg", False), ("tcg", True)]
    assert not result.passed  # it happened again where it cannot be the emulator's doing


def test_a_panic_is_the_images_own(monkeypatch: pytest.MonkeyPatch) -> None:
    boots = Boots(monkeypatch, "tcg", report("tcg", "kernel-panic"))
    assert not verify_machine(REQUEST, Silent()).passed
    assert len(boots.asked) == 1
