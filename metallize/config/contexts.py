"""`{layer: NAME, context: FOLDER}` among `images`: a layer whose build context is not the folder that holds it."""

from __future__ import annotations

from pathlib import Path

from metallize.config.reading.suggest import did_you_mean
from metallize.config.reading.tree import Entry, Mapping, Node, Scalar, Sequence, kind_of, shown
from metallize.config.reading.validation import Findings
from metallize.config.reading.words import control_character
from metallize.errors import Location

KEYS = ("layer", "context")
EXAMPLE = "{layer: web.dockerfile, context: ..}"


def split_contexts(entry: Entry, beside: Path, findings: Findings) -> tuple[Entry, dict[int, Path]]:
    """`images` with names alone, and the folders that are named beside them, by the item's place.

    A context is a path from the folder of the file that names it, and may lead above it: an app's dockerfile takes
    files of the whole app.
    """
    if not isinstance(entry.value, Sequence):
        return entry, {}
    names: list[Node] = []
    contexts: dict[int, Path] = {}
    for item in entry.value.items:
        if not isinstance(item, Mapping):
            names.append(item)
            continue
        for each in item.entries:
            if each.key not in KEYS:
                findings.add(each.location, f"unknown key `{each.key[:60]}`", did_you_mean(each.key, KEYS))
        layer, context = item.get("layer"), item.get("context")
        if layer is None or not isinstance(layer.value, Scalar):
            findings.add(item.location, f"an image's name is wanted here: `{shown(item)}`", f"for example {EXAMPLE}")
            continue
        if context is not None and (folder := _folder(context, beside, findings)) is not None:
            contexts[len(names)] = folder
        names.append(layer.value)
    value = Sequence(location=entry.value.location, items=tuple(names))
    return Entry(key=entry.key, location=entry.location, value=value), contexts


def _folder(context: Entry, beside: Path, findings: Findings) -> Path | None:
    node = context.value
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.text.strip():
        findings.add(context.location, f"`context` is a folder, not {kind_of(node)}: `{shown(node)}`")
        return None
    if (control := control_character(node.text)) is not None:
        findings.add(node.location, f"`context`: it holds {control}: `{shown(node)}`")
        return None
    if node.text.startswith(("/", "~", "-")):
        hint = "write a path from the profile's folder, as .. is"
        findings.add(node.location, f"`context`: it is no relative path: `{shown(node)}`", hint)
        return None
    folder = _home(node.location, beside) / node.text
    if not folder.is_dir():
        what = "it is a file" if folder.exists() else "there is no such folder"
        findings.add(node.location, f"`context`: {what}: `{shown(node)}`", f"it is looked for as {folder}")
        return None
    return folder


def _home(place: Location, beside: Path) -> Path:
    """The folder of the file that says it; what --set says is said beside the profile."""
    return place.path.parent if place.path.is_file() else beside
