"""A way to break an image or its host, and what must be said of it; how one is run and how its report is judged."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metallize.catalog import Catalog
from metallize.config import load_suite
from metallize.console.rules import built_in_rules
from metallize.events import Event, Events, Silent, StepOutput
from metallize.machines import seabios
from metallize.model.boot import Boot, MachineOverrides
from metallize.model.machine import Machine
from metallize.model.profile import ImageFormat
from metallize.model.report import BootReport, Finding, Result, Severity, Stage
from metallize.patience import FINDINGS_STALL_GRACE as STALL_GRACE_SECONDS
from metallize.verify import VerifyRequest, verify_machine
from tests.boot.sabotage.images import Disk, LiveCd

ADMIN = {"user": "admin", "password": "admin"}
SECONDS = 10.0
"""From the decisive event to the verdict, on a host that has nothing else to do."""
EMULATION = 4.0
"""The slowness of such a host where guests are emulated; one that is busy with other work gets more time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A verdict that must be given: how far the boot came, and why it failed.

    `rule` is the finding that ended the boot, or a fault that did not (one of several: `a|b`); `result` is how the
    title of a result that does not hold begins, or what a claim of it is about that does not hold. Either of them, or
    both.
    """

    stage: Stage
    rule: str = ""
    result: str = ""
    words: tuple[str, ...] = ()
    """Each must be in what is said of the cause (not in the console's lines around it)."""
    seconds: float = SECONDS
    """More where something is waited for that may still come: the wait's own deadline on a host of normal speed."""
    scaled: bool = False
    """Whether that deadline is stretched on a slow host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One entry of the set: `disk` or `cd` changes a copy of the image, and `expected` says what must come of it.

    None expected: it must pass. `boot` is what a profile says under boot, `suite` an assertion file.
    """

    name: str
    summary: str
    expected: tuple[Failed, ...] = ()
    disk: Callable[[Disk], None] | None = None
    cd: Callable[[LiveCd], None] | None = None
    machine: Machine = seabios.MACHINE
    login: Mapping[str, str] | None = field(default_factory=lambda: dict(ADMIN))
    ssh: Mapping[str, str] | None = field(default_factory=lambda: dict(ADMIN))
    boot: Mapping[str, Any] = field(default_factory=dict)
    suite: str = ""
    kill_at: Stage | None = None
    """QEMU is killed when the guest reaches this stage."""
    cheap: bool = False
    """It tells much and takes little time: it is tried with every change, the others each night."""


class Killer:
    """Kills the QEMU that has the recipe's image open when its guest reaches a stage."""

    def __init__(self, image: Path, stage: Stage) -> None:
        self._image = image
        self._stage = stage

    def emit(self, event: Event, /) -> None:
        if isinstance(event, StepOutput) and event.line.split()[-1:] == [str(self._stage)]:
            [number] = self._found()
            os.kill(number, signal.SIGKILL)

    def _found(self) -> Iterator[int]:
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    is_qemu = (folder / "cmdline").read_bytes().startswith(b"qemu-system")
                    if is_qemu and any(file.resolve() == self._image for file in (folder / "fd").iterdir()):
                        yield int(folder.name)
                except OSError:
                    continue


def run_recipe(recipe: Recipe, *, image: Path, folder: Path) -> BootReport:
    """Spoil a copy of the image, boot it, and give the report; the copy is gone afterwards."""
    copy: Disk | LiveCd
    if recipe.cd is not None:
        copy = LiveCd(image, folder / "sabotage.iso")
        recipe.cd(copy)
    else:
        copy = Disk(image, folder / "sabotage.img")
        if recipe.disk is not None:
            recipe.disk(copy)
    catalog = Catalog()
    suite = folder / "suite.yaml"
    suite.write_text(recipe.suite)
    request = VerifyRequest(
        image=copy.path,
        image_format=ImageFormat.ISO if recipe.cd is not None else ImageFormat.RAW,
        boot=Boot(
            **{"timeout": 60, "memory": "512M", "cpus": 1, "login": recipe.login, "ssh": recipe.ssh, **recipe.boot}
        ),
        assertions=load_suite(suite, vocabulary=catalog.vocabulary()) if recipe.suite else (),
        machine_entry=recipe.machine.name,
        machine=recipe.machine,
        kinds=catalog.kinds,
        runs_dir=folder / "runs",
        overrides=MachineOverrides(),
    )
    events: Events = Killer(copy.path.resolve(), recipe.kill_at) if recipe.kill_at else Silent()
    try:
        return verify_machine(request, events)
    finally:
        copy.path.unlink()


def misjudgements(recipe: Recipe, report: BootReport) -> list[str]:
    """Everything in the report that is not as the recipe says; pure."""
    if not recipe.expected:
        return [] if report.passed else ["a healthy image was failed"]
    if report.passed:
        return ["a false pass"]
    return [problem for expected in recipe.expected for problem in _problems(expected, report)]


def _problems(expected: Failed, report: BootReport) -> Iterator[str]:
    finding = _finding(expected, report)
    if expected.rule:
        if finding is None:
            yield f"no finding {expected.rule}: {_what_failed(report)}"
        elif finding is report.failure and finding.stage is not expected.stage:
            yield f"stage {finding.stage}, not {expected.stage}"
    result = next((each for each in report.failed_results if _is_named(each, expected.result)), None)
    if expected.result and result is None:
        yield f"no failed result {expected.result}: {_what_failed(report)}"
    if finding is not report.failure and report.stage is not expected.stage:
        yield f"the boot reached stage {report.stage}, not {expected.stage}"
    said = " ".join((_said_by(finding) if finding and expected.rule else "", _said_of(result) if result else ""))
    for word in expected.words:
        if word not in said:
            yield f"{word!r} is not said, but: {said}"
    slowness = report.accelerator.slowness
    limit = expected.seconds * (slowness if expected.scaled else max(1.0, slowness / EMULATION))
    late = seconds_to_the_verdict(report) - limit
    if late > 0:
        yield f"{late:.1f} s too late"


def seconds_to_the_verdict(report: BootReport) -> float:
    """From the event that decided to the verdict: from the line, or from when the guest was ready to be looked at.

    A line that only counts when nothing follows decides when its grace is over.
    """
    if report.failure is None:
        return report.seconds - report.stages[-1].seconds
    stalls = {rule.id for rule in built_in_rules() if rule.severity is Severity.STALL}
    grace = STALL_GRACE_SECONDS * report.accelerator.slowness if report.failure.rule in stalls else 0.0
    return report.seconds - report.failure.seconds - grace


def _finding(expected: Failed, report: BootReport) -> Finding | None:
    every = (*((report.failure,) if report.failure else ()), *report.findings)
    return next((each for each in every if each.rule in expected.rule.split("|")), None)


def _is_named(result: Result, named: str) -> bool:
    """By the beginning of its title, or by something of it that does not hold: `unit x.service`."""
    wrong = (claim.attribute for claim in result.claims if not claim.holds)
    return result.title.startswith(named) or any(attribute.startswith(named) for attribute in wrong)


def _what_failed(report: BootReport) -> str:
    rules = [each.rule for each in (*((report.failure,) if report.failure else ()), *report.findings)]
    return f"{rules} {[each.title for each in report.failed_results]}"


def _said_by(finding: Finding) -> str:
    return f"{finding.cause} {finding.remedy} {finding.line}"


def _said_of(result: Result) -> str:
    claims = " ".join(f"{each.attribute} {each.expected} {each.actual} {each.note}" for each in result.claims)
    return f"{result.title} {claims} {result.note}"
