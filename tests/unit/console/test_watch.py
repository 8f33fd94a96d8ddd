"""What the watch makes of a console, of QEMU's events, and of silence."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metallize.console.rules import Scanner
from metallize.console.stages import SILENCE_SECONDS
from metallize.console.watch import BootWatch
from metallize.deadline import Deadline
from metallize.guest import GuestFailed
from metallize.model.boot import ConsoleRules
from metallize.model.report import Finding, Severity, Stage
from metallize.patience import PROGRESS_LONG_SILENCE as LONG_SILENCE_SECONDS

BOOT = """\
SeaBIOS (version 1.16.2-debian-1.16.2-1)
Booting from DVD/CD...
GRUB loading.
Welcome to GRUB!
[    0.000000] Linux version 6.12.57+deb13-amd64 (debian-kernel@lists.debian.org)
[    1.823000] Run /init as init process
Loading, please wait...
Welcome to Debian GNU/Linux 13 (trixie)!
[  OK  ] Started ssh.service - OpenBSD Secure Shell server.
Debian GNU/Linux 13 debian ttyS0
"""


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def make(clock: Clock, profile: ConsoleRules | None = None, slowness: float = 1.0) -> BootWatch:
    return BootWatch(Scanner(profile or ConsoleRules()), console_name="ttyS0", slowness=slowness, clock=clock)


def failure(watch: BootWatch, clock: Clock) -> Finding:
    clock.now += 1.0
    with pytest.raises(GuestFailed) as caught:
        watch.check()
    return caught.value.finding


def stages(watch: BootWatch) -> list[str]:
    return [str(item.stage) for item in watch.stages]


def test_a_boot_goes_through_its_stages() -> None:
    clock = Clock()
    watch = make(clock)
    for line in BOOT.splitlines(keepends=True):
        clock.now += 1
        watch.console_text(line, "")
    watch.console_text("", "debian login: ")
    at = watch.seconds
    clock.now += 0.5
    watch.check()
    assert stages(watch) == ["qemu", "firmware", "loader", "kernel", "initrd", "userspace", "login"]
    assert watch.stages[-1].seconds == at


def test_last_login_is_no_prompt() -> None:
    clock = Clock()
    watch = make(clock)
    for line in ("Last login: ", "login: see the manual", "Please use this login: ", "x: bad login: "):
        watch.console_text(BOOT, line)
        clock.now += 2
        watch.check()
        assert watch.stage is Stage.USERSPACE


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_findings_do_not_depend_on_how_lines_are_grouped(data: st.DataObject) -> None:
    lines = (BOOT + "[FAILED] Failed to start a.service.\n[   12.3] kernel BUG at mm/slub.c:4567!\n").splitlines(True)
    cuts = sorted(set(data.draw(st.lists(st.integers(0, len(lines)), max_size=6))))
    clock = Clock()
    watch = make(clock)
    for a, b in zip([0, *cuts], [*cuts, len(lines)], strict=True):
        watch.console_text("".join(lines[a:b]), "")
    assert stages(watch) == ["qemu", "firmware", "loader", "kernel", "initrd", "userspace"]
    found = failure(watch, clock)
    assert (found.rule, found.stage) == ("kernel-oops", Stage.KERNEL)
    assert [finding.rule for finding in watch.findings] == ["unit-failed"]


def test_a_panic_carries_the_lines_around_it_and_fails_within_two_seconds() -> None:
    clock = Clock()
    watch = make(clock)
    watch.console_text(BOOT, "")
    watch.console_text(
        "before\n[    2.3] Kernel panic - not syncing: Attempted to kill init!\n[    2.4] Call Trace:\n", ""
    )
    watch.check()  # the lines that explain it may still come
    watch.console_text("[    2.5] later\n", "")
    found = failure(watch, clock)
    assert found.cause == "the kernel panicked: Attempted to kill init!"
    assert "before" in found.context
    assert "[    2.5] later" in found.context


def test_a_service_that_only_speaks_of_a_panic_is_no_panic() -> None:
    clock = Clock()
    watch = make(clock)
    watch.console_text(BOOT + "[   20.1] harmless[412]: Kernel panic - not syncing: only a word\n", "")
    clock.now += 5
    watch.check()


def test_a_panic_after_the_login_prompt_fails() -> None:
    clock = Clock()
    watch = make(clock)
    watch.console_text(BOOT, "debian login: ")
    watch.console_text("debian login: [   33.1] Kernel panic - not syncing: sysrq triggered crash\n", "")
    assert failure(watch, clock).rule == "kernel-panic"


def test_a_stall_is_forgiven_when_the_boot_gets_further() -> None:
    clock = Clock()
    watch = make(clock)
    watch.console_text('BdsDxe: failed to load Boot0001 "UEFI QEMU HARDDISK": Not Found\n', "")
    clock.now += 5
    watch.console_text("Welcome to GRUB!\n[    0.000000] Linux version 6.12\n", "")
    clock.now += 20
    watch.check()
    assert [finding.severity for finding in watch.findings] == [Severity.WARNING]


def test_a_stall_with_no_progress_fails() -> None:
    clock = Clock()
    watch = make(clock)
    watch.console_text("Welcome to GRUB!\nerror: file `/boot/vmlinuz' not found.\n", "")
    clock.now += 10
    watch.check()
    clock.now += 10
    found = failure(watch, clock)
    assert (found.rule, found.stage) == ("grub-error", Stage.LOADER)


def test_a_stall_of_a_guest_that_waits_is_its_end_before_the_silence_is() -> None:
    """On a host so slow that a stall's whole grace is longer than a silence may be."""
    clock = Clock()
    watch = make(clock, slowness=9.0)
    watch.switched_on(lambda: 1.0)
    watch.console_text(BOOT + "[   33.6] INFO: task systemd:1 blocked for more than 5 seconds.\n", "")
    for _ in range(20):
        clock.now += 1
        watch.check()
    clock.now += 5
    found = failure(watch, clock)
    assert (found.rule, found.stage) == ("kernel-hung-task", Stage.KERNEL)
    assert found.cause == "a process has been stuck in the kernel: systemd:1"


