"""What each item makes of a boot's report: what is its own, what is somebody else's, and that nothing gets lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from metallize.checks.file import KIND
from metallize.errors import Location
from metallize.machines import seabios
from metallize.model.assertion import Assertion
from metallize.model.boot import Boot, ConsoleRules, Login, MachineOverrides, Reach, Ssh
from metallize.model.kind import Claim
from metallize.model.outcome import Outcome
from metallize.model.profile import ImageFormat
from metallize.model.report import AcceleratorUse, BootReport, Entry, Finding, Result, Severity, Stage, Verdict
from metallize.pytest_plugin.judging import (
    DidNotBoot,
    NotHeld,
    Skipped,
    checks_of,
    judge_assertion,
    judge_boot,
    judge_check,
    judge_rest,
)
from metallize.verify.course import plan_course
from metallize.verify.request import VerifyRequest

PLACE = Location(path=Path("goss.yaml"), line=3, column=5)
ASSERTION = Assertion(
    kind="file", resource="/etc/x", options=KIND.options.model_validate({"exists": True}), location=PLACE
)
FULL = Boot(
    login=Login(user="a", password="b"),
    ssh=Ssh(user="a", password="b"),
    console=ConsoleRules(require=("hello",)),
    reach={"tcp:22": Reach()},
    time={"ready": "90s"},
    reboot=True,
)


def result(
    title: str, kind: str, *, holds: bool = True, location: str = "", skipped: bool = False, id_: str = ""
) -> Result:
    claim = Claim(attribute="exists", expected="true", actual="false", holds=holds, skipped=skipped, note="a note")
    entry = Entry(id=id_ or f"x/{title}", title=title, kind=kind, phase="x", location=location)
    return entry.judged(claim, observed="ssh")


def planned(boot: Boot, *, refused: bool = False) -> tuple[Entry, ...]:
    return plan_course(
        VerifyRequest(
            image=Path("x.iso"),
            image_format=ImageFormat.ISO,
            boot=boot,
            assertions=(),
            machine_entry="seabios",
            machine=seabios.MACHINE,
            kinds={},
            runs_dir=Path("runs"),
            overrides=MachineOverrides(expect=Outcome(refused=() if refused else None)),
        )
    )


def report(*results: Result, failure: str = "", stage: Stage = Stage.READY) -> BootReport:
    finding = Finding(rule="kernel-panic", stage=Stage.KERNEL, severity=Severity.FATAL, cause=failure, line="panic!")
    passed = not failure and all(each.holds for each in results)
    return BootReport(
        machine="ovmf",
        image=Path("x.iso"),
        media="cd",
        verdict=Verdict.PASSED if passed else Verdict.FAILED,
        stage=stage,
        seconds=1.0,
        accelerator=AcceleratorUse(name="tcg", cpu="x", reason="because", slowness=1.0, cached=False),
        stages=(),
        results=results,
        failure=finding if failure else None,
        findings=(),
        console_tail=("the last line",),
        run_folder=Path("runs/1"),
    )


SYSTEM = (
    "systemd runs the system",
    "no unit has failed",
    "system is running",
    "no service is started again and again",
    "the root filesystem is mounted as it must be",
)
FIRST_BOOT = (
    "serial login as a",
    "serial login as a with a wrong password",
    "ssh login as a",
    *SYSTEM,
    "reach tcp:22",
    "time to ready",
    *(f"at the end: {title}" for title in SYSTEM),
)


def test_everything_that_a_profile_declares_is_an_item() -> None:
    assert [check.name for check in checks_of(planned(FULL))] == [
        *FIRST_BOOT,
        "clean reboot after a reboot",
        *(f"{title} after a reboot" for title in FIRST_BOOT),
        "another boot after a reboot",
        "the same machine after a reboot",
        "console shows /hello/",
        "the console shows no failure",
        "the machine runs to the end",
    ]
    assert [check.name for check in checks_of(planned(Boot()))] == [
        "a login prompt is shown",
        "the console shows no failure",
        "the machine runs to the end",
    ]
    assert [check.name for check in checks_of(planned(FULL, refused=True))] == [
        "the image is refused",
        "console shows /hello/",
        "the console shows no failure",
    ]


def test_an_assertion_is_known_by_its_place_and_after_a_reboot_too() -> None:
    first = result("a title", "file", location=str(PLACE))
    second = replace(result("a title after a reboot", "file", holds=False, location=str(PLACE)))
    assert judge_assertion(ASSERTION, report(first)) == (first,)
    with pytest.raises(NotHeld) as caught:
        judge_assertion(ASSERTION, report(first, second))
    text = str(caught.value)
    assert "after a reboot" in text
    assert "exists: expected true, found false" in text
    assert "goss.yaml:3:5" in text


def test_another_assertions_failure_is_not_ones_own() -> None:
    mine = result("file /etc/x", "file", location=str(PLACE))
    other = result("file /etc/y", "file", holds=False, location="goss.yaml:9:1")
    assert judge_assertion(ASSERTION, report(mine, other)) == (mine,)
    with pytest.raises(NotHeld, match="/etc/y"):
        judge_rest(report(mine, other), (), (ASSERTION,))


def test_what_nobody_asks_for_is_the_last_ones() -> None:
    checks = checks_of(planned(FULL))
    judge_rest(report(*(result(check.name, "x", holds=False, id_=check.id) for check in checks)), checks, ())
    with pytest.raises(NotHeld, match="swtpm"):
        judge_rest(report(result("swtpm is there", "tpm", holds=False)), checks, ())


def test_a_boot_that_failed_is_told_once_and_named_by_all_others() -> None:
    broken = report(failure="the kernel panicked", stage=Stage.KERNEL)
    with pytest.raises(NotHeld, match="the last line"):
        judge_boot(broken)
    for check in checks_of(planned(FULL)):
        with pytest.raises(DidNotBoot, match="the guest did not boot: the kernel panicked"):
            judge_check(check, broken)
    with pytest.raises(DidNotBoot, match="the kernel panicked"):
        judge_assertion(ASSERTION, broken)
    with pytest.raises(DidNotBoot, match="the kernel panicked"):
        judge_rest(broken, (), ())


def test_what_was_seen_before_the_boot_failed_counts() -> None:
    seen = result("file /etc/x", "file", location=str(PLACE))
    assert judge_assertion(ASSERTION, report(seen, failure="QEMU was killed")) == (seen,)


def test_an_assertion_that_fails_is_no_boot_that_failed() -> None:
    judge_boot(report(result("file /etc/x", "file", holds=False)))


def test_a_boot_that_ended_early_without_a_cause_does_not_pass() -> None:
    early = replace(report(), verdict=Verdict.FAILED, stage=Stage.LOGIN)
    with pytest.raises(NotHeld, match="stage login"):
        judge_boot(early)


def test_what_the_profile_skips_is_skipped() -> None:
    with pytest.raises(Skipped, match="a note"):
        judge_assertion(ASSERTION, report(result("x", "file", location=str(PLACE), skipped=True)))


def test_an_assertion_that_nobody_could_observe_does_not_hold() -> None:
    with pytest.raises(NotHeld, match="nobody is logged in"):
        judge_assertion(ASSERTION, report())


def test_a_check_without_a_result_never_holds() -> None:
    for check in checks_of(planned(FULL)):
        with pytest.raises(NotHeld, match="not in the report"):
            judge_check(check, report())


def test_a_check_is_its_results_own_and_one_that_nobody_saw_does_not_hold() -> None:
    entries = planned(FULL)
    first, *others = checks_of(entries)
    held = result("x", "x", id_=first.id)
    unseen = tuple(entry.unseen("asked: no answer") for entry in entries[1:])
    assert judge_check(first, report(held, *unseen)) == (held,)
    for check in others:
        with pytest.raises(NotHeld, match="asked: no answer"):
            judge_check(check, report(held, *unseen))
        with pytest.raises(DidNotBoot):
            judge_check(check, report(held, *unseen, failure="it panicked"))
