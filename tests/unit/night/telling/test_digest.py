"""Who is told what: each edge once, what was not delivered again, a night that did not come, and nobody's password."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from metallize import cli
from metallize.errors import ExitCode, UsageError
from metallize.night.attempt import Attempt
from metallize.night.history import append, history_path
from metallize.night.judging.judgement import judge
from metallize.night.telling.delivery import VARIABLE, Apprise
from metallize.night.telling.digest import MOST, Digest, Item, items_of, missed
from metallize.night.telling.told import FILE, tell
from tests.unit.build.conftest import Recorder
from tests.unit.night.attempts import FIRST, attempt, night, of
from tests.unit.night.simulated import Builds
from tests.unit.night.telling.hooks import Hook, listening
from tests.unit.night.test_judging import no_facts
from tests.unit.report.test_report import FAILED, PASSED


@dataclass
class Post:
    """Takes digests, unless it is broken."""

    broken: str = ""
    got: list[Digest] = field(default_factory=list)

    def __call__(self, digest: Digest) -> str:
        if not self.broken:
            self.got.append(digest)
        return self.broken


def told(folder: Path, post: Post, attempts: list[Attempt], advised: tuple[str, ...] = ()) -> list[str]:
    """The kinds and first lines of what is told in the last night."""
    last = attempts[-1].night
    items = items_of(judge(attempts, no_facts).findings, attempts, advised, last)
    digest = tell(folder, items, last, post, Recorder())
    return [] if digest is None else [each.text.splitlines()[0] for each in digest.items]


BAD, OTHER = {"signature": "a"}, {"signature": "b", "reason": "no space left"}


def test_edges_are_told_once(tmp_path: Path) -> None:
    post = Post()
    history: list[Attempt] = []
    nights = [
        (attempt(1), []),
        (attempt(2, "FAIL", **BAD), ["WORSE  web on seabios: it fails: the kernel panicked"]),
        (attempt(3, "FAIL", **BAD), []),
        (attempt(4, "FAIL", **OTHER), ["WORSE  web on seabios: it fails in another way than before: no space left"]),
        (attempt(5), ["FIXED  web on seabios: passes again"]),
        (attempt(6), []),
        (attempt(7, "MISS"), []),
        (attempt(8, "FAIL", **BAD), ["WORSE  web on seabios: it fails: the kernel panicked"]),
        (attempt(9, "FAIL", known_issue="#1", **BAD), []),
        (attempt(10), ["FIXED  web on seabios: passes again"]),
    ]
    for each, expected in nights:
        history.append(each)
        assert told(tmp_path, post, history) == expected, each.night
        assert told(tmp_path, post, history) == [], "told already"
    assert post.got[0].title == "Metallize: 1 worse"


def test_what_was_before_anybody_was_told_is_old(tmp_path: Path) -> None:
    history = [attempt(1), attempt(2, "FAIL", **BAD), attempt(3), attempt(4)]
    assert told(tmp_path, Post(), history) == []
    history.append(attempt(5, "FAIL", **BAD))
    assert len(told(tmp_path, Post(), history)) == 1


def test_what_was_not_delivered_is_told_the_next_time(tmp_path: Path) -> None:
    history = [attempt(1)]
    assert told(tmp_path, Post(), history) == []
    history.append(attempt(2, "FAIL", **BAD))
    broken = Post(broken="nobody answers")
    assert told(tmp_path, broken, history) == []
    history.append(attempt(3))
    assert len(told(tmp_path, Post(), history)) == 2, "what failed, and that it passes again"


def test_a_flaky_image_that_fails_again_is_told_and_that_it_passes(tmp_path: Path) -> None:
    told(tmp_path, Post(), [attempt(1)])
    flaky = [attempt(1), attempt(2, "FAIL", **BAD), attempt(2, attempt=2)]
    [line] = told(tmp_path, Post(), flaky)
    assert "it is flaky" in line


def test_what_known_yaml_asks_for_is_told_once_though_it_counts(tmp_path: Path) -> None:
    assert told(tmp_path, Post(), [attempt(1)], ("known.yaml:1:3: #12: remove it: 14 clean nights",)) == [
        "known: known.yaml:1:3: #12: remove it: 14 clean nights"
    ]
    assert told(tmp_path, Post(), [attempt(2)], ("known.yaml:1:3: #12: remove it: 15 clean nights",)) == []
    assert len(told(tmp_path, Post(), [attempt(3)], ("known.yaml:1:3: #12: it expires on 2026-12-24",))) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"told": []}', '{"since": 1}'])
def test_a_record_that_cannot_be_read_is_begun_anew(tmp_path: Path, text: str) -> None:
    path = history_path(tmp_path).with_name(FILE)
    path.parent.mkdir()
    path.write_text(text)
    assert len(told(tmp_path, Post(), [attempt(1), attempt(2, "FAIL", **BAD)])) == 1
    assert json.loads(path.read_text())["since"] == night(2)


def test_a_full_disk_ends_no_night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("metallize.night.telling.told.write_json", full)
    events = Recorder()
    assert tell(tmp_path, [Item(key="k", kind="worse", night=night(1), text="x")], night(1), Post(), events) is None
    assert any("No space left" in str(each) for each in events.events)


def test_a_digest_has_an_end() -> None:
    items = tuple(Item(key=str(number), kind="worse", night="", text=f"item {number}") for number in range(MOST + 3))
    digest = Digest(items=items)
    assert digest.title == f"Metallize: {MOST + 3} worse"
    assert digest.body.endswith("and 3 more: metallize regressions")
    assert "\x1b" not in str(items_of((), [attempt(1, "FAIL"), attempt(2, cell=of("a\x1b[31m"))], (), "")), "no escape"


# ---------------------------------------------------------------- a night that did not come


@pytest.mark.parametrize(("hours", "is_late"), [(25, False), (26, True), (400, True), (-5, False)])
def test_a_night_that_did_not_come_is_missed(hours: int, *, is_late: bool) -> None:
    now = FIRST + timedelta(days=4, hours=hours)
    found = missed([attempt(number) for number in range(1, 6)], now, timedelta(hours=26))
    assert (found is not None) is is_late
    if found is not None:
        assert f"no night has come for {hours} hours; the last began at 2026-01-05 02:00" in found.text


def test_a_history_without_times_misses_nothing() -> None:
    assert missed([], FIRST, timedelta()) is None
    odd = [Attempt(run="r", night=text, cell=of("x"), status=attempt(1).status) for text in ("the first", "2026-01-01")]
    assert missed(odd, FIRST, timedelta()) is None


def test_the_command_tells_of_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], hook: Hook
) -> None:
    words = ["nightly", "--late", "26", "--build-dir", str(tmp_path)]
    assert cli.main(words) == ExitCode.BAD_INPUT, "there was no night at all"
    append(history_path(tmp_path), [attempt(1)])
    monkeypatch.setenv(VARIABLE, hook.address)
    for _ in range(2):
        assert cli.main(words) == ExitCode.MACHINERY
        assert "MISSED  no night has come for" in capsys.readouterr().err
    assert [each["title"] for each in hook.got] == ["Metallize: 1 missed"]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    append(history_path(tmp_path), [Attempt(run="now", night=now, cell=of("x"), status=attempt(1).status)])
    assert cli.main(words) == ExitCode.DONE


# ---------------------------------------------------------------- through apprise, to a real endpoint


@pytest.fixture
def hook() -> Iterator[Hook]:
    with listening() as made:
        yield made


def digest() -> Digest:
    return Digest(
        items=(Item(key="k", kind="worse", night=night(1), text="WORSE  web <b>&amp; on seabios\n  next  look"),)
    )


def test_a_webhook_gets_the_text_as_it_is(hook: Hook) -> None:
    assert Apprise([hook.address])(digest()) == ""
    [got] = hook.got
    assert got["title"] == "Metallize: 1 worse"
    assert got["message"] == "WORSE  web <b>&amp; on seabios\n  next  look"
    assert got["authorization"], "with the password that the address has"


def test_one_that_does_not_take_it_is_named_without_its_password(hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    hook.status[0] = 500
    why = Apprise([hook.address])(digest())
    assert why == "address 1 (json) took nothing"
    assert "geheim" not in why + caplog.text
    nobody = "json://user:geheim@127.0.0.1:1/"
    assert Apprise([nobody])(digest()) == "address 1 (json) took nothing"
    hook.status[0] = 200
    assert Apprise([nobody, hook.address])(digest()) == "", "somebody knows: nobody is told twice for the other's sake"


@pytest.mark.slow
def test_one_that_never_answers_does_not_hold_the_night() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        begun = time.monotonic()
        assert Apprise([f"json://127.0.0.1:{silent.getsockname()[1]}/"])(digest()) == "address 1 (json) took nothing"
    assert time.monotonic() - begun < 60


def test_what_is_no_address_is_refused_without_a_word_of_it() -> None:
    with pytest.raises(UsageError) as caught:
        Apprise(["mail:geheim@example.com"])
    assert "geheim" not in str(caught.value.message)
    assert "address 1 (no scheme)" in caught.value.message


def test_a_night_tells_and_a_webhook_that_is_down_changes_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hook: Hook, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three nights by the command: a good one, one that fails while nobody listens, and one that fails on."""
    builds = Builds({"debian13-livecd": (PASSED,)}).install(monkeypatch)
    monkeypatch.setenv(VARIABLE, hook.address)
    monkeypatch.setattr("metallize.commands.nightly.engine_of_host", builds.engine_of_host)
    words = ["nightly", "debian13-livecd", "--machine", "seabios", "--build-dir", str(tmp_path)]
    assert cli.main(words) == ExitCode.DONE
    assert hook.got == []
    builds.outcomes["debian13-livecd"] = (FAILED,)
    hook.status[0] = 503
    assert cli.main(words) == ExitCode.FAILED_VERIFICATION
    assert "it could not be told: address 1 (json) took nothing" in capsys.readouterr().err
    hook.status[0] = 200
    assert cli.main(words) == ExitCode.FAILED_VERIFICATION
    [got] = hook.got
    assert got["title"] == "Metallize: 1 worse"
    assert "told: Metallize: 1 worse" in capsys.readouterr().err
    assert cli.main(words) == ExitCode.FAILED_VERIFICATION
    assert len(hook.got) == 1
    assert "geheim" not in "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*.json*"))
