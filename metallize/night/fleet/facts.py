"""What a worker tells of itself: its host, what it can boot, and the software that judges there."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType
from typing import Any

from metallize import __version__
from metallize.deciding import judge
from metallize.errors import MetallizeError
from metallize.files.json_file import as_mapping
from metallize.host import accelerator
from metallize.host.admission import MEMORY_SHARE, SLOTS_VARIABLE, Capacity, capacity_of
from metallize.host.share import usable_cores, usable_memory_bytes
from metallize.host.turns import Need
from metallize.model.machine import Firmware, Machine
from metallize.model.profile import Platform
from metallize.night.attempt import NO_WORDS, Host
from metallize.night.gather import this_host
from metallize.qemu.firmware import firmware_for
from metallize.qemu.plan import has_tpm
from metallize.verify import VerifyRequest
from metallize.verify import requests as verification

GIB = 1 << 30
_SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One worker."""

    host: Host
    """With the accelerator of its own architecture, and how slow that is."""
    cores: int
    """So many CPUs may its guests have at once."""
    memory_bytes: int
    """All that it may use; together guests get `MEMORY_SHARE` of it."""
    whole_guests: bool = False
    """Each guest takes one of the cores, whatever its size: so it was set by hand."""
    kvm: bool = False
    arm64: bool = False
    """It boots a machine of that architecture, by whatever accelerator."""
    tpm: bool = False
    machines: tuple[str, ...] = ()
    """Those for which emulator and firmware are there, by their names in the catalogue."""
    software: Mapping[str, str] = field(default_factory=lambda: NO_WORDS)
    """What has to be the same on the night's host: metallize, its judge, Python, and dask."""

    @property
    def capacity(self) -> Capacity:
        """What its guests get together."""
        share = int(self.memory_bytes * MEMORY_SHARE)
        return Capacity(slots=self.cores, memory_bytes=share, whole_slots=self.whole_guests)


@cache
def software() -> Mapping[str, str]:
    """Of this process, as it began."""
    try:
        dask = version("distributed")
    except PackageNotFoundError:
        dask = ""
    python = ".".join(map(str, sys.version_info[:2]))
    return MappingProxyType({"metallize": __version__, "judge": judge()[:16], "python": python, "distributed": dask})


def facts_here(machines: Iterable[Machine]) -> Facts:
    """Of this host. Its accelerator is measured, unless that is known already. Raises HostError."""
    found = tuple(each for each in machines if _boots(each))
    own = Platform.ARM64 if platform.machine().lower() in {"aarch64", "arm64"} else Platform.AMD64
    host, kvm = this_host(), False
    for machine in sorted(found, key=lambda each: (each.platform is not own, each.board is not None, each.name))[:1]:
        use = accelerator.choose(machine)
        host = replace(host, accelerator=use.name, slowness=use.slowness)
        kvm = use.name == "kvm"
    cores, memory_bytes = usable_cores(), usable_memory_bytes()
    capacity = capacity_of(os.environ.get(SLOTS_VARIABLE, ""), cores, memory_bytes)
    return Facts(
        host=host,
        cores=capacity.slots if capacity else cores,
        memory_bytes=memory_bytes,
        whole_guests=capacity.whole_slots if capacity else False,
        kvm=kvm,
        arm64=any(each.platform is Platform.ARM64 for each in found),
        tpm=shutil.which("swtpm") is not None,
        machines=tuple(sorted(each.name for each in found)),
        software=software(),
    )


def _boots(machine: Machine) -> bool:
    """Whether the host has the emulator and the firmware for it."""
    try:
        verification.require_emulators([machine])
        if machine.firmware is Firmware.UEFI:
            firmware_for(machine)
    except MetallizeError:
        return False
    return True


def plain_of(facts: Facts) -> dict[str, Any]:
    """As it travels."""
    return {"schema": _SCHEMA, **asdict(replace(facts, software={})), "software": dict(facts.software)}


def facts_of(value: object) -> Facts | None:
    """What a worker has told; None for one that is no worker of a night, or says nothing that can be read."""
    try:
        data = as_mapping(value)
        if data["schema"] != _SCHEMA:
            return None
        host = as_mapping(data["host"])
        return Facts(
            host=Host(
                **{name: str(host[name]) for name in ("id", "model", "accelerator", "qemu")},
                slowness=float(host["slowness"]),
                load=float(host["load"]),
                concurrency=int(host["concurrency"]),
            ),
            cores=max(1, int(data["cores"])),
            memory_bytes=int(data["memory_bytes"]),
            whole_guests=bool(data["whole_guests"]),
            kvm=bool(data["kvm"]),
            arm64=bool(data["arm64"]),
            tpm=bool(data["tpm"]),
            machines=tuple(str(each) for each in data["machines"]),
            software=MappingProxyType({str(name): str(word) for name, word in as_mapping(data["software"]).items()}),
        )
    except (LookupError, TypeError, ValueError, OverflowError):
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a cell asks of whoever boots it."""

    guest: Need
    machine: str
    kvm: bool = False
    """It is to run with KVM or not at all."""
    arm64: bool = False
    tpm: bool = False


def needs_of(request: VerifyRequest, guest: Need) -> Needs:
    """What a cell asks, of which the guest takes so much."""
    return Needs(
        guest=guest,
        machine=request.machine.name,
        kvm=request.accel == accelerator.Choice.KVM,
        arm64=request.machine.platform is Platform.ARM64,
        tpm=has_tpm(request.boot, request.overrides),
    )


def lacks(needs: Needs, facts: Facts, ours: Mapping[str, str]) -> str:
    """Why a worker can never take a cell; empty where it can. `ours` is the software of the night's host."""
    other = skew(facts, ours)
    if other:
        return other
    if needs.machine not in facts.machines:
        return f"it has no emulator or no firmware for machine {needs.machine}"
    if needs.kvm and not facts.kvm:
        return "it has no KVM that works"
    if needs.tpm and not facts.tpm:
        return "it has no swtpm, which gives guests a TPM"
    if needs.guest.memory_bytes > facts.memory_bytes:
        return (
            f"it has {facts.memory_bytes / GIB:.1f} GiB of memory, and {needs.guest.memory_bytes / GIB:.1f} are asked"
        )
    return ""


def skew(facts: Facts, ours: Mapping[str, str]) -> str:
    """What of a worker's software is another than here; empty where nothing is."""
    names = {**ours, **facts.software}
    pairs = [(name, facts.software.get(name, "none"), ours.get(name, "none")) for name in sorted(names)]
    other = [f"{name} {there} and not {here}" for name, there, here in pairs if there != here]
    return f"it runs {', '.join(other)}" if other else ""


def supplies_of(facts: Facts) -> dict[str, float]:
    """What a worker has to give, as dask counts it."""
    found = {"metallize_cores": float(facts.cores), "memory_gib": facts.capacity.memory_bytes / GIB}
    if facts.kvm:
        found["metallize_kvm"] = float(facts.cores)
    if facts.arm64:
        found["metallize_arm64"] = float(facts.cores)
    return found


def takes_of(needs: Needs, facts: Facts) -> dict[str, float]:
    """What a cell takes of that: a guest that is larger than the host takes all of it."""
    slots = float(facts.capacity.slots_of(needs.guest))
    memory_bytes = min(needs.guest.memory_bytes, facts.capacity.memory_bytes)
    found = {"metallize_cores": slots, "memory_gib": memory_bytes / GIB}
    if needs.kvm:
        found["metallize_kvm"] = slots
    if needs.arm64:
        found["metallize_arm64"] = slots
    return found
