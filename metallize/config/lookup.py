"""Names of a profile that lead to files: found, refused where they leave their folder, or unknown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from metallize.config.reading.suggest import did_you_mean
from metallize.config.reading.tree import Entry, Scalar, Sequence, kind_of, shown
from metallize.config.reading.validation import Findings
from metallize.config.reading.words import is_image_reference, layer_name_problem, path_problem
from metallize.config.vocabulary import Escape, Layers

FoundT = TypeVar("FoundT")


def look_up(item: Scalar, what: str, findings: Findings, find: Callable[[str], FoundT | None]) -> FoundT | None:
    """What a name leads to; a name that leaves its folder is reported."""
    problem = path_problem(item.text)
    if problem is None:
        try:
            return find(item.text)
        except Escape as exc:
            problem = str(exc)
        except OSError as exc:  # a name longer than the filesystem takes, a folder that may not be read
            problem = f"it cannot be looked up: {exc.strerror}"
    findings.add(item.location, f"{what} `{shown(item)}`: {problem}")
    return None


def decode_images(
    entry: Entry, layers: Layers, beside: Path, dockerfile_dir: str | None, findings: Findings
) -> tuple[str, ...]:
    """The entries of `images`; each is a layer that exists, or for the first an image reference."""
    node = entry.value
    if not isinstance(node, Sequence):
        hint = f"write [{node.text}]" if isinstance(node, Scalar) and node.value is not None else None
        findings.add(entry.location, f"`images` is a list, not {kind_of(node)}: `{shown(node)}`", hint)
        return ()
    if not node.items:
        findings.add(entry.location, "`images` is empty, so there is nothing to build", "name a base image")
    names = []
    for index, item in enumerate(node.items):
        if not isinstance(item, Scalar) or isinstance(item.value, bool | None):
            findings.add(item.location, f"an image's name is wanted here, not {kind_of(item)}: `{shown(item)}`")
            continue
        names.append(item.text)
        if (problem := layer_name_problem(item.text)) is not None:
            findings.add(item.location, f"image `{shown(item)}`: {problem}")
            continue
        before = len(findings.problems)
        found = look_up(
            item,
            "layer",
            findings,
            lambda name: layers.find(name, beside=beside, dockerfile_dir=dockerfile_dir),
        )
        if found is None and len(findings.problems) == before:
            known = layers.names(beside=beside, dockerfile_dir=dockerfile_dir)
            _report_unknown(item, index, known, findings)
    return tuple(names)


def _report_unknown(item: Scalar, index: int, known: tuple[str, ...], findings: Findings) -> None:
    looks_like_layer = item.text.endswith((".dockerfile", ".Dockerfile"))
    if index == 0 and is_image_reference(item.text) and not looks_like_layer:
        return
    hint = did_you_mean(item.text, known)
    if index == 0 and not looks_like_layer:
        findings.add(item.location, f"`{shown(item)}` is neither a layer nor an image reference", hint)
        return
    if hint is None and not looks_like_layer:
        hint = "only the first entry may be an image reference"
    findings.add(item.location, f"unknown layer `{shown(item)}`", hint)
