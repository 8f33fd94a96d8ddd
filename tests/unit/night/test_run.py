"""The nightly: nothing stops it, everything is written down, and the status says the worst of it."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metallize import cli
from metallize.errors import (
    EngineError,
    ExitCode,
    GeneratorError,
    HostError,
    LayerError,
    Location,
    Problem,
    ProfileError,
    UsageError,
)
from metallize.model.loaded import Profile
from metallize.night.facts import facts_folder, read_facts
from metallize.night.history import append, history_path, read
from metallize.night.matrix.making import Candidate
from metallize.night.run import status_of
from tests.unit.build.conftest import FakeEngine
from tests.unit.night.attempts import CELL, attempt, of
from tests.unit.night.simulated import Builds
from tests.unit.report.test_report import FAILED, PASSED


def run(folder: Path, builds: Builds, *candidates: Candidate, **said: Any) -> list[tuple[str, str, str, str]]:
    attempts = builds.night(folder, *candidates, **said)
    assert read(history_path(folder)).attempts == attempts
    return [(each.cell.name, each.cell.machine, each.status, each.stage) for each in attempts]


def refused() -> tuple[Profile, ...]:
    place = Location(path=Path("x.yaml"), line=1, column=1)
    raise ProfileError([Problem(location=place, message="unknown key")])


def test_nothing_stops_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ovmf = replace(PASSED, machine="ovmf")
    builds = Builds(
        {
            "good": (PASSED, ovmf),
            "bad": (FAILED, ovmf),
            "no-layer": LayerError("no such package\nsecond line"),
            "no-image": GeneratorError("no space left"),
            "no-machine": UsageError("machine pi cannot boot this"),
            "no-qemu": HostError("`qemu-system-x86_64` is not installed"),
            "no-base": "no base",
            "no-engine": EngineError("no Docker engine answers"),
        }
    ).install(monkeypatch)
    names = ("no-layer", "no-image", "no-machine", "no-qemu", "no-base", "no-engine", "bad", "good")
    found = run(tmp_path, builds, builds.candidate("wrong", load=refused), *map(builds.candidate, names))
    assert found == [
        ("wrong", "", "ERROR", "profile"),
        ("no-machine", "", "MISS", "build"),
        ("no-qemu", "", "MISS", "build"),
        ("no-layer", "", "ERROR", "build"),
        ("no-image", "", "ERROR", "build"),
        ("no-base", "", "MISS", "build"),
        ("no-engine", "", "MISS", "build"),
        ("bad", "seabios", "FAIL", "kernel"),
        ("bad", "ovmf", "PASS", "ready"),
        ("good", "seabios", "PASS", "ready"),
        ("good", "ovmf", "PASS", "ready"),
        ("bad", "seabios", "FAIL", "kernel"),
    ]
    attempts = read(history_path(tmp_path)).attempts
    assert attempts[3].reason == "no such package"
    assert len({each.night for each in attempts}) == 1
    assert len({each.run for each in attempts}) == len(attempts)
    assert [each.attempt for each in attempts if each.cell == of("bad")] == [1, 2]
    assert attempts[-1].host.id == attempts[0].host.id != ""
    page = (tmp_path / "report.html").read_text()
    assert "the kernel panicked: no init" in page


def test_what_this_host_cannot_build_is_skipped_unless_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builds = Builds({"ubuntu": "no base", "good": (PASSED,)}).install(monkeypatch)
    found = run(tmp_path, builds, builds.candidate("ubuntu", named=False), builds.candidate("good", named=False))
    assert [status for _, _, status, _ in found] == ["SKIP", "PASS"]
    assert "no base debian:nowhere: no registry gives it" in (tmp_path / "report.html").read_text()


def test_every_image_of_a_profile_is_one_of_the_matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builds = Builds({"a": (PASSED,)}).install(monkeypatch)
    iso, disk = (
        builds.profile("a", several=True, output={"generator": "livecd", "file": file}) for file in ("a.iso", "b.iso")
    )
    found = run(tmp_path, builds, builds.candidate("a", load=lambda: (iso, disk)))
    assert [name for name, *_ in found] == ["a/a.iso", "a/b.iso"]


def test_an_engine_that_does_not_answer_is_no_reason_to_skip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(_self: FakeEngine, _reference: str) -> None:
        raise EngineError("no Docker engine answers")

    builds = Builds({"good": (PASSED,)}).install(monkeypatch)
    monkeypatch.setattr(FakeEngine, "inspect", silent)
    assert [status for _, _, status, _ in run(tmp_path, builds, builds.candidate("good", named=False))] == ["MISS"]


def test_an_interruption_keeps_what_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builds = Builds({"good": (PASSED,), "next": (PASSED,)})

    def interrupt() -> None:
        if builds.booted:
            raise KeyboardInterrupt

    builds.boot = interrupt
    builds.install(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, builds, builds.candidate("good"), builds.candidate("next"))
    assert [each.cell.profile for each in read(history_path(tmp_path)).attempts] == ["good"]
    assert (tmp_path / "report.html").exists()


def test_cells_of_several_profiles_boot_side_by_side_where_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each boot waits for another one: one after the other they would never end."""
    together = threading.Barrier(2, timeout=20)
    builds = Builds({"a": (PASSED,), "b": (PASSED, replace(PASSED, machine="ovmf")), "c": (PASSED,)})

    def meet() -> None:
        together.wait()

    builds.boot = meet
    builds.install(monkeypatch, guests=2)
    found = run(tmp_path, builds, *map(builds.candidate, "abc"))
    assert sorted(found) == [
        (name, machine, "PASS", "ready")
        for name, machine in (("a", "seabios"), ("b", "ovmf"), ("b", "seabios"), ("c", "seabios"))
    ]
    assert builds.made == ["a", "b", "c"], "each once, and before anything boots"


