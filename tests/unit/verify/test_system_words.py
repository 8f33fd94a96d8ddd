"""What is said beside the judgement of a system, and the judgements where two answers have to be weighed."""

from __future__ import annotations

import pytest

from metallize.model.boot import Init
from metallize.model.report import Result, Status
from metallize.verify.checklist import FIRST
from metallize.verify.looks.system import explain_jobs, plan
from tests.unit.verify.test_system import BLOCKS, BROKEN, INODES, JOBS, MILK, judged, root, seen, unit

DEGRADED = "init systemd\nstate degraded\n"
STARTING = "init systemd\nstate starting\n"
FULL = root("ext4 rw", "/dev/vda3 700000 693000 0 100% /", INODES)
READ_ONLY = root("ext4 ro", BLOCKS, INODES)


def only(result: Result) -> tuple[str, str, str]:
    [claim] = result.claims
    return claim.expected, claim.actual, claim.note


def test_the_first_look_and_the_last_have_entries_of_their_own() -> None:
    first, last = plan(FIRST), plan(FIRST, rest=True)
    assert {entry.phase for entry in first} == {"system"}
    assert {entry.phase for entry in last} == {"rest"}
    assert [f"at the end: {entry.title}" for entry in first] == [entry.title for entry in last]
    assert [entry.kind for entry in first] == ["system", "unit", "system", "unit", "system"]


def test_a_start_that_is_not_over_fails_though_all_that_failed_is_allowed() -> None:
    state = judged(state=STARTING, failed=f"{MILK}end\n", allowed=("milk.service",))["state"]
    assert state.status is Status.FAILED
    assert only(state)[1] == "starting"
    assert state.note == ""


def test_a_system_that_runs_has_nothing_to_add() -> None:
    state = judged()["state"]
    assert only(state) == ("running", "running", "")
    assert state.note == ""


def test_what_is_wrong_with_the_root_is_said_once() -> None:
    # With a failed unit it is the unit's; a state that no unit explains has it itself.
    results = judged(state=DEGRADED, failed=f"{MILK}end\n", root=FULL)
    assert (bool(results["units"].note), results["state"].note) == (True, "")
    results = judged(state=STARTING, root=FULL)
    assert (results["units"].note, "is full" in results["state"].note) == ("", True)
    results = judged(root=FULL)
    assert (results["units"].note, results["state"].note) == ("", "")


def test_degraded_is_explained_by_units_and_any_other_state_by_jobs() -> None:
    assert only(judged(state=DEGRADED, failed=f"{MILK}end\n")["state"])[2] == "by milk.service"
    assert "slow.service" in only(judged(state=STARTING, jobs=f"{JOBS}end\n")["state"])[2]
    allowed = judged(state=DEGRADED, failed=f"{MILK}end\n", allowed=("milk.service",))["state"]
    assert only(allowed)[2] == ""


@pytest.mark.parametrize("state", ["offline", "unknown"])
def test_what_systemctl_said_instead_of_a_state_is_told(state: str) -> None:
    result = judged(state=f"init systemd\nstate {state}\n")["state"]
    assert result.note.endswith(f"it said `{state}`")
    assert not judged(state="init systemd\n")["state"].note.endswith("`")


def test_an_init_is_told_with_what_was_wanted() -> None:
    assert only(judged()["init"]) == ("systemd", "systemd", "")
    note = "boot.init (--init) says which init the image has: systemd, or other"
    assert only(judged(Init.OTHER)["init"]) == ("an init that is not systemd", "systemd", note)
    # Where no systemd was wanted its silence does not matter.
    assert judged(Init.OTHER, state="init systemd\n")["init"].status is Status.FAILED
    # Another program that calls itself init, in a system that systemd runs, is none.
    assert judged(state="init init\nstate running\n")["init"].status is Status.FAILED


def test_a_unit_without_words_of_its_own_has_its_description() -> None:
    [claim] = judged(state=DEGRADED, failed=f"{MILK}end\n")["units"].claims
    assert claim.note == "Sour milk"


def test_jobs_that_run_or_wait_are_listed_and_no_others() -> None:
    assert explain_jobs("45 a.target start waiting\n") == "no job runs; waiting: a.target"
    assert explain_jobs("90 slow.service start running\n") == "still running: slow.service (start job)"
    assert explain_jobs("a line that\n") == "no job is left: see the journal"
    waiting = "".join(f"{number} {number}.target start waiting\n" for number in range(6))
    assert explain_jobs(waiting).endswith("waiting: 0.target, 1.target, 2.target, 3.target, 4.target ...")
    assert explain_jobs(waiting[: waiting.index("5 5")]).endswith("3.target, 4.target")


def test_a_service_that_runs_after_a_failure_is_no_loop_and_one_without_a_result_neither() -> None:
    for text in (unit("x.service", 1, "running", "exit-code"), unit("x.service", 1, "auto-restart", "")):
        assert judged(restarts=f"services 2\n{text}end\n")["restarts"].status is Status.HELD, text


def test_a_loop_without_words_ends_in_its_state() -> None:
    [claim] = judged(restarts=f"services 1\n{unit('x.service', 4)}end\n")["restarts"].claims
    assert claim.note == "it ended and was started again (running, success)"
    [claim] = judged(restarts=f"services 1\n{unit('x.service', 4)}end\n", said=BROKEN[0])["restarts"].claims
    assert claim.holds is False


def test_a_root_is_told_with_what_was_wanted() -> None:
    assert only(judged()["root"]) == ("writable", "writable (ext4)", "")
    assert only(judged(root=READ_ONLY)["root"]) == ("read-only or writable", "read-only (ext4)", "")
    wanted = root("ext4 ro", BLOCKS, INODES, "fstab rw")
    assert only(judged(root=wanted)["root"]) == ("writable", "read-only (ext4)", "fstab says rw")


def test_a_root_that_was_read_only_before_may_stay_so() -> None:
    assert judged(root=READ_ONLY, first=seen(root=READ_ONLY))["root"].status is Status.HELD
    assert judged(root=READ_ONLY, first=seen(root=None))["root"].status is Status.HELD
    healthy = judged(first=seen())["root"]
    assert (healthy.status, only(healthy)[2]) == (Status.HELD, "")
