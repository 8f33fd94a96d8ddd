"""The pages of a build folder, made anew whenever its history has grown, and the evidence that they lead to.

Nothing is written, and of the build folder nothing is handed out but the runs' own folders.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from metallize.errors import MetallizeError
from metallize.night.course.journal import unfinished
from metallize.night.history import history_path
from metallize.night.pages.site import PAGE, pages_of
from metallize.report.page import document, element
from metallize.report.runs import RUNS
from metallize.serve.files import Content

REFRESH_SECONDS = 10
"""So often a browser asks again for the first page while a night goes on."""
_HTML = "text/html; charset=utf-8"
_KINDS = {**dict.fromkeys((".txt", ".sh", ".log", ".html"), "text/plain; charset=utf-8"), ".json": "application/json",
          ".xml": "text/xml", ".png": "image/png"}  # fmt: skip
"""Of what a run left, by its suffix; of pages its report alone, which runs no script, is one."""


@dataclass(slots=True)
class LivePages:
    """What is handed out of a build folder; several threads may ask."""

    build_dir: Path
    hosts: frozenset[str] = frozenset()
    """Names by which it may be asked for; empty: by any.

    A web site whose name comes to mean this host, once its page is open in a browser here, could read it otherwise.
    """
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _pages: Mapping[str, bytes] = field(default_factory=dict)
    _told: bool = False
    """Whether there is a history that they tell of."""
    _state: object = None
    """Of the history from which the pages are."""

    @property
    def index(self) -> str:
        return PAGE

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._fresh(""))

    @contextmanager
    def content(self, name: str, url: str) -> Iterator[Content | None]:
        """A page, or a file of a run."""
        if self.hosts and urlsplit(url).hostname not in self.hosts:
            yield None
            return
        name = "/".join(part for part in name.split("/") if part not in {"", "."})
        night = unfinished(self.build_dir)
        page = self._fresh(night).get(name)
        if page is not None:
            refresh = REFRESH_SECONDS if name == PAGE and (night or not self._told) else 0
            yield Content(size_bytes=len(page), data=page, kind=_HTML, refresh_seconds=refresh)
            return
        path = self._of_a_run(name)
        if path is None:
            yield None
            return
        try:
            file = path.open("rb", buffering=0)
        except OSError:  # it is gone since
            yield None
            return
        with file:
            state = os.fstat(file.fileno())
            kind = _HTML if path.name == PAGE else _KINDS.get(path.suffix, "application/octet-stream")
            tag = f"{state.st_ino:x}-{state.st_mtime_ns:x}"
            yield Content(size_bytes=state.st_size, file=file, kind=kind, tag=tag)

    def _fresh(self, night: str) -> Mapping[str, bytes]:
        """The pages, made anew where the history is another; one thread makes them, the others wait for them."""
        with self._lock:
            state = (night, _state_of(history_path(self.build_dir)))
            if state != self._state:
                self._pages, self._told = self._made(night)
                self._state = state
            return self._pages

    def _made(self, night: str) -> tuple[Mapping[str, bytes], bool]:
        try:
            pages = [
                (path.relative_to(self.build_dir).as_posix(), text) for path, text in pages_of(self.build_dir, night)
            ]
        except MetallizeError as exc:
            text = document("Metallize nightly", element("h1", "No night to show"), element("p", exc.message))
            return {PAGE: text.encode("utf-8", "backslashreplace")}, False
        return {name: text.encode("utf-8", "backslashreplace") for name, text in pages}, True

    def _of_a_run(self, name: str) -> Path | None:
        """A plain file below the runs, wherever its links lead: out of there none does."""
        if PurePosixPath(name).parts[:1] != (RUNS,) or "\0" in name:
            return None
        runs = (self.build_dir / RUNS).resolve()
        path = (self.build_dir / name).resolve()
        return path if path.is_relative_to(runs) and path.is_file() else None


def _state_of(path: Path) -> tuple[int, int] | None:
    """What changes as a history grows; None where there is none."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size
