"""The bench itself: its scratch folder, its figures and how long a tool takes."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import yaml

from metallize.command import run, spawn

ROOT = Path(__file__).resolve().parents[3]
LIMIT = timedelta(minutes=30)
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured value and what it may be at most, in the same unit."""

    name: str
    value: float
    limit: float
    unit: str
    made_of: str

    @property
    def holds(self) -> bool:
        return self.value <= self.limit

    def __str__(self) -> str:
        by = f" by {self.value / self.limit - 1:.0%}" if self.limit else ""
        verdict = "holds" if self.holds else f"MISSED{by}"
        return f"{self.name}: {self.value:.2f} {self.unit} (at most {self.limit:g}): {verdict}    [{self.made_of}]"


@dataclass(slots=True)
class Bench:
    """The scratch folder, what was measured so far, and the highest memory use of the metallize process."""

    scratch: Path
    figures: list[Figure] = field(default_factory=list)
    peak_bytes: int = 0

    def note(self, text: str) -> None:
        sys.stderr.write(f"==> {text}\n")

    def add(self, name: str, value: float, limit: float, unit: str, made_of: str) -> None:
        self.figures.append(Figure(name=name, value=value, limit=limit, unit=unit, made_of=made_of))
        sys.stdout.write(f"{self.figures[-1]}\n")
        sys.stdout.flush()

    def metallize(self, *args: str | Path, check: bool = True) -> float:
        """Run metallize, watch its memory, and return the seconds it took."""
        log = self.scratch / f"metallize-{len(list(self.scratch.glob('metallize-*.log')))}.log"
        start = time.monotonic()
        with log.open("wb") as output:
            argv = [sys.executable, "-m", "metallize", *args]
            with spawn(argv, stdout=output, stderr=subprocess.STDOUT, cwd=self.scratch) as process:
                while process.poll() is None:
                    self.peak_bytes = max(self.peak_bytes, highest_memory(process.pid))
                    time.sleep(0.02)
        seconds = time.monotonic() - start
        if check and process.returncode != 0:
            raise SystemExit(f"error: {' '.join(map(str, args))} failed\n{log.read_text(errors='replace')[-3000:]}")
        return seconds

    def profile(self, name: str, *, last_layer: str | None = None) -> Path:
        """A shipped profile in the scratch folder, with one more layer of one line on top."""
        content = yaml.safe_load((ROOT / "profiles" / f"{name}.yaml").read_text())
        if last_layer is not None:
            content["images"].append("bench-last.dockerfile")
            (self.scratch / "bench-last.dockerfile").write_text(
                "# The layer whose one line changes.\nARG METALLIZE_SRC_IMG\nFROM ${METALLIZE_SRC_IMG}\n"
                f"RUN echo '{last_layer}' >/etc/bench\n"
            )
        file = self.scratch / f"{name}.yaml"
        file.write_text(yaml.safe_dump(content, sort_keys=False))
        return file


def highest_memory(pid: int) -> int:
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def timed(argv: Sequence[str | Path], *, log: Path | None = None, env: dict[str, str] | None = None) -> float:
    """Run a tool to its end; returns seconds. Raises CommandError when it fails."""
    start = time.monotonic()
    done = run(argv, env=env, timeout=LIMIT)
    seconds = time.monotonic() - start
    if log is not None:
        log.write_text(done.stdout + done.stderr)
    return seconds
