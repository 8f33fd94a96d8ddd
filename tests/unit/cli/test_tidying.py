"""prune: what goes, what stays, and that it asks for neither room nor an engine."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from metallize.night.history import append, history_path
from metallize.pruning import Limits, Tag, surplus_tags, tags_of
from tests.unit.night.attempts import attempt

from .conftest import Call
from .test_looking import FAILED, NAME, PASSED, run

NOW = datetime(2026, 11, 29, tzinfo=UTC)
OLD = NOW - timedelta(days=20)


def nights(count: int, machine: str = "seabios") -> list[Path]:
    """Runs that failed, one a night, the oldest first."""
    return [run(f"202611{day:02d}T000000Z", machine, report=FAILED) for day in range(1, count + 1)]


def aged(path: Path, days: int = 30) -> None:
    for each in (*path.rglob("*"), path):
        os.utime(each, (time.time() - days * 86400,) * 2)


def kept(days: int = 30, file: str = "web.iso") -> Path:
    folder = Path("build/.metallize", f"{file}.kept")
    folder.mkdir(parents=True)
    (folder / file).write_bytes(b"image" * 1000)
    (folder / "manifest.json").write_text("{}")
    Path("build/.metallize", f"{file}.lock").touch()
    aged(folder, days)
    return folder


@pytest.mark.usefixtures("no_engine")
def test_the_newest_runs_stay(call: Call) -> None:
    seabios, ovmf = nights(13), nights(10, "ovmf")
    said = call("prune", "--json")
    assert said.status == 0
    *gone, result = said.events()
    assert [event["name"] for event in gone] == [str(each) for each in seabios[2::-1]]
    assert (result["event"], result["count"], result["dry_run"]) == ("result", 3, False)
    assert result["bytes"] == sum(event["bytes"] for event in gone) > 0
    assert [each for each in (*seabios, *ovmf) if not each.exists()] == seabios[:3]
    assert call("prune").err.endswith(
        "nothing to prune; the images that `metallize ls` shows stay until you remove them\n"
    )
    assert len(call("prune", "--keep", "2", "--json").events()) == 17


@pytest.mark.usefixtures("no_engine")
def test_what_the_nights_saw_fail_stays_whatever_its_number(call: Call) -> None:
    runs = [run(f"202611{day:02d}T000000Z", report=PASSED if day in (2, 3, 12) else FAILED) for day in range(1, 14)]
    status = {True: "PASS", False: "FAIL"}
    some = [attempt(each + 1, status[each == 1], run_folder=str(runs[each])) for each in (0, 1)]
    append(history_path(Path("build")), [*some, attempt(3, run_folder=str(runs[2]))])
    gone = [Path(event["name"]) for event in call("prune", "--dry-run", "--json").events()[:-1]]
    assert gone == [runs[1]], "of the two that passed, in one month long ago, the later stays"
    assert len(call("prune", "--all", "--dry-run", "--json").events()) > 10
    history_path(Path("build")).write_text("nothing\n")
    assert len(call("prune", "--dry-run", "--json").events()) == 4


@pytest.mark.usefixtures("no_engine")
def test_a_dry_run_says_the_same_and_removes_nothing(call: Call) -> None:
    nights(13)
    kept()
    said = call("prune", "--dry-run")
    assert said.status == 0
    assert "would free" in said.err
    assert sum(each.is_dir() for each in Path("build/runs").glob("*/*/*")) == 13
    assert call("prune").out == said.out


@pytest.mark.usefixtures("no_engine")
def test_the_last_that_passed_and_what_proves_an_image_stay(call: Call) -> None:
    first, passed, proves, *others = (
        run("20261101T000000Z", report=PASSED),
        run("20261102T000000Z", report=PASSED),
        run("20261103T000000Z", report=FAILED),
        *(run(f"202611{day:02d}T000000Z", report=FAILED) for day in range(4, 8)),
    )
    Path("build/web.iso.verification.json").write_text(json.dumps({"machines": [{"run_folder": str(proves)}]}))
    call("prune", "--runs", "--all")
    assert [each for each in (first, passed, proves, *others) if each.exists()] == [passed, proves]


@pytest.mark.usefixtures("no_engine")
def test_what_somebody_is_at_stays(call: Call) -> None:
    held, young, old = run("20261101T000000Z", report=FAILED), run("20261102T000000Z"), run("20261103T000000Z")
    aged(old, 1)
    with subprocess.Popen(["sleep", "600"], cwd=held) as process:
        said = call("prune", "--runs", "--keep", "0")
        process.kill()
    assert said.status == 0
    assert f"stays: {held}: a running process holds it" in said.err
    assert f"stays: {young}: it has no verdict yet" in said.err
    assert (held.exists(), young.exists(), old.exists()) == (True, True, False)


@pytest.mark.usefixtures("no_engine")
def test_an_open_file_that_has_lost_its_name_holds_its_folder(call: Call) -> None:
    folder = run("20261101T000000Z", report=FAILED)
    disk = folder / "disk"
    with disk.open("w") as file, subprocess.Popen(["sleep", "600"], stdout=file) as process:
        disk.unlink()
        call("prune", "--runs", "--keep", "0")
        process.kill()
    assert folder.exists()


@pytest.mark.usefixtures("no_engine")
def test_what_is_no_run_is_not_touched(call: Call, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").touch()
    notes = Path("build/runs", NAME, "seabios/notes")
    notes.mkdir(parents=True)
    (notes.parent / "20261101T000000Z").symlink_to(elsewhere)
    call("prune", "--all")
    assert notes.exists()
    assert (elsewhere / "mine").exists()


@pytest.mark.usefixtures("no_engine")
def test_old_images_that_were_kept_aside_go_and_young_ones_stay(call: Call) -> None:
    old, young = kept(), kept(1, "new, \u00fc.iso")
    work = Path("build/.metallize/web.iso.work-x1")
    work.mkdir()
    said = call("prune")
    assert (old.exists(), young.exists(), work.exists()) == (False, True, False)
    assert f"kept image  {old}  " in said.out
    assert f"what a killed build left  {work}  " in said.out
    assert "freed" in said.err
    call("prune", "--older-than", "0")
    assert not young.exists()


@pytest.mark.usefixtures("no_engine")
def test_an_image_that_is_being_built_stays(call: Call) -> None:
    folder = kept()
    with Path("build/.metallize/web.iso.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = call("prune")
    assert folder.exists()
    assert f"stays: {folder}: a build of web.iso holds it" in said.err


@pytest.mark.usefixtures("no_engine")
def test_without_an_engine_all_else_goes(call: Call) -> None:
    nights(11)
    said = call("prune")
    assert said.status == 0
    assert said.err.count("note: what is in Docker stays: ") == 1
    assert "freed" in said.err
    assert call("prune", "--layers").status == 3


@pytest.mark.usefixtures("no_engine", "no_programs")
def test_without_the_docker_command_too(call: Call) -> None:
    nights(11)
    assert call("prune", "--json").events()[-1]["count"] == 1


@pytest.mark.usefixtures("no_engine")
def test_nothing_is_written(call: Call) -> None:
    """Of a full disk nothing can be had: a folder in which nothing may be made stands for it, but for root."""
    folder = kept()
    before = {each: each.stat().st_mtime_ns for each in Path("build").rglob("*") if each not in folder.rglob("*")}
    call("prune", "--dry-run")
    assert {each: each.stat().st_mtime_ns for each in before} == before
    (folder.parent / "web.iso.lock").unlink()
    call("prune")
    assert sorted(each.name for each in folder.parent.iterdir()) == []


@pytest.mark.usefixtures("no_engine")
@pytest.mark.skipif(os.geteuid() == 0, reason="root may remove anything")
def test_what_cannot_be_removed_is_said_and_the_rest_goes(call: Call) -> None:
    first, second, *_ = nights(12)
    first.chmod(stat.S_IRUSR | stat.S_IXUSR)
    said = call("prune")
    first.chmod(0o700)
    assert said.status == 3
    assert f"{first} cannot be removed" in said.err
    assert not second.exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--keep x", "`x` is no number"),
        ("--keep 3 --layers", "--keep means nothing for what is asked for here"),
        ("--older-than 3 --runs", "--older-than means nothing for what is asked for here"),
        ("--all --keep 3", "--keep means nothing beside --all"),
        ("--build-dir file", "--build-dir file: it is a file"),
    ],
)
def test_limits_that_mean_nothing(call: Call, words: str, told: str) -> None:
    Path("file").touch()
    said = call("prune", *words.split())
    assert said.status == 2
    assert told in said.err


def test_layers_that_nothing_stands_on_go() -> None:
    tags = [
        Tag(name="metallize/web:1", created=OLD, size_bytes=1),
        Tag(name="metallize/web:2", created=OLD + timedelta(days=1), size_bytes=2),
        Tag(name="metallize/web:3", created=NOW, size_bytes=3),
        Tag(name="metallize/generator-ext4:1", created=OLD, size_bytes=4),
        Tag(name="metallize/base-debian:trixie-amd64", created=OLD, size_bytes=5),
        Tag(name="metallize/base-debian:sid-amd64", created=OLD - timedelta(days=9), size_bytes=5),
        Tag(name="metallize/sealed:0123456789abcdef", created=OLD, size_bytes=5),
        Tag(name="metallize/sealed:fedcba9876543210", created=OLD - timedelta(days=9), size_bytes=5),
    ]
    used = frozenset({"metallize/web:2"})
    assert [each.name for each in surplus_tags(tags, used, Limits(), NOW)] == ["metallize/web:1"]
    assert [each.name for each in surplus_tags(tags, frozenset(), Limits(), NOW)] == [
        "metallize/web:1", "metallize/web:2",
    ]  # fmt: skip
    assert not list(surplus_tags(tags, used, Limits(age=timedelta(days=21)), NOW))


def test_what_the_engine_lists() -> None:
    text = (
        "metallize/system:d231a2e6345755ba\t2026-11-29 00:42:24 +0000 UTC\t119.8MB\n"
        "metallize/web:1\t2026-11-29 02:42:24 +0200 CEST\t1.2GB\n"
        "metallize/web:<none>\t2026-11-29 00:42:24 +0000 UTC\t1kB\n"
        "metallize/old:1\t0001-01-01 00:00:00 +0000 UTC\t0B\n"
        "metallize/odd:1\tN/A\tN/A\n"
        "a warning of the engine's\n"
    )
    made = datetime(2026, 11, 29, 0, 42, 24, tzinfo=UTC)
    assert tags_of(text) == (
        Tag(name="metallize/system:d231a2e6345755ba", created=made, size_bytes=119_800_000),
        Tag(name="metallize/web:1", created=made, size_bytes=1_200_000_000),
    )
