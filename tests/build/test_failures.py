"""What can go wrong in a build is an error that names its place and the next step."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from metallize.build.engines.docker import DockerEngine
from metallize.command import Finished, run
from tests.conftest import Cli

from .conftest import HEADER, SYSTEM, Site, Start, containers, leftovers, prints

pytestmark = pytest.mark.docker


def refused(done: Finished, *words: str, status: int = 3) -> None:
    assert done.status == status, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize(
    ("body", "line", "words"),
    [
        ('RUN true\nRUN echo working \\\n && echo "it broke" >&2 \\\n && exit 7\n', 4, ["it broke", "exit code: 7"]),
        ("COPY missing /etc/\n", 3, ["missing", "next: COPY and ADD take files from the layer's build context"]),
        ("RUN apt-get install -y no-such-package-here\n", 3, ["Unable to locate package", "`apt-get update`"]),
    ],
)
def test_a_failing_layer_is_named_with_its_line_and_its_output(
    site: Site, cli: Cli, body: str, line: int, words: list[str]
) -> None:
    layer = site.layer("bad.dockerfile", HEADER + body)
    done = cli("build", site.profile("bad.iso", "system.dockerfile", layer), cwd=site.folder)
    refused(done, f"bad.dockerfile:{line}: layer bad.dockerfile failed to build", *words)
    assert leftovers(site.build) == []


def test_what_buildkit_would_refuse_is_refused_before_anything_is_built(site: Site, cli: Cli) -> None:
    layer = site.layer("bad.dockerfile", f"{HEADER}RUN true\nBOGUS x\n")
    done = cli("build", site.profile("bad.iso", "system.dockerfile", layer), cwd=site.folder)
    refused(done, "bad.dockerfile:4:1: unknown instruction: BOGUS", "nothing was built", status=2)
    assert not site.build.exists()


def test_a_syntax_line_where_its_registry_cannot_be_reached(site: Site, cli: Cli) -> None:
    layer = site.layer("new.dockerfile", f"# syntax=registry.invalid/docker/dockerfile:1\n{HEADER}")
    done = cli("build", site.profile("new.iso", layer), cwd=site.folder)
    refused(done, "new.dockerfile", "`# syntax=` line")


def test_an_image_without_a_shell(site: Site, cli: Cli) -> None:
    layer = site.layer("empty.dockerfile", "FROM scratch\nCOPY empty.dockerfile /\n")
    profile = site.profile("empty.iso", "x.dockerfile")
    profile.write_text(profile.read_text().replace("debian:trixie, x.dockerfile", layer))
    done = cli("build", profile, cwd=site.folder)
    refused(done, "the packages of the rootfs could not be counted", "no /bin/sh: name a base with a shell")


def test_attributes_that_no_build_sees_are_told(site: Site, cli: Cli) -> None:
    """COPY brings them along where root copies; nobody else's client sees them."""
    (site.folder / "brick").write_text("")
    os.setxattr(site.folder / "brick", "user.colour", b"red")
    if os.geteuid() == 0:
        os.setxattr(site.folder / "brick", "trusted.brick", b"1")
    layer = site.layer("brick.dockerfile", f"{HEADER}COPY brick /srv/\n")
    profile = site.profile("x.iso", "system.dockerfile", layer)
    planned = cli("plan", profile, cwd=site.folder)
    assert planned.status == 0, planned.stderr
    note = f"# note: brick.dockerfile: {site.folder}/brick has attributes `trusted.*`, which no image keeps"
    assert (note in planned.stdout) == (os.geteuid() == 0)


def test_a_volume_that_is_a_file(site: Site, cli: Cli) -> None:
    layer = site.layer("volume.dockerfile", f'{HEADER}RUN touch "/srv/a file"\nVOLUME ["/srv", "/srv/a file"]\n')
    done = cli("build", site.profile("x.iso", "system.dockerfile", layer), cwd=site.folder)
    refused(done, "volume.dockerfile:4: VOLUME is on /srv/a file, which is a file", "next: take it out of VOLUME")
    assert leftovers(site.build) == []


