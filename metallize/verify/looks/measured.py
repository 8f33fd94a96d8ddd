"""PCR 11 of a guest's TPM: what the manifest predicts of it, and how a guest is asked.

systemd-stub has measured the kernel image that was started, systemd a word for each phase of the boot
(systemd-pcrphase.service(8)). So the value says which kernel, initrd and command line run, and how far they came.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metallize.errors import HostError, Location
from metallize.files.json_file import as_mapping, as_text
from metallize.model.assertion import Assertion
from metallize.model.kind import Kind

TITLE = "PCR 11 is what the manifest predicts"
_BANK = "sha256"
_VALUE = re.compile(r"[0-9a-f]{64}")
_PHASE = re.compile(r"[a-z-]{1,40}")
_STARTED = "the kernel image"
_NOTHING = "nothing was measured: the firmware drives no TPM, or no systemd-stub was started"
_OTHER = "which this image gives at no point: another kernel image was started, or something else was measured too"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point of the boot, by all that was measured until then, and the register's value there."""

    phases: tuple[str, ...]
    value: str

    @property
    def told(self) -> str:
        """What the guest says of it."""
        return f"{self.value}, of {', '.join([_STARTED, *self.phases])}"


def points_of(manifest: Mapping[str, Any]) -> tuple[Point, ...]:
    """In the order of the boot; none where the manifest predicts nothing. Raises HostError where it is damaged."""
    told = manifest.get("pcr11")
    if told is None:
        return ()
    try:
        return _points(as_mapping(told))
    except (ValueError, LookupError, TypeError) as exc:
        raise HostError(f"the manifest does not tell what PCR 11 will be: {exc}", hint="build the image again") from exc


def _points(told: Mapping[str, Any]) -> tuple[Point, ...]:
    points = tuple(_point(as_mapping(each)) for each in told["values"])
    if told["bank"] != _BANK or not points:
        raise ValueError(f"{told['bank']} is no bank that is asked for, or it has no values")
    return points


def _point(told: Mapping[str, Any]) -> Point:
    point = Point(phases=tuple(as_text(each) for each in told["phases"]), value=as_text(told["value"]))
    if _VALUE.fullmatch(point.value) is None or any(_PHASE.fullmatch(each) is None for each in point.phases):
        raise ValueError(f"{point.value!r} is no digest, or {point.phases!r} are no phases")
    return point


def measured_promises(manifest: Mapping[str, Any], kinds: Mapping[str, Kind]) -> tuple[Assertion, ...]:
    """That it has the value of the boot's last phase, where the manifest predicts one. Raises as `points_of` does."""
    points = points_of(manifest)
    if not points:
        return ()
    options = kinds["command"].options.model_validate(
        {"title": TITLE, "exec": probe(points), "exit-status": 0, "stdout": [points[-1].told]}
    )
    place = Location(path=Path("the image's manifest"), line=1, column=1)
    return (Assertion(kind="command", resource=TITLE, options=options, location=place),)


def probe(points: tuple[Point, ...]) -> str:
    """A snippet that prints the value and what it is of, for a person to read where it is another one; pure."""
    last = points[-1]
    lines = [
        f"read -r value </sys/class/tpm/tpm0/pcr-{_BANK}/11 || exit",
        "value=$(echo $value | tr A-F a-f)",
        "case $value in",
    ]
    for point in points:
        missing = last.phases[len(point.phases) :]
        more = f"; not measured: {', '.join(missing)}" if missing else ""
        lines.append(f'{point.value}) echo "{point.told}{more}" ;;')
    lines += [f'{"0" * 64}) echo "$value: {_NOTHING}" ;;', f'*) echo "$value, {_OTHER}" ;;', "esac"]
    return "\n".join(lines)
