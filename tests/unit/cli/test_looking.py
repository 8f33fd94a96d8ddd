"""ls, runs and logs: what they say of a build folder, whatever is in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import ROOT

from .conftest import Call
from .test_publish import stored

NAME = "my profile,\u00fc"


def run(name: str, machine: str = "seabios", profile: str = NAME, report: Mapping[str, object] | None = None) -> Path:
    """A run's folder; without a report, one that has none yet."""
    folder = Path("build/runs", profile, machine, name)
    folder.mkdir(parents=True)
    (folder / "console.txt").write_text("".join(f"[ {number}.000] line {number}\n" for number in range(5)))
    if report:
        (folder / "report.json").write_text(json.dumps(report))
        (folder / "report.html").write_text("<p>")
    return folder


PASSED = {"verdict": "passed", "stage": "ready", "seconds": 41.5}
FAILED = {"verdict": "failed", "stage": "kernel", "seconds": 3.0, "failure": {"cause": "no \x1b[31mroot"}}


def placed(*, passed: bool | None) -> None:
    """An image as a build leaves it, with its size and its time in the manifest."""
    stored(passed=passed)
    manifest = Path("build/web.iso.manifest.json")
    info = Path("build/web.iso").stat()
    stamp = {"size": info.st_size, "mtime_ns": info.st_mtime_ns}
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "file": stamp}))


def test_nothing_is_there(call: Call) -> None:
    said = call("ls")
    assert (said.status, said.out) == (0, "")
    assert "no image in build; next: metallize build PROFILE --verify" in said.err
    for words in (["runs"], ["logs"], ["runs", "--failed"]):
        said = call(*words)
        assert said.status == 2
        assert "in build/runs" in said.err
    assert call("ls", "--json").out == ""
    Path("build").write_text("")
    assert "build: it is a file" in call("ls").err


@pytest.mark.parametrize(
    ("passed", "standing", "why"),
    [
        (True, "verified", ""),
        (False, "failed", "web.iso failed its verification on seabios"),
        (None, "not verified", "web.iso has not been verified"),
    ],
)
def test_an_image_with_its_verdict(call: Call, passed: bool | None, standing: str, why: str) -> None:
    placed(passed=passed)
    said = call("ls")
    assert said.status == 0
    assert said.out.splitlines()[0].split(maxsplit=1)[0] == "web.iso"
    assert f"  {standing}  " in said.out
    assert "5 B" in said.out
    assert why in said.out
    [event] = call("ls", "--json").events()
    assert (event["event"], event["image"], event["standing"]) == ("image", "build/web.iso", standing)
    assert event["machines"] == (["seabios"] if passed else [])
    assert event["size"] == 5


def test_other_bytes_and_none(call: Call) -> None:
    placed(passed=True)
    Path("build/web.iso").write_bytes(b"other")
    assert "  changed  " in call("ls").out
    Path("build/web.iso").unlink()
    assert "  gone" in call("ls").out


def test_an_image_that_was_kept_aside(call: Call) -> None:
    placed(passed=True)
    kept = Path("build/.metallize/web.iso.kept")
    kept.mkdir(parents=True)
    for file in ("web.iso", "web.iso.verification.json"):
        Path("build", file).rename(kept / file)
    Path("build/web.iso.manifest.json").rename(kept / "manifest.json")
    assert call("ls").out.startswith("web.iso (kept aside)  ")
    [event] = call("ls", "--json").events()
    assert event["kept"] is True


@pytest.mark.parametrize("text", ["", "[]", "{", '{"sha256": 3, "file": {"size": "x"}}', "\0", "[" * 100_000])
def test_papers_that_are_none(call: Call, text: str) -> None:
    placed(passed=True)
    Path("build/web.iso.manifest.json").write_text(text)
    assert "  changed  " in call("ls").out
    run("20261129T000000Z", report=PASSED)
    Path(f"build/runs/{NAME}/seabios/20261129T000000Z/report.json").write_text(text)
    assert "  cut short  " in call("runs").out


