"""The command: scripts/bench has its description, PARTS every figure that it may be asked for."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from bench.boots import beside, console, harness, verify
from bench.builds import change, cold_arm64, cold_ext4, cold_livecd, unchanged
from bench.matrix import matrix
from bench.measuring import MIB, ROOT, Bench
from bench.night import night
from bench.pages import pages
from bench.releases import release
from metallize.command import run

PARTS: dict[str, Callable[[Bench], None]] = {
    "unchanged": unchanged,
    "change": change,
    "ext4": cold_ext4,
    "livecd": cold_livecd,
    "arm64": cold_arm64,
    "verify": verify,
    "beside": beside,
    "harness": harness,
    "console": console,
    "release": release,
    "matrix": matrix,
    "night": night,
    "pages": pages,
}
HOSTLESS = frozenset({"night", "pages"})
"""What neither builds nor boots."""


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("interrupted"))
    options = argparse.ArgumentParser(prog="scripts/bench")
    options.add_argument("--only", action="append", choices=list(PARTS), default=[])
    options.add_argument("--json", type=Path)
    options.add_argument("--keep", action="store_true")
    chosen = options.parse_args()
    # beside the images, where there is room for them: /tmp may be memory
    (ROOT / "build").mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="metallize-bench-", dir=ROOT / "build"))
    bench = Bench(scratch)
    try:
        for name in chosen.only or PARTS:
            PARTS[name](bench)
        if bench.peak_bytes:
            bench.add("peak memory of the metallize process", bench.peak_bytes / MIB, 150, "MiB", "highest of the run")
    finally:
        if not HOSTLESS.issuperset(chosen.only or PARTS):
            layers = run(["docker", "images", "--quiet", "metallize/bench-last"], check=False).stdout.split()
            if layers:
                run(["docker", "rmi", "--force", *dict.fromkeys(layers)], check=False)
        if chosen.keep:
            bench.note(f"scratch folder and logs: {scratch}")
        else:
            shutil.rmtree(scratch)
    if chosen.json:
        chosen.json.write_text(json.dumps([{**asdict(f), "holds": f.holds} for f in bench.figures], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
