"""The census of a rootfs's packages, and the lock that a profile holds it to."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from metallize.build.packages.census import (
    DEFAULT_EPOCH,
    SCRIPT,
    Census,
    Package,
    census,
    epoch_of,
    newest_of,
    read_census,
    snapshot,
)
from metallize.build.packages.lock import lock_path, lock_text, packages_of, require_locked, write_lock
from metallize.build.steps import steps_of
from metallize.errors import EngineError, HostError, ProfileError
from metallize.model.profile import Platform
from tests.unit.build.conftest import FakeEngine, MakePlan

BASH = Package(name="bash", version="5.2.37-2+b5", architecture="amd64")
LIBC = Package(name="libc6", version="2.41-12", architecture="amd64")
FOREIGN = Package(name="libc6", version="2.41-12", architecture="arm64")
TZDATA = Package(name="tzdata", version="2025b-4", architecture="all")
PRINTED = """\
time 1764005470.5000000000
package installed tzdata 2025b-4 all
package config-files gone 1.0 amd64
package installed libc6 2.41-12 amd64
package installed bash 5.2.37-2+b5 amd64
"""


def test_a_census_is_sorted_and_counts_what_is_installed() -> None:
    found = census(FakeEngine(packages=PRINTED), ("docker", "run", "any"), lambda _: None)
    assert found == Census(packages=(BASH, LIBC, TZDATA), newest=1764005470)


@pytest.mark.parametrize("text", ["", "\n", "sh: something else\n", "time \n"])
def test_a_rootfs_without_packages(text: str) -> None:
    assert read_census(text.replace("time \n", "")) == Census()


def test_the_script_sees_the_newest_file_that_a_package_brought(tmp_path: Path) -> None:
    info = tmp_path / "info"
    info.mkdir()
    for name, when in {
        "bash.list": 300, "bash.postinst": 100, "a:amd64.shlibs": 200, "format": 400, "bash.md5sums": 250,
    }.items():  # fmt: skip
        (info / name).touch()
        subprocess.run(["touch", "-d", f"@{when}", info / name], check=True)
    script = SCRIPT.replace("/var/lib/dpkg/info", str(info)).replace("dpkg-query --show", "echo")
    printed = subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True).stdout
    assert read_census(printed).newest == 200


def test_the_script_in_a_rootfs_without_dpkg(tmp_path: Path) -> None:
    script = SCRIPT.replace("/var/lib/dpkg/info", str(tmp_path / "none"))
    printed = subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True).stdout
    assert printed == ""


def test_a_look_that_fails_says_why() -> None:
    class Broken:
        def run(self, argv: Sequence[str], output: Callable[[str], None]) -> list[str] | None:
            return ["exec: /bin/sh: no such file"]

    with pytest.raises(EngineError, match="could not be counted:\nexec: /bin/sh"):
        census(Broken(), ("docker",), lambda _: None)


def test_a_look_has_no_network_and_leaves_nothing(make_plan: MakePlan) -> None:
    look = steps_of(make_plan()).look
    words = " ".join(str(word) for word in look.argv)
    assert words.startswith(
        "<docker> run --rm --network none --platform linux/amd64 --user 0:0 --entrypoint /bin/sh <layer_1> -c "
    )


@pytest.mark.parametrize(
    ("asked", "newest", "epoch"),
    [("5", 7, 5), (None, 7, 7), ("", 7, 7), (None, None, DEFAULT_EPOCH), ("0", 7, 0), (None, 0, 0)],
)
def test_the_latest_time_of_an_image(asked: str | None, newest: int | None, epoch: int) -> None:
    assert epoch_of(asked, newest) == epoch


def test_a_lock_holds_what_was_written(tmp_path: Path) -> None:
    profile = tmp_path / "my web,vm ü.yaml"
    assert require_locked(profile, [BASH]) is None
    path = write_lock(profile, Platform.AMD64, [TZDATA, LIBC, BASH, FOREIGN])
    assert path == lock_path(profile) == tmp_path / "my web,vm ü.lock"
    assert path.read_text().splitlines()[2:] == [
        "bash 5.2.37-2+b5 amd64", "libc6 2.41-12 amd64", "libc6 2.41-12 arm64", "tzdata 2025b-4 all",
    ]  # fmt: skip
    assert require_locked(profile, [FOREIGN, BASH, LIBC, TZDATA]) == path
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_each_package_that_differs_is_named_with_its_line(tmp_path: Path) -> None:
    profile = tmp_path / "web.yaml"
    write_lock(profile, Platform.AMD64, [BASH, LIBC])
    newer = Package(name="libc6", version="2.41-13", architecture="amd64")
    with pytest.raises(ProfileError) as refused:
        require_locked(profile, [newer, TZDATA])
    told = [str(problem) for problem in refused.value.problems]
    lock = lock_path(profile)
    assert told[0].startswith(f"{lock}:3:1: bash 5.2.37-2+b5 (amd64) is not installed")
    assert told[1].startswith(f"{lock}:4:1: libc6 (amd64) is locked to 2.41-12, and 2.41-13 is installed")
    assert told[2].startswith(f"{lock}:5:1: tzdata 2025b-4 (all) is installed, and the lock does not name it")
    assert all(f"metallize lock {profile}" in line for line in told)
    assert len(told) == 3


@pytest.mark.parametrize("odd", ["bash 5.2", "bash 5.2 amd64 more", "<<<<<<< HEAD"])
def test_a_line_that_is_no_package(tmp_path: Path, odd: str) -> None:
    lock_path(tmp_path / "web.yaml").write_text(f"# head\n\n{odd}\n{BASH}\n")
    with pytest.raises(ProfileError, match=r"web\.lock:3:1: .*is not a name, a version and an architecture"):
        require_locked(tmp_path / "web.yaml", [BASH])


def test_a_lock_that_is_no_text(tmp_path: Path) -> None:
    lock_path(tmp_path / "web.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(ProfileError, match="cannot be read"):
        require_locked(tmp_path / "web.yaml", [BASH])
    lock_path(tmp_path / "web.yaml").unlink()
    lock_path(tmp_path / "web.yaml").mkdir()
    with pytest.raises(ProfileError, match="cannot be read"):
        require_locked(tmp_path / "web.yaml", [BASH])


def test_an_empty_lock_locks_to_nothing(tmp_path: Path) -> None:
    lock_path(tmp_path / "web.yaml").write_text("")
    with pytest.raises(ProfileError, match="the lock does not name it"):
        require_locked(tmp_path / "web.yaml", [BASH])


def test_a_lock_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "web.lock").mkdir()
    with pytest.raises(HostError, match=r"web\.lock cannot be written"):
        write_lock(tmp_path / "web.yaml", Platform.AMD64, [BASH])
    assert [each.name for each in tmp_path.iterdir()] == ["web.lock"]


def test_the_snapshot_of_a_manifest() -> None:
    one = snapshot(Census(packages=(BASH, LIBC), newest=0), "web.lock")
    assert (one["newest"], one["lock"]) == ("1970-01-01T00:00:00+00:00", "web.lock")
    assert one["id"] != snapshot(Census(packages=(BASH,)), None)["id"]
    for newest in (None, 0, 1764005470):
        assert newest_of({"package_snapshot": snapshot(Census(newest=newest), None)}) == newest


@pytest.mark.parametrize("manifest", [{}, {"package_snapshot": "x"}, {"package_snapshot": {"newest": 5}}])
def test_a_manifest_that_does_not_say_when_its_newest_package_was_made(manifest: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="isoformat"):
        newest_of(manifest)


def test_the_packages_of_a_manifest() -> None:
    rows = [{"name": "bash", "version": "5.2.37-2+b5", "architecture": "amd64"}]
    assert packages_of({"packages": rows}) == (BASH,)
    assert packages_of({"packages": None}) == packages_of({}) == ()


def test_the_text_says_what_it_is() -> None:
    assert "metallize lock web.yaml" in lock_text(Path("x/web.yaml"), Platform.AMD64, [])
