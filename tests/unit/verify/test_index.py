"""boot.update.tamper: index: what is asked of a machine that is offered it, and what its answers mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from metallize.model.boot import Boot
from metallize.model.kind import Observation
from metallize.model.report import Result, Status
from metallize.model.update import Engine
from metallize.verify.checklist import Checklist
from metallize.verify.course import plan_course
from metallize.verify.phases import update
from metallize.verify.phases.update import Offers, Updating
from metallize.verify.prepared import PreparedBoot
from metallize.verify.refusing import index
from metallize.verify.request import VerifyRequest
from tests.unit.verify.bad_answers import Clock, Line
from tests.unit.verify.healthy import _in_place, request
from tests.unit.verify.test_rollback import URL, Slots, TryingWatch
from tests.unit.verify.test_update import LOGINS, OldImage, not_held

OFFER = index.Offer(url=URL, keyring=b"\xc6key")
SIGNED, MATCHING = "tampered-index/update/signature", "tampered-index/update/digest"
BAD = "DOWNLOAD INVALID: Signature verification failed.\n"
OTHER = "DOWNLOAD INVALID: Checksum of http://x/web.efi file did not check out, file has been tampered with.\n"


def asked(**changes: object) -> VerifyRequest:
    asks = {"from": "old.img", "engine": "sysupdate", "tamper": ["index"], **changes}
    return replace(request(with_assertions=False), boot=Boot.model_validate({**LOGINS, "update": asks}))


def updated(**said: Callable[[], tuple[int, str]]) -> tuple[dict[str, Result], Slots]:
    """What became of each entry, by its id, where the guest answers so to a probe with that in it."""
    wanted, clock = asked(), Clock()
    answers = {"whole --verify=yes": lambda: (0, BAD), "mixed --verify=no": lambda: (0, OTHER), **said}
    guest = Slots(
        line=Line(clock=clock, faults=()), watch=TryingWatch(clock=clock), clock=clock, said=cast("Any", answers)
    )
    checklist = Checklist(update.plan(wanted))
    assert wanted.boot.update is not None
    with _in_place(guest):
        Updating(
            update=wanted.boot.update,
            boot=cast("PreparedBoot", OldImage(request=wanted)),
            checklist=checklist,
            version="2",
            offers=Offers(url=URL, index=OFFER),
        ).run(cast("Any", guest))
    return {result.id: result for result in checklist.results()}, guest


def test_it_is_offered_before_the_update_and_only_where_that_is_asked() -> None:
    ids = [entry.id for entry in plan_course(asked(broken=["kernel"]))]
    at = ids.index(SIGNED)
    assert ids[at - 1 : at + 3] == ["update/update/before", SIGNED, MATCHING, "broken-kernel/update/install/1"]
    assert not [each for each in plan_course(asked(tamper=["downgrade"])) if each.id in (SIGNED, MATCHING)]


def test_a_machine_that_refuses_both_is_updated_then() -> None:
    results, guest = updated()
    assert not_held(results) == []
    assert results[SIGNED].claims[0].actual == BAD.strip()
    assert guest.installed == ["2"]


def test_a_machine_that_takes_one_is_not_updated() -> None:
    results, guest = updated(**{"whole --verify=yes": lambda: (1, "")})
    assert results[SIGNED].status is Status.FAILED
    assert results[MATCHING].status is Status.HELD
    assert results["update/update/install/1"].status is Status.UNSEEN
    assert guest.installed == []


def test_a_machine_that_asks_for_no_signature_is_updated() -> None:
    results, _ = updated(**{"whole --verify=yes": lambda: (0, "unsigned\n")})
    assert not_held(results) == [SIGNED]
    assert results[SIGNED].status is Status.SKIPPED


def seen(status: int = 0, stdout: str = "", stderr: str = "") -> Observation:
    return Observation(status=status, stdout=stdout, stderr=stderr, seconds=1.0)


SLOTS = seen(stdout="_empty\nweb_1\n")


@pytest.mark.parametrize(
    ("was", "tried", "now", "status", "words"),
    [
        (SLOTS, seen(0, "", BAD), SLOTS, Status.HELD, "verification failed"),
        (SLOTS, seen(0, "", BAD), seen(stdout="web_1\nweb_1-a0.index\n"), Status.FAILED, "verification failed"),
        (SLOTS, seen(0, "", "no route to host"), SLOTS, Status.FAILED, "not for this reason: no route to host"),
        (SLOTS, seen(0), SLOTS, Status.FAILED, "not for this reason: nothing was said"),
        (SLOTS, seen(1, "", BAD), SLOTS, Status.FAILED, "installed, and the engine ended well"),
        (SLOTS, seen(2, "", BAD), SLOTS, Status.FAILED, "verification failed"),
    ],
)
def test_a_refusal_has_its_own_reason_and_leaves_nothing(
    was: Observation, tried: Observation, now: Observation, status: Status, words: str
) -> None:
    result = index.judge(index.TURN.entry("x", "x", "update"), was, tried, now, index.BAD_SIGNATURE, "ssh")
    assert result.status is status
    assert words in result.claims[0].actual


@pytest.mark.parametrize(
    ("was", "tried", "now"),
    [
        (None, seen(0, "", BAD), SLOTS),
        (SLOTS, None, SLOTS),
        (SLOTS, seen(0, "", BAD), None),
        (seen(1), seen(0, "", BAD), SLOTS),
        (SLOTS, seen(0, "", BAD), seen(1)),
        (SLOTS, seen(77, "", "the engine finds nothing newer in whole, which is whole"), SLOTS),
    ],
)
def test_what_shows_nothing_does_not_hold(
    was: Observation | None, tried: Observation | None, now: Observation | None
) -> None:
    result = index.judge(index.TURN.entry("x", "x", "update"), was, tried, now, index.BAD_SIGNATURE, "ssh")
    assert result.status is Status.UNSEEN


def test_the_scripts_are_for_the_shell_of_any_guest() -> None:
    for script in (index.signed_script(Engine.SYSUPDATE, OFFER), index.mixed_script(Engine.SYSUPDATE)):
        assert script.isascii()
        assert f"$METALLIZE_UPDATE/{index.MIXED}" in script or f"$METALLIZE_UPDATE/{index.CHANGED}" in script
