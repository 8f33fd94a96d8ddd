"""How long a stage may last and be silent, and what is said when it is over its time."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from metallize.console.stages import (
    SILENCE_SECONDS,
    STAGE_SECONDS,
    Job,
    StageState,
    overdue,
    parse_job,
    parse_span,
    silence,
    stage_limit,
)
from metallize.model.report import Stage
from metallize.patience import STAGES_JOB_GRACE as JOB_GRACE_SECONDS
from tests.unit.console.feed import Fed, lead_to

STATE = StageState(stage=Stage.KERNEL, lasted=1.0, quiet=1.0, received_bytes=1234, console="ttyS0")
JOB = b"\r\x1b[K[ *** ] (1 of 2) A start job is running for Wait for Network (%ds / %s)"


@pytest.mark.parametrize(
    ("line", "job"),
    [
        (
            "[  *** ] A start job is running for Wait for Network (5s / 2min)",
            Job(name="Wait for Network", elapsed=5, limit=120),
        ),
        (
            "[***   ] (1 of 2) A start job is running for X (1min 2s / no limit)",
            Job(name="X", elapsed=62, limit=math.inf),
        ),
        (
            "[ ***  ] A stop job is running for User Manager for UID 0 (12s / 1min 30s)",
            Job(name="User Manager for UID 0", elapsed=12, limit=90),
        ),
        (
            "[*     ] A start job is running for /dev/disk/by-uuid/1234 (32s / 1min 30s)",
            Job(name="/dev/disk/by-uuid/1234", elapsed=32, limit=90),
        ),
        (
            "[   ***] (2 of 2) Job systemd-logind.service/start running (8s / 1min 36s)",
            Job(name="systemd-logind.service", elapsed=8, limit=96),
        ),
        ("[*     ] A start job is running for X (2min)", Job(name="X", elapsed=0, limit=120)),
        ("[*     ] A start job is running for X (soon / 2min)", Job(name="X", elapsed=0, limit=120)),
        ("[*     ] A start job is running for X (1s / 2s / 3s)", None),
        ("[*     ] A start job is running for X (/2min)", None),
        ("[*     ] A start job is running for X ()", None),
        ("[*     ] A start job is running for X (y) and z", None),
        ("[*     ] A start job is running for /dev/disk/by-uuid/1234-5678-9…", None),
        ("[  OK  ] Finished a job that is running", None),
    ],
)
def test_jobs_are_read_as_systemd_writes_them(line: str, job: Job | None) -> None:
    assert parse_job(line) == job


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1min 30s", 90),
        ("2h 1s", 7201),
        ("350ms", 0.35),
        ("7us", 7e-6),
        ("3d", 259200),
        ("1w 2d", 777600),
        ("1month", 2629800),
        ("1y", 31557600),
        ("no limit", None),
    ],
)
def test_spans(text: str, seconds: float | None) -> None:
    assert parse_span(text) == (None if seconds is None else pytest.approx(seconds, rel=1e-9))


@pytest.mark.parametrize(
    ("stage", "silent", "lasts"),
    [
        (Stage.QEMU, 30, math.inf),
        (Stage.FIRMWARE, 30, 60),
        (Stage.LOADER, 60, 90),
        (Stage.KERNEL, 60, 120),
        (Stage.INITRD, 90, 150),
        (Stage.USERSPACE, 120, 270),
        (Stage.LOGIN, math.inf, math.inf),
    ],
)
def test_the_time_of_each_stage(stage: Stage, silent: float, lasts: float) -> None:
    """So much a person waits in vain, at most: a longer time is decided here too."""
    assert SILENCE_SECONDS.get(stage, math.inf) == silent
    state = replace(STATE, stage=stage)
    assert stage_limit(state) == lasts
    assert stage_limit(replace(state, timeout=299)) == lasts, "a shorter boot.timeout ends the boot by itself"
    assert stage_limit(replace(state, timeout=600)) == 2 * lasts
    assert stage_limit(replace(state, slowness=3)) == 3 * lasts


@pytest.mark.parametrize("stage", list(STAGE_SECONDS))
def test_each_stage_has_a_time_of_its_own_that_the_host_and_the_timeout_stretch(stage: Stage) -> None:
    limit = STAGE_SECONDS[stage]
    state = replace(STATE, stage=stage, lasted=limit - 1)
    assert overdue(state) is None
    late = overdue(replace(state, lasted=limit))
    assert late is not None
    assert late.rule == "stage-timeout"
    assert f"stage {stage} has lasted {limit:.0f} s" in late.cause
    assert overdue(replace(state, lasted=limit, slowness=2)) is None
    assert overdue(replace(state, lasted=limit, timeout=600)) is None
    assert overdue(replace(state, lasted=limit, timeout=5)) is not None


def test_a_job_extends_the_stage_up_to_its_own_limit() -> None:
    base = STAGE_SECONDS[Stage.USERSPACE]
    job = Job(name="slow.service", elapsed=10, limit=600)
    state = replace(STATE, stage=Stage.USERSPACE, lasted=base + 20, job=job, job_age=1)
    assert overdue(state) is None
    end = base + 19 + 590 + JOB_GRACE_SECONDS
    assert overdue(replace(state, lasted=end - 1, job_age=end - 1 - base - 19)) is None
    late = overdue(replace(state, lasted=end, job_age=end - base - 19))
    assert late is not None
    assert "slow.service" in late.cause
    endless = replace(state, job=replace(job, limit=math.inf))
    assert overdue(endless) is None
    assert overdue(replace(endless, lasted=base + 120, job_age=100)) is not None


@pytest.mark.parametrize(
    ("elapsed", "limit", "age", "slowness", "lasts"),
    [
        (10, 90, 0, 1, 1000 + 80 + 60),
        (10, 90, 7, 1, 1000 - 7 + 80 + 60),
        (10, 90, 0, 2, 1000 + 80 + 120),
        (95, 90, 0, 1, 1000 + 60),
        (10, math.inf, 0, 1, 1000 + 60),
        (10, 90, 1000, 1, 270),
    ],
)
def test_how_long_a_job_may_hold_a_stage(elapsed: float, limit: float, age: float, slowness: float, lasts: int) -> None:
    """What is left of its limit since it was shown, and a grace; never less than the stage's own time."""
    job = Job(name="x", elapsed=elapsed, limit=limit)
    state = replace(STATE, stage=Stage.USERSPACE, lasted=1000, job=job, slowness=slowness)
    assert stage_limit(replace(state, job_age=age) if age else state) == lasts


