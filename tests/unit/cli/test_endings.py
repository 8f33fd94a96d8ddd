"""However a command ends: 1 is an image that failed, and nothing else; nobody sees a traceback."""

from __future__ import annotations

import errno
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from metallize import cli
from metallize.commands import bug_report, line
from metallize.commands.bug_report import HIDDEN, without_secrets
from metallize.ending import status as ending
from metallize.errors import BugError, HostError, UsageError, VerificationFailed, left_behind, told_if_left

from .conftest import Call


@pytest.fixture(autouse=True)
def reports_go_to_a_folder_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Have every command end with an error."""

    def plant(error: BaseException) -> None:
        def run(_: object) -> NoReturn:
            raise error

        monkeypatch.setattr(line, "run", run)

    return plant


def reports(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "reports").iterdir())


Plant = Callable[[BaseException], None]


@pytest.mark.parametrize(
    "error",
    [
        KeyError("x"),
        RecursionError("too deep"),
        AssertionError(),
        ImportError("no module"),
        ModuleNotFoundError("no module", name="metallize.nothing"),
        GeneratorExit(),
    ],
)
def test_a_bug_ends_with_3_and_a_report(call: Call, planted: Plant, tmp_path: Path, error: BaseException) -> None:
    planted(error)
    said = call("list")
    assert said.status == 3
    assert said.err.startswith(f"error: this is a bug in metallize: {type(error).__name__}")
    [report] = reports(tmp_path)
    assert str(report) in said.err.splitlines()[-1]
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    text = report.read_text()
    assert "Traceback" in text
    assert "in run" in text
    assert "command: metallize list" in text
    assert "Python 3" in text


def test_a_bug_is_an_event_too(call: Call, planted: Plant) -> None:
    planted(KeyError("x"))
    [event] = call("list", "--json").events()
    assert event["event"] == "error"
    assert event["exit"] == 3
    assert "bug in metallize: KeyError" in event["message"]


def test_a_bug_of_a_thread_says_where(call: Call, planted: Plant, tmp_path: Path) -> None:
    planted(BugError("the reader of the console", ZeroDivisionError("planted")))
    said = call("list")
    assert said.status == 3
    assert "bug in metallize: the reader of the console: ZeroDivisionError: planted" in said.err
    assert "ZeroDivisionError" in reports(tmp_path)[0].read_text()


def test_no_secret_gets_into_a_report_or_on_the_screen(call: Call, planted: Plant, tmp_path: Path) -> None:
    planted(ValueError("cannot use `hunter2` with `s3cret`"))
    said = call("verify", "--pass", "hunter2", "--set", "args.key=s3cret", "--password=another1", "web.yaml")
    text = reports(tmp_path)[0].read_text()
    for secret in ("hunter2", "s3cret", "another1"):
        assert secret not in text + said.err
    assert f"command: metallize verify --pass {HIDDEN} --set args.key={HIDDEN} --password={HIDDEN} web.yaml" in text


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["verify", "--password", "x"], ["verify", "--password", HIDDEN]),
        (["verify", "--p", "x", "y"], ["verify", "--p", HIDDEN, "y"]),
        (["verify", "--passw=x=y"], ["verify", f"--passw={HIDDEN}"]),
        (["build", "--set", "a.b=x=y"], ["build", "--set", f"a.b={HIDDEN}"]),
        (["build", "--se=a.b=x"], ["build", f"--se=a.b={HIDDEN}"]),
        (["build", "--set", "nothing"], ["build", "--set", HIDDEN]),
        (["build", "--set"], ["build", "--set"]),
        (["build", "--arg", "key=x=y"], ["build", "--arg", f"key={HIDDEN}"]),
        (["build", "--ar=key=x"], ["build", f"--ar=key={HIDDEN}"]),
        (["build", "--accel", "tcg"], ["build", "--accel", "tcg"]),
        (["build", "--", "x"], ["build", "--", "x"]),
        (["verify", "--steps", "x", "-v"], ["verify", "--steps", "x", "-v"]),
    ],
)
def test_what_is_secret_in_a_command(words: list[str], shown: list[str]) -> None:
    assert list(without_secrets(words)[0]) == shown


def test_where_no_report_can_be_written_it_is_shown(
    planted: Plant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    planted(KeyError("x"))
    monkeypatch.setattr(bug_report, "write", full)
    assert cli.main(["list"]) == 3
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (MemoryError(), 3, "not enough memory"),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 3, "No space left on device: /x"),
        (OSError(errno.EACCES, "Permission denied", "/x"), 3, "Permission denied: /x"),
        (HostError("no QEMU"), 3, "error: no QEMU"),
        (ModuleNotFoundError("No module named 'qemu.qmp'", name="qemu.qmp"), 3, "has no package qemu\n  next: install"),
        (UsageError("wrong"), 2, "error: wrong"),
        (VerificationFailed("it failed"), 1, "error: it failed"),
        (KeyboardInterrupt(), 130, "interrupted; nothing was left behind"),
    ],
)
def test_what_is_no_bug(
    call: Call, planted: Plant, tmp_path: Path, error: BaseException, status: int, words: str
) -> None:
    planted(error)
    said = call("build", "x.yaml")
    assert said.status == status
    assert words in said.err
    assert not reports(tmp_path)


@pytest.mark.parametrize(("verb", "status"), [("list", 0), ("plan", 0), ("verify", 141), ("build", 141)])
def test_a_reader_that_goes_away_proves_nothing(call: Call, planted: Plant, verb: str, status: int) -> None:
    planted(BrokenPipeError(errno.EPIPE, "Broken pipe"))
    said = call(verb)
    assert (said.status, said.err) == (status, "")


def test_a_thread_that_dies_ends_the_command(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies() -> NoReturn:
        raise ZeroDivisionError("planted")

    def run(_: object) -> int:
        threading.Thread(target=dies).start()
        time.sleep(60)
        return 0

    monkeypatch.setattr(line, "run", run)
    begun = time.monotonic()
    hook = threading.excepthook
    said = call("list")
    assert said.status == 3
    assert "bug in metallize: a thread: ZeroDivisionError: planted" in said.err
    assert time.monotonic() - begun < 30
    assert threading.excepthook is hook


def test_a_thread_that_dies_at_the_very_end_is_told_too(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_: object) -> int:
        thread = threading.Thread(target=lambda: 1 // 0)
        thread.start()
        thread.join()
        return 0

    monkeypatch.setattr(line, "run", run)
    assert call("list").status == 3


# --- what is left behind ---------------------------------------------------------------------------------------------


def test_what_could_not_be_cleared_away_is_said(call: Call, planted: Plant, tmp_path: Path) -> None:
    kept = tmp_path / "web.iso.work-1"
    error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt), told_if_left(lambda: [str(kept)]):
        raise error
    planted(error)
    assert f"interrupted; left behind: {kept}" in call("build", "x.yaml").err


def test_a_second_interruption_does_not_hide_what_the_first_left() -> None:
    def twice() -> NoReturn:
        try:
            with told_if_left(lambda: ["a folder"]):
                raise KeyboardInterrupt
        finally:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as told:
        twice()
    assert left_behind(told.value) == ("a folder",)


def test_a_child_that_still_runs_is_said(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "_CHILD_SECONDS", 0.1)
    started: list[subprocess.Popen[bytes]] = []

    def run(_: object) -> NoReturn:
        started.append(subprocess.Popen(["sleep", "600"]))
        raise KeyboardInterrupt

    monkeypatch.setattr(line, "run", run)
    said = call("build", "x.yaml")
    for child in started:
        with child:
            child.kill()
        assert f"left behind: process {child.pid} (sleep)" in said.err
