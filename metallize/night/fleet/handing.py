"""What is handed to a worker for one boot, and what it says where it made none, as this host says it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from metallize.build.store import Stored
from metallize.errors import HostError, MetallizeError
from metallize.night.attempt import Host, Status
from metallize.night.executors import Work
from metallize.night.fleet.depot import Address
from metallize.night.fleet.facts import software
from metallize.night.fleet.shared import SharedAddress
from metallize.night.fleet.task import Fault, Task
from metallize.qemu.plan import cpus_of
from metallize.shells.ssh_access import EPHEMERAL


def task_of(work: Work, stored: Stored, key: str, build_dir: Path, depot: Address | SharedAddress) -> Task:
    """What a worker needs to know. Raises HostError where the image or the key to log in with is not there."""
    asked = work.request
    request = replace(
        asked,
        boot=asked.boot.model_copy(update={"cpus": cpus_of(asked.boot, asked.overrides)}),  # as here, and not as there
        kinds={},
        image=Path("image"),
        sha256=stored.sha256,
        published=(build_dir / work.profile.output.file).absolute(),
        keep_running=False,
    )
    return Task(
        key=key,
        request=request,
        size_bytes=_size_of(stored.path),
        ssh_key=_key_text(request.boot.ssh.key if request.boot.ssh else None),
        depot=depot,
        software=dict(software()),
    )


def error_of(fault: Fault | None, host: Host) -> MetallizeError:
    """As it would be raised here."""
    if fault is None:
        return HostError(f"the worker on {host.id} has seen nothing")
    message = f"on {host.id}: {fault.message}"
    return (
        _ElsewhereError(message, hint=fault.hint)
        if fault.status is Status.ERROR
        else HostError(message, hint=fault.hint)
    )


class _ElsewhereError(MetallizeError):
    """What a worker could not boot through no fault of its own."""


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as exc:
        raise HostError(f"{path}: {exc.strerror or exc}", hint="has somebody removed it?") from exc


def _key_text(key: str | None) -> str:
    """The private key to log in with, where it is a file's. Raises HostError."""
    if key is None or key == EPHEMERAL:
        return ""
    try:
        return Path(key).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeError) as exc:
        raise HostError(f"the SSH key {key} cannot be read: {exc}") from exc
