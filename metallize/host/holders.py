"""What running processes hold: files that are open, folders that they stand in (proc_pid_fd(5), proc_pid_cwd(5)).

Of processes of other users this shows nothing but to root; their command lines are everybody's.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_DELETED = " (deleted)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holders:
    """What was held at one moment, by other processes than this one."""

    paths: frozenset[Path]
    """Resolved; also names of files that have lost theirs, as they were."""
    words: frozenset[str]
    """Of command lines."""

    def within(self, folders: Iterable[Path]) -> frozenset[Path]:
        """Those of the folders, or files, that a process holds, or something in them."""
        wanted = {folder.resolve(): folder for folder in folders}
        above = {each for path in self.paths for each in (path, *path.parents)}
        held = {folder for path, folder in wanted.items() if path in above}
        named = "\n".join(self.words)
        return frozenset(held | {folder for path, folder in wanted.items() if str(path) in named})


def now() -> Holders:
    """Look at every process."""
    paths: set[Path] = set()
    words: set[str] = set()
    for folder in Path("/proc").glob("[0-9]*"):
        if folder.name == str(os.getpid()):
            continue
        with suppress(OSError):
            words.update((folder / "cmdline").read_bytes().decode(errors="replace").split("\0"))
        with suppress(OSError):
            paths.add(Path(os.readlink(folder / "cwd")))  # noqa: PTH115 - pathlib's has no name for what is deleted
        with suppress(OSError):
            for entry in (folder / "fd").iterdir():
                with suppress(OSError):
                    target = os.readlink(entry)  # noqa: PTH115 - as above
                    if target.startswith("/"):
                        paths.add(Path(target.removesuffix(_DELETED)))
    return Holders(paths=frozenset(paths), words=frozenset(word for word in words if "/" in word))
