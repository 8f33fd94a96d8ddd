"""What has changed below some folders since somebody looked last, by what stat(2) tells of each file."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

Stamp = tuple[int, int, int, int]
"""Time of the last change, size, inode and mode."""
Snapshot = Mapping[str, Stamp]

_IGNORED_FOLDERS = frozenset({".git", "__pycache__"})
_IGNORED_FILES = re.compile(r".*~|\.#.*|#.*#|\..*\.sw[a-z]|4913|.*\.tmp")
"""What editors write beside a file while it is edited."""
_LEAST_PAUSE_SECONDS = 0.4
_SHARE = 5
"""So much longer than a look took is the pause after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """Folders with everything in them, and single files; what is below one of `ignored` does not count."""

    roots: frozenset[Path]
    ignored: frozenset[Path] = frozenset()

    def look(self) -> Snapshot:
        """Every file now. One that goes away meanwhile is not there."""
        found: dict[str, Stamp] = {}
        ignored = {str(path) for path in self.ignored}
        for root in self.roots:
            for path in _files(str(root), ignored):
                try:
                    state = os.stat(path)  # noqa: PTH116 - many of them, again and again
                except OSError:
                    continue
                if stat.S_ISREG(state.st_mode):
                    found[path] = (state.st_mtime_ns, state.st_size, state.st_ino, state.st_mode)
        return found

    def covers(self, path: str) -> bool:
        """Whether a file is one of those that `look` would find."""
        above = {Path(path), *Path(path).parents}
        return not self.roots.isdisjoint(above) and self.ignored.isdisjoint(above)

    def taken_over(self, before: Snapshot, old: Watched) -> Snapshot:
        """What was seen when other files were watched, as if these had been; of what was not, what is there now."""
        kept = {path: stamp for path, stamp in before.items() if self.covers(path)}
        return kept | {path: stamp for path, stamp in self.look().items() if not old.covers(path)}

    def wait(self, before: Snapshot) -> tuple[Path, ...]:
        """Wait until something differs from that snapshot, and nothing changes any more; what differs, by name.

        Whoever saves several files, or one in several steps, is waited for.
        """
        last = before
        while True:
            begun = time.monotonic()
            now = self.look()
            if now == last != before:
                return changes(before, now)
            last = now
            time.sleep(max(_LEAST_PAUSE_SECONDS, _SHARE * (time.monotonic() - begun)))


def changes(before: Snapshot, after: Snapshot) -> tuple[Path, ...]:
    """The files that came, went, or are others."""
    return tuple(Path(path) for path in sorted(before.keys() | after.keys()) if before.get(path) != after.get(path))


def _files(root: str, ignored: set[str]) -> Iterator[str]:
    if not os.path.isdir(root):  # noqa: PTH112 - as above
        yield root
        return
    for folder, folders, names in os.walk(root):
        folders[:] = [
            name
            for name in folders
            if name not in _IGNORED_FOLDERS and os.path.join(folder, name) not in ignored  # noqa: PTH118 - as above
        ]
        for name in names:
            if _IGNORED_FILES.fullmatch(name) is None:
                yield os.path.join(folder, name)  # noqa: PTH118 - as above
