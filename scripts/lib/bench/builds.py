"""The figures of builds: nothing changed, one line changed, and from nothing at all."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import yaml

from bench.floor import BASE, docker_cli, floor_seconds
from bench.measuring import MIB, Bench
from bench.peers import peers
from metallize.command import run


def unchanged(bench: Bench) -> None:
    """Nothing changed: the second of two builds."""
    for name in ("debian13-ext4", "debian13-livecd"):
        profile = bench.profile(name)
        bench.metallize("build", profile)
        seconds = min(bench.metallize("build", profile) for _ in range(3))
        bench.add(f"nothing changed, {name}", seconds, 2.0, "s", "best of 3")


def change(bench: Bench) -> None:
    """One line changed in the last layer, against the floor and against mkosi."""
    bench.note("One line changed in the last layer")
    bench.metallize("build", bench.profile("debian13-ext4", last_layer="zero"))
    ours, floors = [], []
    for number in ("one", "two", "three"):
        ours.append(bench.metallize("build", bench.profile("debian13-ext4", last_layer=f"{number} {os.getpid()}")))
        floors.append(floor_seconds(bench, f"{number} {os.getpid()}"))
    mine, (floor, parts) = min(ours), min(floors)
    bench.add("one line changed / floor", mine / floor, 1.3, "x", f"{mine:.1f} s / {floor:.1f} s: {parts}")
    with peers(bench) as there:
        there.mkosi(incremental=True)
        bench.note("mkosi: filling its cache")
        there.mkosi_build("mkosi-fill")
        same = there.mkosi_build("mkosi-unchanged")
        (there.root / "mkosi/mkosi.extra/etc/bench").write_text("two\n")
        changed = there.mkosi_build("mkosi-changed")
    bench.add("one line changed / mkosi", mine / changed, 0.25, "x", f"{mine:.1f} s / {changed:.1f} s")
    sys.stdout.write(f"  mkosi with nothing changed: {same:.1f} s\n")


def cold_seconds(bench: Bench, profile: Path, *, platform: str = "linux/amd64") -> float:
    """Base bootstrapped, every layer built again, no package kept from before."""
    run([docker_cli(), "builder", "prune", "--force", "--filter", "type=exec.cachemount"], check=False)
    shutil.rmtree(bench.scratch / "cold", ignore_errors=True)
    base = bench.metallize("base", BASE, "--platform", platform)
    build = bench.metallize("build", profile, "--no-cache", "--build-dir", bench.scratch / "cold")
    bench.note(f"base {base:.1f} s, build {build:.1f} s")
    return base + build


def cold_ext4(bench: Bench) -> None:
    bench.note("Cold build of debian13-ext4, and mkosi with the same packages")
    ours = cold_seconds(bench, bench.profile("debian13-ext4"))
    used = (bench.scratch / "cold/debian13-ext4.img").stat().st_blocks * 512
    with peers(bench) as there:
        there.mkosi(incremental=False)
        theirs = there.mkosi_build("mkosi-cold")
        peer_used = (there.root / "mkosi/peer.raw").stat().st_blocks * 512
    bench.add("cold debian13-ext4 / mkosi", ours / theirs, 0.7, "x", f"{ours:.1f} s / {theirs:.1f} s")
    sys.stdout.write(f"  bytes on disk: {used // MIB} MiB, mkosi {peer_used // MIB} MiB\n")


def cold_livecd(bench: Bench) -> None:
    bench.note("Cold build of debian13-livecd, and live-build with the same packages")
    ours = cold_seconds(bench, bench.profile("debian13-livecd"))
    size = (bench.scratch / "cold/debian13-livecd.iso").stat().st_size
    with peers(bench) as there:
        theirs, peer_size = there.live_build()
    bench.add("cold debian13-livecd / live-build", ours / theirs, 0.4, "x", f"{ours:.1f} s / {theirs:.1f} s")
    bench.add("size of the ISO / live-build", size / peer_size, 1.0, "x", f"{size // MIB} / {peer_size // MIB} MiB")


def cold_arm64(bench: Bench) -> None:
    """The Pi's card, whose packages are of another architecture, against the same app on a disk of this one."""
    bench.note("Cold build of rpi3-templogger, and of the same app on debian13-ext4")
    foreign = cold_seconds(bench, bench.profile("rpi3-templogger"), platform="linux/arm64")
    own = bench.profile("debian13-ext4")
    content = yaml.safe_load(own.read_text())
    content["images"].append("templogger.dockerfile")
    own.write_text(yaml.safe_dump(content, sort_keys=False))
    native = cold_seconds(bench, own)
    bench.add("cold arm64 / cold amd64, same app", foreign / native, 3.0, "x", f"{foreign:.1f} s / {native:.1f} s")
