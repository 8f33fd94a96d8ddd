"""What did not hold, as CI systems show it beside the lines that asked for it. Pure.

GitHub: workflow commands, one a line of the log (actions/toolkit, packages/core/src/command.ts, has the escapes).
GitLab: a code quality report (its documentation, "Code Quality report format", has the fields that it requires).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metallize.model.report import Status
from metallize.report.ci_systems import System

_MOST_CLAIMS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One thing that did not hold, and where it was asked for."""

    title: str
    text: str
    id: str
    """The same from one run to the next."""
    path: str
    line: int
    column: int


def annotations_of(record: Mapping[str, Any], root: Path) -> Iterator[Annotation]:
    """Of one image's record. Places are told from `root`, the checkout, where they are in it."""
    profile = str(record.get("profile", ""))
    for machine in record.get("machines", ()):
        name = str(machine["machine"])
        failure = machine.get("failure")
        cause = str(failure.get("cause", "")) if isinstance(failure, Mapping) else ""
        if cause:
            yield _at(f"{profile}:1:1", root, f"it does not boot on {name}", cause, f"{name} boots")
        for result in machine.get("results", ()):
            if Status(result["status"]).good or (cause and result["status"] == "unseen"):
                continue
            title = f"{result['title']}, on {name}"
            place = str(result.get("location") or f"{profile}:1:1")
            yield _at(place, root, title, _told(result), f"{name} {result['id']}")


def _told(result: Mapping[str, Any]) -> str:
    against = [each for each in result.get("claims", ()) if not each.get("holds") and not each.get("skipped")]
    lines = [
        f"{each['attribute']}: expected {each['expected']}, found {each['actual']}" for each in against[:_MOST_CLAIMS]
    ]
    return "\n".join([*lines, str(result.get("note") or "")]).strip() or f"it is {result['status']}"


def _at(location: str, root: Path, title: str, text: str, identity: str) -> Annotation:
    match = re.fullmatch(r"(.*?):(\d+)(?::(\d+))?", location)
    path = Path(match[1] if match else location)
    near = os.path.relpath(path.absolute(), root.absolute())
    return Annotation(
        title=title,
        text=text,
        id=identity,
        path=str(path) if near.startswith("..") else near,
        line=int(match[2]) if match else 1,
        column=int(match[3] or 1) if match else 1,
    )


def as_text(system: System, found: Iterable[Annotation]) -> str:
    """What is printed: for GitHub lines of the job's log, for GitLab the report that the job keeps."""
    if system is System.GITHUB:
        return "".join(f"{_command(each)}\n" for each in found)
    return json.dumps([_quality(each) for each in found], indent=1, ensure_ascii=False) + "\n"


def _command(each: Annotation) -> str:
    fields = {"file": each.path, "line": str(each.line), "col": str(each.column), "title": each.title}
    told = ",".join(f"{name}={_escaped(value, more=True)}" for name, value in fields.items())
    return f"::error {told}::{_escaped(each.text)}"


def _escaped(text: str, *, more: bool = False) -> str:
    for character in "%\r\n" + (":," if more else ""):
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _quality(each: Annotation) -> dict[str, object]:
    return {
        "description": f"{each.title}: {each.text}",
        "check_name": each.id,
        "fingerprint": hashlib.sha256(f"{each.path} {each.id}".encode()).hexdigest(),
        "severity": "major",
        "location": {"path": each.path, "lines": {"begin": each.line}},
    }
