"""boot.groups: what is done to a ready guest and what must hold then, as values with their places."""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingABC

from metallize.config.assertions import decode_assertions
from metallize.config.reading.tree import Entry, Mapping, Node, Scalar, Sequence, kind_of, shown
from metallize.config.reading.validation import Findings
from metallize.model.assertion import Assertion, Group
from metallize.model.kind import Kind

KEYS = ("run", "assert")


def decode_groups(boot: Node, kinds: MappingABC[str, Kind], findings: Findings) -> tuple[Group, ...]:
    """The groups of a `boot` section, in their order."""
    entry = boot.get("groups") if isinstance(boot, Mapping) else None
    if entry is None:
        return ()
    if not isinstance(entry.value, Mapping):
        message = f"`groups` is a mapping of names, not {kind_of(entry.value)}: `{shown(entry.value)}`"
        findings.add(entry.location, message, "for example {full-disk: {run: [fallocate -l 1G /f]}}")
        return ()
    if not entry.value.entries:
        findings.add(entry.location, "`groups` is empty, so it asserts nothing", "leave it out, or name a group")
    return tuple(_group(item, kinds, findings) for item in entry.value.entries)


def _group(entry: Entry, kinds: MappingABC[str, Kind], findings: Findings) -> Group:
    run: tuple[str, ...] = ()
    assertions: tuple[Assertion, ...] = ()
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", entry.key) is None:
        message = f"`{entry.key[:60]}` is no name: letters, digits and . _ -"
        findings.add(entry.location, message, "reports and run folders are called by it")
    if not isinstance(entry.value, Mapping) or not entry.value.entries:
        message = f"group `{entry.key[:60]}` does nothing and asserts nothing"
        findings.add(entry.location, message, "it takes `run`, a list of commands, and `assert`")
        return Group(name=entry.key, run=run, assertions=assertions, location=entry.location)
    for item in entry.value.entries:
        if item.key == "run":
            run = _commands(item, findings)
        elif item.key == "assert":
            assertions = decode_assertions(item.value, item.location, kinds, findings, own=True)
        else:
            findings.unknown(item.location, item.key, KEYS)
    return Group(name=entry.key, run=run, assertions=assertions, location=entry.location)


def _commands(entry: Entry, findings: Findings) -> tuple[str, ...]:
    if not isinstance(entry.value, Sequence) or not entry.value.items:
        message = f"`run` is a list of commands, not {kind_of(entry.value)}: `{shown(entry.value)}`"
        hint = f"write [{shown(entry.value)}]" if isinstance(entry.value, Scalar) else None
        findings.add(entry.location, message, hint)
        return ()
    for item in entry.value.items:
        if not isinstance(item, Scalar) or not item.text.strip():
            findings.add(item.location, f"a command is wanted here, not {kind_of(item)}: `{shown(item)}`")
    return tuple(item.text for item in entry.value.items if isinstance(item, Scalar))
