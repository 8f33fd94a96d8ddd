"""What of `boot` is more than its shape: rules of refusal, console steps, units with a budget, each at its place."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from metallize.config.named_files import with_update_found
from metallize.config.reading.source import read_tree
from metallize.config.reading.suggest import did_you_mean
from metallize.config.reading.tree import Entry, Mapping, Scalar, Sequence, kind_of, shown
from metallize.config.reading.validation import Findings, decode
from metallize.errors import ProfileError
from metallize.model.boot import Step
from metallize.model.go_regex import compile_go_regex
from metallize.model.keys import KEYS, unknown_keys
from metallize.model.update import Update

_UNIT = re.compile(
    r"[A-Za-z0-9:_.\\@-]{1,250}\.(?:service|socket|target|mount|automount|swap|timer|path|slice|scope|device)"
)


def check_expectations(boot: Mapping, refusals: Collection[str], findings: Findings) -> None:
    """Everything below, in a `boot` section."""
    for entry in _expects(boot):
        _check_rules(entry, refusals, findings)
    steps = boot.get("steps")
    if steps is not None and isinstance(steps.value, Sequence):
        check_steps(steps.value, findings)
        if not steps.value.items:
            findings.add(steps.location, "`steps` is empty, so nothing is waited for or typed", "leave it out")
    _check_units(boot, findings)


def load_steps(path: Path) -> tuple[Step, ...]:
    """The console steps of a file that holds a list of them. Raises ProfileError with every problem."""
    findings = Findings()
    root = read_tree(path, findings.problems)
    steps: list[Step] = []
    if isinstance(root, Sequence) and root.items:
        check_steps(root, findings)
        decoded = [decode(Step, item, findings, place=item.location) for item in root.items]
        steps = [step for step in decoded if step is not None]
    elif root is not None:
        message = f"a list of steps is wanted here, not {kind_of(root)}: `{shown(root)}`"
        findings.add(root.location, message, 'for example - {expect: "boot:", send: "<enter>"}')
    if findings.problems:
        raise ProfileError(findings.sorted())
    return tuple(steps)


def load_update(path: Path) -> Update:
    """What `boot.update` of a profile says, from a file of its own. Raises ProfileError with every problem."""
    findings = Findings()
    root = read_tree(path, findings.problems)
    update = None
    if isinstance(root, Mapping):
        found = with_update_found(Entry(key="update", location=root.location, value=root), path).value
        update = decode(Update, found, findings, place=root.location)
        before = found.get("from") if isinstance(found, Mapping) else None
        if update is not None and before is not None and _names_releases(update.before):
            message = "`from`: of an image that no profile tells of nobody knows which release came before"
            findings.add(before.location, message, "name the image of the release before")
    elif root is not None:
        message = f"what boot.update has is wanted here, not {kind_of(root)}: `{shown(root)}`"
        findings.add(root.location, message, "for example {from: old.img, engine: rauc, files: bundles}")
    if update is None or findings.problems:
        raise ProfileError(findings.sorted())
    return update


def _names_releases(text: str) -> bool:
    return text.startswith(("http://", "https://")) or Path(text).is_dir()


def check_steps(steps: Sequence, findings: Findings) -> None:
    """Each step does something, its pattern can be searched, and its keys exist."""
    for item in steps.items:
        if not isinstance(item, Mapping):
            continue
        expect, send = item.get("expect"), item.get("send")
        if expect is None and send is None:
            message = "a step waits for something (`expect`), types something (`send`), or both"
            findings.add(item.location, message, 'for example {expect: "boot:", send: "<enter>"}')
        if expect is not None and isinstance(expect.value, Scalar):
            _check_pattern(expect.value, findings)
        if send is not None and isinstance(send.value, Scalar):
            _check_keys(send.value, findings)


def _check_pattern(node: Scalar, findings: Findings) -> None:
    text = node.text
    if not text.strip("/"):
        findings.add(node.location, "`expect`: an empty text is everywhere")
    match = re.fullmatch(r"/(.+)/([ims]*)", text, re.DOTALL)
    if match is None:
        return
    try:
        found = compile_go_regex(match[1], match[2]).search("")
    except ValueError as exc:
        findings.add(node.location, f"`expect`: {exc}")
    else:
        if found is not None:
            findings.add(node.location, f"`expect`: `{shown(node)}` matches nothing at all, so it waits for nothing")


def _check_keys(node: Scalar, findings: Findings) -> None:
    for name in unknown_keys(node.text):
        hint = did_you_mean(name.lower(), KEYS)
        findings.add(node.location, f"`send`: there is no key `<{name}>`", hint or "<lt> types a <")
    if not node.text:
        findings.add(node.location, "`send`: nothing to type", "<enter> is the enter key")


def _expects(boot: Mapping) -> Iterator[Entry]:
    """boot.expect and that of each machine."""
    machines = boot.get("machines")
    entries = machines.value.entries if machines is not None and isinstance(machines.value, Mapping) else ()
    for holder in (boot, *(entry.value for entry in entries)):
        found = holder.get("expect") if isinstance(holder, Mapping) else None
        if found is not None:
            yield found


def _check_rules(entry: Entry, refusals: Collection[str], findings: Findings) -> None:
    refused = entry.value.get("refused") if isinstance(entry.value, Mapping) else None
    if refused is None:
        return
    items = refused.value.items if isinstance(refused.value, Sequence) else (refused.value,)
    for item in items:
        if isinstance(item, Scalar) and item.value is not None and item.text not in refusals:
            hint = did_you_mean(item.text, refusals) or f"there are {', '.join(sorted(refusals))}"
            findings.add(item.location, f"`refused`: there is no rule `{shown(item)}` by which a boot is refused", hint)


def _check_units(boot: Mapping, findings: Findings) -> None:
    time = boot.get("time")
    units = time.value.get("units") if time is not None and isinstance(time.value, Mapping) else None
    if units is None or not isinstance(units.value, Mapping):
        return
    if not units.value.entries:
        findings.add(units.location, "`units` is empty, so it asserts nothing", "leave it out, or name a unit")
    for entry in units.value.entries:
        if _UNIT.fullmatch(entry.key) is None:
            hint = f"for example {entry.key}.service" if re.fullmatch(r"[A-Za-z0-9@_-]+", entry.key) else None
            findings.add(entry.location, f"`{entry.key[:60]}` is no name of a unit", hint)
