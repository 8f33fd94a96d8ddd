"""The law of the closed world on real guests: over a bad line nothing passes that was not seen, and nothing hangs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from metallize.model.report import Status
from metallize.report.text import report_lines
from tests.boot.sabotage.faulty_lines import Bad, bad_serial, bad_ssh
from tests.boot.sabotage.recipe import Recipe, run_recipe

pytestmark = [pytest.mark.docker, pytest.mark.boot]

RUNS = 20
FAST = (("ssh", 1),)
"""What is tried with every change, the others each night: what is lost over serial is waited for long."""
TIMEOUT_SECONDS = 60
SPARE_SECONDS = 120
"""For looks that have begun, the end of the boot and the machine itself, on a host of normal speed."""
HOLDS = "file: {/etc/passwd: {exists: true}}"
FAILS = "file: {/etc/passwd: {exists: true}, /etc/no-such-file: {exists: true}}"

LINES = [
    pytest.param(bad, seed, id=f"{name}-{seed}", marks=() if (name, seed) in FAST else pytest.mark.nightly)
    for name, bad in (("ssh", bad_ssh), ("serial", bad_serial))
    for seed in range(1, RUNS + 1)
]


@pytest.mark.parametrize(("bad", "seed"), LINES)
def test_over_a_bad_line(bad: Bad, seed: int, disk: Path, tmp_path: Path) -> None:
    broken = seed % 2 == 0  # then a pass would be a false one, whatever was seen
    recipe = Recipe(
        name="bad-line",
        summary="bytes are lost on the way",
        boot={"timeout": TIMEOUT_SECONDS},
        ssh=None if bad is bad_serial else {"user": "admin", "password": "admin"},
        suite=FAILS if broken else HOLDS,
    )
    with bad(seed) as lines:
        report = run_recipe(recipe, image=disk, folder=tmp_path)
    faults = [how for line in lines for how in line.done]
    sys.stdout.write("\n".join([f"seed {seed}: {faults}", *report_lines(report), ""]))
    limit = (TIMEOUT_SECONDS + SPARE_SECONDS) * report.accelerator.slowness
    assert report.seconds < limit, "the verdict came too late"
    statuses = {result.status for result in report.results}
    if report.passed:
        assert not broken
        assert statuses <= {Status.HELD, Status.SKIPPED}
    else:
        assert report.failure is not None or not statuses <= {Status.HELD, Status.SKIPPED}
        assert all(each.note or each.claims for each in report.failed_results), "something failed without a word"
