"""What counts as a refusal of firmware or loader, and what does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from metallize.console.rules import Scanner
from metallize.console.watch import BootWatch
from metallize.deadline import Deadline
from metallize.guest import GuestFailed
from metallize.model.boot import Boot, ConsoleRules, MachineOverrides
from metallize.model.outcome import Outcome
from metallize.model.report import Finding, Severity, Stage, Status
from metallize.verify.phases.refusal import await_refusal, judge_refusal
from tests.unit.console.test_watch import BOOT, Clock
from tests.unit.shells.fakes import FakeWatch
from tests.unit.verify.entries import entry

ANY = Outcome(refused=())
ENTRY = entry("the image is refused", "refused")
T = TypeVar("T")


def finding(rule: str, stage: Stage = Stage.FIRMWARE) -> Finding:
    return Finding(rule=rule, stage=stage, severity=Severity.FATAL, cause="because", line="the line")


@pytest.mark.parametrize("rule", ["secure-boot-refused", "bios-no-bootable-device", "uefi-shell", "grub-error"])
def test_what_firmware_or_loader_say_is_a_refusal(rule: str) -> None:
    refusal = judge_refusal(ENTRY, ANY, finding(rule))
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
    refusal = judge_refusal(ENTRY, ANY, finding(rule))
    assert refusal.failure == finding(rule)
    assert not refusal.result.holds
    assert judge_refusal(ENTRY, Outcome(refused=(rule,)), finding(rule)).failure is None


def test_another_rule_than_the_named_one_is_a_failure() -> None:
    refusal = judge_refusal(ENTRY, Outcome(refused=("secure-boot-refused",)), finding("uefi-boot-failed"))
    assert not refusal.result.holds
    assert refusal.result.claims[0].expected == "refused by secure-boot-refused"


def watch() -> BootWatch:
    return BootWatch(Scanner(ConsoleRules()), console_name="ttyS0", clock=Clock())


def test_an_image_that_boots_was_not_refused() -> None:
    booting = watch()
    booting.console_text(BOOT, "")
    refusal = await_refusal(ENTRY, ANY, booting, Deadline.after(5, "a test"), stays=0.2)
    assert refusal.failure is not None
    assert refusal.failure.rule == "not-refused"
    assert "it booted as far as stage" in refusal.failure.cause


def test_a_time_that_is_over_is_no_refusal() -> None:
    refusal = await_refusal(ENTRY, ANY, watch(), Deadline.after(0, "a test"), stays=0.2)
    assert refusal.failure is not None
    assert refusal.failure.rule == "timeout"


def test_the_forms_of_boot_expect() -> None:
    assert Boot.model_validate({"expect": "refused"}).expect == Outcome(refused=())
    assert Boot.model_validate({"expect": {"refused": "uefi-shell"}}).expect == Outcome(refused=("uefi-shell",))
    assert MachineOverrides.model_validate({"expect": "booted"}).expect == Outcome(refused=None)
    assert Boot.model_validate({}).expect is None


class Scripted(FakeWatch):
    """What happens at each wait in turn: a stage, a rule that ends the boot, or nothing."""

    def __init__(self, *happens: Stage | str | None) -> None:
        self.happens = list(happens)
        self.went_on = 0

    def wait(self, condition: Callable[[], T | None], deadline: Deadline) -> T | None:
        event = self.happens.pop(0) if self.happens else None
        if isinstance(event, Stage):
            self.stage = event
        elif isinstance(event, str):
            raise GuestFailed(finding(event))
        return condition()

    def go_on(self) -> None:
        self.went_on += 1


@pytest.mark.parametrize(
    ("happens", "rule"),
    [
        (("secure-boot-refused",), ""),
        (("secure-boot-refused", "guest-shutdown"), ""),
        (("secure-boot-refused", "unexpected-reset"), ""),
        (("secure-boot-refused", "silent-console"), ""),
        (("secure-boot-refused", "secure-boot-refused"), ""),
        (("secure-boot-refused", Stage.KERNEL), "not-refused"),
        (("secure-boot-refused", "secure-boot-refused", Stage.USERSPACE), "not-refused"),
        (("secure-boot-refused", "kernel-panic"), "kernel-panic"),
        (("secure-boot-refused", "qemu-ended"), "qemu-ended"),
        (("guest-shutdown",), "guest-shutdown"),
        ((), "timeout"),
    ],
)
def test_a_refusal_must_be_the_end(happens: tuple[Stage | str, ...], rule: str) -> None:
    scripted = Scripted(*happens)
    scripted.stage = Stage.FIRMWARE
    refusal = await_refusal(ENTRY, ANY, scripted, Deadline.after(5, "a test"), stays=0.1)
    assert (refusal.failure.rule if refusal.failure else "") == rule
    assert refusal.result.status is (Status.FAILED if rule else Status.HELD)
    assert scripted.went_on == sum(each == "secure-boot-refused" for each in happens)
    if "not-refused" in rule:
        assert refusal.failure is not None
        assert "and then it booted as far as stage" in refusal.failure.cause


def test_a_watch_that_goes_on_hears_what_follows() -> None:
    clock = Clock()
    going = BootWatch(Scanner(ConsoleRules()), console_name="ttyS0", clock=clock)
    going.switched_on()
    going.fail("secure-boot-refused", "no signature")
    clock.now += 5
    with pytest.raises(GuestFailed):
        going.check()
    going.go_on()
    going.check()
    assert [(each.rule, each.severity) for each in going.findings] == [("secure-boot-refused", Severity.WARNING)]
    going.fail("kernel-panic", "it panicked")
    clock.now += 5
    with pytest.raises(GuestFailed, match="it panicked"):
        going.check()
