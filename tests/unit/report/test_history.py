"""The nightlies' history: what is kept, what it says of a regression, and its page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

from metallize.model.report import Stage, StageTime
from metallize.report.history import (
    History,
    HistoryEntry,
    Outcome,
    append,
    cause_of,
    entry_of,
    read,
    trends,
)
from metallize.report.history_page import history_page, sparkline
from tests.unit.report.test_page import HOSTILE, assert_stands_alone, parsed
from tests.unit.report.test_report import FAILED, PASSED


def night(number: int) -> str:
    return f"2026-01-{number:02d}T02:00:00+00:00"


def entry(number: int, outcome: str = "passed", *, profile: str = "web", machine: str = "seabios") -> HistoryEntry:
    """A night of three months; the image and the kernel are others from the third on."""
    return HistoryEntry(
        night=night(number),
        profile=profile,
        machine=machine,
        outcome=Outcome(outcome),
        stage="ready" if outcome == "passed" else "kernel",
        cause="" if outcome == "passed" else "the kernel panicked",
        sha256="a" * 64 if number < 3 else "b" * 64,
        ready_seconds=20.0 + number if outcome == "passed" else None,
        slowness=2.0,
        run_folder=f"build/runs/{profile}/{number}",
        versions={"kernel": "6.12.1" if number < 3 else "6.12.2", "qemu": "7.2.1"},
    )


RECORDED = (
    entry(1),
    entry(2),
    entry(3, "failed"),
    entry(4, "broken", machine=""),
    entry(5, "failed"),
    entry(1, profile="db"),
    entry(5, profile="db"),
)


def no_link(_entry: HistoryEntry) -> str | None:
    return None


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "nightly" / "history.jsonl"
    for item in RECORDED:
        append(path, item)
    assert read(path) == History(entries=RECORDED)
    assert read(tmp_path / "none") == History()


def test_a_line_that_was_cut_short_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    append(path, RECORDED[0])
    with path.open("a") as file:
        file.write('{"night": "2026-01-0')
    append(path, RECORDED[1])
    path.write_text(path.read_text() + "null\n[]\n" + '{"night": 1, "profile": 2, "machine": 3, "outcome": "x"}\n')
    assert read(path) == History(entries=RECORDED[:2], unreadable=4)


def test_a_line_of_a_later_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text('{"night": "n", "profile": "p", "machine": "m", "outcome": "passed", "colour": "blue"}\n')
    assert read(path).entries == (HistoryEntry(night="n", profile="p", machine="m", outcome=Outcome.PASSED),)


def test_a_regression_has_its_first_night_and_what_had_changed() -> None:
    [db, web] = trends(RECORDED)
    assert (db.profile, db.first_bad, db.changes) == ("db", None, ())
    assert web.first_bad == RECORDED[2]
    assert web.last_good == RECORDED[1]
    assert web.changes == ("kernel 6.12.1 to 6.12.2", "image aaaaaaaaaaaa to bbbbbbbbbbbb")


def test_a_night_without_a_machine_counts_for_those_it_was_on() -> None:
    [trend] = trends([entry(1), entry(2, "broken", machine="")])
    assert trend.machine == "seabios"
    assert trend.latest.outcome is Outcome.BROKEN
    [never] = trends([entry(2, "broken", machine="")])
    assert never.machine == ""
    assert never.first_bad is not None
    assert never.last_good is None


def test_what_passes_again_is_no_regression() -> None:
    [trend] = trends([entry(1), entry(2, "failed"), entry(3)])
    assert trend.first_bad is None


def test_skipped_nights_neither_pass_nor_fail() -> None:
    [trend] = trends([entry(1), entry(2, "failed"), entry(3, "skipped"), entry(4, "failed")])
    assert trend.first_bad == entry(2, "failed")


def test_a_report_becomes_a_line() -> None:
    stages = (StageTime(stage=Stage.QEMU, seconds=0), StageTime(stage=Stage.READY, seconds=19.5))
    made = entry_of(
        replace(PASSED, stages=stages, sha256="c", qemu="7.2.1"), night="n", profile="x", versions={"kernel": "6"}
    )
    assert (made.outcome, made.ready_seconds, made.sha256, made.slowness) == (Outcome.PASSED, 19.5, "c", 3.9)
    assert made.versions == {"kernel": "6", "qemu": "7.2.1"}
    assert made.normal_ready_seconds == 5.0
    assert entry_of(FAILED, night="n", profile="x", versions={}).cause == "the kernel panicked: no init"


def test_the_cause_of_a_failed_assertion_is_its_claim() -> None:
    assert cause_of(replace(FAILED, failure=None)) == "service ssh: running: expected true, found false"


def test_the_page_shows_what_fails_first() -> None:
    page = history_page(
        History(entries=RECORDED), lambda item: "./runs/web/3/report.html" if item == RECORDED[2] else None
    )
    assert_stands_alone(page)
    root = parsed(page)
    text = " ".join("".join(root.itertext()).split())
    assert "web on seabios. In stage kernel" in text
    assert "Failing since: 2026-01-03 02:00 (3 nights); it passed last on 2026-01-02 02:00" in text
    assert "Changed since: kernel 6.12.1 to 6.12.2, image aaaaaaaaaaaa to bbbbbbbbbbbb" in text
    matrix = root.find(".//table[@class='matrix']")
    assert matrix is not None
    rows = matrix.findall("tbody/tr")
    assert len(rows) == 2
    assert [cell.get("class") for cell in rows[1][3:]] == [
        "night failed", "night broken", "night failed first", "night passed", "night passed",
    ]  # fmt: skip
    assert 'href="./runs/web/3/report.html"' in page


def test_a_page_without_failures_and_one_without_nights() -> None:
    page = history_page(History(entries=(entry(1), entry(2))), no_link)
    assert "NOTHING FAILS" in page
    assert_stands_alone(page)
    assert_stands_alone(history_page(History(), no_link))


def test_hostile_text_stays_text() -> None:
    bad = replace(
        entry(1, "failed"), night=HOSTILE, profile=HOSTILE, machine=HOSTILE, stage=HOSTILE, cause=HOSTILE,
        sha256=HOSTILE, versions={HOSTILE: HOSTILE},
    )  # fmt: skip
    assert_stands_alone(history_page(History(entries=(bad, entry(2)), unreadable=2), no_link))


def test_a_sparkline_says_its_numbers_in_words() -> None:
    line = ET.fromstring(sparkline([10.0, 12.0, 11.0]))  # noqa: S314 - our own
    assert line.get("aria-label") == "ready after 11.0 s; between 10.0 and 12.0 s in 3 runs"
    points = [tuple(map(float, pair.split(","))) for pair in (line.find("polyline").get("points") or "").split()]  # type: ignore[union-attr]
    assert points[1][1] < points[2][1] < points[0][1]
    assert ET.fromstring(sparkline([0.0])) is not None  # noqa: S314 - our own
