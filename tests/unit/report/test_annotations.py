"""What did not hold, as GitHub and GitLab show it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metallize.report.annotations import annotations_of, as_text
from metallize.report.ci_systems import System

CLAIM = {"attribute": "running", "expected": "true", "actual": "false", "holds": False}
RESULT = {
    "id": "a/service/ssh",
    "title": "service ssh",
    "status": "failed",
    "location": "web.yaml:12:7",
    "claims": [CLAIM],
}
HELD = {"id": "b", "title": "b", "status": "held", "location": "web.yaml:1:1", "claims": []}
SKIPPED = {**HELD, "status": "skipped"}
UNSEEN = {"id": "c", "title": "file /x", "status": "unseen", "location": "", "note": "SSH did not\nanswer: 100%"}


def record(*results: object, cause: str = "") -> dict[str, object]:
    failure = {"cause": cause} if cause else None
    return {"profile": "web.yaml", "machines": [{"machine": "ovmf", "failure": failure, "results": list(results)}]}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "os").mkdir()
    monkeypatch.chdir(tmp_path / "os")


def test_github_shows_each_beside_its_line_of_the_checkout(tmp_path: Path) -> None:
    found = annotations_of(record(RESULT, HELD, SKIPPED, UNSEEN), tmp_path)
    assert as_text(System.GITHUB, found).splitlines() == [
        "::error file=os/web.yaml,line=12,col=7,title=service ssh%2C on ovmf::running: expected true, found false",
        "::error file=os/web.yaml,line=1,col=1,title=file /x%2C on ovmf::SSH did not%0Aanswer: 100%25",
    ]


def test_what_nobody_could_see_because_it_did_not_boot_is_told_once(tmp_path: Path) -> None:
    found = list(annotations_of(record(UNSEEN, UNSEEN, cause="the kernel panicked"), tmp_path))
    assert [(each.title, each.text) for each in found] == [("it does not boot on ovmf", "the kernel panicked")]


def test_gitlab_is_given_the_fields_that_it_requires(tmp_path: Path) -> None:
    [found] = json.loads(as_text(System.GITLAB, annotations_of(record(RESULT), tmp_path)))
    assert found["location"] == {"path": "os/web.yaml", "lines": {"begin": 12}}
    assert found["severity"] in {"info", "minor", "major", "critical", "blocker"}
    assert len(found["fingerprint"]) == 64
    assert found["description"] == "service ssh, on ovmf: running: expected true, found false"
    assert found["check_name"] == "ovmf a/service/ssh"
    assert as_text(System.GITLAB, []) == "[]\n"


def test_a_place_outside_the_checkout_is_told_as_it_is(tmp_path: Path) -> None:
    [found] = annotations_of(record({**RESULT, "location": "/usr/share/base.yaml:3:1"}), tmp_path)
    assert found.path == "/usr/share/base.yaml"
