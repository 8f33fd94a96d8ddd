"""The part `pages`: a year of nights by the very command, and its pages in a real browser, on a desk and on a phone."""

from __future__ import annotations

import resource
from pathlib import Path

from bench.browser import Browser, Opened, browser
from bench.measuring import Bench
from bench.night import write_year
from bench.nights import CELLS
from metallize.night.history import FOLDER

WIDTHS = (1280, 390)
"""CSS pixels: a desk's, a phone's."""
_UNITS = 40
_NIGHTS = 365
_FAILING = CELLS[2:4]


def pages(bench: Bench) -> None:
    """A browser is needed, and no host: nothing is built or booted."""
    build_dir = bench.scratch / "year"
    write_year(build_dir, _NIGHTS, units=_UNITS, failing=_FAILING)
    made_of = f"{_NIGHTS} nights of {len(CELLS)} cells, {_UNITS} services in each"
    for name, gone in (("with its index anew", True), ("again", False)):
        if gone:
            (build_dir / FOLDER / "index.sqlite").unlink(missing_ok=True)
        before = _processor_seconds()
        took = bench.metallize("report", "--build-dir", build_dir)
        used = f"{_processor_seconds() - before:.2f} s of processor time"
        bench.add(f"metallize report, {name}", took, 5, "s", f"{made_of}; {used}")
    files = [build_dir / "report.html", *sorted((build_dir / FOLDER / "pages").iterdir())]
    with browser(bench.scratch / "browser") as tab:
        tab.open("about:blank", WIDTHS[0])
        for width in WIDTHS:
            seen = {path.name: _open(tab, path, width, bench.scratch) for path in files}
            _told(bench, seen, width)
        _by_keyboard(bench, tab, files[0])


def _processor_seconds() -> float:
    """Of the programs that have ended, so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _open(tab: Browser, path: Path, width: int, pictures: Path) -> Opened:
    found = tab.open(path.as_uri(), width)
    tab.picture(pictures / f"{path.stem}-{width}.png")
    return found


def _told(bench: Bench, seen: dict[str, Opened], width: int) -> None:
    slowest = max(seen, key=lambda name: seen[name].seconds)
    widest = max(seen, key=lambda name: seen[name].overflow)
    names = [f"{role} on {name}" for name, opened in seen.items() for role in opened.nameless]
    where = f"of {len(seen)} pages at {width} pixels"
    bench.add(f"a page is open, {width} pixels wide", seen[slowest].seconds, 2, "s", f"the slowest {where}: {slowest}")
    bench.add(f"wider than its window, {width}", seen[widest].overflow, 0, "px", f"the widest {where}: {widest}")
    bench.add(f"without a name for a screen reader, {width}", len(names), 0, "things", ", ".join(names) or where)


def _by_keyboard(bench: Bench, tab: Browser, front: Path) -> None:
    """Whatever can be followed or folded, and the rows that fail alone."""
    tab.open(front.as_uri(), WIDTHS[0])
    bench.add("out of the keyboard's reach", tab.unreached(), 0, "things", "links, buttons and folds of the first page")
    tab.value("document.querySelector('#rows-all').focus()")
    tab.press("ArrowDown")
    left = tab.value("[...document.querySelectorAll('.matrix tbody tr')].filter(row => row.offsetParent).length")
    shown = f"{left} of {len(CELLS)} rows are left, {len(_FAILING)} fail"
    bench.add("rows that the filter leaves and should not", abs(int(left) - len(_FAILING)), 0, "rows", shown)
