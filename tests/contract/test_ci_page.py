"""docs/ci.md: its workflows are what GitHub and GitLab take, and every command in them does what it says."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from metallize.catalog import Catalog
from metallize.commands.line import parse
from metallize.config import load_profile
from metallize.release.keys import make_key
from metallize.starting.answers import Answers, Ci, Kind
from metallize.starting.files import files_of
from tests.conftest import ROOT
from tests.documents import files

PAGE = files((ROOT / "docs/ci.md").read_text())
GITHUB, GITLAB = ".github/workflows/image.yml", ".gitlab-ci.yml"
SCHEMAS = {GITHUB: "github-workflows.json", GITLAB: "gitlab-ci.json"}
"""GitLab's own, and SchemaStore's of GitHub's; as the package check-jsonschema has them."""
LIMIT = timedelta(minutes=40)


def content(name: str) -> Any:
    return read(PAGE[name])


def read(text: str) -> Any:
    """As YAML 1.2 has it, where `on` is no truth value."""
    return {"on" if key is True else key: value for key, value in yaml.safe_load(text).items()}


def require_taken(name: str, workflow: Any) -> None:
    """Raises ValidationError for what the system would refuse."""
    folder = package_files("check_jsonschema").joinpath("builtin_schemas", "vendor")
    schema = json.loads(folder.joinpath(SCHEMAS[name]).read_text("utf-8"))
    jsonschema.validators.validator_for(schema)(schema).validate(workflow)


def scripts(name: str) -> Iterator[tuple[str, str]]:
    """Each script of a workflow with what it is called, in the order in which they are run."""
    if name == GITHUB:
        for step in content(name)["jobs"]["image"]["steps"]:
            if "run" in step:
                yield step.get("name", step["run"]), step["run"]
        return
    for job in ("os-image", "publish"):
        for part in ("before_script", "script", "after_script"):
            if lines := content(name)[job].get(part):
                yield f"{job} {part}", "\n".join(lines)


def test_the_page_shows_all_that_is_tested() -> None:
    assert set(PAGE) == {"web.yaml", "boot-tests/test_web.py", GITHUB, GITLAB}


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.slow
def test_it_is_what_the_system_takes(name: str) -> None:
    require_taken(name, content(name))
    broken = content(name)
    job = broken["jobs"]["image"] if name == GITHUB else broken["os-image"]
    job["steps" if name == GITHUB else "timeout"] = 1
    with pytest.raises(jsonschema.ValidationError):
        require_taken(name, broken)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "ci"), [(GITHUB, Ci.GITHUB), (GITLAB, Ci.GITLAB)])
def test_so_is_what_init_writes(name: str, ci: Ci, tmp_path: Path) -> None:
    answers = Answers(
        folder=tmp_path / "web os",
        name="web",
        kind=Kind.VM,
        base=None,
        dockerfile=None,
        context=None,
        ci=ci,
        watchdog=False,
    )
    [text] = [each.text for each in files_of(answers, None, tmp_path) if each.path.suffix == ".yml"]
    require_taken(name, read(text))


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEMAS)
def test_shellcheck_has_nothing_against_its_scripts(name: str) -> None:
    for title, script in scripts(name):
        said = subprocess.run(
            [Path(sys.executable).with_name("shellcheck"), "--shell=bash", "--exclude=SC1091", "-"],
            input=script, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert said.returncode == 0, (title, said.stdout)


def test_no_script_holds_an_expression_that_somebody_outside_could_write() -> None:
    """An input of a workflow is given to a script as a variable: whatever it holds is then no part of the script."""
    for title, script in scripts(GITHUB):
        assert "${{" not in script, title


def test_every_expression_is_of_something_that_github_has() -> None:
    known = r"github\.(ref|sha)|secrets\.[A-Z_]+|vars\.[A-Z_]+|(!)?startsWith\(github\.ref, '[\w/]+'\)"
    for expression in re.findall(r"\$\{\{ (.*?) \}\}", PAGE[GITHUB]):
        assert re.fullmatch(known, expression), expression


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_metallize_command_is_one(name: str) -> None:
    lines = [line for _, script in scripts(name) for line in script.splitlines() if line.startswith("metallize ")]
    assert len(lines) == 4
    for line in lines:
        words = shlex.split(line.partition(" >")[0])[1:]
        assert parse(words).verb == words[0]


def test_the_profile_loads(tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(PAGE["web.yaml"])
    assert load_profile(tmp_path / "web.yaml", vocabulary=Catalog().vocabulary()).release.size == "+10%"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The repository of the page."""
    folder = tmp_path / "checkout"
    for name, text in PAGE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def put(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.docker
@pytest.mark.boot
@pytest.mark.nightly
@pytest.mark.parametrize("name", SCHEMAS)
def test_every_command_does_what_it_says(
    name: str, checkout: Path, wheel: Path, installed: Path, tmp_path: Path
) -> None:
    """All scripts in their order, as the runner has them run: in one shell a script, which ends at the first error.

    What is not the runner's own here: sudo, where we are root, and pipx, which puts the wheel's environment on PATH.
    """
    tools, keys, releases = tmp_path / "tools", make_key(tmp_path / "release"), tmp_path / "served"
    tools.mkdir()
    releases.mkdir()
    put(tools / "sudo", 'exec "$@"')
    put(tools / "pipx", f'[ "$1 $2" = "install --include-deps" ] && [ "$3" = {shlex.quote(str(wheel))} ]')
    put(tools / "pytest", f'exec {installed}/bin/python -m pytest "$@"')
    environment = {
        **os.environ,
        "PATH": f"{tools}:{installed / 'bin'}:{os.environ['PATH']}",
        "METALLIZE": str(wheel),
        "RELEASES": str(releases),
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_WORKSPACE": str(checkout),
        "CI_PROJECT_DIR": str(checkout),
        "SIGNING_KEY": keys.private.read_text() if name == GITHUB else str(keys.private),
    }
    for title, script in scripts(name):
        shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        done = subprocess.run(
            shell, cwd=checkout, env=environment, capture_output=True, text=True, check=False,
            timeout=LIMIT.total_seconds(),
        )  # fmt: skip
        assert done.returncode == 0, (title, done.stdout[-3000:], done.stderr[-3000:])
    assert {path.suffix for path in (checkout / "build").glob("*.xml")} == {".xml"}
    [release] = json.loads((releases / "stable/releases.json").read_text())["releases"]
    assert [image["machines"] for image in release["images"]] == [["seabios"]]
    assert any(file["name"].endswith(".intoto.jsonl") for file in release["images"][0]["files"])
    if name == GITLAB:
        assert json.loads((checkout / "build/gl-code-quality-report.json").read_text()) == []