def test_runs_are_listed_the_newest_first(call: Call) -> None:
    run("20261129T000000Z", report=PASSED)
    run("20261129T000000Z-2", report=FAILED)
    run("20261129T000000Z-10", "ovmf", report=PASSED)
    run("20261130T000000Z", profile="other/web.img", report=PASSED)
    (Path("build/runs") / NAME / "seabios/notes").mkdir()
    (Path("build/runs") / NAME / "seabios/20261130T000000Z").symlink_to("/")
    events = call("runs", "--json").events()
    assert [Path(event["folder"]).name for event in events] == [
        "20261130T000000Z", "20261129T000000Z-10", "20261129T000000Z-2", "20261129T000000Z",
    ]  # fmt: skip
    assert [event["state"] for event in events] == ["passed", "passed", "failed", "passed"]
    said = call("runs")
    assert said.out.splitlines()[0].startswith("other/web.img")
    assert "    in stage kernel: no \\u001b[31mroot" in said.out
    assert "\x1b" not in said.out
    said = call("runs", "-n", "1")
    assert len(said.out.splitlines()) == 1
    assert "3 older ones: --all lists them" in said.err
    assert len(call("runs", "-n", "1", "--all", "--json").events()) == 4
    assert [event["state"] for event in call("runs", "--failed", "--json").events()] == ["failed"]
    assert len(call("runs", f"{NAME}.yaml", "--machine", "ovmf", "--json").events()) == 1
    for name in ("other", "other.yaml", "web.img", "build/web.img"):
        assert len(call("runs", name, "--json").events()) == 1, name
    assert "did you mean `other`?" in call("runs", "othre").err
    assert "did you mean `ovmf`?" in call("runs", "--machine", "ovfm").err


def test_a_run_that_somebody_is_at(call: Call) -> None:
    folder = run("20261129T000000Z")
    assert "  cut short  " in call("runs").out
    with subprocess.Popen(["sleep", "60"], cwd=folder) as process:
        assert "  running  " in call("runs").out
        process.kill()


def test_what_a_run_printed(call: Call) -> None:
    older = run("20261128T000000Z", report=PASSED)
    folder = run("20261129T000000Z", report=FAILED)
    (folder / "console.txt").write_text("one\ntwo \x1b]52;c;x\x07\nthree\n")
    assert call("logs").out == "one\ntwo \\u001b]52;c;x\\u0007\nthree\n"
    assert call("logs", "-n", "1").out == "three\n"
    assert call("logs", "-n", "2").out.splitlines()[1] == "three"
    assert call("logs", "-n", "0").out == ""
    assert call("logs", "-n", "99").out == call("logs").out
    assert call("logs", older).out.startswith("[ 0.000] line 0\n")
    assert call("logs", NAME, "--path").out == f"{folder}\n"
    assert "console.txt  " in call("logs", "--files").out
    assert '"verdict": "failed"' in call("logs", "--file", "report.json").out
    said = call("logs", "--file", "consle.txt")
    assert said.status == 2
    assert "did you mean `console.txt`?" in said.err
    assert "--lines means nothing beside --files" in call("logs", "--files", "-n", "3").err
    assert "not allowed with argument" in call("logs", "--files", "--open").err


def test_the_end_of_a_long_file(call: Call) -> None:
    folder = run("20261129T000000Z")
    (folder / "console.txt").write_text("".join(f"line {number}\n" for number in range(40_000)) + "no end")
    assert call("logs", "-n", "2").out == "line 39999\nno end"
    assert call("logs", "-n", "20000").out.startswith("line 20001\n")


def test_a_page_is_opened_where_there_is_a_desktop(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run("20261129T000000Z", report=PASSED)
    programs = tmp_path / "programs"
    programs.mkdir()
    opener = programs / "xdg-open"
    opener.write_text('#!/bin/sh\necho "$1" >"$0.said"\n')
    monkeypatch.setenv("PATH", str(programs))
    assert call("logs", "--open").out == f"{folder}/report.html\n"
    opener.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    assert call("logs", "--open").out == ""
    assert (programs / "xdg-open.said").read_text() == f"{folder}/report.html\n"
    (folder / "report.html").unlink()
    assert "the run has no verdict" in call("logs", "--open").err


@pytest.mark.slow
def test_a_run_is_followed_to_its_end(call: Call) -> None:
    folder = run("20261129T000000Z")
    with subprocess.Popen(["sleep", "600"], cwd=folder) as at_it:
        argv = [sys.executable, "-m", "metallize", "logs", "--follow", "-n", "1"]
        with subprocess.Popen(
            argv, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
        ) as process:
            assert process.stdout is not None
            with (folder / "console.txt").open("a") as file:
                file.write("more\n")
            while process.stdout.readline() != "more\n":
                pass
            at_it.kill()
            at_it.wait()
            assert process.stdout.read() == ""
    assert process.returncode == 0
