"""What this host has and lacks for building and booting, each with the command that mends it."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from metallize.build.dockerfile.frontend import built_in
from metallize.build.engines import buildkit
from metallize.build.engines.docker import DockerEngine
from metallize.build.engines.survey import EngineFacts
from metallize.errors import HostError, MetallizeError
from metallize.machines import aavmf, ovmf
from metallize.qemu.firmware import firmware_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    fine: bool
    detail: str
    mend: str = ""
    needed: bool = True

    def line(self) -> str:
        mark = "ok  " if self.fine else ("MISS" if self.needed else "opt ")
        text = f"{mark} {self.subject}: {self.detail}"
        return text if self.fine or not self.mend else f"{text}\n       mend: {self.mend}"

    def as_json(self) -> dict[str, object]:
        return asdict(self)


_PROGRAMS = (
    ("qemu-system-x86_64", "boots guests", "sudo apt-get install qemu-system-x86", True),
    ("qemu-img", "makes overlays", "sudo apt-get install qemu-utils", True),
    ("swtpm", "gives guests a TPM", "sudo apt-get install swtpm", False),
    ("ssh", "speaks to guests whose sshd is hardened", "sudo apt-get install openssh-client", False),
    ("mmdebstrap", "makes base images where no registry is", "sudo apt-get install mmdebstrap", False),
    ("qemu-system-aarch64", "boots a Raspberry Pi's card", "sudo apt-get install qemu-system-arm", False),
    ("mcopy", "reads a Raspberry Pi's card", "sudo apt-get install mtools", False),
)


def examine() -> tuple[Finding, ...]:
    """Look at everything; never raises for what is missing."""
    return (*_docker(), *_programs(), _emulation(), *_firmware(), _kvm(), _space())


def _docker() -> Iterator[Finding]:
    host = None
    try:
        engine = DockerEngine()
        try:
            yield from _engine(engine.facts)
            host = engine.host
        finally:
            engine.close()
    except MetallizeError as exc:
        yield Finding(subject="Docker engine", fine=False, detail=exc.message, mend=exc.hint or "")
    yield _command(host)


def _engine(facts: EngineFacts) -> Iterator[Finding]:
    """That it answers, what it reads, and what it lacks."""
    syntax = built_in(facts.version)
    reads = f", and reads Dockerfile syntax {syntax[0]}.{syntax[1]} by itself" if syntax else ""
    lacks = list(facts.lacks())
    if not any(lack.needed for lack in lacks):
        yield Finding(subject="Docker engine", fine=True, detail=f"{facts.words()} answers{reads}")
    for lack in lacks:
        detail = f"{facts.words()}: {lack.what}"
        yield Finding(subject="Docker engine", fine=False, detail=detail, mend=lack.mend, needed=lack.needed)


def _command(host: str | None) -> Finding:
    """Whether there is a docker command that can build, and that the engine at `host` understands."""
    try:
        cli = buildkit.find_cli()
    except MetallizeError as exc:
        return Finding(subject="docker command", fine=False, detail=exc.message, mend=exc.hint or "")
    refused = buildkit.refusal(cli, host) if host else None
    if refused is None:
        return Finding(subject="docker command", fine=True, detail=f"{cli.path} {cli.version} ({cli.reason})")
    return Finding(
        subject="docker command",
        fine=False,
        detail=f"{cli.path} {cli.version} cannot speak to the engine: {refused}",
        mend="unset DOCKER_API_VERSION"
        if os.environ.get("DOCKER_API_VERSION")
        else "install one of the engine's age: sudo apt-get install docker-cli docker-buildx"
        " (docker-ce-cli docker-buildx-plugin of Docker's own packages)",
    )


def _programs() -> Iterator[Finding]:
    for program, purpose, mend, needed in _PROGRAMS:
        path = shutil.which(program)
        yield Finding(
            subject=program,
            fine=path is not None,
            detail=f"{path or 'not installed'} ({purpose})",
            mend=mend,
            needed=needed,
        )


def _emulation() -> Finding:
    """Whether containers of the other architecture run here: binfmt_misc(kernel), whose flag F reaches into them."""
    foreign = "x86_64" if platform.machine() == "aarch64" else "aarch64"
    entry = Path(f"/proc/sys/fs/binfmt_misc/qemu-{foreign}")
    try:
        flags = [line for line in entry.read_text().splitlines() if line.startswith("flags:")]
    except OSError:
        flags = []
    fine = any("F" in line.removeprefix("flags:") for line in flags)
    return Finding(
        subject=f"{foreign} containers",
        fine=fine,
        detail=f"{entry} {'runs them' if fine else 'is not there, or lacks flag F'}",
        mend="sudo apt-get install qemu-user-static binfmt-support, then start scripts/quickstart, which registers it",
        needed=False,
    )


def _firmware() -> Iterator[Finding]:
    """What each of these machines would be started with."""
    for machine, subject, package in (
        (ovmf.MACHINE, "UEFI firmware", "ovmf"),
        (aavmf.MACHINE, "UEFI firmware of arm64", "qemu-efi-aarch64"),
    ):
        try:
            pair = firmware_for(machine)
            detail, fine = f"{pair.description} ({pair.code})", True
        except HostError as exc:
            detail, fine = exc.message, False
        yield Finding(
            subject=subject,
            fine=fine,
            detail=detail,
            mend=f"sudo apt-get install {package}",
            needed=machine is ovmf.MACHINE,
        )


def _kvm() -> Finding:
    usable = os.access("/dev/kvm", os.R_OK | os.W_OK)
    detail = (
        "/dev/kvm opens; each verification probes whether it really runs guests" if usable else "no /dev/kvm to open"
    )
    return Finding(
        subject="KVM",
        fine=usable,
        detail=detail,
        mend="guests run emulated (slower); for KVM enable virtualisation and join the group kvm",
        needed=False,
    )


def _space() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    return Finding(
        subject="disk space",
        fine=free > 5 << 30,
        detail=f"{free >> 30} GiB free here",
        mend="a build needs about 5 GiB; choose another folder with --build-dir",
    )
