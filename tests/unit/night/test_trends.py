"""Cells over the nights: what their attempts come to, since when one fails, and the page that shows it."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from xml.etree import ElementTree as ET

import pytest

from metallize.night.attempt import Attempt, Host
from metallize.night.history import History
from metallize.night.outcomes import Outcome, Rate, again, cell_nights, outcome_of, rate_of
from metallize.night.pages.front import front_page, sparkline
from metallize.night.trends import trends
from tests.unit.night.attempts import CELL, HOST, attempt, of
from tests.unit.report.test_page import HOSTILE, assert_stands_alone, parsed

RECORDED = (
    attempt(1),
    attempt(2),
    attempt(3, "FAIL"),
    attempt(4, "ERROR", cell=of("web", "")),
    attempt(5, "FAIL"),
    attempt(1, cell=of("db")),
    attempt(5, cell=of("db")),
)


def no_link(_attempt: Attempt) -> str | None:
    return None


def tries(*statuses: str) -> list[Attempt]:
    return [attempt(1, status, attempt=number) for number, status in enumerate(statuses, start=1)]


@pytest.mark.parametrize(
    ("statuses", "outcome", "once_more"),
    [
        (["PASS"], Outcome.PASS, False),
        (["FAIL"], Outcome.FAIL, True),
        (["FAIL", "FAIL"], Outcome.FAIL, False),
        (["FAIL", "PASS"], Outcome.FLAKY, False),
        (["PASS", "FAIL"], Outcome.FLAKY, False),
        (["FAIL", "MISS"], Outcome.FAIL, True),
        (["FAIL", "MISS", "MISS", "MISS"], Outcome.FAIL, False),
        (["MISS"], Outcome.MISS, True),
        (["MISS", "PASS"], Outcome.PASS, False),
        (["ERROR", "MISS"], Outcome.ERROR, True),
        (["MISS", "MISS", "MISS"], Outcome.MISS, False),
        (["SKIP"], Outcome.SKIP, False),
        (["ERROR", "FAIL"], Outcome.FAIL, True),
    ],
)
def test_what_attempts_come_to(statuses: list[str], outcome: Outcome, once_more: bool) -> None:
    """Only a host's or a harness's fault is retried; a failure is looked at again, and stays one."""
    assert outcome_of(tries(*statuses)) is outcome
    assert bool(again(tries(*statuses))) is once_more


def test_boots_that_confirm_are_no_attempts_at_the_cell() -> None:
    [found] = cell_nights([attempt(1), attempt(1, "FAIL", attempt=2, confirms="x")])
    assert found.outcome is Outcome.PASS
    hosts = [attempt(1), attempt(1, "FAIL", host=replace(HOST, id="h2"))]
    assert [each.outcome for each in cell_nights(hosts)] == [Outcome.PASS, Outcome.FAIL]


def test_a_rate_is_told_with_its_interval() -> None:
    assert str(Rate(count=3, of=41)) == "3 of 41, 2-20 %"
    assert str(Rate(count=0, of=0)) == "0 of 0"
    nights = cell_nights([attempt(1), attempt(2, "FAIL"), attempt(3, "MISS"), *tries("FAIL")])
    assert rate_of(nights, Outcome.FAIL, Outcome.FLAKY).of == 2


def test_a_regression_has_its_first_night_and_what_had_changed() -> None:
    [db, web] = trends(RECORDED)
    assert (db.cell, db.first_bad, db.changes) == (of("db"), None, ())
    assert web.first_bad is not None
    assert web.first_bad.attempts == (RECORDED[2],)
    assert web.last_good is not None
    assert web.last_good.attempts == (RECORDED[1],)
    assert web.changes == ("kernel 6.12.1 to 6.12.2", "image aaaaaaaaaaaa to bbbbbbbbbbbb")


def test_a_night_without_a_machine_counts_for_those_it_was_on() -> None:
    [trend] = trends([attempt(1), attempt(2, "ERROR", cell=of("web", ""))])
    assert trend.cell == CELL
    assert trend.latest.outcome is Outcome.ERROR
    [never] = trends([attempt(2, "ERROR", cell=of("web", ""))])
    assert never.cell.machine == ""
    assert never.first_bad is not None
    assert never.last_good is None
    both = trends(
        [attempt(1, cell=of("a", output=file)) for file in ("x", "y")] + [attempt(2, "ERROR", cell=of("a", ""))]
    )
    assert [(each.cell.name, each.latest.outcome) for each in both] == [("a/x", "ERROR"), ("a/y", "ERROR")]


def test_what_passes_again_is_no_regression() -> None:
    [trend] = trends([attempt(1), attempt(2, "FAIL"), attempt(3)])
    assert trend.first_bad is None


def test_skipped_nights_neither_pass_nor_fail() -> None:
    [trend] = trends([attempt(1), attempt(2, "FAIL"), attempt(3, "SKIP"), attempt(4, "FAIL")])
    assert trend.first_bad is not None
    assert trend.first_bad.attempts == (attempt(2, "FAIL"),)


def test_the_page_shows_what_fails_first() -> None:
    page = front_page(
        History(attempts=RECORDED), lambda item: "./runs/web/3/report.html" if item == RECORDED[2] else None
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
    page = front_page(History(attempts=(attempt(1), attempt(2))), no_link)
    assert "NOTHING FAILS" in page
    assert_stands_alone(page)
    assert_stands_alone(front_page(History(), no_link))


def test_a_flaky_night_is_told_as_one() -> None:
    page = front_page(History(attempts=(attempt(1), attempt(2, "FAIL"), attempt(2, attempt=2))), no_link)
    assert "flaky and not good" in page
    assert "1 FAILING" in page


def test_hostile_text_stays_text() -> None:
    bad = replace(
        attempt(1, "FAIL"), night=HOSTILE, cell=of(HOSTILE, HOSTILE, HOSTILE), stage=HOSTILE, reason=HOSTILE,
        sha256=HOSTILE, versions=MappingProxyType({HOSTILE: HOSTILE}), host=Host(id=HOSTILE, qemu=HOSTILE),
    )  # fmt: skip
    assert_stands_alone(front_page(History(attempts=(bad, attempt(2)), unreadable=(2, 3)), no_link))


def test_a_sparkline_says_its_numbers_in_words() -> None:
    line = ET.fromstring(sparkline([10.0, 12.0, 11.0]))  # noqa: S314 - our own
    assert line.get("aria-label") == "ready after 11.0 s; between 10.0 and 12.0 s in 3 runs"
    points = [tuple(map(float, pair.split(","))) for pair in (line.find("polyline").get("points") or "").split()]  # type: ignore[union-attr]
    assert points[1][1] < points[2][1] < points[0][1]
    assert ET.fromstring(sparkline([0.0])) is not None  # noqa: S314 - our own
