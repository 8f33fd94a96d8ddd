"""From a profile's file to a Profile, or to every problem in it at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping as MappingABC
from contextlib import suppress
from pathlib import Path

from metallize.config.boot import check_power_cut, decode_boot
from metallize.config.contexts import split_contexts
from metallize.config.groups import decode_groups
from metallize.config.inherit import resolve_extends, split_outputs
from metallize.config.lookup import decode_images
from metallize.config.machine_needs import check_keys, check_tpm
from metallize.config.named_files import with_signer_found
from metallize.config.output import decode_arguments, decode_output
from metallize.config.overrides import apply_overrides
from metallize.config.project import over_defaults, read_project, without_own_keys
from metallize.config.reading.places import Places, profile_places
from metallize.config.reading.source import read_tree
from metallize.config.reading.suggest import did_you_mean
from metallize.config.reading.tree import Entry, Mapping, Scalar, Sequence, find, kind_of, locations, shown
from metallize.config.reading.validation import Findings, decode
from metallize.config.reading.words import layer_name_problem, path_problem
from metallize.config.vocabulary import Escape, Vocabulary
from metallize.errors import Location, ProfileError
from metallize.model.assertion import Assertion, Group
from metallize.model.boot import Boot
from metallize.model.loaded import Profile
from metallize.model.profile import Base, Output, Platform, Settings
from metallize.model.rules import ReleaseRules

KEYS = ("extends", "platform", "args", "base", "images", "output", "outputs", "boot", "release", "metallize")
_REQUIRED = ("images", "output")


def load_profile(path: Path, *, vocabulary: Vocabulary, overrides: MappingABC[str, str] | None = None) -> Profile:
    """Read a profile of one output; see `load_profiles`. Of several outputs, it is the first."""
    return load_profiles(path, vocabulary=vocabulary, overrides=overrides)[0]


def load_profiles(
    path: Path, *, vocabulary: Vocabulary, overrides: MappingABC[str, str] | None = None
) -> tuple[Profile, ...]:
    """Read a profile, with those it extends, and check everything that can be checked without a container engine.

    There is one value for each of its outputs. `overrides` are the --set options: key path to value. Raises
    ProfileError with all problems of the profile and of its suites, sorted by place.
    """
    findings = Findings()
    root = _read(path, vocabulary, overrides or {}, findings)
    trees = split_outputs(root, findings) if root is not None else ()
    profiles = [_decode(tree, path, vocabulary, findings, several=len(trees) > 1) for tree in trees]
    good = tuple(profile for profile in profiles if profile is not None)
    if findings.problems or not good:
        raise ProfileError(findings.sorted())
    return good


def _read(path: Path, vocabulary: Vocabulary, overrides: MappingABC[str, str], findings: Findings) -> Mapping | None:
    """The whole tree: what it extends below it, --set above it, no unknown key in it."""
    root = read_tree(path, findings.problems)
    if root is None:
        return None
    if not isinstance(root, Mapping):
        message = f"a profile is a mapping with the keys {', '.join(KEYS)}, not {kind_of(root)}: `{shown(root)}`"
        findings.add(root.location, message)
        return None
    project = None if path in vocabulary.profiles.values() else read_project(path.parent, findings)
    whole = over_defaults(resolve_extends(root, path, vocabulary, findings, project.shared if project else ()), project)
    root = apply_overrides(without_own_keys(whole), overrides, findings)
    findings.places = _places(root, path, vocabulary)
    for entry in root.entries:
        if entry.key not in KEYS:
            findings.unknown(entry.location, entry.key, KEYS)
    return root


def _places(root: Mapping, path: Path, vocabulary: Vocabulary) -> Places:
    """Where the keys of this profile belong: those of every profile, of its layers and of its generators."""
    places = profile_places().with_more(vocabulary.kinds, "boot.assert")
    outputs = find(root, ("outputs",))[0]
    for output in (find(root, ("output",))[0], *(outputs.items if isinstance(outputs, Sequence) else ())):
        node = find(output, ("generator",))[0]
        if isinstance(node, Scalar) and (generator := vocabulary.generators.get(node.text)) is not None:
            places = places.with_more(generator.options, "output.options")
    return places.with_more(_argument_keys(root, path, vocabulary), "args")


def _argument_keys(root: Mapping, path: Path, vocabulary: Vocabulary) -> Iterator[str]:
    """The arguments that the profile's layers declare."""
    images, settings = find(root, ("images",))[0], find(root, ("metallize", "dockerfile_dir"))[0]
    folder = settings.text if isinstance(settings, Scalar) else None
    for item in images.items if isinstance(images, Sequence) else ():
        layer = None
        if isinstance(item, Scalar) and layer_name_problem(item.text) is None:
            with suppress(Escape, OSError, ValueError):
                layer = vocabulary.layers.find(item.text, beside=path.parent, dockerfile_dir=folder)
        yield from (argument.key for argument in (layer.arguments if layer is not None else ()))


def _decode(root: Mapping, path: Path, vocabulary: Vocabulary, findings: Findings, *, several: bool) -> Profile | None:
    start = Location(path=path, line=1, column=1)
    for key in _REQUIRED:
        if root.get(key) is None:
            findings.add(start, f"the key `{key}` is missing")
    platform = _platform(root.get("platform"), vocabulary, findings)
    settings = _settings(root.get("metallize"), findings)
    release = _release(root.get("release"), findings)
    base = _base(root.get("base"), findings)
    arguments = decode_arguments(root.get("args"), findings)
    images_entry, output_entry, boot_entry = root.get("images"), root.get("output"), root.get("boot")
    images: tuple[str, ...] = ()
    contexts: dict[int, Path] = {}
    if images_entry is not None:
        images_entry, contexts = split_contexts(images_entry, path.parent, findings)
        images = decode_images(images_entry, vocabulary.layers, path.parent, settings.dockerfile_dir, findings)
        if 0 in contexts and not vocabulary.layers.find(images[0], beside=path.parent, dockerfile_dir=None):
            message = f"`{images[0]}` is an image and has no build context"
            findings.add(images_entry.location, message, "name it without one")
    output: Output | None = None
    if output_entry is not None:
        output = decode_output(with_signer_found(output_entry, path), vocabulary, platform, findings)
    boot: Boot | None = None
    assertions: tuple[Assertion, ...] = ()
    groups: tuple[Group, ...] = ()
    if boot_entry is not None:
        boot, assertions = decode_boot(boot_entry, path, vocabulary, platform, output, findings)
        groups = decode_groups(boot_entry.value, vocabulary.kinds, findings)
        if boot is not None:
            check_power_cut(boot, boot_entry, findings, has_groups=bool(groups))
            check_keys(boot, boot_entry, vocabulary.machines, findings)
        if boot is not None and output is not None:
            check_tpm(boot, boot_entry, output, vocabulary.generators.get(output.generator), findings)
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
        groups=groups,
        release=release,
        base=base,
        settings=settings,
        contexts=contexts,
        locations=dict(locations(root)),
        several=several,
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


def _base(entry: Entry | None, findings: Findings) -> Base:
    if entry is None or (isinstance(entry.value, Scalar) and entry.value.value is None):
        return Base()
    return decode(Base, entry.value, findings, place=entry.location) or Base()


def _release(entry: Entry | None, findings: Findings) -> ReleaseRules:
    if entry is None or (isinstance(entry.value, Scalar) and entry.value.value is None):
        return ReleaseRules()
    return decode(ReleaseRules, entry.value, findings, place=entry.location) or ReleaseRules()


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
