"""From a boot's report, its image's manifest and its run's folder to what the night keeps of it."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

from metallize import __version__
from metallize.host.share import usable_cores
from metallize.model.report import BootReport, Severity, Stage
from metallize.night.attempt import NOTHING, READY, Attempt, Cell, Host, Status, run_id
from metallize.night.facts import ImageFacts, Seen, facts_of
from metallize.night.lines import MOST_NAMES
from metallize.night.signatures import signature_of, warnings_in

_TEXT_BYTES = 4 << 20
"""So much of a console or a log is read: it is what the guest printed."""
_UNIT = re.compile(r"^ *(\d{1,7}\.\d{3}) +(\d{1,7}\.\d{3}) {2}(\S{1,250})$", re.MULTILINE)
"""A line of units.txt (metallize.verify.evidence, BOOT_TIMES)."""
_LEAST_SECONDS = 0.005
_FAILED = re.compile(r"^\$ systemctl list-units --state=failed.*\n((?:.+\n)*)", re.MULTILINE)
_UNIT_NAME = re.compile(r"^(?:\S+ )?(\S+\.[a-z]+) +\S+ +failed", re.MULTILINE)
_STAMPED = re.compile(r"\[ *\d+\.\d{3}\] ?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """What all attempts of one night on one host share."""

    began: str
    host: Host
    folder: str = ""
    """The build folder: two nights that begin in one second on one host are in two of them."""

    def has(self, attempt: Attempt) -> bool:
        """Whether an attempt is one of this host's night, wherever it was booted."""
        return (attempt.night, attempt.leader) == (self.began, self.host.id)

    def run_of(self, cell: Cell, number: int, confirms: str = "") -> str:
        """The id of one of them."""
        place = (self.began, self.host.id, self.folder, cell.profile, cell.output, cell.machine, number)
        return run_id(*place, confirms) if confirms else run_id(*place)

    def attempt(self, cell: Cell, number: int, status: Status, **said: Any) -> Attempt:
        """One of them, with its id."""
        host = said.pop("host", self.host)
        return Attempt(
            run=self.run_of(cell, number, said.get("confirms", "")),
            night=self.began,
            cell=cell,
            attempt=number,
            status=status,
            host=host,
            led_by="" if host.id == self.host.id else self.host.id,
            versions=said.pop("versions", MappingProxyType({"metallize": __version__})),
            **said,
        )


def this_host() -> Host:
    """What is known of the host before anything runs. Its id is its name, and machine-id(5) hashed."""
    try:
        machine_id = Path("/etc/machine-id").read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        machine_id = ""
    name = platform.node() or "host"
    return Host(
        id=f"{name}-{run_id('metallize', machine_id, name)[:8]}",
        model=f"{_processor()} x{usable_cores()}",
        load=_load(),
    )


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*: *(.+)$", text, re.MULTILINE)
    return " ".join(found[1].split())[:80] if found else platform.machine()


def _load() -> float:
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return 0.0


def attempt_of_report(
    night: Night,
    cell: Cell,
    number: int,
    report: BootReport,
    manifest: Mapping[str, Any],
    *,
    confirms: str = "",
    host: Host | None = None,
) -> tuple[Attempt, ImageFacts]:
    """What is kept of a boot and of its image. `confirms` is the run that it was made for.

    `host` is the one that booted, with its load by then, where it is not the night's own.
    """
    reason, rule = ("", "") if report.passed else why(report)
    units = _text(report.run_folder / "units.txt")
    facts = facts_of(report.sha256, manifest)
    metrics = {"seconds": report.seconds, "size": facts.size_bytes, "rootfs_bytes": facts.rootfs_bytes}
    attempt = night.attempt(
        cell,
        number,
        Status.PASS if report.passed else Status.FAIL,
        stage=str(report.stage),
        reason=reason,
        signature=signature_of(rule, reason) if rule else "",
        started=report.started,
        sha256=report.sha256,
        stages=stages_of(report),
        units=units_in(units),
        metrics=MappingProxyType({name: float(value) for name, value in metrics.items() if value}),
        host=replace(
            replace(night.host, load=_load()) if host is None else host,
            accelerator=report.accelerator.name,
            clock=report.clock,
            slowness=report.accelerator.slowness,
            qemu=report.qemu,
        ),
        versions=versions_of(manifest),
        run_folder=str(report.run_folder),
        confirms=confirms,
    )
    return attempt, replace(facts, seen=MappingProxyType({report.machine: seen_in(report, units)}))


def stages_of(report: BootReport) -> Mapping[str, float]:
    """Seconds in each stage that lasts, and until ready; of a boot that did not get there, as far as it got."""
    found = {
        str(this.stage): round(following.seconds - this.seconds, 3)
        for this, following in pairwise(report.stages)
        if this.stage not in (Stage.QEMU, Stage.READY)
    }
    ready = next((item.seconds for item in report.stages if item.stage is Stage.READY), None)
    return MappingProxyType(found if ready is None else {**found, READY: round(ready, 3)})


def why(report: BootReport) -> tuple[str, str]:
    """Why a boot failed, in one line, and the rule or the check that saw it."""
    if report.failure is not None:
        return report.failure.cause, report.failure.rule
    fault = next((finding for finding in report.findings if finding.severity is Severity.FAULT), None)
    if fault is not None:
        return fault.cause, fault.rule
    for result in report.failed_results:
        wrong = next((claim for claim in result.claims if not claim.holds), None)
        detail = f": {wrong.attribute}: expected {wrong.expected}, found {wrong.actual}" if wrong else ""
        more = len(report.failed_results) - 1
        return f"{result.title}{detail}" + (f", and {more} more" if more else ""), result.id
    return f"the boot got as far as stage {report.stage}", f"stage/{report.stage}"


def units_in(text: str) -> Mapping[str, float]:
    """Seconds that each service took to start, of units.txt; none where nobody could look."""
    found: dict[str, float] = {}
    for took, _, name in _UNIT.findall(text):
        if float(took) >= _LEAST_SECONDS and len(found) < MOST_NAMES:
            found[name] = max(found.get(name, 0.0), float(took))
    return MappingProxyType(found) if found else NOTHING


def failed_in(text: str) -> frozenset[str] | None:
    """The units that had failed, of units.txt; None where nobody could look."""
    if "$ systemctl is-system-running" not in text:
        return None
    listed = _FAILED.search(text)
    return frozenset(_UNIT_NAME.findall(listed[1])) if listed else frozenset()


def seen_in(report: BootReport, units: str) -> Seen:
    """The sets of one boot: what had failed, what the console warned of, where something listens."""
    console = _text(report.run_folder / "console.txt")
    warned = frozenset(warnings_in(_STAMPED.sub("", line, count=1) for line in console.splitlines()))
    return Seen(
        failed=failed_in(units),
        warnings=warned if console else None,
        ports=None if report.listening is None else frozenset(report.listening),
    )


def versions_of(manifest: Mapping[str, Any]) -> Mapping[str, str]:
    """What went into the image, and may explain that it boots otherwise than the one before."""
    system = manifest.get("os")
    name = system.get("PRETTY_NAME") if isinstance(system, Mapping) else None
    found = {"metallize": __version__, "kernel": manifest.get("kernel"), "os": name, "plan": manifest.get("plan")}
    return MappingProxyType({key: str(value)[:40] for key, value in found.items() if value})


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_TEXT_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
