"""The figures of a night on one host: how long it boots against its critical path, and how busy the cores are."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.measuring import Bench
from metallize.host.share import usable_cores

PROFILES = ("debian13-livecd", "debian13-ext4", "debian13-cloud", "debian12-ext4")
_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The boots of a night."""

    count: int
    seconds: float
    """From the beginning of the first to the end of the last."""
    bound_seconds: float
    """No order makes them in less: the longest of all, or all of them on all cores without a gap."""


def span_of(attempts: Sequence[Mapping[str, Any]], cores: int) -> Span:
    """Of lines of the history, whose guests have one CPU each."""
    boots = [each for each in attempts if each.get("metrics", {}).get("seconds")]
    begun = [datetime.fromisoformat(each["started"]).timestamp() for each in boots]
    took = [float(each["metrics"]["seconds"]) for each in boots]
    last = max(start + seconds for start, seconds in zip(begun, took, strict=True))
    return Span(count=len(boots), seconds=last - min(begun), bound_seconds=max(*took, sum(took) / cores))


def matrix(bench: Bench) -> None:
    """Four profiles on all of their machines, guests of one CPU, with nothing to build."""
    profiles = [bench.profile(name) for name in PROFILES]
    words = ("--set", "boot.cpus=1", "--confirm-boots", "0", "--bisect-minutes", "0")
    bench.note("building four profiles, and booting each on its machines: a first night")
    bench.metallize("nightly", *profiles, *words)
    bench.note("the same again, timed, with nothing to build")
    busy = _Busy()
    with busy:
        took = bench.metallize("nightly", *profiles, *words)
    path = bench.scratch / "build" / "nightly" / "history.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    night = [each for each in lines if each["night"] == lines[-1]["night"]]
    bad = [each for each in night if each["status"] != "PASS"]
    wrong = [f"{each['profile']} on {each['machine']}: {each.get('reason')}" for each in bad]
    if wrong:
        raise SystemExit(f"error: not all passed: {'; '.join(wrong)}")
    cores = usable_cores()
    span = span_of(night, cores)
    made_of = f"{span.count} boots in {span.seconds:.0f} s, at least {span.bound_seconds:.0f} s; {took:.0f} s in all"
    bench.add("a night / its critical path", span.seconds / span.bound_seconds, 1.15, "x", f"{made_of}, {cores} cores")
    bench.add("cores that were idle while it booted", 1 - busy.share, 0.15, "", f"of {cores}, at the median second")


class _Busy:
    """How much of the host's processor time is used, while it is open, at the median of its looks."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._shares: list[float] = []
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def share(self) -> float:
        """At the median: the first and the last seconds of a night are of few boots."""
        return sorted(self._shares)[len(self._shares) // 2] if self._shares else 0.0

    def _watch(self) -> None:
        before = _processor_times()
        while not self._over.wait(_LOOK_SECONDS):
            now = _processor_times()
            whole = now[1] - before[1]
            if whole > 0:
                self._shares.append((now[0] - before[0]) / whole)
            before = now


def _processor_times() -> tuple[int, int]:
    """Busy and in all, in ticks since the host began (proc_stat(5))."""
    first = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0].split()[1:9]
    ticks = [int(each) for each in first]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)
