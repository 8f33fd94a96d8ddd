"""An interruption at any moment leaves nothing behind, and a build after a crash clears up."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from metallize.build.engines.docker import DockerEngine

from .conftest import BASE, HEADER, Running, Site, Start, containers, leftovers, prints, runs, sealed, soon

pytestmark = pytest.mark.docker
SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])


def assert_interrupted(running: Running) -> None:
    status, err = running.end()
    assert status == 130, err
    assert "interrupted" in err
    assert "Traceback" not in err
    soon(lambda: not running.processes(), "all its processes are gone")


@SIGNALS
def test_while_a_base_is_bootstrapped(start: Start, tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "temporary").mkdir()
    env = {"TMPDIR": str(tmp_path / "temporary"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    running = start("base", BASE, cwd=tmp_path, env=env)
    running.until(prints("installing"))
    running.send(number)
    assert_interrupted(running)
    assert not list((tmp_path / "temporary").iterdir())
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


@SIGNALS
def test_while_a_layer_is_built(start: Start, site: Site, engine: DockerEngine, number: signal.Signals) -> None:
    seconds = str(90_000 + number)
    layer = site.layer("slow.dockerfile", f"{HEADER}RUN echo it begins && sleep {seconds}\n")
    running = start("build", site.profile("slow.iso", layer), cwd=site.folder)
    running.until(prints("it begins"))
    soon(lambda: runs("sleep", seconds), "the layer's command runs")
    running.send(number)
    assert_interrupted(running)
    soon(lambda: not runs("sleep", seconds), "the build's own process is gone")
    assert containers(engine, "slow.iso") == []
    assert leftovers(site.build) == []


def test_a_killed_build_has_no_layer_made_for_nobody(start: Start, site: Site) -> None:
    """SIGKILL, of which no handler of ours knows: the engine's client ends with us, and what it had built."""
    layer = site.layer("slow.dockerfile", f"{HEADER}RUN echo it begins && sleep 90909\n")
    running = start("build", site.profile("slow.iso", layer), cwd=site.folder)
    running.until(prints("it begins"))
    running.send(signal.SIGKILL)
    assert running.end()[0] == -signal.SIGKILL
    soon(lambda: not running.processes(), "all its processes are gone")
    soon(lambda: not runs("sleep", "90909"), "the build's own process is gone")


MOMENTS = pytest.mark.parametrize(
    ("file", "generator", "moment"),
    [
        ("sealed.iso", "livecd", "exporting layers"),
        ("begun.iso", "livecd", "squashfs with"),
        ("iso.iso", "livecd", "metallize: ISO"),
        ("filled.img", "ext4", "ext4 of"),
        ("converted.qcow2", "ext4", "converting to"),
    ],
)


@MOMENTS
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_while_the_image_is_made(
    start: Start, site: Site, engine: DockerEngine, file: str, generator: str, moment: str, number: signal.Signals
) -> None:
    running = start("build", site.profile(file, generator=generator), cwd=site.folder)
    running.until(prints(moment))
    running.send(number)
    assert_interrupted(running)
    assert containers(engine, file) == sealed(engine, file) == []
    assert leftovers(site.build) == []


def test_a_killed_build_is_cleared_away_by_the_next(start: Start, site: Site, engine: DockerEngine) -> None:
    profile = site.profile("killed.img", generator="ext4")
    running = start("build", profile, cwd=site.folder)
    running.until(prints("ext4 of"))
    running.send(signal.SIGKILL)
    assert running.end()[0] == -signal.SIGKILL
    assert containers(engine, "killed.img")
    again = start("build", profile, cwd=site.folder)
    status, err = again.end()
    assert status == 0, err
    assert containers(engine, "killed.img") == sealed(engine, "killed.img") == []
    assert leftovers(site.build) == ["killed.img", "killed.img.files.mtree", "killed.img.manifest.json"]


def test_a_rootfs_that_a_killed_build_has_sealed_is_cleared_away(
    start: Start, site: Site, engine: DockerEngine
) -> None:
    running = start("build", site.profile("held.img", generator="ext4"), cwd=site.folder)
    running.until(prints("naming to "))
    running.send(signal.SIGKILL)
    assert running.end()[0] == -signal.SIGKILL
    soon(lambda: bool(sealed(engine, "held.img")), "the engine has the sealed rootfs")
    another = start("build", site.profile("another.iso"), cwd=site.folder)
    status, err = another.end()
    assert status == 0, err
    assert containers(engine, "held.img") == sealed(engine, "held.img") == []
    assert sealed(engine, "another.iso") == []


def test_an_image_that_was_there_stays_until_the_next_is_whole(start: Start, site: Site) -> None:
    profile = site.profile("kept.iso")
    assert start("build", profile, cwd=site.folder).end()[0] == 0
    before = (site.build / "kept.iso").stat()
    site.profile("kept.iso", options={"level": 3})
    running = start("build", profile, cwd=site.folder)
    running.until(prints("squashfs with"))
    running.send(signal.SIGINT)
    assert_interrupted(running)
    after = (site.build / "kept.iso").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