def test_of_a_silence_only_the_work_is_stretched() -> None:
    assert silence(replace(STATE, quiet=8)) == 8
    assert silence(replace(STATE, quiet=8, slowness=4)) == 2
    assert silence(replace(STATE, quiet=8, slowness=4, idle=4)) == 5


def test_only_work_takes_longer_on_a_slow_host() -> None:
    """A guest that waits does so by the same clock on every host."""
    limit = SILENCE_SECONDS[Stage.KERNEL]
    slow = replace(STATE, slowness=4.0, lasted=limit, quiet=limit)
    assert overdue(slow) is None
    assert overdue(replace(slow, idle=limit)) is not None
    assert overdue(replace(slow, idle=limit - 1)) is None
    assert overdue(replace(slow, idle=limit - 1, quiet=limit + 3)) is not None


@pytest.mark.parametrize(
    ("stage", "received", "command_line", "words"),
    [
        (Stage.QEMU, 0, "", ["0 bytes came", "ttyS0", "is console=ttyS0 on the kernel's command line?"]),
        (Stage.KERNEL, 99, "root=x quiet", ["after 99 bytes", "no console= at all", "add console=ttyS0"]),
        (Stage.KERNEL, 99, "console=ttyS0,115200 console=tty0", ["writes to the last, tty0", "put console=ttyS0 last"]),
        (Stage.KERNEL, 99, "console=tty0 console=ttyS0,115200", ["see where it stopped"]),
        (Stage.KERNEL, 99, "console=tty0 console=tty1 console=ttyS0", ["see where it stopped"]),
        (Stage.KERNEL, 99, "console=ttyS1", ["has console=ttyS1: add console=ttyS0"]),
        (Stage.KERNEL, 1, "", ["after 1 bytes"]),
    ],
)
def test_silence_says_which_port_was_watched_and_what_the_kernel_was_told(
    stage: Stage, received: int, command_line: str, words: list[str]
) -> None:
    state = replace(STATE, stage=stage, received_bytes=received, command_line=command_line)
    quiet = SILENCE_SECONDS[stage]
    assert overdue(replace(state, quiet=quiet - 1)) is None
    assert overdue(replace(state, quiet=quiet, slowness=1.5)) is None
    late = overdue(replace(state, quiet=quiet))
    assert late is not None
    assert late.rule == "silent-console"
    for word in words:
        assert word in f"{late.cause}; {late.remedy}"


def test_nobody_is_hurried_after_the_login_prompt() -> None:
    assert overdue(replace(STATE, stage=Stage.LOGIN, lasted=10_000, quiet=10_000)) is None


