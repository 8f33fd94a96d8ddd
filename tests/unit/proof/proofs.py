"""Requests, reports and proofs of images that nobody booted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from metallize.build.generator import sha256_of
from metallize.catalog import Catalog
from metallize.model.report import BootReport
from metallize.proof import Proof
from metallize.verify import VerifyRequest
from tests.unit.proof.digests import request
from tests.unit.report.test_report import FAILED, PASSED

CATALOG = Catalog()


def on(machine: str, **changes: object) -> VerifyRequest:
    """What is asked on a machine."""
    return request(CATALOG, machine_entry=machine, machine=CATALOG.machines[machine], **changes)


SEABIOS, OVMF = on("seabios"), on("ovmf")


def report_of(asked: VerifyRequest, *, passed: bool = True) -> BootReport:
    report = PASSED if passed else FAILED
    return replace(report, machine=asked.machine_entry, sha256=asked.sha256, started="2026-11-28T10:00:00+00:00")


def booted(image: Path, *asked: VerifyRequest, passed: bool = True) -> Proof:
    """What is known of an image once it was booted for these requests; what was known before counts too."""
    sha256 = sha256_of(image)
    reports = [report_of(each, passed=passed) for each in asked]
    return Proof.load(image).of(sha256).with_boots(sha256, asked, reports)


def proven(image: Path, *asked: VerifyRequest, required: tuple[VerifyRequest, ...] | None = None) -> Proof:
    """Recorded beside the image: it passed what was asked, of what its profile requires."""
    wanted = asked if required is None else required
    return booted(image, *asked).asking(wanted, plan="plan", profile="web.yaml").save(image)
