"""`keys` of a machine: the certificates that its firmware holds in place of Microsoft's, from a file to a text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from metallize.config.named_files import named_file
from metallize.config.reading.tree import Entry, Mapping, Scalar, kind_of, shown
from metallize.config.reading.validation import Findings
from metallize.files.certificates import certificates_in
from metallize.model.catalogue import MachineEntry


def with_keys_read(entry: Entry, profile: Path, machine: MachineEntry | None, findings: Findings) -> Entry:
    """An entry of boot.machines with the certificates in place of their file's name."""
    node = entry.value
    if not isinstance(node, Mapping):
        return entry
    keys, setup = node.get("keys"), node.get("setup_mode")
    for each in (keys, setup):
        if each is not None and machine is not None and not machine.secure_boot:
            message = f"`{each.key}`: machine `{machine.name}` has no Secure Boot, so nobody asks for a key"
            findings.add(each.location, message, "choose one that has: machine: ovmf-secureboot")
    if keys is None:
        return entry
    if setup is not None and isinstance(setup.value, Scalar) and setup.value.value is True:
        message = "`setup_mode`: its firmware holds `keys`, and so is in no setup mode"
        findings.add(setup.location, message, "leave one of the two out")
    read = replace(keys, value=_read(keys, profile, findings))
    entries = tuple(read if each is keys else each for each in node.entries)
    return replace(entry, value=replace(node, entries=entries))


def _read(entry: Entry, profile: Path, findings: Findings) -> Scalar:
    node = entry.value
    text = ""
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        message = f"`keys` is a file of certificates in PEM, not {kind_of(node)}: `{shown(node)}`"
        findings.add(node.location, message, "for example keys: db.pem")
    else:
        try:
            text = "".join(certificates_in(named_file(node, profile).read_text(encoding="utf-8")))
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else exc
            findings.add(node.location, f"`keys`: `{shown(node)}` cannot be read: {reason}", "it is a file in PEM")
    return Scalar(location=node.location, value=text, text=text, verbatim=True)
