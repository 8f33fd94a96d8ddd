"""The nightly: nothing stops it, everything is written down, and the status says the worst of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from metallize import cli, pipeline
from metallize.build.base import bases
from metallize.build.plan import BaseImage
from metallize.catalog import Catalog
from metallize.errors import (
    EngineError,
    ExitCode,
    GeneratorError,
    HostError,
    Location,
    MetallizeError,
    Problem,
    ProfileError,
    UsageError,
    VerificationFailed,
)
from metallize.events import Silent
from metallize.model.loaded import Profile
from metallize.model.profile import Platform
from metallize.nightly import Candidate, history_path, run_nightly, status_of
from metallize.report.history import HistoryEntry, Outcome, read
from tests.unit.build.conftest import FakeEngine, profile
from tests.unit.report.test_report import FAILED, PASSED

BASE = BaseImage(reference="debian:trixie", platform=Platform.AMD64)


@dataclass
class _Plan:
    rootfs: Any = None
    native_tools: Any = None


@dataclass
class _Rootfs:
    base: BaseImage | None = BASE


@dataclass
class Builds:
    """What the pipeline does for each profile, by its name: a report, reports, or an exception."""

    outcomes: dict[str, object]

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pipeline, "prepare", self._prepare)
        monkeypatch.setattr(pipeline, "build", self._build)
        monkeypatch.setattr(bases, "resolve", self._resolve)

    def _prepare(self, given: Profile, *_args: object, verified: bool) -> _Plan:
        assert verified
        self._current = given.name
        if isinstance(self.outcomes[given.name], (UsageError, HostError)):
            raise self.outcomes[given.name]  # type: ignore[misc]
        return _Plan(rootfs=_Rootfs())

    def _resolve(self, *_args: object) -> None:
        if self.outcomes[self._current] == "no base":
            raise EngineError("no registry gives it")

    def _build(self, _plan: object, given: Profile, *args: object, verified: bool) -> pipeline.Built:
        options = args[-1]
        assert isinstance(options, pipeline.Options)
        assert options.again, "an image that passed another night is booted all the same"
        outcome = self.outcomes[given.name]
        if isinstance(outcome, MetallizeError):
            raise outcome
        assert isinstance(outcome, tuple)
        return pipeline.Built(image=Path("x"), sha256="s", built=True, reports=outcome, verified=True)


def candidate(name: str, *, named: bool = True, load: Callable[[], tuple[Profile, ...]] | None = None) -> Candidate:
    return Candidate(name=name, load=load or (lambda: (profile(name=name),)), named=named)


def run(folder: Path, *candidates: Candidate) -> list[tuple[str, str, str, str]]:
    options = pipeline.Options(build_dir=folder)
    entries = run_nightly(candidates, Catalog(), FakeEngine(), Silent(), options)
    assert read(history_path(folder)).entries == entries
    return [(entry.profile, entry.machine, entry.outcome, entry.stage) for entry in entries]


def refused() -> tuple[Profile, ...]:
    place = Location(path=Path("x.yaml"), line=1, column=1)
    raise ProfileError([Problem(location=place, message="unknown key")])


def test_nothing_stops_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ovmf = replace(PASSED, machine="ovmf")
    Builds(
        {
            "good": (PASSED, ovmf),
            "bad": VerificationFailed("it failed", reports=[FAILED, ovmf]),
            "no-layer": GeneratorError("no space left\nsecond line"),
            "no-machine": UsageError("machine pi cannot boot this"),
            "no-qemu": HostError("`qemu-system-x86_64` is not installed"),
            "no-base": "no base",
        }
    ).install(monkeypatch)
    names = ("no-layer", "no-machine", "no-qemu", "no-base", "bad", "good")
    found = run(tmp_path, candidate("wrong", load=refused), *map(candidate, names))
    assert found == [
        ("wrong", "", "broken", "profile"),
        ("no-layer", "", "broken", "build"),
        ("no-machine", "", "broken", "build"),
        ("no-qemu", "", "broken", "build"),
        ("no-base", "", "broken", "build"),
        ("bad", "seabios", "failed", "kernel"),
        ("bad", "ovmf", "passed", "ready"),
        ("good", "seabios", "passed", "ready"),
        ("good", "ovmf", "passed", "ready"),
    ]
    entries = read(history_path(tmp_path)).entries
    assert entries[1].cause == "no space left"
    assert len({entry.night for entry in entries}) == 1
    page = (tmp_path / "report.html").read_text()
    assert "the kernel panicked: no init" in page


def test_what_this_host_cannot_build_is_skipped_unless_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Builds({"ubuntu": "no base", "good": (PASSED,)}).install(monkeypatch)
    found = run(tmp_path, candidate("ubuntu", named=False), candidate("good", named=False))
    assert [outcome for _, _, outcome, _ in found] == ["skipped", "passed"]
    assert "no base debian:trixie: no registry gives it" in (tmp_path / "report.html").read_text()


def test_every_image_of_a_profile_is_one_of_the_matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Builds({"a": (PASSED,)}).install(monkeypatch)
    iso, disk = (profile(name="a", several=True, output={"file": file}) for file in ("a.iso", "a.img"))
    found = run(tmp_path, candidate("a", load=lambda: (iso, disk)))
    assert [name for name, *_ in found] == ["a/a.iso", "a/a.img"]


def test_an_engine_that_does_not_answer_is_no_reason_to_skip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(_self: FakeEngine, _reference: str) -> None:
        raise EngineError("no Docker engine answers")

    Builds({"good": (PASSED,)}).install(monkeypatch)
    monkeypatch.setattr(FakeEngine, "inspect", silent)
    assert [outcome for _, _, outcome, _ in run(tmp_path, candidate("good", named=False))] == ["broken"]


def test_an_interruption_keeps_what_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> tuple[Profile, ...]:
        raise KeyboardInterrupt

    Builds({"good": (PASSED,)}).install(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, candidate("good"), candidate("next", load=interrupted))
    assert [entry.profile for entry in read(history_path(tmp_path)).entries] == ["good"]
    assert (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        (["passed"], ExitCode.DONE),
        (["passed", "skipped"], ExitCode.DONE),
        (["passed", "broken"], ExitCode.MACHINERY),
        (["broken", "failed", "passed"], ExitCode.FAILED_VERIFICATION),
        (["skipped"], ExitCode.MACHINERY),
        ([], ExitCode.MACHINERY),
    ],
)
def test_the_status_is_the_worst(outcomes: list[str], status: ExitCode) -> None:
    entries = [HistoryEntry(night="n", profile="p", machine="m", outcome=Outcome(word)) for word in outcomes]
    assert status_of(entries) is status


def test_links_lead_to_runs_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there, gone = tmp_path / "runs" / "there", tmp_path / "runs" / "gone"
    there.mkdir(parents=True)
    (there / "report.html").write_text("")
    Builds({"a": (replace(PASSED, run_folder=there), replace(PASSED, machine="ovmf", run_folder=gone))}).install(
        monkeypatch
    )
    run(tmp_path, candidate("a"))
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
