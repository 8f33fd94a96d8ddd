"""The matrix as a value: what is in it, what is chosen of it, and how it is printed."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
import yaml

from metallize import pipeline
from metallize.catalog import Catalog
from metallize.commands.candidates import known_of, paths_of
from metallize.commands.line import parse
from metallize.config import load_profiles
from metallize.errors import ExitCode, Location, Problem, ProfileError, UsageError
from metallize.model.loaded import Profile
from metallize.night.attempt import Cell, Status
from metallize.night.matrix.formats import Format
from metallize.night.matrix.making import Candidate, matrix_of
from metallize.night.matrix.printing import GITHUB_JOBS, GITLAB_JOBS, printed
from metallize.night.matrix.value import Matrix
from tests.conftest import Cli
from tests.unit.night.attempts import attempt, of

SHIPPED = Catalog()


def shipped(name: str) -> Candidate:
    def load() -> tuple[Profile, ...]:
        return tuple(load_profiles(SHIPPED.profiles[name], vocabulary=SHIPPED.vocabulary(), overrides={}))

    return Candidate(name=name, load=load, named=True)


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    names = ("debian13-livecd", "debian13-ext4", "rpi3-templogger")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("METALLIZE_CPUS", raising=False)
        return matrix_of([shipped(name) for name in names], SHIPPED, pipeline.Options(), here=False)


def many(matrix: Matrix, count: int) -> Matrix:
    [first, *_] = matrix.entries
    return Matrix(entries=tuple(replace(first, cell=of(f"p{number}")) for number in range(count)))


def test_builds_are_made_once_and_cells_wait_for_them(matrix: Matrix) -> None:
    assert [str(each.cell) for each in matrix.entries] == [
        "debian13-livecd on seabios", "debian13-livecd on ovmf",
        "debian13-ext4 on seabios", "debian13-ext4 on ovmf",
        "rpi3-templogger on raspi3b",
    ]  # fmt: skip
    assert [each.name for each in matrix.builds] == ["debian13-livecd", "debian13-ext4", "rpi3-templogger"]
    assert [each.cell.machine for each in matrix.of(matrix.builds[1])] == ["seabios", "ovmf"]
    assert len({each.key for each in matrix.entries}) == 5
    assert len({each.build.key for each in matrix.entries}) == 3
    assert {each.cpus for each in matrix.entries} == {2}


def test_what_is_wrong_keeps_no_other() -> None:
    def refused() -> tuple[Profile, ...]:
        place = Location(path=Path("x.yaml"), line=1, column=1)
        raise ProfileError([Problem(location=place, message="unknown key")])

    some = [Candidate(name="x", load=refused, named=True), shipped("debian13-livecd")]
    found = matrix_of(some, SHIPPED, pipeline.Options(), here=False)
    assert [(each.cell, each.status, each.is_wrong) for each in found.faults] == [
        (Cell(profile="x", output="", machine=""), Status.ERROR, True)
    ]
    assert len(found.entries) == 2
    only = pipeline.Options(machines=("raspi3b",))
    [fault] = matrix_of([replace(shipped("debian13-livecd"), named=False)], SHIPPED, only, here=False).faults
    assert (fault.status, fault.is_wrong) == (Status.SKIP, False)


def test_two_profiles_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match="two profiles are called debian13-livecd"):
        matrix_of([shipped("debian13-livecd")] * 2, SHIPPED, pipeline.Options(), here=False)


def test_cells_are_chosen_by_tags(matrix: Matrix) -> None:
    assert [str(each.cell) for each in matrix.tagged(["uefi"]).entries] == [
        "debian13-livecd on ovmf", "debian13-ext4 on ovmf",
    ]  # fmt: skip
    assert [str(each.cell) for each in matrix.tagged(["uefi", "ext4"]).entries] == ["debian13-ext4 on ovmf"]
    assert [each.name for each in matrix.tagged(["arm64"]).builds] == ["rpi3-templogger"]
    assert matrix.tagged([]) is matrix
    with pytest.raises(UsageError, match="--tag uefy: no cell has it") as caught:
        matrix.tagged(["uefy"])
    assert caught.value.hint is not None
    assert "uefi" in caught.value.hint


def test_the_longest_comes_first_and_what_is_not_known_may_be_long(matrix: Matrix) -> None:
    def took(number: int, seconds: float, cell: Cell, **said: str) -> object:
        return attempt(number, cell=cell, metrics=MappingProxyType({"seconds": seconds}), **said)

    nights = [
        *(took(number, 10.0, of("debian13-livecd", "seabios")) for number in range(1, 4)),
        took(4, 900.0, of("debian13-livecd", "seabios")),  # once
        took(5, 5000.0, of("debian13-livecd", "seabios"), confirms="x"),
        took(1, 30.0, of("debian13-livecd", "ovmf")),
        took(1, 20.0, of("debian13-ext4", "ovmf")),
        took(1, 25.0, of("debian13-ext4", "seabios")),
    ]
    timed = matrix.timed(nights)  # type: ignore[arg-type]
    assert [(str(each.cell), each.seconds) for each in timed.longest_first()] == [
        ("rpi3-templogger on raspi3b", None),
        ("debian13-livecd on ovmf", 30.0),
        ("debian13-ext4 on seabios", 25.0),
        ("debian13-ext4 on ovmf", 20.0),
        ("debian13-livecd on seabios", 10.0),
    ]
    assert timed.key == matrix.key, "how long it takes is no part of what is tried"


def test_the_key_is_that_of_what_is_tried(matrix: Matrix) -> None:
    assert replace(matrix, entries=matrix.entries[::-1]).key == matrix.key
    first, *rest = matrix.entries
    assert replace(matrix, entries=tuple(rest)).key != matrix.key
    assert replace(matrix, entries=(replace(first, asked="other"), *rest)).key != matrix.key


def test_the_table_and_json_have_all(matrix: Matrix) -> None:
    heads, *lines = printed(matrix, Format.TABLE).splitlines()
    assert heads.split() == ["PROFILE", "OUTPUT", "MACHINE", "CPUS", "MEMORY", "TAKES", "TAGS"]
    assert len(lines) == 5
    why = {matrix.entries[0].cell: "its image"}
    assert "CHANGED" in printed(matrix, Format.TABLE, why)
    data = json.loads(printed(matrix, Format.JSON, why))
    assert [each["name"] for each in data["builds"]] == [each.name for each in matrix.builds]
    assert [each["build"] for each in data["cells"]] == [each.build.name for each in matrix.entries]
    assert [each.get("why") for each in data["cells"]] == ["its image", None, None, None, None]
    assert data["faults"] == []


def test_github_gets_a_strategy_of_strings(matrix: Matrix) -> None:
    text = printed(matrix, Format.GITHUB)
    assert text.count("\n") == 1, "GITHUB_OUTPUT takes a line"
    jobs = json.loads(text)["include"]
    assert jobs[0] == {
        "name": "debian13-livecd on seabios", "profile": "profiles/debian13-livecd.yaml", "output": "",
        "machine": "seabios", "platform": "linux/amd64",
    }  # fmt: skip
    assert len(json.loads(printed(many(matrix, GITHUB_JOBS), Format.GITHUB))["include"]) == GITHUB_JOBS
    with pytest.raises(UsageError, match="257 cells are more than the 256 jobs"):
        printed(many(matrix, GITHUB_JOBS + 1), Format.GITHUB)


def test_gitlab_gets_a_child_pipeline(matrix: Matrix) -> None:
    pipeline_ = yaml.safe_load(printed(matrix, Format.GITLAB))
    assert list(pipeline_) == ["boot"]
    assert pipeline_["boot"]["parallel"]["matrix"][4] == {
        "PROFILE": "profiles/rpi3-templogger.yaml", "OUTPUT": "", "MACHINE": "raspi3b",
    }  # fmt: skip
    several = yaml.safe_load(printed(many(matrix, GITLAB_JOBS + 1), Format.GITLAB))
    assert [(name, len(job["parallel"]["matrix"])) for name, job in several.items()] == [
        ("boot-1", GITLAB_JOBS), ("boot-2", 1),
    ]  # fmt: skip
    nothing = yaml.safe_load(printed(Matrix(), Format.GITLAB))
    assert list(nothing) == ["nothing-to-boot"], "GitLab refuses a pipeline without a job"


@pytest.mark.parametrize("output", ["", "a b.iso", "$HOME.iso"])
def test_gitlabs_command_takes_any_name(matrix: Matrix, tmp_path: Path, output: str) -> None:
    first = matrix.entries[0]
    entry = replace(first, cell=replace(first.cell, output=output))
    job = yaml.safe_load(printed(Matrix(entries=(entry,)), Format.GITLAB))["boot"]
    [variables] = job["parallel"]["matrix"]
    fake = tmp_path / "metallize"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    environment = {name: value.replace("$$", "$") for name, value in variables.items()}  # as GitLab hands them on
    done = subprocess.run(
        ["/bin/sh", "-c", *job["script"]],
        env={**environment, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    words = done.stdout.splitlines()
    assert words[:2] == ["build", "profiles/debian13-livecd.yaml"]
    assert ("--output" in words) == bool(output)
    if output:
        assert words[words.index("--output") + 1] == output


@pytest.mark.slow
def test_the_command_prints_it(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("image: [debian:trixie]\n")
    done = cli("matrix", "debian13-livecd", "--tag", "bios", "--format", "json", cwd=tmp_path)
    assert done.status == ExitCode.DONE
    assert [each["machine"] for each in json.loads(done.stdout)["cells"]] == ["seabios"]
    done = cli("matrix", "debian13-livecd", "wrong.yaml", "--format", "github", cwd=tmp_path)
    assert done.status == ExitCode.BAD_INPUT
    assert len(json.loads(done.stdout)["include"]) == 2
    assert "wrong: ERROR" in done.stderr


def test_what_is_known_of_shipped_profiles_is_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = "- {match: x, reference: '#1', until: 2020-01-01}\n"
    (tmp_path / "known.yaml").write_text(entry)
    (tmp_path / "os").mkdir()
    (tmp_path / "os" / "known.yaml").write_text(entry.replace("#1", "#2"))
    monkeypatch.chdir(tmp_path)
    options = parse(["nightly", "debian13-livecd", "debian13-ext4.yaml", "os/web.yaml"])
    paths = paths_of(options, SHIPPED)
    assert paths == (SHIPPED.profiles["debian13-livecd"], SHIPPED.profiles["debian13-ext4"], Path("os/web.yaml"))
    found = [[each.reference for each in some] for some in known_of(paths, SHIPPED).values()]
    assert found == [["#1"], ["#1"], ["#2"]]
    assert paths_of(parse(["nightly"]), SHIPPED) == tuple(SHIPPED.profiles.values())
    Path("debian13-ext4.yaml").write_text("")
    assert paths_of(options, SHIPPED)[1] == Path("debian13-ext4.yaml"), "a file comes before a shipped profile"
