"""From a profile and an image to boots on its machines, and the record of what they showed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from metallize import __version__
from metallize.build.store import Store
from metallize.catalog import Catalog
from metallize.command import run
from metallize.config import load_suite
from metallize.config.suggest import did_you_mean
from metallize.errors import HostError, UsageError, VerificationFailed
from metallize.events import Events
from metallize.image_format import format_of
from metallize.model.assertion import Assertion
from metallize.model.boot import Boot, MachineOverrides
from metallize.model.loaded import Profile
from metallize.model.machine import Machine
from metallize.model.profile import ImageFormat
from metallize.model.report import BootReport
from metallize.qemu.chain import chain_of, graph
from metallize.qemu.chain import opened as opened_layers
from metallize.qemu.plan import has_tpm
from metallize.report.as_json import report_to_json
from metallize.serve import opened
from metallize.verify.machine import verify_machine
from metallize.verify.request import VerifyRequest


def requests_for(
    profile: Profile,
    catalog: Catalog,
    image: Path,
    image_format: ImageFormat,
    *,
    machines: Sequence[str],
    build_dir: Path,
    accel: str,
    keep_running: bool,
    capture: bool = False,
    sha256: str = "",
    published: Path | None = None,
) -> tuple[VerifyRequest, ...]:
    """One request for each entry of boot.machines, or for those named in `machines`.

    Raises UsageError as `entries_of` does.
    """
    boot = profile.boot or Boot()
    entries = {
        name: (machine_named(catalog, overrides.machine or name), overrides)
        for name, overrides in entries_of(profile, catalog, machines).items()
    }
    return tuple(
        VerifyRequest(
            image=image,
            image_format=image_format,
            boot=boot,
            assertions=with_promises(profile.assertions, catalog, machine, boot, overrides),
            groups=profile.groups,
            machine_entry=name,
            machine=machine,
            kinds=catalog.kinds,
            runs_dir=build_dir / "runs" / profile.runs,
            overrides=overrides,
            accel=accel,
            keep_running=keep_running,
            capture=capture,
            sha256=sha256,
            published=published,
        )
        for name, (machine, overrides) in entries.items()
    )


def with_promises(
    assertions: Sequence[Assertion],
    catalog: Catalog,
    machine: Machine,
    boot: Boot,
    overrides: MachineOverrides | None = None,
) -> tuple[Assertion, ...]:
    """The assertions, and those that the machine brings itself; only what is observed in a shell is asserted."""
    if boot.login is None and boot.ssh is None:
        return tuple(assertions)
    vocabulary = catalog.vocabulary()
    suites = (*machine.suites, *(["tpm"] if has_tpm(boot, overrides or MachineOverrides()) else []))
    promised = (each for name in suites for each in load_suite(catalog.suites[name], vocabulary=vocabulary))
    return (*assertions, *(each for each in promised if each not in assertions))


def entries_of(profile: Profile, catalog: Catalog, machines: Sequence[str]) -> Mapping[str, MachineOverrides]:
    """The entries of boot.machines to boot on, all where `machines` names none, else the generator's own.

    A name that only the catalogue knows stands for that machine as it is. Raises UsageError for a machine that does
    not exist or cannot boot the image, or where there is nothing to boot on: a verification of nothing proves nothing.
    """
    generator = catalog.generators[profile.output.generator]
    declared = profile.boot.machines if profile.boot else {}
    names = machines or declared or generator.machines
    entries = {name: declared.get(name, MachineOverrides()) for name in names}
    for name, overrides in entries.items():
        machine = machine_named(catalog, overrides.machine or name, also=declared)
        if machine.platform is not profile.platform or not generator.boots_on(machine):
            raise UsageError(
                f"machine {name} cannot boot what generator {generator.name} makes for {profile.platform}",
                hint=f"metallize explain {generator.name} tells which can",
            )
        if has_tpm(profile.boot or Boot(), overrides) and not machine.tpm_device:
            raise UsageError(f"machine {name} can have no TPM", hint=f"set boot.machines.{name}.tpm: false")
        if profile.boot is not None and profile.boot.reboot and not machine.resets:
            raise UsageError(
                f"machine {name} cannot reboot: QEMU does not emulate its reset",
                hint="leave out boot.reboot for it",
            )
    if not entries:
        raise UsageError(
            f"{profile.path}: generator {generator.name} makes no bootable disk, so there is nothing to verify",
            hint=f"build it without --verify: metallize build {profile.path}",
        )
    return entries


def machine_named(catalog: Catalog, name: str, *, also: Iterable[str] = ()) -> Machine:
    """The machine of the catalogue. Raises UsageError with the nearest name, of a machine or of those in `also`."""
    machine = catalog.machines.get(name)
    if not isinstance(machine, Machine):
        hint = did_you_mean(name, [*catalog.machines, *also])
        raise UsageError(f"there is no machine `{name}`", hint=hint or "see `metallize list`")
    return machine


def foreign_request(
    image: Path,
    catalog: Catalog,
    *,
    machine: str,
    boot: Boot,
    assertions: Sequence[Assertion],
    runs_dir: Path,
    accel: str,
    keep_running: bool,
    capture: bool = False,
) -> VerifyRequest:
    """A request for an image that no profile made. Raises UsageError where it is none that QEMU can read."""
    hardware = machine_named(catalog, machine)
    image_format = format_of(image)
    require_emulators([hardware])
    _require_readable(image, image_format)
    return VerifyRequest(
        image=image,
        image_format=image_format,
        boot=boot,
        assertions=with_promises(assertions, catalog, hardware, boot),
        machine_entry=machine,
        machine=hardware,
        kinds=catalog.kinds,
        runs_dir=runs_dir,
        accel=accel,
        keep_running=keep_running,
        capture=capture,
    )


def _require_readable(image: Path, image_format: ImageFormat) -> None:
    """Raises UsageError where QEMU cannot read the image or a file that it stands on, or is not to: see `chain_of`."""
    if image_format is ImageFormat.TAR:
        with opened(image):
            return
    for layer in chain_of(image, image_format):
        with ExitStack() as stack:
            alone, numbers = opened_layers(stack, (layer,))
            seen = run(("qemu-img", "info", "--output=json", graph(alone)), check=False, pass_fds=numbers)
        if seen.status != 0:
            why = seen.stderr.strip().rpartition(": ")[2] or "no reason was given"
            raise UsageError(
                f"{layer.path} begins as {layer.driver} does, but QEMU cannot read it: {why}",
                hint="it may be cut short or damaged: compare its checksum with its maker's",
            )


_PACKAGES = {"qemu-system-x86_64": "qemu-system-x86", "qemu-system-aarch64": "qemu-system-arm"}
"""Debian's and Ubuntu's package of an emulator."""


def require_emulators(machines: Iterable[Machine]) -> None:
    """Raise HostError, with the package to install, where QEMU or its qemu-img is missing."""
    machines = tuple(machines)
    wanted = {machine.qemu: _PACKAGES.get(machine.qemu, "qemu-system") for machine in machines}
    if any(machine.board for machine in machines):
        wanted["mcopy"] = "mtools"
    for program, package in {**wanted, "qemu-img": "qemu-utils"}.items():
        if shutil.which(program) is None:
            raise HostError(
                f"`{program}` is not installed, and without it no guest boots",
                hint=f"install it: sudo apt-get install {package}; `metallize doctor` tells what else is missing",
            )


def run_all(requests: Sequence[VerifyRequest], events: Events) -> tuple[BootReport, ...]:
    """One machine after the other: two emulated guests at once share the cores badly. Raises HostError."""
    require_emulators(request.machine for request in requests)
    return tuple(verify_machine(request, events) for request in requests)


def identity(sha256: str, requests: Sequence[VerifyRequest], version: str = __version__) -> str:
    """Digest of the bytes that are booted and of everything that is asked of them, by this version of metallize."""
    asked = [
        [
            request.machine_entry,
            asdict(request.machine),
            request.overrides.model_dump(mode="json"),
            request.boot.model_dump(mode="json"),
            _asked(request.assertions),
            [[group.name, group.run, _asked(group.assertions)] for group in request.groups],
        ]
        for request in sorted(requests, key=lambda request: request.machine_entry)
    ]
    text = json.dumps([version, sha256, asked], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _asked(assertions: Iterable[Assertion]) -> list[list[object]]:
    return [[each.kind, each.resource, repr(each.options), each.action] for each in assertions]


def record(sha256: str, verification: str, reports: Sequence[BootReport]) -> dict[str, Any]:
    """build/FILE.verification.json."""
    return {
        "metallize": __version__,
        "id": verification,
        "sha256": sha256,
        "verdict": "passed" if reports and all(report.passed for report in reports) else "failed",
        "verified": datetime.now(UTC).isoformat(timespec="seconds"),
        "machines": [report_to_json(report) for report in reports],
    }


def passed_before(store: Store, verification: str) -> bool:
    """Whether the same bytes have held the same assertions on the same machines."""
    try:
        content = json.loads(store.verification.read_text())
    except (OSError, ValueError):
        return False
    return bool(content.get("id") == verification and content.get("verdict") == "passed")


def require_all_asked(store: Store, sha256: str, requests: Sequence[VerifyRequest]) -> None:
    """Raises VerificationFailed where the verification left out some of what the profile asks today."""
    record = json.loads(store.verification.read_text())
    if record.get("id") == identity(sha256, requests, str(record.get("metallize"))):
        return
    booted = [str(report["machine"]) for report in record.get("machines", ())]
    left_out = [request.machine_entry for request in requests if request.machine_entry not in booted]
    hint = "verify it as the profile has it now: metallize verify PROFILE"
    if left_out:
        where = f"on {', '.join(booted)} only" if booted else "on no machine that is known"
        raise VerificationFailed(
            f"{store.image} was verified {where}, and its profile boots it on {', '.join(left_out)} too", hint=hint
        )
    raise VerificationFailed(f"what the profile asks of {store.image} has changed since it was verified", hint=hint)


def failed(reports: Sequence[BootReport]) -> VerificationFailed:
    """The error for reports of which at least one did not pass."""
    names = ", ".join(report.machine for report in reports if not report.passed)
    return VerificationFailed(f"the image failed its verification on {names}", reports=reports)
