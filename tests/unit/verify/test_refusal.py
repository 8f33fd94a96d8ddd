"""What counts as a refusal of firmware or loader, and what does not."""

from __future__ import annotations

import pytest

from metallize.console.rules import Scanner
from metallize.console.watch import BootWatch
from metallize.deadline import Deadline
from metallize.model.boot import Boot, ConsoleRules, MachineOverrides
from metallize.model.outcome import Outcome
from metallize.model.report import Finding, Severity, Stage
from metallize.verify.phases.refusal import await_refusal, judge_refusal
from tests.unit.console.test_watch import BOOT, Clock

ANY = Outcome(refused=())


def finding(rule: str, stage: Stage = Stage.FIRMWARE) -> Finding:
    return Finding(rule=rule, stage=stage, severity=Severity.FATAL, cause="because", line="the line")


@pytest.mark.parametrize("rule", ["secure-boot-refused", "bios-no-bootable-device", "uefi-shell", "grub-error"])
def test_what_firmware_or_loader_say_is_a_refusal(rule: str) -> None:
    refusal = judge_refusal(ANY, finding(rule))
    assert refusal.failure is None
    assert refusal.result.holds
    assert "the line" in refusal.result.claims[0].actual


@pytest.mark.parametrize(
    "rule",
    [
        "timeout",
        "silent-console",
        "kernel-panic",
        "qemu-ended",
        "uefi-exception",
        "grub-menu-waits",
        "unexpected-reset",
    ],
)
def test_silence_and_crashes_are_none_unless_they_are_named(rule: str) -> None:
    refusal = judge_refusal(ANY, finding(rule))
    assert refusal.failure == finding(rule)
    assert not refusal.result.holds
    assert judge_refusal(Outcome(refused=(rule,)), finding(rule)).failure is None


def test_another_rule_than_the_named_one_is_a_failure() -> None:
    refusal = judge_refusal(Outcome(refused=("secure-boot-refused",)), finding("uefi-boot-failed"))
    assert not refusal.result.holds
    assert refusal.result.claims[0].expected == "refused by secure-boot-refused"


def watch() -> BootWatch:
    return BootWatch(Scanner(ConsoleRules()), console_name="ttyS0", clock=Clock())


def test_an_image_that_boots_was_not_refused() -> None:
    booting = watch()
    booting.console_text(BOOT, "")
    refusal = await_refusal(ANY, booting, Deadline.after(5, "a test"))
    assert refusal.failure is not None
    assert refusal.failure.rule == "not-refused"
    assert "it booted as far as stage" in refusal.failure.cause


def test_a_time_that_is_over_is_no_refusal() -> None:
    refusal = await_refusal(ANY, watch(), Deadline.after(0, "a test"))
    assert refusal.failure is not None
    assert refusal.failure.rule == "timeout"


def test_the_forms_of_boot_expect() -> None:
    assert Boot.model_validate({"expect": "refused"}).expect == Outcome(refused=())
    assert Boot.model_validate({"expect": {"refused": "uefi-shell"}}).expect == Outcome(refused=("uefi-shell",))
    assert MachineOverrides.model_validate({"expect": "booted"}).expect == Outcome(refused=None)
    assert Boot.model_validate({}).expect is None
