"""Attempts and images as the tests of the night make them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from metallize.night.attempt import Attempt, Cell, Host, Status, run_id

FIRST = datetime(2026, 1, 1, 2, 0, tzinfo=UTC)
HOST = Host(id="h1", model="cpu x2", accelerator="kvm", slowness=2.0, qemu="7.2.1")
CELL = Cell(profile="web", output="", machine="seabios")


def night(number: int) -> str:
    """When the night of this number, counted from 1, began."""
    return (FIRST + timedelta(days=number - 1)).isoformat(timespec="seconds")


def attempt(number: int, status: str = "PASS", **said: Any) -> Attempt:
    """One of the cell `web on seabios`, in the night of this number; the image and the kernel are others from 3 on."""
    cell = said.pop("cell", CELL)
    host = said.pop("host", HOST)
    count = said.pop("attempt", 1)
    stages = said.pop("stages", {"ready": 20.0 + number} if status == "PASS" else {})
    said.setdefault("sha256", "a" * 64 if number < 3 else "b" * 64)
    said.setdefault("versions", MappingProxyType({"kernel": "6.12.1" if number < 3 else "6.12.2"}))
    said.setdefault("stage", "ready" if status == "PASS" else "kernel")
    said.setdefault("reason", "" if status == "PASS" else "the kernel panicked")
    said.setdefault("started", night(number))
    said.setdefault("run_folder", f"build/runs/{cell.profile}/{number}")
    said.setdefault("run", run_id(number, cell, host.id, count, said.get("confirms", "")))
    return Attempt(
        night=night(number), cell=cell, attempt=count, status=Status(status), host=host,
        stages=MappingProxyType(stages), **said,
    )  # fmt: skip


def of(profile: str, machine: str = "seabios", output: str = "") -> Cell:
    return Cell(profile=profile, output=output, machine=machine)
