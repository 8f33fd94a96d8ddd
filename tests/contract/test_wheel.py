"""The wheel: it carries what the checkout has, and works where there is no checkout."""

from __future__ import annotations

import json
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest

from metallize.command import Finished, run
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

LIMIT = timedelta(minutes=2)
DATA = ("layers", "generators", "boot-tests", "profiles")


def metallize(venv: Path, folder: Path, *args: str) -> Finished:
    return run([venv / "bin/metallize", *args], check=False, cwd=folder, timeout=LIMIT)


def test_the_wheel_carries_every_tracked_file_of_the_catalogue(wheel: Path) -> None:
    tracked = run(["git", "ls-files", "-z", *DATA], cwd=ROOT).stdout.split("\0")
    expected = {f"metallize/data/{name}" for name in tracked if name and (ROOT / name).is_file()}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
    assert expected
    assert expected <= names
    for name in expected:
        source = ROOT / name.removeprefix("metallize/data/")
        assert bool(modes[name] & 0o100) == bool(source.stat().st_mode & 0o100), f"{name}: executable or not"
    assert not any("__pycache__" in name or name.startswith("tests/") for name in names)


def test_the_installed_command_lists_what_the_wheel_carries(installed: Path, tmp_path: Path) -> None:
    where = run([installed / "bin/python", "-c", "import metallize; print(metallize.__file__)"], cwd=tmp_path)
    assert Path(where.stdout.strip()).is_relative_to(installed)
    done = metallize(installed, tmp_path, "list")
    assert done.status == 0, done.stderr
    for name in ("livecd", "ext4", "seabios", "ovmf", "ssh-server"):
        assert name in done.stdout


def test_the_installed_command_prints_the_profiles_schema(installed: Path, tmp_path: Path) -> None:
    done = metallize(installed, tmp_path, "schema")
    assert done.status == 0, done.stderr
    assert "images" in json.loads(done.stdout)["properties"]


def test_a_users_own_profile_and_layer_are_found_in_the_users_folder(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "own.dockerfile").write_text(
        "# My own layer.\nARG METALLIZE_SRC_IMG\nFROM ${METALLIZE_SRC_IMG}\nRUN touch /etc/mine\n"
    )
    (tmp_path / "own.yaml").write_text(
        "images: [debian:trixie, debian-live.dockerfile, own.dockerfile]\noutput: {generator: livecd, file: own.iso}\n"
    )
    done = metallize(installed, tmp_path, "plan", "own.yaml")
    assert done.status == 0, done.stderr
    assert "own.dockerfile" in done.stdout
    assert str(ROOT) not in done.stdout, "nothing of the checkout is used"
