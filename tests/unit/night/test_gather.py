"""What is kept of a boot: of its report, and of what guests that were really booted have printed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from metallize.model.kind import Claim
from metallize.model.report import Severity, Stage, StageTime, Status
from metallize.night.attempt import Attempt
from metallize.night.gather import Night, attempt_of_report, failed_in, seen_in, stages_of, this_host, units_in, why
from metallize.night.lines import attempt_of, line_of
from metallize.night.signatures import LONGEST, MOST, normalised, signature_of, warnings_in
from metallize.qemu.plan import COUNTED_CLOCK
from tests.unit.night.attempts import CELL, HOST, night
from tests.unit.report.test_report import FAILED, FAILS, PANIC, PASSED

UNITS = """\
$ systemctl is-system-running
degraded

$ systemctl list-units --state=failed --plain --full --no-pager
UNIT         LOAD   ACTIVE SUB    DESCRIPTION
shop.service loaded failed failed The service shop

Legend: LOAD   -> Reflects whether the unit definition was properly loaded.
        ACTIVE -> The high-level unit activation state, i.e. generalization of SUB.

1 loaded units listed.

$ systemctl list-jobs --full --no-pager
No jobs running.

$ systemd-analyze time --no-pager
Startup finished in 12.902s (kernel) + 34.594s (userspace) = 47.497s

# seconds that each service took to start, and since the kernel's start when it was up
    6.694    28.077  systemd-udev-trigger.service
    2.434    45.011  systemd-fsck@dev-disk-by\\x2duuid-020D\\x2dB625.service
    0.000    42.385  serial-getty@ttyS0.service
"""
"""As guests of Debian 13 wrote it, under TCG."""
HEALTHY = "$ systemctl is-system-running\nrunning\n\n$ systemd-analyze time --no-pager\n"


def test_a_report_becomes_an_attempt() -> None:
    stages = tuple(
        StageTime(stage=stage, seconds=seconds)
        for stage, seconds in ((Stage.QEMU, 0.0), (Stage.FIRMWARE, 0.1), (Stage.KERNEL, 1.1), (Stage.READY, 19.5))
    )
    report = replace(PASSED, stages=stages, sha256="c" * 64, qemu="7.2.1", started="s")
    made, facts = attempt_of_report(Night(began=night(1), host=HOST), CELL, 2, report, {"kernel": "6.12", "size": 7})
    assert made.stages == {"firmware": 1.0, "kernel": 18.4, "ready": 19.5}
    assert (made.status, made.attempt, made.sha256, made.started) == ("PASS", 2, "c" * 64, "s")
    assert (made.host.accelerator, made.host.slowness, made.host.qemu, made.host.id) == ("tcg", 3.9, "7.2.1", "h1")
    assert made.metrics == {"seconds": 21.5, "size": 7.0}
    assert made.versions["kernel"] == "6.12"
    assert str(made.series) == "web on seabios (tcg, cpu x2, QEMU 7.2.1)"
    assert facts.size_bytes == 7
    bad, _ = attempt_of_report(Night(began=night(1), host=HOST), CELL, 1, FAILED, {})
    assert (bad.status, bad.reason) == ("FAIL", "the kernel panicked: no init")
    assert bad.signature == "kernel-panic: the kernel panicked: no init"
    assert bad.run != made.run
    assert stages_of(replace(PASSED, stages=())) == {}


def test_why_a_boot_failed_is_one_line() -> None:
    assert why(FAILED) == ("the kernel panicked: no init", "kernel-panic")
    claims = replace(FAILED, failure=None, findings=())
    assert why(claims) == ("service ssh: running: expected true, found false", "boot/assert/2/service/ssh")
    fault = replace(PANIC, rule="oops", severity=Severity.FAULT, cause="it oopsed")
    assert why(replace(FAILED, failure=None, findings=(fault,))) == ("it oopsed", "oops")
    unseen = replace(FAILS, status=Status.UNSEEN, claims=())
    assert why(replace(claims, results=(unseen,)))[0] == "service ssh"
    second = replace(FAILS, id="2", claims=(Claim(attribute="a", expected="b", actual="c", holds=False),))
    assert why(replace(claims, results=(FAILS, second)))[0].endswith(", and 1 more")
    assert why(replace(claims, results=())) == (f"the boot got as far as stage {FAILED.stage}", f"stage/{FAILED.stage}")


def test_a_guest_whose_clock_counts_instructions_is_of_another_series() -> None:
    """Its units take a tenth by its own clock, and its stages longer by the host's."""

    def of(clock: str) -> Attempt:
        made, _ = attempt_of_report(Night(began=night(1), host=HOST), CELL, 1, replace(PASSED, clock=clock), {})
        return made

    plain, counted = of(""), of(COUNTED_CLOCK)
    assert (plain.host.clock, counted.host.clock) == ("", "instructions")
    assert plain.series != counted.series
    assert "by instructions" in str(counted.series)
    assert attempt_of(line_of(counted)) == counted
    assert '"clock"' not in line_of(plain), "as before"


