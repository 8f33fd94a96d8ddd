"""What a change touches: the cells that are others now than in a revision of git, by their keys.

A revision is checked out into a folder of its own for as long as it takes, by an index of its own: neither the
repository nor its work tree is changed. What is compared with it is what is there now, committed or not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from metallize.catalog import Catalog
from metallize.command import run
from metallize.errors import CommandError, HostError, UsageError
from metallize.night.attempt import Cell
from metallize.night.matrix.value import Entry, Fault, Matrix

Planned = Callable[[Sequence[Path], Catalog], Matrix]
"""The matrix of profiles' files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """The cells that a change touches, and what it takes away."""

    matrix: Matrix
    why: Mapping[Cell, str]
    unchanged: int
    gone: tuple[Cell, ...]
    """Those that there are no longer."""


def touched(now: Matrix, before: Matrix) -> Touched:
    """Compare two matrices; pure. What is wrong with a profile now is touched as well: somebody has to hear of it."""
    known = {each.cell: each for each in before.entries}
    faulty = {each.cell.profile for each in before.faults}
    why = {}
    for each in now.entries:
        old = known.get(each.cell)
        if old is not None:
            words = _changes(old, each)
        else:
            words = ["it could not be read before" if each.cell.profile in faulty else "new"]
        if words:
            why[each.cell] = " and ".join(words)
    there = {each.cell for each in now.entries}
    faults = {each.cell.profile for each in now.faults}
    return Touched(
        matrix=replace(now, entries=tuple(each for each in now.entries if each.cell in why)),
        why=why,
        unchanged=len(now.entries) - len(why),
        gone=tuple(sorted(cell for cell in known if cell not in there and cell.profile not in faults)),
    )


def _changes(old: Entry, new: Entry) -> list[str]:
    same = {"its image": old.build.key == new.build.key, "what is asked": old.asked == new.asked}
    return [word for word, is_same in same.items() if not is_same]


def touched_since(
    revision: str, paths: Sequence[Path], catalog: Catalog, now: Matrix, planned: Planned, *, all_shipped: bool
) -> Touched:
    """The cells of `now`, of the profiles at these paths, that are others than in a revision.

    With `all_shipped` the profiles that were shipped then and are no longer are looked for, too.

    Raises UsageError where a profile is in no git repository, or git knows no such revision there.
    """
    roots = {path: _root_of(path) for path in paths}
    entries: list[Entry] = []
    faults: list[Fault] = []
    with ExitStack() as stack:
        for root in dict.fromkeys(roots.values()):
            tree = stack.enter_context(_checked_out(root, revision))
            then = Catalog(
                data=_moved(catalog.data, root, tree),
                extensions_dir=None if catalog.extensions_dir is None else _moved(catalog.extensions_dir, root, tree),
                working_dir=_moved(catalog.working_dir, root, tree),
            )
            old = [_moved(path, root, tree) for path in paths if roots[path] == root]
            if all_shipped:
                old = list(dict.fromkeys([*old, *then.profiles.values()]))
            found = planned([path for path in old if path.is_file()], then)
            entries += found.entries
            faults += found.faults
        before = Matrix(entries=tuple(entries), faults=tuple(faults))
        return touched(now, before)


def _root_of(path: Path) -> Path:
    try:
        found = _git(path.resolve().parent, "rev-parse", "--show-toplevel")
    except CommandError as exc:
        why = exc.output_tail.strip().splitlines()[-1:] or ["git says nothing"]
        raise UsageError(f"--since: {path} is in no git repository: {why[0]}", hint="name profiles that are") from exc
    return Path(found.removesuffix("\n"))


_OF_HOOKS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_PREFIX")
"""What git sets for its hooks (githooks(5)), and would mislead a git that is started in another folder."""


def _git(folder: Path, *words: str, index: Path | None = None) -> str:
    """What a command of git prints. Raises CommandError."""
    unset = [word for name in _OF_HOOKS for word in ("-u", name)]
    own = () if index is None else (f"GIT_INDEX_FILE={index}",)
    return run(("env", *unset, *own, "git", "-C", folder, *words)).stdout


@contextmanager
def _checked_out(root: Path, revision: str) -> Iterator[Path]:
    """A revision's tree in a folder of its own. Raises UsageError where git knows no such revision."""
    name = f"{revision}^{{commit}}"
    try:
        commit = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", name).strip()
    except CommandError as exc:
        hint = "a shallow clone has few: git fetch --unshallow"
        raise UsageError(f"--since {revision}: {root} has no such revision", hint=hint) from exc
    with tempfile.TemporaryDirectory(prefix="metallize-since-") as folder:
        tree, index = Path(folder, "tree"), Path(folder, "index")
        try:
            _git(root, "read-tree", commit, index=index)
            _git(root, "checkout-index", "--all", f"--prefix={tree}/", index=index)
        except CommandError as exc:
            raise HostError(f"--since {revision}: git cannot check it out: {exc.output_tail.strip()}") from exc
        tree.mkdir(exist_ok=True)  # of an empty revision nothing is written
        yield tree


def _moved(path: Path, root: Path, tree: Path) -> Path:
    """Where a path of the repository is in the revision's tree; any other is where it is."""
    whole = path.resolve()
    return tree / whole.relative_to(root.resolve()) if whole.is_relative_to(root.resolve()) else path