@pytest.mark.parametrize(
    ("generator", "file", "removed", "words"),
    [
        ("livecd", "x.iso", "/boot/vmlinuz-1.0", ["no kernel in /boot", "next: Add a layer with a kernel"]),
        ("livecd", "x.iso", "/boot/initrd.img-1.0", ["no initrd for kernel 1.0", "next: Add initramfs-tools"]),
        ("livecd", "x.iso", "/usr/lib/systemd/systemd", ["no init system", "debian-live.dockerfile"]),
        ("livecd", "x.iso", "/usr/share/initramfs-tools/scripts/live", ["live-boot is not in the rootfs"]),
        ("ext4", "x.img", "/usr/sbin/resize2fs", ["resize2fs", "install e2fsprogs", "grow: false"]),
        ("ext4", "x.img", "/usr/sbin/sfdisk", ["sfdisk", "install fdisk"]),
    ],
)
def test_a_rootfs_that_lacks_something(
    site: Site, cli: Cli, generator: str, file: str, removed: str, words: list[str]
) -> None:
    layer = site.layer("less.dockerfile", f"{HEADER}RUN rm {removed}\n")
    done = cli("build", site.profile(file, "system.dockerfile", layer, generator=generator), cwd=site.folder)
    refused(done, *words)
    assert leftovers(site.build) == []


def test_docker_down(site: Site, cli: Cli) -> None:
    done = cli("build", site.profile("x.iso"), cwd=site.folder, env={"DOCKER_HOST": f"unix://{site.folder}/no.sock"})
    refused(done, f"no Docker engine answers at unix://{site.folder}/no.sock", "scripts/quickstart")


def test_no_docker_command_that_can_build(site: Site, cli: Cli) -> None:
    programs = site.folder / "programs"
    programs.mkdir()
    (programs / "docker").write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Docker version 28.0.0"\n')
    (programs / "docker").chmod(stat.S_IRWXU)
    layer = site.layer("other.dockerfile", f"{SYSTEM}RUN echo {site.folder}\n")
    # The usual folders are looked into as well; where one holds a docker that can build, it is taken.
    done = cli("build", site.profile("x.iso", layer), cwd=site.folder, env={"PATH": f"{programs}:{os.environ['PATH']}"})
    assert done.status == 0, done.stderr


def test_a_base_that_no_registry_gives(site: Site, cli: Cli) -> None:
    profile = site.profile("x.iso", "system.dockerfile", base="registry.invalid/own/os:1")
    done = cli("build", profile, cwd=site.folder)
    refused(done, "registry.invalid/own/os:1 could not be fetched from its registry", "docker load", "registry.invalid")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a filesystem of its own with 450 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    sudo = [] if os.getuid() == 0 else ["sudo", "--non-interactive"]
    run([*sudo, "mount", "-t", "tmpfs", "-o", f"size=450M,mode=0777,uid={os.getuid()}", "metallize-test", folder])
    yield folder
    run([*sudo, "umount", folder], timeout=timedelta(seconds=30))


def test_a_disk_without_the_space_is_noticed_before_the_work(site: Site, cli: Cli, small_disk: Path) -> None:
    with (small_disk / "full").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 400 << 20)
    done = cli("build", site.profile("x.iso"), "--build-dir", small_disk, cwd=site.folder)
    refused(done, "MiB free; making this image needs about", "--build-dir")
    assert leftovers(small_disk) == ["full"]


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["init", "--yes"], ".yaml cannot be written"),
        (["schema", "--write"], "--write .metallize"),
        (["lock", "x.yaml"], "build/.metallize/x.iso.lock cannot be written"),
    ],
)
def test_a_disk_that_is_full(site: Site, cli: Cli, small_disk: Path, words: list[str], place: str) -> None:
    shutil.copytree(site.profile("x.iso").parent, small_disk, dirs_exist_ok=True)
    with (small_disk / "full").open("wb") as file, suppress(OSError):
        while True:
            os.write(file.fileno(), bytes(1 << 12))
    refused(cli(*words, cwd=small_disk), place, "No space left on device", "next: make room: see df -h")


def fill_up(folder: Path) -> None:
    """Take all but a few MiB of a disk that somebody else is writing to as well."""
    with (folder / "full").open("wb") as rest:
        for spare in range(4 << 20, 400 << 20, 16 << 20):
            with suppress(OSError):
                os.posix_fallocate(rest.fileno(), 0, max(1, shutil.disk_usage(folder).free - spare))
                return
    raise AssertionError("the disk could not be filled")


@pytest.mark.parametrize(
    ("file", "generator", "moment"), [("full.iso", "livecd", "squashfs with"), ("full.img", "ext4", "[internal] load")]
)
def test_a_disk_that_fills_up(
    start: Start, site: Site, small_disk: Path, engine: DockerEngine, file: str, generator: str, moment: str
) -> None:
    running = start("build", site.profile(file, generator=generator), "--build-dir", small_disk, cwd=site.folder)
    running.until(prints(moment))
    fill_up(small_disk)
    status, err = running.end()
    assert status == 3, err
    assert "No space left on device" in err
    assert "--build-dir" in err
    assert leftovers(small_disk) == ["full"]
    assert containers(engine, file) == []