def test_a_failure_is_booted_once_more_and_does_not_become_a_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builds = Builds({"bad": (FAILED,)}, again=PASSED)
    builds.install(monkeypatch)
    assert run(tmp_path, builds, builds.candidate("bad")) == [
        ("bad", "seabios", "FAIL", "kernel"),
        ("bad", "seabios", "PASS", "ready"),
    ]
    page = (tmp_path / "report.html").read_text()
    assert "flaky" in page
    assert "NOTHING FAILS" not in page


def test_a_boot_for_diagnosis_that_cannot_be_made_is_the_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builds = Builds({"bad": (FAILED,)}, again=HostError("no QEMU any more"))
    builds.install(monkeypatch)
    assert [status for _, _, status, _ in run(tmp_path, builds, builds.candidate("bad"))] == [
        "FAIL", "MISS", "MISS", "MISS",
    ]  # fmt: skip


def test_what_is_known_of_the_image_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = {"size": 5, "packages": [{"name": "ssh", "version": "9"}], "kernel": "6.12", "os": {"PRETTY_NAME": "D"}}
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "console.txt").write_text("[  1.000] [    0.5] ACPI: error 0x12 in table\n[  1.100] fine\n")
    builds = Builds({"good": (replace(PASSED, sha256="d" * 64, run_folder=folder),)}, manifest=manifest)
    builds.install(monkeypatch)
    run(tmp_path, builds, builds.candidate("good"))
    facts = read_facts(facts_folder(tmp_path), "d" * 64)
    assert facts is not None
    assert facts.packages == {"ssh": "9"}
    assert facts.seen["seabios"].warnings == frozenset({"ACPI: error HEX in table"})
    assert facts.seen["seabios"].failed is None, "nobody looked"
    [found] = read(history_path(tmp_path)).attempts
    assert found.versions["kernel"] == "6.12"
    assert found.metrics["size"] == 5


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        (["PASS"], ExitCode.DONE),
        (["PASS", "SKIP"], ExitCode.DONE),
        (["PASS", "ERROR"], ExitCode.MACHINERY),
        (["PASS", "MISS"], ExitCode.MACHINERY),
        (["ERROR", "FAIL", "PASS"], ExitCode.FAILED_VERIFICATION),
        (["SKIP"], ExitCode.MACHINERY),
        ([], ExitCode.MACHINERY),
    ],
)
def test_the_status_is_the_worst(statuses: list[str], status: ExitCode) -> None:
    attempts = [attempt(1, word, cell=of(f"p{number}")) for number, word in enumerate(statuses)]
    assert status_of(attempts) is status


def test_a_flaky_image_has_failed() -> None:
    assert status_of([attempt(1, "FAIL"), attempt(1, attempt=2)]) is ExitCode.FAILED_VERIFICATION
    assert status_of([attempt(1, "MISS"), attempt(1, attempt=2)]) is ExitCode.DONE


def test_links_lead_to_runs_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there, gone = tmp_path / "runs" / "there", tmp_path / "runs" / "gone"
    there.mkdir(parents=True)
    (there / "report.html").write_text("")
    builds = Builds(
        {"a": (replace(PASSED, run_folder=there), replace(PASSED, machine="ovmf", run_folder=gone))}
    ).install(monkeypatch)
    run(tmp_path, builds, builds.candidate("a"))
    page = (tmp_path / "report.html").read_text()
    assert 'href="./runs/there/report.html"' in page
    assert "runs/gone" not in page


def test_the_report_command_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", "--build-dir", str(tmp_path)]) == ExitCode.BAD_INPUT
    assert "metallize nightly" in capsys.readouterr().err
    path = history_path(tmp_path)
    path.parent.mkdir()
    path.write_text('{"night": "2026-01-01", "profile": "p", "machine": "m", "outcome": "passed"}\n')
    assert cli.main(["report", "--build-dir", str(tmp_path), "--json"]) == ExitCode.DONE
    assert json.loads(capsys.readouterr().out) == {
        "event": "result", "report": str(tmp_path / "report.html"), "exit": 0,
    }  # fmt: skip
    assert "NOTHING FAILS" in (tmp_path / "report.html").read_text()


def test_the_report_takes_in_what_another_host_has_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder, some in ((here, [attempt(1)]), (there, [attempt(1), attempt(2, cell=of("db"))])):
        append(history_path(folder), some)
    assert cli.main(["report", "--build-dir", str(here), "--merge", str(there)]) == ExitCode.DONE
    assert "1 attempt taken in" in capsys.readouterr().err
    assert {each.cell for each in read(history_path(here)).attempts} == {CELL, of("db")}
    assert cli.main(["report", "--build-dir", str(here), "--merge", str(tmp_path)]) == ExitCode.BAD_INPUT
