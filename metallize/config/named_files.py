"""Where a file is that a profile names: beside the file in which its name is written, be that one that it extends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from metallize.config.reading.tree import Entry, Mapping, Scalar
from metallize.config.reading.words import path_problem
from metallize.files.token_uri import names_token

EPHEMERAL = "ephemeral"
_ADDRESSES = ("http://", "https://")


def named_file(node: Scalar, profile: Path) -> Path:
    """The file that a value names: beside the file that says so, else beside the profile itself.

    What stands on the command line (--set) is looked for beside the profile.
    """
    beside = profile.parent / node.text
    if node.verbatim:
        return beside
    own = node.location.path.parent / node.text
    return own if own.exists() or not beside.exists() else beside


def with_update_found(entry: Entry, profile: Path) -> Entry:
    """`boot.update` with the places of the image or the releases before and of the folder in place of their names."""
    if not isinstance(entry.value, Mapping):
        return entry
    return replace(
        entry,
        value=replace(
            entry.value, entries=tuple(_found(each, profile, ("from", "files")) for each in entry.value.entries)
        ),
    )


def _found(entry: Entry, profile: Path, keys: tuple[str, ...]) -> Entry:
    node = entry.value
    if entry.key not in keys or not isinstance(node, Scalar) or not isinstance(node.value, str):
        return entry
    if entry.key == "key" and names_token(node.text):
        return entry
    if entry.key == "from" and node.value.startswith(_ADDRESSES):
        return entry
    place = str(named_file(node, profile).absolute())
    return replace(entry, value=replace(node, value=place, text=place))


def with_signer_found(entry: Entry, profile: Path) -> Entry:
    """`output` with the places of the files of `secure_boot` in place of their names."""
    if not isinstance(entry.value, Mapping):
        return entry
    entries = tuple(_signer(each, profile) if each.key == "secure_boot" else each for each in entry.value.entries)
    return replace(entry, value=replace(entry.value, entries=entries))


def _signer(entry: Entry, profile: Path) -> Entry:
    if not isinstance(entry.value, Mapping):
        return entry
    entries = tuple(_found(each, profile, ("key", "certificate")) for each in entry.value.entries)
    return replace(entry, value=replace(entry.value, entries=entries))


def with_key_found(entry: Entry, profile: Path) -> Entry:
    """`boot.ssh` with the place of its private key in place of its name.

    Where it is neither beside the profile nor beside what that extends, it stays as it is written: it is looked for
    where the command is run.
    """
    key = entry.value.get("key") if isinstance(entry.value, Mapping) else None
    if key is None or not isinstance(entry.value, Mapping) or not isinstance(key.value, Scalar):
        return entry
    node = key.value
    if not isinstance(node.value, str) or node.text == EPHEMERAL or path_problem(node.text) is not None:
        return entry
    file = named_file(node, profile)
    if not file.is_file():
        return entry
    found = replace(node, value=str(file.absolute()), text=str(file.absolute()))
    entries = tuple(replace(each, value=found) if each.key == "key" else each for each in entry.value.entries)
    return replace(entry, value=replace(entry.value, entries=entries))
