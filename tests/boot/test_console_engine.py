"""The console engine on guests of one sector: a fatal line in a flood, and words that are no failure."""

from __future__ import annotations

from pathlib import Path

import pytest

from metallize.model.report import Verdict
from tests.boot.sector import LOOP, tiny_image
from tests.boot.test_harness import KERNEL, rule, verify

pytestmark = pytest.mark.boot


def test_a_fatal_line_that_a_flood_repeats_ends_the_boot_within_two_seconds(tmp_path: Path) -> None:
    text = f"{KERNEL}[    1.000000] kernel BUG at mm/slub.c:4567!\r\n"
    report = verify(tiny_image(tmp_path, text, LOOP))
    assert rule(report) == "kernel-oops"
    assert report.failure is not None
    assert "mm/slub.c:4567" in report.failure.cause
    assert report.seconds - report.failure.seconds < 2


def test_what_only_reads_like_a_panic_or_a_prompt_is_none(tmp_path: Path) -> None:
    words = "Kernel panic - not syncing: a test\r\nplease use this login: now\r\n[    9.000000] app[7]: Oops: 1\r\n"
    report = verify(tiny_image(tmp_path, f"{KERNEL}{words}tiny login: "))
    assert report.verdict is Verdict.PASSED
    assert not report.findings
