"""From a profile and an image to boots on its machines."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from metallize.catalog import Catalog
from metallize.command import run
from metallize.config import load_suite
from metallize.config.reading.suggest import did_you_mean
from metallize.errors import HostError, UsageError
from metallize.events import Events
from metallize.files.image_format import format_of
from metallize.host import accelerator
from metallize.model.assertion import Assertion
from metallize.model.boot import Boot, MachineOverrides
from metallize.model.loaded import Profile
from metallize.model.machine import Firmware, Machine
from metallize.model.profile import ImageFormat
from metallize.model.report import BootReport
from metallize.qemu.chain import chain_of, graph
from metallize.qemu.chain import opened as opened_layers
from metallize.qemu.plan import has_tpm
from metallize.serve import opened
from metallize.verify.looks.enrolled import enrolled_promises
from metallize.verify.looks.measured import measured_promises
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
    manifest: Mapping[str, Any] | None = None,
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
            assertions=with_promises(profile.assertions, catalog, machine, boot, overrides, manifest),
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
            manifest=manifest or {},
        )
        for name, (machine, overrides) in entries.items()
    )


def with_promises(
    assertions: Sequence[Assertion],
    catalog: Catalog,
    machine: Machine,
    boot: Boot,
    overrides: MachineOverrides | None = None,
    manifest: Mapping[str, Any] | None = None,
) -> tuple[Assertion, ...]:
    """The assertions, and those that machine and manifest bring; only what is observed in a shell is asserted.

    Raises HostError where the manifest is damaged.
    """
    if boot.login is None and boot.ssh is None:
        return tuple(assertions)
    vocabulary = catalog.vocabulary()
    tpm = has_tpm(boot, overrides or MachineOverrides())
    suites = (*machine.suites, *(["tpm"] if tpm else []))
    promised = (each for name in suites for each in load_suite(catalog.suites[name], vocabulary=vocabulary))
    own = enrolled_promises(manifest or {}, catalog.kinds) if overrides is not None and overrides.setup_mode else ()
    measured = measured_promises(manifest or {}, catalog.kinds) if tpm and machine.firmware is Firmware.UEFI else ()
    return (*assertions, *(each for each in promised if each not in assertions), *own, *measured)


def entries_of(profile: Profile, catalog: Catalog, machines: Sequence[str]) -> Mapping[str, MachineOverrides]:
    """The entries of boot.machines to boot on, all where `machines` names none, else the generator's own.

    A name that only the catalogue knows stands for that machine as it is. Raises UsageError for a machine that does
    not exist or cannot boot the image, or where there is nothing to boot on: a verification of nothing proves nothing.
    """
    generator = catalog.generators[profile.output.generator]
    declared = profile.boot.machines if profile.boot else {}
    own = (name for name in generator.machines if catalog.machines[name].platform is profile.platform)
    names = machines or declared or tuple(own)
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
    """Every machine's report, in the order of the requests; as many boot at a time as the host has room for.

    A guest that is held for a person has the terminal to itself. Raises as `verify_machine` does; a machine that cannot
    be booted ends the others.
    """
    # A build that finds nothing changed boots nothing, and need not wait for what does.
    from metallize.verify.beside import side_by_side  # noqa: PLC0415 - only a boot needs it
    from metallize.verify.machine import need_of, verify_machine  # noqa: PLC0415 - only a boot needs it

    require_emulators(request.machine for request in requests)
    if len(requests) < 2 or any(request.keep_running for request in requests):  # noqa: PLR2004 - two make a pair
        return tuple(verify_machine(request, events) for request in requests)
    for request in requests:  # a host is measured before its cores are busy with guests
        accelerator.choose(request.machine, request.accel)
    return side_by_side([(need_of(request), partial(verify_machine, request, events)) for request in requests])
