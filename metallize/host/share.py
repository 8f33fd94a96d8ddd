"""What of the host this process may use: cores and memory, as the scheduler and the control groups limit them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def usable_cores(root: Path = _CGROUPS, membership: Path = _MEMBERSHIP) -> int:
    """The cores that this process may run on, at least one; part of a core is none."""
    cores = float(len(os.sched_getaffinity(0)))
    for folder in _groups(root, membership):
        quota, period = (*_words(folder / "cpu.max"), "", "")[:2]
        if not quota:  # version 1
            quota = next(iter(_words(folder / "cpu.cfs_quota_us")), "")
            period = next(iter(_words(folder / "cpu.cfs_period_us")), "")
        if quota.isdecimal() and period.isdecimal() and int(period):
            cores = min(cores, int(quota) / int(period))
    return max(1, int(cores))


def usable_memory_bytes(root: Path = _CGROUPS, membership: Path = _MEMBERSHIP) -> int:
    """The memory that this process may have at most."""
    limit = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for folder in _groups(root, membership):
        for name in ("memory.max", "memory.limit_in_bytes"):
            word = next(iter(_words(folder / name)), "")
            if word.isdecimal() and int(word):
                limit = min(limit, int(word))
    return limit


def _groups(root: Path, membership: Path) -> Iterator[Path]:
    """The control groups of this process and all above them, of both versions; what is not there limits nothing."""
    try:
        lines = membership.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers and not {"cpu", "memory"} & set(controllers.split(",")):
            continue
        for base in [root / name for name in controllers.split(",")] if controllers else [root]:
            own = Path(path.lstrip("/"))
            if ".." not in own.parts:
                yield from (base / part for part in (own, *own.parents))
            else:
                yield base


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").split()
    except OSError:
        return []
