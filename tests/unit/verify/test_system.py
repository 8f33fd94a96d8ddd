"""What the system says of itself: each answer in its turn lost, empty, cut off or refused, and what the rest tells."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from metallize.model.boot import Init
from metallize.model.kind import Observation
from metallize.model.report import Result, Status
from metallize.verify.checklist import FIRST
from metallize.verify.looks import look, system
from metallize.verify.looks.look import read_look
from metallize.verify.looks.system import explain_jobs, why_root

BLOCKS = "/dev/vda3 7157204 600000 6000000 10% /"
INODES = "/dev/vda3 458752 20000 438752 5% /"
HEALTHY = {
    "boot_id": "01234567-89ab-cdef-0123-456789abcdef\n",
    "state": "init systemd\nstate running\n",
    "failed": "end\n",
    "jobs": "end\n",
    "said": "end\n",
    "restarts": "services 21\nend\n",
    "root": f"ext4 rw,relatime\n{BLOCKS}\n{INODES}\nfstab defaults\nend\n",
}
SETTLES = {
    "boot_id": {"init"},
    "state": {"init", "units", "state"},
    "failed": {"units", "state"},
    "jobs": {"state"},
    "said": {"units"},
    "restarts": {"restarts"},
    "root": {"root"},
}
"""Which entries nobody can know without an answer."""
MILK = "milk.service loaded failed failed Sour milk\n"
JOBS = "45 multi-user.target start waiting\n90 slow.service start running\n91 late.service start waiting\n"


def seen(**answers: str | Observation | None) -> look.Look:
    given = {**HEALTHY, **answers}
    return read_look(
        [
            Observation(status=0, stdout=text, stderr="", seconds=0.1) if isinstance(text, str) else text
            for text in given.values()
        ]
    )


def judged(
    init: Init = Init.SYSTEMD,
    *,
    allowed: tuple[str, ...] = (),
    first: look.Look | None = None,
    given: Mapping[str, str | Observation | None] | None = None,
    **answers: str | Observation | None,
) -> dict[str, Result]:
    entries = {entry.id.rpartition("/")[2]: entry for entry in system.plan(FIRST)}
    results = system.judge_look(
        entries,
        seen(**answers, **(given or {})),
        init=init,
        observed="ssh",
        allows=lambda text: text in allowed,
        first=first,
    )
    assert [result.id for result in results] == [entry.id for entry in entries.values()]
    return {result.id.rpartition("/")[2]: result for result in results}


def test_a_healthy_system_holds() -> None:
    assert {result.status for result in judged().values()} == {Status.HELD}
    assert len(look.PROBES) == len(HEALTHY)


BROKEN: tuple[Observation | None, ...] = (
    None,
    Observation(status=0, stdout="", stderr="", seconds=0),
    Observation(status=0, stdout="\n", stderr="", seconds=0),
    Observation(status=1, stdout="", stderr="it is on fire", seconds=0),
)


@pytest.mark.parametrize("probe", HEALTHY)
@pytest.mark.parametrize("answer", BROKEN, ids=["missing", "empty", "a blank line", "an error"])
def test_an_answer_that_did_not_come_is_no_value(probe: str, answer: Observation | None) -> None:
    results = judged(given={probe: answer})
    for name in SETTLES[probe]:
        assert results[name].status is Status.UNSEEN, name
        assert results[name].note
    if answer is not None and answer.stderr:
        assert any("it is on fire" in results[name].note for name in SETTLES[probe])
    assert all(result.status is not Status.FAILED for result in results.values())


@pytest.mark.parametrize("probe", HEALTHY)
def test_a_good_answer_with_a_bad_status_is_no_value(probe: str) -> None:
    results = judged(given={probe: Observation(status=1, stdout=HEALTHY[probe], stderr="", seconds=0)})
    for name in SETTLES[probe]:
        assert results[name].status is Status.UNSEEN, name


@pytest.mark.parametrize("probe", ["failed", "jobs", "said", "restarts", "root"])
def test_half_an_answer_is_no_value(probe: str) -> None:
    whole = HEALTHY[probe]
    for cut in range(len(whole) - 1):
        results = judged(given={probe: whole[:cut]})
        for name in SETTLES[probe]:
            assert results[name].status is Status.UNSEEN, (name, whole[:cut])


def test_degraded_by_nothing_fails() -> None:
    result = judged(state="init systemd\nstate degraded\n")["state"]
    assert result.status is Status.FAILED
    assert "lists no unit" in result.claims[0].note


def test_degraded_holds_where_every_failed_unit_is_allowed() -> None:
    degraded: dict[str, str | Observation | None] = {
        "state": "init systemd\nstate degraded\n",
        "failed": f"{MILK}end\n",
    }
    results = judged(given=degraded, allowed=("milk.service",))
    assert results["state"].status is results["units"].status is Status.HELD
    assert results["state"].note == "degraded by milk.service, which console.allow names"
    other = f"{MILK}other.service loaded failed failed Other\nend\n"
    results = judged(state=degraded["state"], failed=other, allowed=("milk.service",))
    assert results["state"].status is results["units"].status is Status.FAILED
    assert [claim.attribute for claim in results["units"].claims] == ["unit other.service"]


def test_a_failed_units_last_words_are_its_cause() -> None:
    said = "said milk.service reading the cow\nsaid milk.service sour: exit 7\nsaid other.service x\nend\n"
    results = judged(state="init systemd\nstate degraded\n", failed=f"{MILK}end\n", said=said)
    [claim] = results["units"].claims
    assert (claim.attribute, claim.actual, claim.holds) == ("unit milk.service", "failed", False)
    assert claim.note == "Sour milk: reading the cow; sour: exit 7"
    assert results["state"].status is Status.FAILED
    assert results["state"].claims[0].note == "by milk.service"


def test_a_unit_that_hangs_is_named_by_its_job_and_hides_none_that_failed() -> None:
    results = judged(state="init systemd\nstate starting\n", failed=f"{MILK}end\n", jobs=f"{JOBS}end\n")
    assert results["units"].status is results["state"].status is Status.FAILED
    assert results["state"].claims[0].actual == "starting"
    assert results["state"].claims[0].note.startswith("still running: slow.service (start job)")


def test_jobs_in_words() -> None:
    assert explain_jobs("") == "no job is left: see the journal"
    assert explain_jobs(JOBS).endswith("waiting: multi-user.target, late.service")


@pytest.mark.parametrize("state", ["", "offline", "unknown"])
def test_a_systemctl_that_does_not_know_is_unseen(state: str) -> None:
    results = judged(state=f"init systemd\nstate {state}\n")
    assert results["state"].status is Status.UNSEEN
    if not state:
        assert results["init"].status is results["units"].status is Status.UNSEEN


def test_an_init_that_is_not_the_declared_one_fails() -> None:
    busybox: dict[str, str | Observation | None] = {"state": "init init\n", "restarts": BROKEN[3]}
    assert judged(given=busybox)["init"].status is Status.FAILED
    assert "boot.init" in judged(given=busybox)["init"].claims[0].note
    assert judged(Init.OTHER)["init"].status is Status.FAILED
    results = judged(Init.OTHER, given=busybox)
    assert results["init"].status is results["root"].status is Status.HELD
    assert {results[name].status for name in ("units", "state", "restarts")} == {Status.SKIPPED}


def unit(name: str, restarts: int, sub: str = "running", result: str = "success") -> str:
    return f"unit Result={result} NRestarts={restarts} Id={name} SubState={sub}\n"


@pytest.mark.parametrize(
    "text",
    [
        unit("loop.service", 1, sub="auto-restart", result="exit-code"),
        unit("loop.service", 3),
        unit("loop.service", 240, sub="start", result="exit-code"),
    ],
    ids=["it waits to be started again", "it runs, the third time", "it is being started"],
)
def test_a_loop_is_named(text: str) -> None:
    said = "said loop.service no milk\n"
    result = judged(restarts=f"services 2\n{unit('fine.service', 1)}{text}{said}end\n")["restarts"]
    assert result.status is Status.FAILED
    [claim] = result.claims
    assert claim.attribute == "unit loop.service"
    assert claim.note.endswith(": no milk")


@pytest.mark.parametrize(
    "text",
    [
        "",
        unit("late.service", 1),
        unit("job.service", 1, sub="auto-restart"),
        unit("serial-getty@ttyS0.service", 7),
        unit("getty@tty1.service", 3, sub="auto-restart", result="exit-code"),
    ],
    ids=["nothing", "one more start", "a clean end", "a getty after logouts", "a getty with no terminal"],
)
def test_what_comes_back_as_it_should_is_no_loop(text: str) -> None:
    assert judged(restarts=f"services 2\n{text}end\n")["restarts"].status is Status.HELD


def test_the_count_and_the_state_are_said() -> None:
    [claim] = judged(restarts=f"services 1\n{unit('x.service', 4, 'auto-restart', 'signal')}end\n")["restarts"].claims
    assert (claim.actual, claim.holds) == ("4", False)
    assert "auto-restart, signal" in claim.note


def test_one_that_came_back_since_the_first_look_fails() -> None:
    once, twice = (f"services 2\n{unit('x.service', count)}end\n" for count in (1, 2))
    for first, then, status in (
        (HEALTHY["restarts"], once, Status.FAILED),
        (once, twice, Status.FAILED),
        (once, once, Status.HELD),
    ):
        result = judged(restarts=then, first=seen(restarts=first))["restarts"]
        assert result.status is status
        assert ("since the first look" in result.claims[0].note) == (status is Status.FAILED)


def root(*lines: str) -> str:
    return "\n".join((*lines, "end")) + "\n"


def test_a_root_that_is_given_up_between_two_looks_fails() -> None:
    now = root("ext4 ro", BLOCKS, INODES)
    assert judged(root=now)["root"].status is Status.HELD, "an image may be read-only by design"
    result = judged(root=now, first=seen())["root"]
    assert result.status is Status.FAILED
    assert "writable before" in result.claims[0].note


def test_a_root_against_its_fstab() -> None:
    result = judged(root=root("ext4 ro,relatime", BLOCKS, INODES, "fstab defaults"))["root"]
    assert result.status is Status.FAILED
    assert "fstab" in result.claims[0].note
    assert judged(root=root("ext4 ro", BLOCKS, INODES, "fstab ro,noatime"))["root"].status is Status.HELD
    assert judged(root=root("ext4 emergency_ro", BLOCKS, INODES, "fstab rw"))["root"].status is Status.FAILED


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("ext4 ro,relatime", BLOCKS, INODES), "(ext4) is mounted read-only"),
        (("ext4 rw", "/dev/vda3 700000 693000 0 100% /", INODES), "is full: 0 of 700000 are free"),
        (("ext4 rw", BLOCKS, "/dev/vda3 46000 46000 0 100% /"), "is full of inodes"),
        (("ext4 rw", "/dev/vda3 700000 699990 -7 101% /", INODES), "is full: -7"),
    ],
)
def test_what_is_wrong_with_the_root_explains_a_failed_unit(lines: tuple[str, ...], words: str) -> None:
    assert words in why_root(seen(root=root(*lines)).root)
    results = judged(root=root(*lines), state="init systemd\nstate degraded\n", failed=f"{MILK}end\n")
    assert words in results["units"].note


@pytest.mark.parametrize(
    "lines",
    [
        ("ext4 rw,relatime,errors=remount-ro", BLOCKS, INODES),
        ("overlay rw", "overlay 500000 100 499900 1% /", "overlay - - - - /"),
        ("btrfs rw", BLOCKS, "/dev/vda3 0 0 0 - /"),
        ("ext4 rw",),
        ("",),
    ],
)
def test_a_root_that_is_well_explains_nothing(lines: tuple[str, ...]) -> None:
    assert why_root(seen(root=root(*lines)).root) == ""
    assert why_root(None) == ""
