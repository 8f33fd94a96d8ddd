"""Which profiles and cells the verbs of the night mean."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from metallize import pipeline
from metallize.catalog import Catalog
from metallize.commands.shared import profiles_of
from metallize.night.known import FILE as KNOWN
from metallize.night.known import Known, read_known
from metallize.night.matrix.making import Candidate, matrix_of
from metallize.night.matrix.since import Touched, touched_since
from metallize.night.matrix.value import Matrix


def paths_of(options: argparse.Namespace, catalog: Catalog) -> tuple[Path, ...]:
    """The profiles' files: those that are named, a shipped one by its name too; else every shipped one."""
    named: list[Path] = options.profiles
    return tuple(_shipped(path, catalog) or path for path in named) if named else tuple(catalog.profiles.values())


def _shipped(path: Path, catalog: Catalog) -> Path | None:
    """The shipped profile that a name stands for; None where it is a file's."""
    if path.exists() or path.name != str(path) or path.suffix not in {"", ".yaml", ".yml"}:
        return None
    return catalog.profiles.get(path.stem)


def known_of(paths: Sequence[Path], catalog: Catalog) -> dict[Path, tuple[Known, ...]]:
    """What is known to fail, by the profiles' files: known.yaml is beside them, for shipped ones in the current folder.

    Raises ProfileError where such a file is wrong.
    """
    shipped = frozenset(catalog.profiles.values())
    folders = {path: Path() if path in shipped else path.parent for path in paths}
    known = {folder: read_known(folder / KNOWN) for folder in dict.fromkeys(folders.values())}
    return {path: known[folder] for path, folder in folders.items()}


def candidates_of(
    options: argparse.Namespace, catalog: Catalog, paths: Sequence[Path], known: dict[Path, tuple[Known, ...]]
) -> tuple[Candidate, ...]:
    """One for each path."""
    return tuple(
        Candidate(
            name=path.stem,
            load=partial(profiles_of, argparse.Namespace(**{**vars(options), "profile": path}), catalog),
            named=bool(options.profiles),
            known=known.get(path, ()),
        )
        for path in paths
    )


def touched_of(options: argparse.Namespace, catalog: Catalog, settings: pipeline.Options, matrix: Matrix) -> Touched:
    """The cells of a matrix that --since and --tag leave; all of them where neither is given."""
    tagged = matrix.tagged(options.tags)
    if options.since is None:
        return Touched(matrix=tagged, why={}, unchanged=0, gone=())
    planned = replace(settings, given=None)

    def plan(paths: Sequence[Path], then: Catalog) -> Matrix:
        return matrix_of(candidates_of(options, then, paths, {}), then, planned, here=False)

    paths = paths_of(options, catalog)
    found = touched_since(options.since, paths, catalog, matrix, plan, all_shipped=not options.profiles)
    entries = tuple(each for each in tagged.entries if each.cell in found.why)
    return replace(found, matrix=replace(tagged, entries=entries), unchanged=len(tagged.entries) - len(entries))
