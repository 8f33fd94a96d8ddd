"""The files that a goss file's `gossfile` names: found as goss finds them, read once each on the way down.

Source: goss docs/gossfile.md (gossfile) and store.go: a relative path is relative to the file that includes, a name
may be a glob pattern, and what an included file says of a resource replaces what was said of it before.
"""

from __future__ import annotations

import glob
from collections.abc import Callable
from pathlib import Path

from metallize.config.reading.tree import Entry, Mapping, find
from metallize.config.reading.validation import Findings
from metallize.errors import Location
from metallize.model.assertion import Assertion
from metallize.model.kind import Include

MAX_DEPTH = 50
"""goss's own bound on files that include files."""

Chain = tuple[Path, ...]
"""The files that are being read, the outermost first."""
Read = Callable[[Path, Chain, Findings], tuple[Assertion, ...]]


def include(resource: Entry, options: Include, chain: Chain, findings: Findings, read: Read) -> tuple[Assertion, ...]:
    """The assertions of the files that one entry of `gossfile` names; none where it says skip.

    `chain` ends in the file that includes. What is wrong in an included file is reported at its place there, with
    the place that includes it.
    """
    if options.skip:
        return ()
    wanted = options.file or resource.key
    place = _place(resource)
    files = matching_files(wanted, chain[-1].parent)
    if not files:
        findings.add(place, f"no file matches `{wanted}`", f"it is looked for in {chain[-1].parent}")
    if len(chain) > MAX_DEPTH:
        findings.add(place, f"goss files include each other more than {MAX_DEPTH} levels deep")
        return ()
    found: tuple[Assertion, ...] = ()
    for file in files:
        if file.resolve() in {each.resolve() for each in chain}:
            way = " -> ".join(each.name for each in (*chain, file))
            findings.add(place, f"`{wanted}` includes itself: {way}", "take it out of the pattern, or say skip: true")
            continue
        inner = Findings(places=findings.places)
        found += read(file, (*chain, file), inner)
        for problem in inner.problems:
            findings.add(problem.location, f"{problem.message} (included at {place})", problem.hint)
    return found


def matching_files(pattern: str, beside: Path) -> tuple[Path, ...]:
    """The files that a path or a glob pattern of Go's filepath.Glob means, sorted."""
    if not glob.has_magic(pattern):
        return (beside / pattern,) if (beside / pattern).exists() else ()
    whole = pattern if pattern.startswith("/") else f"{glob.escape(str(beside))}/{pattern}"
    names = glob.glob(whole.replace("[^", "[!"), include_hidden=True)  # noqa: PTH207 - Path.glob takes no absolute one
    return tuple(Path(name) for name in sorted(names))


def _place(resource: Entry) -> Location:
    """Where the file is named: by `file`, or by the key."""
    if isinstance(resource.value, Mapping) and resource.value.get("file") is not None:
        return find(resource.value, ("file",))[0].location
    return resource.location
