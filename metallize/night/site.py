"""The history of a build folder as pages, written anew as a whole: they open from the disk, with no network."""

from __future__ import annotations

import os
from pathlib import Path

from metallize.errors import UsageError
from metallize.night import index
from metallize.night.attempt import Attempt
from metallize.night.front import front_page
from metallize.night.history import history_path
from metallize.report.files import write_whole

PAGE = "report.html"


def page_path(build_dir: Path) -> Path:
    """Where the history's first page is."""
    return build_dir / PAGE


def write_site(build_dir: Path) -> Path:
    """All pages of a build folder's history; the first one's path. Raises UsageError where there is no history yet."""
    with index.opened(build_dir) as opened:
        found = opened.history()
    if not found.attempts:
        raise UsageError(
            f"there is no history in {history_path(build_dir)}", hint="metallize nightly makes the first night of it"
        )
    page = page_path(build_dir)

    def link(attempt: Attempt) -> str | None:
        target = Path(attempt.run_folder) / PAGE
        if not attempt.run_folder or not target.is_file():
            return None
        return f"./{os.path.relpath(target.resolve(), build_dir.resolve())}"

    write_whole(page, front_page(found, link))
    return page
