"""The project file: what every profile in its folder, and in the folders below, has in common.

`metallize-project.yaml` holds defaults, over which each profile is laid, and the folders, shared by all of them, in
which layers, suites and profiles to extend are looked for too. It stands in a profile's folder or above it; the search
ends where the checkout does, and at the home folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metallize.config.inherit import laid_over
from metallize.config.reading.source import read_tree
from metallize.config.reading.suggest import did_you_mean
from metallize.config.reading.tree import Entry, Mapping, Scalar, Sequence, kind_of, shown
from metallize.config.reading.validation import Findings
from metallize.config.reading.words import path_problem
from metallize.errors import Location

FILE = "metallize-project.yaml"
DEFAULTS = ("platform", "args", "base", "output", "boot", "release", "metallize")
"""Keys of a profile that it may say for all of them."""
KEYS = ("shared", *DEFAULTS)
OWN_KEY = "x-"
"""Keys of the user's own begin with it: they hold what YAML's anchors name, and mean nothing to metallize."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project file, read."""

    defaults: Mapping
    shared: tuple[Path, ...]


def project_file(folder: Path) -> Path | None:
    """The nearest one, in a folder or above it."""
    start = folder.resolve()
    home = Path.home()
    for each in (start, *start.parents):
        file = each / FILE
        if file.is_file():
            return file
        if (each / ".git").exists() or each == home:
            return None
    return None


def read_project(folder: Path, findings: Findings) -> Project | None:
    """The project that a profile in a folder belongs to; what is wrong with its file is reported."""
    file = project_file(folder)
    if file is None:
        return None
    start = Location(path=file, line=1, column=1)
    if file.stat().st_uid not in {0, folder.stat().st_uid}:
        message = "it belongs to another user than the profiles do, so it is not taken"
        findings.add(start, message, "remove it, or make it yours")
        return None
    root = read_tree(file, findings.problems)
    if root is None:
        return None
    if not isinstance(root, Mapping):
        message = f"a project file is a mapping with the keys {', '.join(KEYS)}, not {kind_of(root)}"
        findings.add(root.location, message)
        return None
    for entry in root.entries:
        if entry.key not in KEYS and not entry.key.startswith(OWN_KEY):
            findings.add(entry.location, f"unknown key `{entry.key[:60]}`", did_you_mean(entry.key, KEYS))
    defaults = Mapping(location=root.location, entries=tuple(each for each in root.entries if each.key in DEFAULTS))
    return Project(defaults=defaults, shared=_shared(root.get("shared"), file.parent, findings))


def shared_folders(folder: Path) -> tuple[Path, ...]:
    """The shared folders for a profile in a folder; a project file with mistakes shares none."""
    project = read_project(folder, Findings())
    return project.shared if project is not None else ()


def _shared(entry: Entry | None, folder: Path, findings: Findings) -> tuple[Path, ...]:
    if entry is None:
        return ()
    if not isinstance(entry.value, Sequence):
        message = f"`shared` is a list of folders, not {kind_of(entry.value)}: `{shown(entry.value)}`"
        findings.add(entry.location, message, f"write [{shown(entry.value)}]")
        return ()
    found = []
    for item in entry.value.items:
        if not isinstance(item, Scalar) or not isinstance(item.value, str):
            findings.add(item.location, f"a folder's name is wanted here, not {kind_of(item)}: `{shown(item)}`")
        elif (problem := path_problem(item.text)) is not None:
            findings.add(item.location, f"`{shown(item)}`: {problem}", "it is below the project file's folder")
        elif not (folder / item.text).is_dir():
            near = [each.name for each in sorted(folder.iterdir()) if each.is_dir()]
            findings.add(item.location, f"there is no folder `{shown(item)}`", did_you_mean(item.text, near))
        else:
            found.append(folder / item.text)
    return tuple(found)


def over_defaults(root: Mapping, project: Project | None) -> Mapping:
    """The profile laid over the project's defaults; those of `output` count where the profile makes something."""
    if project is None:
        return root
    makes = root.get("output") is not None or root.get("outputs") is not None
    kept = tuple(entry for entry in project.defaults.entries if entry.key != "output" or makes)
    return laid_over(Mapping(location=root.location, entries=kept), root)


def without_own_keys(root: Mapping) -> Mapping:
    """The tree without the keys that begin with x-."""
    entries = tuple(entry for entry in root.entries if not entry.key.startswith(OWN_KEY))
    return Mapping(location=root.location, entries=entries)
