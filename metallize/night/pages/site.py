"""The history of a build folder as pages, written anew as a whole: they open from the disk, with no network."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

from metallize.errors import UsageError
from metallize.night.attempt import Attempt, Cell
from metallize.night.facts import facts_folder, read_facts
from metallize.night.history import FOLDER, history_path
from metallize.night.judged import judged
from metallize.night.judging.findings import Kind
from metallize.night.pages.front import NIGHTS, front_page
from metallize.night.pages.series import page_name, series_page
from metallize.night.trends import trends
from metallize.report.files import write_whole

PAGE = "report.html"
PAGES = "pages"


def page_path(build_dir: Path) -> Path:
    """Where the history's first page is."""
    return build_dir / PAGE


def pages_of(build_dir: Path, under_way: str = "") -> Iterator[tuple[Path, str]]:
    """All pages of a build folder's history with their places, the first page last. Writes nothing.

    `under_way` is when the night began that has not come to its end. Raises UsageError where there is no history yet.
    """
    history, judgement = judged(build_dir)
    if not history.attempts:
        raise UsageError(
            f"there is no history in {history_path(build_dir)}", hint="metallize nightly makes the first night of it"
        )
    folder = build_dir / FOLDER / PAGES
    facts = cache(partial(read_facts, facts_folder(build_dir)))
    for row in trends(history.attempts):
        own = [each for each in judgement.findings if each.cell in (row.cell, row.cell.on(""))]
        page = series_page(row, own, facts, _link(folder), f"./{os.path.relpath(page_path(build_dir), folder)}")
        yield folder / page_name(row.cell), page
    nights = sorted({each.night for each in history.attempts})[-NIGHTS:]
    shown = [each for each in judgement.findings if each.night >= nights[0] and each.kind is not Kind.STATUS]

    def page_of(cell: Cell) -> str:
        return f"./{FOLDER}/{PAGES}/{page_name(cell)}"

    yield page_path(build_dir), front_page(history, _link(build_dir), page_of, shown, under_way)


def write_site(build_dir: Path) -> Path:
    """All pages of a build folder's history; the first one's path. Raises UsageError where there is no history yet.

    build/report.html and one page a cell in build/nightly/pages/; pages of cells that the history has no longer go.
    """
    folder = build_dir / FOLDER / PAGES
    names = set()
    for path, text in pages_of(build_dir):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
        names.add(path)
    for path in folder.glob("*.html"):
        if path not in names:
            path.unlink(missing_ok=True)
    return page_path(build_dir)


def _link(folder: Path) -> Callable[[Attempt], str | None]:
    """Where a run's own report is, seen from a page in a folder."""
    base = folder.resolve()

    def link(attempt: Attempt) -> str | None:
        target = Path(attempt.run_folder) / PAGE
        if not attempt.run_folder or not target.is_file():
            return None
        return f"./{os.path.relpath(target.resolve(), base)}"

    return link
