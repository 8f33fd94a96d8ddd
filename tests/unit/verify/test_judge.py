"""What a probe printed, and what an attempt to log in came to, as results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest

from metallize.errors import Location
from metallize.model.assertion import Assertion
from metallize.model.kind import Claim, Kind, Observation, ResourceOptions
from metallize.model.report import Result, Status
from metallize.verify.judge import as_entry, because, judge_assertion, login_result
from tests.unit.verify.entries import entry

ENTRY = entry("port tcp:22", "port")
HERE = Location(path=Path("x.yaml"), line=3, column=1)
SAID = Observation(status=0, stdout="yes\n", stderr="", seconds=1.25)


class Says:
    """A kind that claims what its probe printed is `yes`."""

    def __init__(self, script: str = "echo yes") -> None:
        self.script = script

    def probe(self, _resource: str, _options: ResourceOptions) -> str:
        return self.script

    def judge(self, resource: str, _options: ResourceOptions, observation: Observation) -> Iterator[Claim]:
        actual = observation.stdout.strip()
        yield Claim(attribute=resource, expected="yes", actual=actual, holds=actual == "yes")


def judged(observation: Observation | None, *, skip: bool = False, script: str = "echo yes") -> Result:
    options = ResourceOptions.model_validate({"skip": skip})
    asked = Assertion(kind="port", resource="tcp:22", options=options, location=HERE)
    return judge_assertion(ENTRY, asked, cast("Kind", Says(script)), observation, observed="ssh")


def test_what_the_probe_saw_is_judged() -> None:
    result = judged(SAID)
    assert (result.id, result.status, result.observed, result.seconds) == (ENTRY.id, Status.HELD, "ssh", 1.25)
    assert [claim.attribute for claim in result.claims] == ["tcp:22"]
    assert judged(Observation(status=0, stdout="no", stderr="", seconds=0)).status is Status.FAILED


def test_an_answer_that_did_not_come_is_unseen() -> None:
    result = judged(None)
    assert (result.status, result.observed, result.note) == (Status.UNSEEN, "ssh", "its probe gave no answer")


def test_what_has_no_probe_is_seen_by_the_host() -> None:
    assert judged(SAID, script="").observed == "host"
    assert judged(None, script="").observed == "host"


@pytest.mark.parametrize("observation", [SAID, None])
def test_what_is_skipped_is_not_looked_at(observation: Observation | None) -> None:
    assert judged(observation, skip=True).status is Status.SKIPPED


@pytest.mark.parametrize(("kind", "observed"), [("ssh", "ssh"), ("serial", "serial")])
@pytest.mark.parametrize("holds", [True, False])
def test_a_login_is_seen_where_it_was_tried(kind: str, observed: str, holds: bool) -> None:
    result = login_result("login", kind, expected="a shell", actual="x", holds=holds, seconds=2.5, note="late")
    assert (result.observed, result.seconds, result.note) == (observed, 2.5, "late")
    assert result.status is (Status.HELD if holds else Status.FAILED)
    assert [(claim.attribute, claim.expected, claim.actual) for claim in result.claims] == [("login", "a shell", "x")]


def test_a_result_becomes_an_entrys() -> None:
    result = as_entry(ENTRY, login_result("login", "ssh", expected="", actual="", holds=False, seconds=0))
    assert (result.id, result.title, result.kind, result.phase) == (ENTRY.id, ENTRY.title, ENTRY.kind, ENTRY.phase)
    assert result.status is Status.FAILED


def notes(results: Sequence[Result], reason: str) -> list[str]:
    return [because(result, reason).note for result in results]


def test_a_reason_stands_before_the_note_of_what_does_not_hold() -> None:
    held = login_result("login", "ssh", expected="", actual="", holds=True, seconds=0, note="late")
    bad = login_result("login", "ssh", expected="", actual="", holds=False, seconds=0, note="late")
    assert notes([held, bad], "no key") == ["late", "no key\nlate"]
    assert notes([held, bad], "") == ["late", "late"]
    assert because(bad, "") is bad
