"""From nothing, twice: the same bytes; or each file that is not the same, by its name. And the lock of the packages."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from metallize.build.generator import sha256_of
from metallize.command import run
from tests import engines
from tests.conftest import ROOT, Cli
from tests.engines import Engine, Kind

from .conftest import HEADER, Site, leftovers

pytestmark = pytest.mark.docker
TRACES = f"""\
# What builds leave of when they ran, as packages and tools do.
{HEADER}\
COPY app.py /srv/app.py
RUN date +%s%N >/var/log/dpkg.log && date +%s%N >/var/log/apt/term.log && mkdir -p /var/cache/man \\
 && date +%s%N >/var/cache/man/index.db && useradd --system app && date >/tmp/left
"""
CHANCE = f"""\
# What no conversion can mend.
{HEADER}\
RUN head -c 8 /dev/urandom >'/srv/by chance, ü' && chmod "$(shuf -n 1 -e 600 644 700 755 500 550 640 750)" /srv \\
 && echo same >/srv/same
"""


@pytest.mark.nightly  # with the shipped profiles; every day two builds in test_same_bytes.py
def test_two_cold_builds_of_two_checkouts_of_different_ages_are_the_same(site: Site, cli: Cli) -> None:
    app = site.folder / "app.py"
    app.write_text("print('app')\n")
    profile = site.profile("cold.img", "system.dockerfile", site.layer("traces.dockerfile", TRACES), generator="ext4")
    digests, epochs = set(), set()
    for number, when in enumerate((1_000_000_000, 4_000_000_000)):
        os.utime(app, (when, when))
        done = cli("build", profile, "--no-cache", "--build-dir", str(number), cwd=site.folder)
        assert done.status == 0, done.stderr
        digests.add(sha256_of(site.folder / str(number) / "cold.img"))
        manifest = json.loads((site.folder / str(number) / "cold.img.manifest.json").read_text())
        epochs.add(manifest["source_date_epoch"])
        assert manifest["package_snapshot"]["lock"] is None
        assert re.fullmatch(r"sha256:[0-9a-f]{64}", manifest["package_snapshot"]["id"])
    assert len(digests) == len(epochs) == 1


@pytest.mark.nightly  # two builds from nothing; by day of images that are made up (test_twice.py)
def test_check_says_that_the_bytes_are_the_same_and_puts_the_image_in_its_place(site: Site, cli: Cli) -> None:
    done = cli("build", site.profile("same.iso"), "--check", cwd=site.folder)
    assert done.status == 0, done.stderr
    assert f"the same bytes: sha256 {sha256_of(site.build / 'same.iso')}" in done.stderr
    assert leftovers(site.build) == ["same.iso", "same.iso.files.mtree", "same.iso.manifest.json"]


@pytest.mark.nightly  # three builds from nothing; by day of images that are made up (test_twice.py)
def test_check_names_the_file_that_differs_and_leaves_what_is_there(site: Site, cli: Cli) -> None:
    profile = site.profile("chance.iso")
    assert cli("build", profile, cwd=site.folder).status == 0
    before = sha256_of(site.build / "chance.iso")
    site.profile("chance.iso", "system.dockerfile", site.layer("chance.dockerfile", CHANCE))
    done = cli("build", profile, "--check", cwd=site.folder)
    assert done.status == 2, done.stderr
    assert "/srv/by chance, ü: contents\n" in done.stderr
    assert "/srv/same" not in done.stderr
    assert sha256_of(site.build / "chance.iso") == before
    assert leftovers(site.build) == ["chance.iso", "chance.iso.files.mtree", "chance.iso.manifest.json"]


def test_a_lock_refuses_other_packages_before_an_image_is_made(site: Site, cli: Cli) -> None:
    profile = site.profile("locked.iso")
    written = cli("lock", profile, cwd=site.folder)
    assert written.status == 0, written.stderr
    lock = Path(written.stdout.strip())
    assert lock == profile.with_suffix(".lock")
    assert cli("build", profile, cwd=site.folder).status == 0
    manifest = json.loads((site.build / "locked.iso.manifest.json").read_text())
    assert manifest["package_snapshot"]["lock"] == "locked.lock"
    rows = [line.split() for line in lock.read_text().splitlines() if not line.startswith("#")]
    assert [(row["name"], row["version"], row["architecture"]) for row in manifest["packages"]] == sorted(
        (row[0], row[1], row[2]) for row in rows
    )
    made = (site.build / "locked.iso").stat().st_mtime_ns
    text = lock.read_text()
    (version,) = (row[1] for row in rows if row[0] == "bash")
    lock.write_text(text.replace(f"bash {version} ", "bash 1.0-1 "))
    for words in ((), ("--no-cache",)):
        refused = cli("build", profile, *words, cwd=site.folder)
        assert refused.status == 2
        assert f"bash (amd64) is locked to 1.0-1, and {version} is installed" in refused.stderr
    script = cli("plan", profile, cwd=site.folder).stdout
    planned = subprocess.run(["sh"], input=script, cwd=site.folder, capture_output=True, text=True, check=False)
    assert planned.returncode == 2
    assert f"bash {version} amd64" in planned.stderr
    assert "these packages are not those of locked.lock" in planned.stderr
    assert (site.build / "locked.iso").stat().st_mtime_ns == made
    assert cli("lock", profile, cwd=site.folder).status == 0
    assert lock.read_text() == text
    assert cli("build", profile, cwd=site.folder).status == 0
    assert sha256_of(site.build / "locked.iso") == manifest["sha256"], "of layers that were built again meanwhile"


@pytest.fixture(scope="module")
def cold() -> Iterator[Engine]:
    """An engine of its own: the host's may have been given to others, who build the same layers meanwhile."""
    with engines.running(Kind.CLASSIC) as engine:
        yield engine


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another checkout of the same tree, all of its files of now."""
    copy = tmp_path_factory.mktemp("clone") / "metallize"
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in filter(None, run(listing, cwd=ROOT).stdout.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy / name)
            shutil.copymode(ROOT / name, copy / name)
    return copy


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["debian13-ext4", "debian13-livecd", "debian13-cloud", "rpi3-templogger", "debian13-ab"]
)
def test_a_shipped_profile_is_the_same_from_nothing(name: str, cold: Engine, clone: Path) -> None:
    """Once here, and once of a fresh clone by an engine that has neither images nor a cache any more."""
    digests = set()
    for tree in (ROOT, clone):
        for what in ("system", "builder"):
            assert cold.run("docker", what, "prune", "--all", "--force").status == 0
        assert cold.run("docker", "images", "--quiet", "--all").stdout == ""
        folder = cold.work / f"of-{tree.name}"
        done = cold.run(
            "env", f"PYTHONPATH={tree}", sys.executable, "-m", "metallize", "build", name, "--build-dir", folder
        )
        assert done.status == 0, done.stderr
        (image,) = [path for path in folder.glob(f"{name}.*") if path.suffix not in {".json", ".mtree"}]
        digests.add(sha256_of(image))
        manifest = json.loads(image.with_name(f"{image.name}.manifest.json").read_text())
        sys.stdout.write(f"{name}: {manifest['sha256']} of {tree}, packages {manifest['package_snapshot']['id']}\n")
        shutil.rmtree(folder)
    assert len(digests) == 1
