"""The key `boot.actions`: what is done to the machine, and what must hold then."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from dataclasses import replace

from metallize.config.assertions import decode_assertions
from metallize.config.reading.suggest import did_you_mean
from metallize.config.reading.tree import Entry, Mapping, Sequence
from metallize.config.reading.validation import Findings
from metallize.model.assertion import Assertion
from metallize.model.boot import Boot
from metallize.model.kind import Kind
from metallize.model.nic import nic_names


def action_assertions(entry: Entry | None, kinds: MappingABC[str, Kind], findings: Findings) -> tuple[Assertion, ...]:
    """The `assert` of each action, each assertion with its action's number."""
    if entry is None or not isinstance(entry.value, Sequence):
        return ()
    if not entry.value.items:
        findings.add(entry.location, "`actions` is empty, so nothing is done", "leave it out")
    found: list[Assertion] = []
    for number, item in enumerate(entry.value.items):
        own = item.get("assert") if isinstance(item, Mapping) else None
        if own is not None:
            decoded = decode_assertions(own.value, own.location, kinds, findings, own=True)
            found += (replace(assertion, action=number) for assertion in decoded)
    return tuple(found)


def without_assertions(entry: Entry) -> Entry:
    """The actions as their model takes them."""
    if not isinstance(entry.value, Sequence):
        return entry
    items = tuple(
        Mapping(location=item.location, entries=tuple(each for each in item.entries if each.key != "assert"))
        if isinstance(item, Mapping)
        else item
        for item in entry.value.items
    )
    return replace(entry, value=replace(entry.value, items=items))


def check_links(node: Mapping, boot: Boot, findings: Findings) -> None:
    """Every card that an action names must be in every machine."""
    entry = node.get("actions")
    if entry is None or not isinstance(entry.value, Sequence):
        return
    declared = [overrides.nics or boot.nics or () for overrides in boot.machines.values()] or [boot.nics or ()]
    for item in entry.value.items:
        links = item.get("link") if isinstance(item, Mapping) else None
        for link in links.value.entries if links is not None and isinstance(links.value, Mapping) else ():
            lacking = next((nics for nics in declared if link.key not in nic_names(nics)), None)
            if lacking is not None:
                names = nic_names(lacking)
                hint = did_you_mean(link.key, names) or f"there is {', '.join(names)}"
                findings.add(link.location, f"`{link.key}` is no network card of every machine", hint)