def test_the_consoles_word_of_a_panic_says_more_than_qemus() -> None:
    clock = Clock()
    watch = make(clock)
    watch.console_text(BOOT, "")
    watch.event("GUEST_PANICKED", {})
    clock.now += 1
    watch.check()
    watch.console_text("[    9.0] Kernel panic - not syncing: sysrq triggered crash\n", "")
    found = failure(watch, clock)
    assert (found.rule, found.cause) == ("kernel-panic", "the kernel panicked: sysrq triggered crash")


def test_qemus_word_of_a_panic_is_enough() -> None:
    clock = Clock()
    watch = make(clock)
    watch.event("GUEST_PANICKED", {})
    clock.now += 1
    assert failure(watch, clock).rule == "guest-panicked"


def test_a_prompt_counts_when_nothing_follows_it() -> None:
    clock = Clock()
    watch = make(clock)
    watch.console_text("Welcome to GRUB!\n", "grub> ")
    clock.now += 1.5
    watch.console_text("", "grub> ")  # something came: the wait begins anew
    watch.check()
    clock.now += 1.5
    watch.check()
    assert failure(watch, clock).rule == "grub-prompt"


def test_rules_of_the_loader_mean_nothing_in_userspace() -> None:
    clock = Clock()
    watch = make(clock)
    watch.console_text(BOOT + "No bootable device.\nerror: file `x' not found.\n", "grub> ")
    clock.now += 20
    watch.check()


def test_silence_names_the_port_and_scales_with_the_host() -> None:
    clock = Clock()
    watch = make(clock, slowness=2.0)
    watch.switched_on()
    clock.now += SILENCE_SECONDS[Stage.QEMU] * 1.5
    watch.check()
    clock.now += SILENCE_SECONDS[Stage.QEMU]
    found = failure(watch, clock)
    assert found.rule == "silent-console"
    assert "console=ttyS0" in found.remedy


