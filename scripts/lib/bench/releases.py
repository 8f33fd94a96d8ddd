"""The figure of a release: what publishing costs beside the slowest of what it has to do."""

from __future__ import annotations

import shutil

import yaml

from bench.measuring import MIB, Bench, timed
from metallize.release.packing import LEVEL


def release(bench: Bench) -> None:
    """An image of 2 GiB, verified and published, against sha256sum(1), cp(1) and xz(1) at the same level."""
    profile = bench.profile("debian13-ext4")
    content = yaml.safe_load(profile.read_text())
    content["output"] = {"generator": "ext4", "file": "big.raw", "options": {"margin": "1400M"}}
    content["boot"] = {**content["boot"], "machines": ["seabios"]}
    profile.write_text(yaml.safe_dump(content, sort_keys=False))
    bench.note("building and verifying an image of about 2 GiB")
    bench.metallize("build", profile, "--verify")
    image = bench.scratch / "build/big.raw"
    size = image.stat().st_size
    parts = {
        "sha256sum": timed(["sha256sum", image]),
        f"xz -{LEVEL}": timed(["sh", "-c", f'exec xz --keep --stdout --threads=1 -{LEVEL} "$0" >/dev/null', image]),
        "cp": timed(["cp", "--sparse=never", image, bench.scratch / "copy"]),
    }
    (bench.scratch / "copy").unlink()
    bench.peak_bytes, before = 0, bench.peak_bytes
    took = bench.metallize("publish", profile, "--to", bench.scratch / "to", "--channel", "stable")
    peak, bench.peak_bytes = bench.peak_bytes, before  # a release has a bound of its own
    told = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in parts.items())
    made_of = f"{took:.1f} s for {size / MIB:.0f} MiB; {told}"
    bench.add("a release / the slowest of its parts", took / max(parts.values()), 1.2, "x", made_of)
    bench.add("memory of a release", peak / MIB, 200, "MiB", "highest of the run")
    shutil.rmtree(bench.scratch / "to")