def test_units_of_a_guest() -> None:
    assert units_in(UNITS) == {
        "systemd-udev-trigger.service": 6.694,
        "systemd-fsck@dev-disk-by\\x2duuid-020D\\x2dB625.service": 2.434,
    }
    assert failed_in(UNITS) == frozenset({"shop.service"})
    assert failed_in(HEALTHY) == frozenset()
    assert failed_in("") is None, "nobody looked: that is no empty set"


def test_where_something_listens(tmp_path: Path) -> None:
    report = replace(PASSED, run_folder=tmp_path)
    assert seen_in(report, UNITS).ports is None, "nobody looked: that is no empty set"
    assert seen_in(replace(report, listening=("tcp:22", "udp:68")), UNITS).ports == frozenset({"tcp:22", "udp:68"})
    assert seen_in(replace(report, listening=()), UNITS).ports == frozenset()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("[    3.141592] ata1: error 0x1f at 77", "[   12.000001][    T1] ata1: error 0xAB at 9"),
        ("systemd[123]: shop.service: failed after 1.5s", "systemd[9]: shop.service: failed after 12s"),
        ("no route to 10.0.2.2 for 52:54:00:12:34:56", "no route to 10.0.3.15 for 52:54:00:ab:34:56"),
        (
            "mount 0b1c2d3e-0000-4000-8000-000000000001 failed",
            "mount 1b1c2d3e-0000-4000-8000-00000000000f   failed",
        ),
        ("at 2026-11-29T14:00:00Z: warning", "at 2026-11-30 02:10:01: warning"),
        ("took 15 s, 3% lost", "took 16.25 s, 4.5% lost"),
    ],
)
def test_lines_that_mean_the_same_are_the_same(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sda1: error", "sdb1: error"), ("sda1: error", "sda2: error"), ("ext4 error", "ext2 error"),
        ("eth0 down", "eth1 down"), ("a.service failed", "b.service failed"), ("x86_64 bug", "i386 bug"),
    ],
)  # fmt: skip
def test_lines_about_other_things_stay_apart(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


def test_what_a_console_warns_of() -> None:
    lines = [
        "[    0.1] Linux version 6.12", "[    1.0] ACPI Error: No handler 1", "[    2.0] ACPI Error: No handler 2",
        "EXT4-fs (sda1): mounted, errors=remount-ro", "0 errors were found", "shop.service: Failed with result 'x'",
        "[    0.000000] tsc: Fast TSC calibration failed",
        "[    0.1] calibrate_delay_direct() failed to get a good estimate for loops_per_jiffy.",
        "[   96.0] perf: interrupt took too long (2501 > 2500), lowering, unable",
    ]  # fmt: skip
    assert warnings_in(lines) == ("ACPI Error: No handler N", "shop.service: Failed with result 'x'")
    flood = [f"error in unit{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(600)]
    assert len(warnings_in(flood)) == MOST
    assert len(normalised("error " + "x" * 9999)) == LONGEST
    assert signature_of("rule", "") == "rule"


def test_this_host_is_the_same_each_time() -> None:
    one, two = this_host(), this_host()
    assert one.id == two.id
    assert one.model == two.model
    assert one.model.rpartition(" x")[2].isdecimal()


def test_a_run_folder_that_is_gone_costs_nothing(tmp_path: Path) -> None:
    made, facts = attempt_of_report(
        Night(began=night(1), host=HOST), CELL, 1, replace(PASSED, run_folder=tmp_path / "gone"), {}
    )
    assert made.units == {}
    assert facts.seen["seabios"].warnings is None