@pytest.mark.parametrize(("share", "in_time"), [(0.0, 60), (1.0, 240), (None, 240)])
def test_a_guest_that_waits_has_no_more_time_on_a_slow_host(share: float | None, in_time: int) -> None:
    clock = Clock()
    watch = make(clock, slowness=4.0)
    watch.switched_on(lambda: None if share is None else share * clock.now)
    watch.console_text("[    0.000000] Linux version 6.12\n", "")
    begun = clock.now
    for _ in range(in_time - 1):
        clock.now += 1
        watch.check()
    clock.now += LONG_SILENCE_SECONDS + 1
    assert failure(watch, clock).rule == "silent-console"
    assert clock.now - begun < in_time + 10


def test_a_silent_userspace_after_the_login_prompt_is_well() -> None:
    clock = Clock()
    watch = make(clock)
    watch.console_text(BOOT, "debian login: ")
    clock.now += 1
    watch.check()
    clock.now += 10_000
    watch.check()


@pytest.mark.parametrize(
    ("event", "data", "rule"),
    [
        ("RESET", {"guest": True, "reason": "guest-reset"}, "unexpected-reset"),
        ("SHUTDOWN", {"guest": True, "reason": "guest-shutdown"}, "guest-shutdown"),
        ("GUEST_PANICKED", {"action": "run"}, "guest-panicked"),
        ("BLOCK_IO_ERROR", {"nospace": True}, "host-disk-full"),
    ],
)
def test_events_fail_the_boot(event: str, data: dict[str, object], rule: str) -> None:
    clock = Clock()
    watch = make(clock)
    watch.console_text(BOOT, "")
    watch.event(event, data)
    clock.now += 1
    assert failure(watch, clock).rule == rule


def test_a_reset_that_was_asked_for_begins_the_stages_anew() -> None:
    clock = Clock()
    watch = make(clock)
    watch.console_text(BOOT, "")
    watch.expect_reset()
    watch.event("RESET", {"guest": True})
    watch.event("RESET", {"guest": True})  # the kernel's second way to reset
    clock.now += 1
    watch.check()
    assert watch.resets == 1
    assert stages(watch) == ["qemu"]
    watch.console_text(BOOT, "")
    assert stages(watch)[-1] == "userspace"


def test_one_reset_by_the_loader_is_forgiven_and_a_second_is_not() -> None:
    clock = Clock()
    watch = make(clock)
    watch.console_text("Welcome to GRUB!\n", "")
    watch.event("RESET", {"guest": True})
    clock.now += 1
    watch.check()
    watch.console_text("Welcome to GRUB!\n", "")
    watch.event("RESET", {"guest": True})
    assert failure(watch, clock).rule == "unexpected-reset"


def test_what_happens_while_the_machine_is_switched_off_is_no_failure() -> None:
    clock = Clock()
    watch = make(clock)
    watch.ending()
    watch.fail("qemu-ended", "QEMU ended")
    clock.now += 5
    watch.check()


def test_a_message_of_qemu_fails_the_boot() -> None:
    clock = Clock()
    watch = make(clock)
    watch.qemu_line("KVM internal error. Suberror: 1")
    assert failure(watch, clock).rule == "qemu-kvm"


def test_a_wait_ends_with_its_value_its_deadline_or_the_failure() -> None:
    watch = BootWatch(Scanner(ConsoleRules()), console_name="ttyS0")
    assert watch.wait(lambda: 7, Deadline.after(1, "seven")) == 7
    assert watch.wait(lambda: None, Deadline.after(0.05, "nothing")) is None
    threading.Timer(0.05, lambda: watch.fail("test", "it failed")).start()
    with pytest.raises(GuestFailed, match="it failed"):
        watch.wait(lambda: None, Deadline.after(10, "for ever"))


def test_idle_is_what_a_guest_does_not_work() -> None:
    clock, worked = Clock(), [0.0]
    watch = make(clock, slowness=10.0)
    watch.switched_on(lambda: worked[0])
    watch.console_text(BOOT, "debian login: ")
    idle = watch.idle_meter()
    assert idle() == 0
    clock.now, worked[0] = clock.now + 5, 4.0
    assert idle() == 1
    watch.console_text("a word\n", "")
    clock.now += 3
    assert idle() == 4
    assert watch.idle_meter()() == 0


def test_many_findings_of_one_kind_are_one() -> None:
    watch = make(Clock())
    watch.console_text(BOOT + "[FAILED] Failed to start a.service.\n" * 1000, "")
    assert len(watch.findings) == 1
