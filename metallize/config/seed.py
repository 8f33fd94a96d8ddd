"""The key `boot.seed`: files for cloud-init, from beside the profile, as text or as a mapping."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from metallize.config.named_files import named_file
from metallize.config.reading.tree import Entry, Mapping, Scalar, Sequence, plain, shown
from metallize.config.reading.validation import Findings
from metallize.config.reading.words import path_problem
from metallize.model.boot import SeedFile

MAX_BYTES = 1 << 20


def read_seed(entry: Entry, path: Path, findings: Findings) -> Entry:
    """The entry with the content of each file in place of what was written."""
    if not isinstance(entry.value, Mapping):
        return entry
    if not entry.value.entries:
        findings.add(entry.location, "`seed` is empty, so cloud-init is told nothing", "leave it out")
    items = []
    for item in entry.value.entries:
        if item.key in list(SeedFile):
            items.append(_content(item, path, findings))
        else:
            findings.unknown(item.location, item.key, list(SeedFile))
    return replace(entry, value=replace(entry.value, entries=tuple(items)))


def _content(entry: Entry, path: Path, findings: Findings) -> Entry:
    node = entry.value
    match node:
        case Mapping() | Sequence():
            # JSON is YAML; cloud-init knows its own kind of user-data by the first line
            head = "#cloud-config\n" if entry.key in {"user-data", "vendor-data"} else ""
            text = f"{head}{json.dumps(plain(node), indent=1)}\n"
        case Scalar() if "\n" in node.text or node.text.startswith("#"):
            text = node.text
        case Scalar():
            text = _read(node, path, findings)
    return replace(entry, value=Scalar(location=node.location, value=text, text=text, verbatim=True))


def _read(node: Scalar, profile: Path, findings: Findings) -> str:
    if (problem := path_problem(node.text)) is not None:
        findings.add(node.location, f"{problem}: `{shown(node)}`", "name a file beside the profile, or write its text")
        return ""
    file = named_file(node, profile)
    try:
        if file.stat().st_size > MAX_BYTES:
            findings.add(node.location, f"`{shown(node)}` is larger than {MAX_BYTES >> 20} MiB")
            return ""
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is no text"
        findings.add(node.location, f"`{shown(node)}` cannot be read: {reason}", "name a file beside the profile")
        return ""
