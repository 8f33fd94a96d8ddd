"""A clock that jumps: a night that it dates into years to come hides no other, and nothing is thrown away for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from metallize import cli
from metallize.errors import ExitCode
from metallize.night.attempt import Attempt
from metallize.night.history import History, append, history_path
from metallize.night.judged import judged
from metallize.night.judging.judgement import judge
from metallize.night.pages.site import write_site
from metallize.night.telling.digest import items_of
from metallize.night.telling.told import tell
from tests.unit.build.conftest import Recorder
from tests.unit.night.attempts import attempt
from tests.unit.night.simulated import Builds
from tests.unit.night.telling.test_digest import Post
from tests.unit.night.test_judging import no_facts
from tests.unit.report.test_report import FAILED, PASSED

FAR = "2099-01-01T02:00:00+00:00"


def dated(made: Attempt, night: str) -> Attempt:
    return replace(made, night=night, run=f"{made.run}{night}")


def test_a_night_to_come_is_left_out_and_told() -> None:
    now = datetime(2026, 1, 3, 3, 0, tzinfo=UTC)
    whole = History(attempts=(attempt(1), dated(attempt(1), FAR), attempt(3), attempt(4)))
    assert whole.until(now).attempts == (attempt(1), attempt(3), attempt(4)), "hosts' clocks differ a little"
    told = whole.until(now).told()
    assert told == f"1 night is yet to come by this host's clock, which is wrong or was, and left out: {FAR}"
    assert whole.until(datetime(2099, 1, 1, tzinfo=UTC)) is whole
    nameless = History(attempts=(dated(attempt(1), "some night"), dated(attempt(1), "2099-01-01T00:00:00")))
    assert nameless.until(now) is nameless, "what is no time is never to come"


def test_the_latest_night_is_judged_though_one_is_dated_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    append(history_path(tmp_path), [attempt(1), dated(attempt(1), FAR), attempt(2, "FAIL")])
    history, judgement = judged(tmp_path)
    assert history.ahead == (FAR,)
    assert [each.night for each in judgement.findings if each.alarms] == [attempt(2).night]
    assert cli.main(["regressions", "--build-dir", str(tmp_path)]) == ExitCode.DONE
    said = capsys.readouterr()
    assert said.out.startswith("WORSE  web on seabios")
    assert "yet to come by this host's clock" in said.err
    page = write_site(tmp_path).read_text()
    assert "<dd>2026-01-02 02:00</dd>" in page
    assert f"left out: {FAR}" in page


def test_it_does_not_keep_quiet_that_no_night_comes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["nightly", "--late", "26", "--build-dir", str(tmp_path)]
    append(history_path(tmp_path), [attempt(1), dated(attempt(1), FAR)])
    assert cli.main(words) == ExitCode.MACHINERY
    assert "the last began at 2026-01-01 02:00" in capsys.readouterr().err
    append(history_path(tmp_path / "b"), [dated(attempt(1), FAR)])
    assert cli.main([*words[:-1], str(tmp_path / "b")]) == ExitCode.MACHINERY
    assert "yet to come by this host's clock" in capsys.readouterr().err


@pytest.mark.parametrize("first", [FAR, "2026-01-05T02:00:00+00:00"])
def test_what_gets_worse_is_told_though_the_first_told_of_is_dated_later(tmp_path: Path, first: str) -> None:
    post = Post()

    def told(attempts: list[Attempt]) -> int:
        last = attempts[-1].night
        tell(tmp_path, items_of(judge(attempts, no_facts).findings, attempts, (), last), last, post, Recorder())
        return len(post.got)

    old = [attempt(1), attempt(2, "FAIL", signature="a")]
    assert told([*old, dated(attempt(1), first)]) == 1, "that it passes: what was before is old"
    assert told([*old, attempt(3), attempt(4, "FAIL", signature="b")]) == 2
    assert [each.night for each in post.got[-1].items] == [attempt(4).night]


def test_a_night_by_a_clock_that_is_behind_says_so_and_keeps_all_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the history is known by that clock: what a later night is compared with stays for when it is right."""
    builds = Builds({"web": (PASSED,)}).install(monkeypatch)
    far = datetime.now(UTC) + timedelta(days=400)
    append(history_path(tmp_path), [dated(attempt(1), far.isoformat(timespec="seconds"))])
    kept = tmp_path / "nightly/kept" / ("c" * 64)
    kept.mkdir(parents=True)
    (kept / "web.iso").touch()
    events = Recorder()
    builds.night(tmp_path, builds.candidate("web"), events=events)
    assert any("yet to come by this host's clock" in str(event) for event in events.events)
    assert kept.is_dir()
    builds.outcomes["web"] = (FAILED,)
    assert builds.night(tmp_path, builds.candidate("web"))[0].night < far.isoformat()
    assert [str(each.cell) for each in judged(tmp_path)[1].findings if each.alarms] == ["web on seabios"]
