"""From a profile's file to a Profile, or to every problem in it at once."""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingABC
from pathlib import Path

from metallize.config.boot import decode_boot
from metallize.config.lookup import decode_images
from metallize.config.output import decode_arguments, decode_output
from metallize.config.overrides import apply_overrides
from metallize.config.source import read_tree
from metallize.config.suggest import did_you_mean
from metallize.config.tree import Entry, Mapping, Scalar, kind_of, locations, shown
from metallize.config.validation import Findings, decode
from metallize.config.vocabulary import Vocabulary
from metallize.config.words import path_problem
from metallize.errors import Location, ProfileError
from metallize.model.assertion import Assertion
from metallize.model.loaded import Profile
from metallize.model.profile import Boot, Platform, Settings

KEYS = ("platform", "args", "images", "output", "boot", "metallize")
_REQUIRED = ("images", "output")


def load_profile(path: Path, *, vocabulary: Vocabulary, overrides: MappingABC[str, str] | None = None) -> Profile:
    """Read a profile and check everything in it that can be checked without a container engine.

    `overrides` are the --set options: key path to value. Raises ProfileError with all problems of the profile
    and of its suites, sorted by place.
    """
    findings = Findings()
    profile = _load(path, vocabulary, overrides or {}, findings)
    if findings.problems or profile is None:
        raise ProfileError(findings.sorted())
    return profile


def _load(path: Path, vocabulary: Vocabulary, overrides: MappingABC[str, str], findings: Findings) -> Profile | None:
    start = Location(path=path, line=1, column=1)
    root = read_tree(path, findings.problems)
    if root is None:
        return None
    if not isinstance(root, Mapping):
        message = f"a profile is a mapping with the keys {', '.join(KEYS)}, not {kind_of(root)}: `{shown(root)}`"
        findings.add(root.location, message)
        return None
    root = apply_overrides(root, overrides, findings)
    for entry in root.entries:
        if entry.key not in KEYS:
            label = shown(Scalar(location=entry.location, value=entry.key, text=entry.key))
            findings.add(entry.location, f"unknown key `{label}`", did_you_mean(entry.key, KEYS))
    for key in _REQUIRED:
        if root.get(key) is None:
            findings.add(start, f"the key `{key}` is missing")
    platform = _platform(root.get("platform"), vocabulary, findings)
    settings = _settings(root.get("metallize"), findings)
    arguments = decode_arguments(root.get("args"), findings)
    images_entry, output_entry, boot_entry = root.get("images"), root.get("output"), root.get("boot")
    images: tuple[str, ...] = ()
    if images_entry is not None:
        images = decode_images(images_entry, vocabulary.layers, path.parent, settings.dockerfile_dir, findings)
    output = decode_output(output_entry, vocabulary, platform, findings) if output_entry is not None else None
    boot: Boot | None = None
    assertions: tuple[Assertion, ...] = ()
    if boot_entry is not None:
        boot, assertions = decode_boot(boot_entry, path, vocabulary, platform, output, findings)
    if findings.problems or output is None:
        return None
    return Profile(
        path=path,
        name=profile_name(path),
        platform=platform,
        args=arguments,
        images=images,
        output=output,
        boot=boot,
        assertions=assertions,
        settings=settings,
        locations=dict(locations(root)),
    )


def profile_name(path: Path) -> str:
    """The file's stem as a name that is safe for folders and Docker tags: lower case, [a-z0-9._-]."""
    name = re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower())
    name = re.sub(r"[._-]{2,}", "-", name).strip("._-")
    return name[:100].rstrip("._-") or "profile"


def _platform(entry: Entry | None, vocabulary: Vocabulary, findings: Findings) -> Platform:
    if entry is None:
        return vocabulary.host_platform
    node = entry.value
    if isinstance(node, Scalar):
        try:
            return Platform(node.text)
        except ValueError:
            pass
    message = f"`platform`: `{shown(node)}` is not supported"
    findings.add(node.location, message, did_you_mean(shown(node), list(Platform)))
    return vocabulary.host_platform


def _settings(entry: Entry | None, findings: Findings) -> Settings:
    if entry is None or (isinstance(entry.value, Scalar) and entry.value.value is None):
        return Settings()
    for key in ("dockerfile_dir", "build_dir"):
        item = entry.value.get(key) if isinstance(entry.value, Mapping) else None
        if item is None or not isinstance(item.value, Scalar) or isinstance(item.value.value, bool | None):
            continue
        if (problem := path_problem(item.value.text)) is not None:
            hint = "a folder anywhere else is given with --build-dir" if key == "build_dir" else None
            findings.add(item.value.location, f"`{key}`: {problem}: `{shown(item.value)}`", hint)
    return decode(Settings, entry.value, findings, place=entry.location) or Settings()
