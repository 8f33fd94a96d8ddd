"""The same cells on this host and on two workers of a scheduler: the same images, verdicts and evidence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.boot.test_nightly import GOOD, PANIC, nightly, tiny_profile
from tests.conftest import Cli
from tests.unit.night.fleet.conftest import Fleet

pytestmark = [pytest.mark.docker, pytest.mark.boot, pytest.mark.nightly]
NAMES = ("db.yaml", "web.yaml", "slow.yaml")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    (tmp_path / "fleet").mkdir()
    found = Fleet(folder=tmp_path / "fleet", program=("-m", "metallize"))
    try:
        yield found
    finally:
        found.end()


def seen(attempts: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    """What is to be the same wherever it was booted."""
    return [
        (
            *(each.get(name, "") for name in ("profile", "machine", "attempt", "status", "stage", "reason")),
            *(each.get(name, "") for name in ("signature", "sha256")),
            sorted(path.name for path in Path(each["run_folder"]).iterdir()),
            sorted(each["host"]),
            each["host"]["accelerator"],
            sorted(each.get("stages", {})),
        )
        for each in attempts
    ]


def test_two_workers_give_what_this_host_gives(
    cli: Cli, tmp_path: Path, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METALLIZE_GUESTS", "1")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # one at a time, in a line of their own
    tiny_profile(tmp_path, "db", GOOD)
    tiny_profile(tmp_path, "web", PANIC)
    tiny_profile(tmp_path, "slow", GOOD, turns=1 << 28)
    here, alone = nightly(cli, tmp_path, "--build-dir", str(tmp_path / "alone"), names=NAMES)
    fleet.scheduler()
    fleet.worker("one")
    fleet.worker("two")
    doctor = cli("doctor", "--fleet", str(fleet.place))
    assert doctor.status == 0, doctor.stdout
    assert "ok   machine seabios: " in doctor.stdout
    words = ("--build-dir", str(tmp_path / "together"), "--executor", f"dask://{fleet.place}")
    there, together = nightly(cli, tmp_path, *words, names=NAMES)
    assert (here.status, there.status) == (1, 1)
    assert [each["status"] for each in alone] == ["PASS", "PASS", "FAIL", "FAIL"]
    assert [each["status"] for each in together] == [each["status"] for each in alone], together
    assert seen(together) == seen(alone)
    for each in together:
        folder = Path(each["run_folder"])
        assert folder.is_relative_to(tmp_path / "together" / "runs")
        report = json.loads((folder / "report.json").read_text())
        assert report["run_folder"] == str(folder)
        assert "fleet" not in json.dumps({**report, "notes": []})
    records = [json.loads((tmp_path / name / "db.iso.verification.json").read_text()) for name in ("alone", "together")]
    for name in ("schema", "metallize", "sha256"):
        assert records[0][name] == records[1][name]
    alike = [[sorted(each) for each in record["machines"]] for record in records]
    assert alike[0] == alike[1]
    published = cli("publish", "db.yaml", "--build-dir", tmp_path / "together", "--to", tmp_path / "out", cwd=tmp_path)
    assert published.status == 0, published.stderr
    assert list((fleet.folder / "one" / "images").glob("*.part")) == []


def test_the_same_in_a_shared_folder_with_the_stages_on_the_nights_host(
    cli: Cli, tmp_path: Path, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the workers has the folder elsewhere; nothing comes over HTTP, and nothing stays there."""
    monkeypatch.setenv("METALLIZE_GUESTS", "1")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    tiny_profile(tmp_path, "db", GOOD)
    tiny_profile(tmp_path, "web", PANIC)
    shared = tmp_path / "shared"
    shared.mkdir()
    (tmp_path / "mnt").symlink_to(shared)
    fleet.scheduler()
    fleet.worker("one")
    fleet.worker("two", "--shared", str(tmp_path / "mnt"))
    words = ("--executor", f"dask://{fleet.place}", "--shared", str(shared))
    done, attempts = nightly(cli, tmp_path, *words, names=("db.yaml", "web.yaml"))
    assert done.status == 1
    assert [each["status"] for each in attempts] == ["PASS", "FAIL", "FAIL"]
    for each in attempts:
        folder = Path(each["run_folder"])
        names = {path.name for path in (tmp_path / folder).iterdir()}
        assert {"console.txt", "report.html", "report.json", "repro.sh"} <= names
    assert [path.name for path in shared.iterdir()] == [".lock"]
    events = [json.loads(line) for line in done.stdout.splitlines()]
    stages = {each["stage"] for each in events if each["event"] == "progress" and each["what"] == "db on seabios"}
    host = attempts[0]["host"]["id"]
    assert {f"{stage} on {host}" for stage in ("handed over", "image", "qemu", "kernel")} <= stages
