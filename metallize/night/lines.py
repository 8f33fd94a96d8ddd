"""An attempt as a line of JSON, and back; a line of the nightlies that were, before statuses had KCIDB's names, too."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from types import MappingProxyType
from typing import Any

from metallize.files.json_file import as_mapping
from metallize.night.attempt import READY, Attempt, Cell, Host, Status, run_id

SCHEMA = 1
"""Of a line: fields are added, none is given another meaning (docs/nightly.md)."""
MOST_NAMES = 400
"""So many stages or units of one attempt are read: a guest names its units itself."""
_OLD_OUTCOMES = {
    "passed": Status.PASS,
    "failed": Status.FAIL,
    "broken": Status.ERROR,
    "skipped": Status.SKIP,
}


def line_of(attempt: Attempt) -> str:
    """One line without its newline; the same attempt is the same line everywhere."""
    return json.dumps({"schema": SCHEMA, **plain_of(attempt)}, sort_keys=True, separators=(",", ":"))


def plain_of(attempt: Attempt) -> dict[str, Any]:
    """Every field under its own name, the cell's three beside them; what says nothing is left out."""
    found: dict[str, Any] = {}
    for name in (each.name for each in fields(Attempt)):
        value = getattr(attempt, name)
        if name == "cell":
            found |= asdict(attempt.cell)
        elif name == "host":
            found["host"] = {key: value for key, value in asdict(attempt.host).items() if key != "clock" or value}
        elif isinstance(value, Mapping):
            if value:
                found[name] = dict(value)
        elif value or name in ("run", "night", "attempt", "status"):
            found[name] = str(value) if isinstance(value, Status) else value
    return found


def attempt_of(line: str) -> Attempt:
    """The attempt of a line. Raises ValueError for what is none: cut short, another thing, a number that is none."""
    try:
        data = as_mapping(json.loads(line, parse_constant=_refuse))
        return _old(data) if "outcome" in data else _new(data)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError) as exc:
        raise ValueError(f"it is no attempt: {exc}") from None


def _new(data: Mapping[str, Any]) -> Attempt:
    host = as_mapping(data.get("host", {}))
    return Attempt(
        run=_named(data["run"]),
        night=_named(data["night"]),
        cell=Cell(
            profile=_named(data["profile"]), output=str(data.get("output", "")), machine=str(data.get("machine", ""))
        ),
        attempt=int(data.get("attempt", 1)),
        status=Status(data["status"]),
        stage=str(data.get("stage", "")),
        reason=str(data.get("reason", "")),
        signature=str(data.get("signature", "")),
        started=str(data.get("started", "")),
        sha256=str(data.get("sha256", "")),
        known_issue=str(data.get("known_issue", "")),
        run_folder=str(data.get("run_folder", "")),
        confirms=str(data.get("confirms", "")),
        cut=int(data.get("cut", 0)),
        layer=str(data.get("layer", "")),
        led_by=str(data.get("led_by", "")),
        stages=_numbers(data.get("stages", {})),
        units=_numbers(data.get("units", {})),
        metrics=_numbers(data.get("metrics", {})),
        versions=_words(data.get("versions", {})),
        host=Host(
            **{name: str(host.get(name, "")) for name in ("id", "model", "accelerator", "clock", "qemu")},
            slowness=_number(host.get("slowness", 1)),
            load=_number(host.get("load", 0)),
            concurrency=int(host.get("concurrency", 1)),
        ),
    )


def _old(data: Mapping[str, Any]) -> Attempt:
    """A line as `metallize nightly` wrote it: of the host QEMU and its slowness, of the times the one until ready."""
    profile, _, output = _named(data["profile"]).partition("/")
    machine = str(data["machine"])
    versions = {name: value for name, value in _words(data.get("versions", {})).items() if name != "qemu"}
    ready = data.get("ready_seconds")
    return Attempt(
        run=run_id("before", *(data.get(name, "") for name in ("night", "profile", "machine", "date", "run_folder"))),
        night=_named(data["night"]),
        cell=Cell(profile=profile, output=output, machine=machine),
        status=_OLD_OUTCOMES[data["outcome"]],
        stage=str(data.get("stage", "")),
        reason=str(data.get("cause", "")),
        started=str(data.get("date", "")),
        sha256=str(data.get("sha256", "")),
        run_folder=str(data.get("run_folder", "")),
        stages=_numbers({} if ready is None else {READY: ready}),
        metrics=_numbers({"seconds": data["seconds"]} if data.get("seconds") else {}),
        host=Host(qemu=_words(data.get("versions", {})).get("qemu", ""), slowness=_number(data.get("slowness", 1))),
        versions=MappingProxyType(versions),
    )


def _named(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"a name is wanted, not {value!r}")
    return value


def _numbers(value: object) -> Mapping[str, float]:
    found = as_mapping(value)
    if len(found) > MOST_NAMES:
        raise ValueError(f"it names {len(found)} of one kind")
    return MappingProxyType({str(name): _number(number) for name, number in found.items()})


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"a number is wanted, not {value!r}")
    return float(value)


def _words(value: object) -> Mapping[str, str]:
    return MappingProxyType({str(name): str(word) for name, word in as_mapping(value).items()})


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number")
