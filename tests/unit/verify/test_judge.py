"""What is made of the init system's own state."""

from __future__ import annotations

from metallize.model.kind import Observation
from metallize.model.report import Result
from metallize.verify.judge import explain_jobs, judge_system

FAILED = "\u25cf milk.service loaded failed failed Sour milk\n".lstrip("\u25cf ")
JOBS = "45 multi-user.target start waiting\n90 slow.service start running\n91 late.service start waiting\n"


def judged(state: str, failed: str = "", jobs: str = "", said: str = "", **allowed: bool) -> dict[str, Result]:
    texts = ("id\n", f"{state}\n", failed, jobs, said)
    seen = [Observation(status=0, stdout=text, stderr="", seconds=0) for text in texts]
    names = {name.replace("_", "."): value for name, value in allowed.items()}
    return {result.title: result for result in judge_system(seen, observed="ssh", allowed=names)}


def test_a_failed_unit_explains_degraded() -> None:
    results = judged("degraded", FAILED)
    assert set(results) == {"unit milk.service"}
    assert results["unit milk.service"].note == "Sour milk"


def test_a_failed_units_last_words_are_its_cause() -> None:
    said = "unit milk.service\nreading the cow\n\nsour: exit 7\nunit other.service\n"
    assert judged("degraded", FAILED, said=said)["unit milk.service"].note == "Sour milk: reading the cow; sour: exit 7"


def test_an_allowed_unit_is_named_all_the_same() -> None:
    [result] = judged("degraded", FAILED, milk_service=True).values()
    assert result.holds
    assert result.note == "degraded by milk.service, which console.allow names"


def test_a_unit_that_hangs_is_named_by_its_job() -> None:
    result = judged("starting", jobs=JOBS)["system is running"]
    assert not result.holds
    assert result.claims[0].actual == "starting"
    assert result.claims[0].note.startswith("still running: slow.service (start job)")


def test_one_that_failed_does_not_hide_one_that_hangs() -> None:
    assert set(judged("starting", FAILED, JOBS)) == {"unit milk.service", "system is running"}


def test_no_systemd_is_no_failure() -> None:
    assert judged("none") == {}


def test_jobs_in_words() -> None:
    assert explain_jobs("") == "no job is left: see the journal"
    assert explain_jobs(JOBS).endswith("waiting: multi-user.target, late.service")
