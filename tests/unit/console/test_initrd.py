"""A systemd in the initrd begins as the system's own does: where userspace begins, and whose a failure is."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metallize.model.report import Finding, Stage
from tests.laws import cases
from tests.unit.console.feed import Fed, lead_to

BANNER = b"[    7.598454] systemd[1]: systemd 257.13-1~deb13u1 running in system mode (+PAM +AUDIT +SELINUX)\r\n"
WHERE = b"[    7.606752] systemd[1]: Detected virtualization qemu.\r\n[    7.607363] systemd[1]: Running in initrd.\r\n"
WELCOME = b"\r\nWelcome to \x1b[1mDebian GNU/Linux 13 (trixie)\x1b[0m!\r\n\r\n"
INITRDS = {
    "in the kernel's log": BANNER + WHERE,
    "by its welcome": b"\r\nBooting initrd of \x1b[1mDebian GNU/Linux 13 (trixie)\x1b[0m.\r\n\r\n",
    "by dracut's welcome": b"\r\nWelcome to \x1b[1mDebian GNU/Linux 13 (13) dracut-106 (Initramfs)\x1b[0m!\r\n\r\n",
    "by its units alone, the welcome being the system's word for word": WELCOME
    + b"[\x1b[0;32m  OK  \x1b[0m] Created slice \x1b[0;1;39msystem-modprobe.slice\x1b[0m.\r\n"
    + b"[\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39minitrd-usr-fs.target\x1b[0m - Initrd /usr.\r\n",
    "by the units of an old systemd": WELCOME
    + b"[\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39mInitrd Root Device\x1b[0m.\r\n",
    "no sooner than by its end": WELCOME,
}
SWITCH = (
    b"[\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39minitrd-switch-root.target\x1b[0m - Switch Root.\r\n"
    b"         Starting \x1b[0;1;39minitrd-switch-root.service\x1b[0m - Switch Root...\r\n"
)
AFTER = (
    b"[\x1b[0;32m  OK  \x1b[0m] Stopped \x1b[0;1;39minitrd-switch-root.service\x1b[0m - Switch Root.\r\n"
    b"[\x1b[0;32m  OK  \x1b[0m] Stopped target \x1b[0;1;39minitrd-fs.target\x1b[0m - Initrd File Systems.\r\n"
    b"[\x1b[0;32m  OK  \x1b[0m] Finished \x1b[0;1;39mdracut-shutdown.service\x1b[0m - Restore /run/initramfs.\r\n"
)
FAILED = b"[\x1b[0;1;31mFAILED\x1b[0m] Failed to mount \x1b[0;1;39msysroot.mount\x1b[0m - Root Partition.\r\n"
initrds = pytest.mark.parametrize("initrd", INITRDS.values(), ids=INITRDS)


def times(fed: Fed) -> dict[str, float]:
    return {str(item.stage): item.seconds for item in fed.watch.stages}


def where(fed: Fed) -> Stage:
    return fed.watch.stage


def found(fed: Fed, seconds: float = 20.0) -> Finding:
    failure = fed.failure(seconds)
    assert failure is not None
    return failure


@initrds
def test_userspace_begins_after_the_switch_of_the_root(initrd: bytes) -> None:
    fed = Fed().feed(lead_to(Stage.KERNEL))
    fed.now += 7
    fed.feed(initrd)
    fed.now += 100
    fed.feed(SWITCH)
    fed.now += 2
    fed.feed(WELCOME, AFTER)
    assert times(fed)["initrd"] == 7
    assert times(fed)["userspace"] == 109
    assert where(fed) == Stage.USERSPACE
    assert fed.failure(5) is None


@given(st.sampled_from(sorted(INITRDS)), st.data())
@settings(max_examples=cases(60), deadline=None)
def test_it_does_not_depend_on_how_the_bytes_are_cut(name: str, data: st.DataObject) -> None:
    text = lead_to(Stage.KERNEL) + INITRDS[name] + SWITCH + WELCOME + AFTER
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    fed = Fed().feed(*(text[start:end] for start, end in pairwise([0, *cuts, len(text)])))
    assert list(times(fed)) == ["qemu", "firmware", "loader", "kernel", "initrd", "userspace"] or (
        list(times(fed)) == ["qemu", "firmware", "kernel", "initrd", "userspace"]
    )


def test_a_second_welcome_is_the_systems_though_the_switch_was_not_seen() -> None:
    for initrd in list(INITRDS.values())[1:-1]:
        fed = Fed().feed(lead_to(Stage.KERNEL), initrd, b"[  OK  ] Reached target initrd-fs.target.\r\n")
        assert where(fed) == Stage.INITRD
        fed.feed(WELCOME)
        assert where(fed) == Stage.USERSPACE


@initrds
def test_a_boot_that_is_stuck_in_the_initrd_is_told_so(initrd: bytes) -> None:
    stuck = b"[\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39minitrd-root-device.target\x1b[0m.\r\n"
    failure = found(Fed().feed(lead_to(Stage.KERNEL), initrd, stuck), 200)
    assert (failure.rule, failure.stage) == ("silent-console", Stage.INITRD)
    assert "the last line is `[  OK  ] Reached target initrd-root-device.target.`" in failure.cause


@initrds
@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (FAILED, "initrd-sysroot"),
        (b"[\x1b[0;1;31m TIME \x1b[0m] Timed out waiting for device /dev/gpt-auto-root.\r\n", "device-timeout"),
        (b"Cannot open access to console, the root account is locked.\r\n", "emergency-mode"),
    ],
)
def test_what_fails_in_the_initrd_is_a_failure_of_the_initrd(initrd: bytes, line: bytes, rule: str) -> None:
    sign = b"         Mounting \x1b[0;1;39msysroot.mount\x1b[0m - Root Partition...\r\n"
    failure = found(Fed().feed(lead_to(Stage.KERNEL), initrd, sign, line))
    assert (failure.rule, failure.stage) == (rule, Stage.INITRD)
    assert failure.remedy


def test_what_fails_after_the_switch_is_the_systems() -> None:
    text = INITRDS["in the kernel's log"] + SWITCH + WELCOME
    failure = found(Fed().feed(lead_to(Stage.KERNEL), text, b"[!!!!!!] Failed to mount API filesystems.\r\n"))
    assert (failure.rule, failure.stage) == ("init-frozen", Stage.USERSPACE)


def test_nobody_brings_a_system_back_into_its_initrd() -> None:
    """A word in a log, or a system with no initrd of systemd's whose units are called like one's."""
    fed = Fed().feed(lead_to(Stage.USERSPACE), b"app[3]: Starting initrd-cleanup.service\r\n", AFTER)
    assert where(fed) == Stage.USERSPACE
    fed.feed(b"debian login: ")
    assert fed.failure(1) is None
    fed.feed(b"\r\n", INITRDS["in the kernel's log"], SWITCH)
    assert where(fed) == Stage.LOGIN


def test_the_next_boot_has_an_initrd_of_its_own() -> None:
    fed = Fed().feed(lead_to(Stage.KERNEL), BANNER + WHERE, SWITCH, WELCOME)
    fed.watch.expect_reset()
    fed.watch.event("RESET", {"guest": True})
    fed.feed(lead_to(Stage.KERNEL), BANNER)
    assert where(fed) == Stage.USERSPACE  # as it seems
    fed.feed(WHERE)
    assert where(fed) == Stage.INITRD


SHELL = b"[    2.1] Run /bin/bash as init process\r\nbash: no job control in this shell\r\nroot@(none):/# "


@pytest.mark.parametrize("stage", [Stage.KERNEL, Stage.INITRD])
@pytest.mark.parametrize("prompt", [SHELL, b"\x1b[?2004hbash-5.2# ", b"/ # ", b"# ", b"sh-5.2# "])
def test_a_shell_in_place_of_an_init_is_told_soon(stage: Stage, prompt: bytes) -> None:
    failure = found(Fed().feed(lead_to(stage), prompt), 17)
    assert (failure.rule, failure.stage) == ("shell-instead-of-init", Stage.INITRD)
    assert "init=" in failure.cause


@pytest.mark.parametrize("prompt", [b"root@(none):/# ", b"bash-5.2# ", b"/ # "])
def test_a_shell_whose_prompt_the_kernel_wrote_over_is_told_too(prompt: bytes) -> None:
    line = prompt + b"[    5.120000] clocksource: Switched to clocksource tsc\r\n"
    failure = found(Fed().feed(lead_to(Stage.INITRD), line), 17)
    assert (failure.rule, failure.stage) == ("shell-cut-by-the-kernel", Stage.INITRD)


def test_a_shell_of_a_system_that_has_an_init_is_none_of_these() -> None:
    fed = Fed().feed(lead_to(Stage.USERSPACE), b"root@debian:~# ")
    assert fed.failure(60) is None
