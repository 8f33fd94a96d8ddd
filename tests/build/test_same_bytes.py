"""The same inputs give the same bytes, whichever way and however often an image is built."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from metallize import pipeline
from metallize.build.engines.docker import DockerEngine
from metallize.build.generator import sha256_of
from metallize.catalog import Catalog
from metallize.catalog.entries import data_folder
from metallize.command import run
from metallize.config import load_profile
from metallize.events import Silent
from tests.conftest import Cli

from .conftest import Site, Start, leftovers

pytestmark = pytest.mark.docker
HERE = {"livecd": "same.iso", "ext4": "same.img", "netboot": "same.tar", "ab": "same.raw"}
ELSEWHERE = {"rpi": "rpi3-templogger.yaml"}
"""Generators for another architecture, with a shipped profile of each: emulated, so by night."""
EACH = pytest.mark.parametrize(
    ("generator", "file"),
    # by night: a kernel is packed and a tree of hashes made for each
    [pytest.param(*each, marks=pytest.mark.nightly if each[0] == "ab" else ()) for each in HERE.items()],
)


def images(folder: Path) -> list[str]:
    return [name for name in leftovers(folder) if not name.endswith((".json", ".mtree"))]


@EACH
def test_the_printed_plan_does_the_same_build(site: Site, cli: Cli, generator: str, file: str) -> None:
    profile = site.profile(file, generator=generator)
    built = cli("build", profile, cwd=site.folder)
    assert built.status == 0, built.stderr
    planned = cli("plan", profile, "--build-dir", "planned", cwd=site.folder)
    run(["sh"], stdin=planned.stdout, cwd=site.folder, timeout=timedelta(minutes=5))
    assert images(site.folder / "planned") == [file]
    assert sha256_of(site.folder / "planned" / file) == sha256_of(site.build / file)


@EACH
def test_an_image_is_built_again_to_the_same_bytes(site: Site, cli: Cli, generator: str, file: str) -> None:
    profile = site.profile(file, generator=generator)
    for folder in ("one", "two"):
        assert cli("build", profile, "--build-dir", folder, cwd=site.folder).status == 0
    assert sha256_of(site.folder / "one" / file) == sha256_of(site.folder / "two" / file)


def test_nothing_changed_is_nothing_to_do_and_no_cache_is_all_again(site: Site, cli: Cli) -> None:
    profile = site.profile("again.iso")
    for _ in range(3):  # another test's --no-cache may give the tools another base in between, and they are built anew
        assert cli("build", profile, cwd=site.folder).status == 0
        before = (site.build / "again.iso").stat()
        again = cli("build", profile, cwd=site.folder)
        if "✓ layer generator" not in again.stderr:
            break
    assert "nothing has changed" in again.stderr
    assert (site.build / "again.iso").stat().st_mtime_ns == before.st_mtime_ns
    fresh = cli("build", profile, "--no-cache", cwd=site.folder)
    assert fresh.status == 0, fresh.stderr
    assert re.search(r"^✓ layer system\.dockerfile", fresh.stderr, re.MULTILINE)
    assert (site.build / "again.iso").stat().st_mtime_ns != before.st_mtime_ns


def test_two_builds_at_once_of_one_profile(site: Site, start: Start) -> None:
    profile = site.profile("both.iso")
    first, second = (start("build", profile, cwd=site.folder) for _ in range(2))
    ended = [first.end(), second.end()]
    assert [status for status, _ in ended] == [0, 0], ended
    results = [next(event for event in each.events if event["event"] == "result") for each in (first, second)]
    assert results[0]["sha256"] == results[1]["sha256"] == sha256_of(site.build / "both.iso")
    assert sorted(result["built"] for result in results) == [False, True]
    notes = [event["text"] for each in (first, second) for event in each.events if event["event"] == "note"]
    assert any("is building both.iso; waiting for it" in text for text in notes)
    assert leftovers(site.build) == ["both.iso", "both.iso.files.mtree", "both.iso.manifest.json"]


@pytest.mark.parametrize(
    ("suffix", "options"), [("qcow2", {}), ("qcow2", {"compress": True}), ("vmdk", {}), ("vhdx", {})]
)
def test_a_container_format_is_sound_and_the_same_twice(
    site: Site, cli: Cli, suffix: str, options: Mapping[str, bool]
) -> None:
    file = f"disk.{suffix}"
    raw = site.profile("disk.img", generator="ext4")
    assert cli("build", raw, cwd=site.folder).status == 0
    profile = site.profile(file, generator="ext4", options=options)
    for folder in ("one", "two"):
        done = cli("build", profile, "--build-dir", folder, cwd=site.folder)
        assert done.status == 0, done.stderr
    image = site.folder / "one" / file
    checked = run(["qemu-img", "check", "-f", suffix, image])
    if suffix == "qcow2":
        assert ("0.00% compressed" not in checked.stdout) is bool(options), checked.stdout
    assert sha256_of(image) == sha256_of(site.folder / "two" / file)
    compared = subprocess.run(
        ["qemu-img", "compare", "-f", "raw", "-F", suffix, site.build / "disk.img", image],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert "Images are identical" in compared.stdout, compared


@pytest.mark.nightly  # by day every image's is, with all of it
def test_an_initrd_that_is_made_anew_is_the_same(site: Site, engine: DockerEngine) -> None:
    profile = site.profile("real.iso", "debian-live.dockerfile")
    data = site.folder / "data"
    for name in ("generators", "layers", "boot-tests", "profiles"):
        shutil.copytree(data_folder() / name, data / name)
    recipe = data / "generators/common/seal/Dockerfile"
    text = recipe.read_text()
    assert "id=metallize-initrd" in text
    digests = set()
    for name in (f"metallize-test-{uuid4().hex}", "metallize-initrd"):
        recipe.write_text(text.replace("id=metallize-initrd", f"id={name}"))
        catalog = Catalog(data=data)
        options = pipeline.Options(build_dir=site.folder / name)
        loaded = load_profile(profile, vocabulary=catalog.vocabulary())
        plan = pipeline.plan_of(loaded, catalog, options)
        built = pipeline.build(plan, loaded, catalog, engine, Silent(), options, verified=False)
        digests.add(built.sha256)
    assert len(digests) == 1


@pytest.mark.nightly
@pytest.mark.parametrize("name", ELSEWHERE.values())
def test_the_printed_plan_of_another_architecture_does_the_same_build(cli: Cli, tmp_path: Path, name: str) -> None:
    """With the tools of this host, which the base of an emulated one is made with."""
    profile = data_folder() / "profiles" / name
    assert cli("build", profile, "--build-dir", "built", cwd=tmp_path).status == 0
    planned = cli("plan", profile, "--build-dir", "planned", cwd=tmp_path)
    run(["sh"], stdin=planned.stdout, cwd=tmp_path, timeout=timedelta(minutes=40))
    [image] = images(tmp_path / "planned")
    assert sha256_of(tmp_path / "planned" / image) == sha256_of(tmp_path / "built" / image)