def test_a_watch_follows_jobs_and_forgets_them_at_the_next_stage() -> None:
    fed = Fed().feed(lead_to(Stage.USERSPACE))
    for second in range(0, 400, 5):
        fed.feed(JOB % (second, b"10min"))
        assert fed.failure(5) is None
    fed = Fed().feed(lead_to(Stage.USERSPACE))
    for _ in range(0, int(STAGE_SECONDS[Stage.USERSPACE]) + 10, 10):
        fed.feed(b"[  OK  ] Started something.\r\n")
        failure = fed.failure(10)
    assert failure is not None
    assert failure.rule == "stage-timeout"


def test_a_watch_reads_the_kernels_command_line() -> None:
    fed = Fed().feed(
        lead_to(Stage.KERNEL), b"[    0.000000] Command line: BOOT_IMAGE=/vmlinuz root=x console=ttyS0 console=tty0\r\n"
    )
    failure = fed.failure(70)
    assert failure is not None
    assert failure.rule == "silent-console"
    assert "put console=ttyS0 last" in failure.remedy


def test_a_second_kernel_is_told_from_a_log_that_somebody_prints() -> None:
    boot = lead_to(Stage.USERSPACE) + b"[   20.000000] something late\r\n"
    banner = b"[    0.000000] Linux version 6.12.57+deb13-amd64 (debian-kernel@lists.debian.org)\r\n"
    again = Fed().feed(boot, banner, b"[    0.500000] early again\r\n[    1.800000] and on\r\n").failure(5)
    assert again is not None
    assert again.rule == "unexpected-reset"
    assert "a second kernel began" in again.cause
    log = b"[    0.500000] early\r\n[   19.000000] late\r\n[   20.000000] something late\r\n"
    assert Fed().feed(boot, banner, log).failure(5) is None
    assert Fed().feed(boot, banner, b"[    0.500000] early\r\n", b"[  OK  ] Printed\r\n" * 9).failure(5) is None


def test_lockups_are_a_warning_where_the_cpu_is_emulated() -> None:
    line = b"[   44.100000] watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [swapper/0:1]\r\n"
    assert Fed(emulated=True).feed(lead_to(Stage.KERNEL), line).failure(30) is None
    failure = Fed(emulated=False).feed(lead_to(Stage.KERNEL), line).failure(30)
    assert failure is not None
    assert failure.rule == "kernel-lockup"


@pytest.mark.parametrize(
    ("stage", "last", "rule"),
    [
        (Stage.FIRMWARE, "Booting from Hard Disk...", "bios-nothing-started"),
        (Stage.FIRMWARE, "Booting from DVD/CD...", "bios-nothing-started"),
        (Stage.FIRMWARE, "SeaBIOS (version 1.16.2-debian-1.16.2-1)", "silent-console"),
        (Stage.FIRMWARE, "Booting from nothing", "silent-console"),
        (Stage.KERNEL, "Booting from Hard Disk...", "silent-console"),
    ],
)
def test_a_boot_sector_after_which_nothing_came(stage: Stage, last: str, rule: str) -> None:
    late = overdue(replace(STATE, stage=stage, quiet=1000.0, last_lines=(last,)))
    assert late is not None
    assert late.rule == rule


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ((), ""),
        ((" ", ""), ""),
        (("[    1.0] one", " \t", ""), "; the last line is `[    1.0] one`"),
        (("x" * 120,), f"; the last line is `{'x' * 120}`"),
        (("x" * 121,), f"; the last line is `{'x' * 120}…`"),
    ],
)
def test_the_last_line_is_told_as_far_as_it_is_of_use(lines: tuple[str, ...], told: str) -> None:
    late = overdue(replace(STATE, quiet=60.0, last_lines=lines))
    assert late is not None
    assert late.cause == f"the console fell silent in stage kernel: nothing for 60 s, after 1234 bytes{told}"


def test_what_a_boot_sector_printed_is_told_and_the_firmwares_words_are_not() -> None:
    state = replace(STATE, stage=Stage.FIRMWARE, quiet=30.0, last_lines=("Booting from Hard Disk...", ""))
    late = overdue(state)
    assert late is not None
    assert late.cause == "the BIOS started the image's boot sector, and nothing was printed for 30 s"
    assert "--display" in late.remedy, "where nobody says so, there is no display"
    late = overdue(replace(state, last_lines=("Booting from Hard Disk...", "ok")))
    assert late is not None
    assert late.cause.endswith("for 30 s; the last line is `ok`")
