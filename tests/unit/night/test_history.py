"""The history: what is kept and read again, whatever cut it short; merged, imported, indexed."""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metallize.errors import HostError, UsageError
from metallize.night import index
from metallize.night.attempt import Attempt, Cell, Host, Status
from metallize.night.facts import ImageFacts, Seen, facts_of, merge_facts, read_facts, write_facts
from metallize.night.history import History, append, history_path, merge, parse, read
from metallize.night.lines import attempt_of, line_of
from tests.conftest import ROOT
from tests.unit.night.attempts import attempt, night, of

RECORDED = (
    attempt(1),
    attempt(2, units=MappingProxyType({"ssh.service": 1.25}), metrics=MappingProxyType({"size": 5e8})),
    attempt(3, "FAIL", signature="kernel-panic: no init", known_issue="#7"),
    attempt(4, "ERROR", cell=of("web", ""), sha256=""),
    attempt(5, "FAIL"),
    attempt(5, "PASS", attempt=2),
    attempt(1, cell=of("db", output="db.iso")),
)
OLD = (
    '{"cause": "", "date": "2026-01-01T02:03:00+00:00", "machine": "seabios", "night": "2026-01-01T02:00:00+00:00", '
    '"outcome": "passed", "profile": "web/web.iso", "ready_seconds": 21.5, "run_folder": "build/runs/web/x", '
    '"seconds": 30.0, "sha256": "aa", "slowness": 2.5, "stage": "ready", '
    '"versions": {"kernel": "6.12", "qemu": "7.2.1"}}'
)
"""A line of the schema before."""
MANIFEST = {
    "size": 1000, "rootfs_bytes": 900, "kernel": "6.12",
    "packages": [
        {"name": "libc6", "version": "2.36", "architecture": "amd64"},
        {"name": "libc6", "version": "2.35", "architecture": "i386"},
        {"name": "ssh", "version": "9.2", "architecture": "amd64"},
        "no package",
    ],
    "layers": [{"name": "base", "digest": "sha256:0123456789abcdef"}],
}  # fmt: skip


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = history_path(tmp_path)
    for each in RECORDED:
        append(path, [each])
    assert read(path) == History(attempts=RECORDED)
    assert read(tmp_path / "none") == History()
    assert path.read_bytes().count(b"\n") == len(RECORDED)


TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
NAME = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
NUMBERS = st.dictionaries(TEXT, st.floats(allow_nan=False, allow_infinity=False), max_size=3).map(MappingProxyType)


@pytest.mark.slow
@given(
    st.builds(
        Attempt, run=NAME, night=NAME, cell=st.builds(Cell, profile=NAME, output=TEXT, machine=TEXT),
        attempt=st.integers(1, 9), status=st.sampled_from(Status), stage=TEXT, reason=TEXT, signature=TEXT,
        started=TEXT, sha256=TEXT, stages=NUMBERS, units=NUMBERS, metrics=NUMBERS,
        versions=st.just(MappingProxyType({"a": "b"})),
        host=st.builds(Host, id=TEXT, model=TEXT, slowness=st.floats(0.1, 99)), known_issue=TEXT, run_folder=TEXT,
        confirms=TEXT,
    ),
    st.data(),
)  # fmt: skip
@settings(max_examples=50, deadline=None)
def test_a_line_is_whole_or_none(made: Attempt, data: st.DataObject) -> None:
    """Whatever an attempt holds comes back; a line that lost its end is no attempt, and never another one."""
    line = line_of(made)
    assert "\n" not in line
    assert attempt_of(line) == made
    with pytest.raises(ValueError, match="no attempt"):
        attempt_of(line[: data.draw(st.integers(0, len(line) - 1))])


def test_a_line_that_was_cut_short_costs_only_itself_and_is_told(tmp_path: Path) -> None:
    path = history_path(tmp_path)
    append(path, RECORDED[:1])
    with path.open("a") as file:
        file.write('{"night": "2026-01-0')
    assert read(path) == History(attempts=RECORDED[:1], unreadable=(2,))
    append(path, RECORDED[1:2])
    path.write_text(path.read_text() + 'null\n[]\n{"run": "r", "night": "n", "profile": "p", "status": "passed"}\n')
    found = read(path)
    assert found == History(attempts=RECORDED[:2], unreadable=(2, 4, 5, 6))
    assert found.told() == "4 lines of the history could not be read and are left out: line 2, 4, 5, 6"
    assert History(unreadable=(7,)).told() == "1 line of the history could not be read and is left out: line 7"
    assert History().told() == ""


def test_a_last_line_that_lacks_but_its_newline_counts(tmp_path: Path) -> None:
    path = history_path(tmp_path)
    append(path, RECORDED[:1])
    os.truncate(path, path.stat().st_size - 1)
    assert read(path).attempts == RECORDED[:1]
    append(path, RECORDED[1:2])
    assert read(path) == History(attempts=RECORDED[:2])


@pytest.mark.parametrize("wrong", ["Infinity", "true", '"1"', "null", "[]", "1e999"])
def test_what_is_no_number_is_no_attempt(wrong: str) -> None:
    line = '{"run": "r", "night": "n", "profile": "p", "status": "PASS", "stages": {"ready": %s}}'
    assert attempt_of(line % "1").stages == {"ready": 1.0}
    with pytest.raises(ValueError, match="no attempt"):
        attempt_of(line % wrong)


def test_a_line_of_a_later_version_is_read() -> None:
    line = '{"schema": 9, "run": "r", "night": "n", "profile": "p", "status": "PASS", "colour": "blue"}'
    assert attempt_of(line) == Attempt(run="r", night="n", cell=of("p", ""), status=Status.PASS)


def test_the_history_before_is_taken_over_as_it_is() -> None:
    found = attempt_of(OLD)
    assert found == Attempt(
        run=found.run, night=night(1), cell=of("web", output="web.iso"), status=Status.PASS, stage="ready",
        started="2026-01-01T02:03:00+00:00", sha256="aa", stages={"ready": 21.5}, metrics={"seconds": 30.0},
        host=Host(qemu="7.2.1", slowness=2.5), versions={"kernel": "6.12"}, run_folder="build/runs/web/x",
    )  # fmt: skip
    assert len(found.run) == 24
    assert attempt_of(line_of(found)) == found
    words = {"passed": "PASS", "failed": "FAIL", "broken": "ERROR", "skipped": "SKIP"}
    for word, status in words.items():
        assert attempt_of(OLD.replace('"passed"', f'"{word}"')).status == status
    assert parse(f"{OLD}\n{OLD}\n{line_of(found)}\n".encode()).attempts == (found,)


def test_many_write_at_once_and_none_mixes_its_lines(tmp_path: Path) -> None:
    path = history_path(tmp_path)

    def write(host: int) -> None:
        for number in range(1, 21):
            append(path, [attempt(number, host=Host(id=str(host)), reason="x" * 5000)])

    writers = [threading.Thread(target=write, args=(host,)) for host in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = read(path)
    assert len(found.attempts) == 80
    assert not found.unreadable


@pytest.mark.slow
def test_a_writer_that_is_killed_leaves_whole_lines(tmp_path: Path) -> None:
    """kill -9 in the middle of writing, ten times over: nothing that was written is lost, and the next goes on."""
    path = history_path(tmp_path)
    script = (
        "import sys, itertools\nfrom pathlib import Path\nfrom metallize.night.history import append\n"
        "from tests.unit.night.attempts import attempt\n"
        "for n in itertools.count(1):\n"
        "    append(Path(sys.argv[1]), [attempt(n % 300 + 1, run=f'{sys.argv[2]}-{n}', reason='x' * 9000)])\n"
        "    print(n, flush=True)\n"
    )
    for turn in range(10):
        argv = [sys.executable, "-c", script, str(path), str(turn)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=ROOT, text=True) as writer:
            assert writer.stdout is not None
            said = [int(writer.stdout.readline()) for _ in range(5 + turn)]
            writer.send_signal(signal.SIGKILL)
            said += [int(line) for line in writer.stdout.read().split()]
        runs = {each.run for each in read(path).attempts}
        assert {f"{turn}-{n}" for n in said} <= runs
    assert len(read(path).unreadable) <= 10


def test_a_full_disk_is_told_and_costs_one_line(tmp_path: Path) -> None:
    """By a limit on the size of files, which ends a write as a full disk does (setrlimit(2), RLIMIT_FSIZE)."""
    path = history_path(tmp_path)
    append(path, RECORDED[:1])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 30, before[1]))
        with pytest.raises(HostError, match="part of the line only"):
            append(path, RECORDED[1:2])
        with pytest.raises(HostError) as caught:
            append(path, RECORDED[1:2])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert "make room" in str(caught.value.hint)
    append(path, RECORDED[2:3])
    assert read(path) == History(attempts=(RECORDED[0], RECORDED[2]), unreadable=(2,))


@pytest.mark.slow
@given(st.lists(st.sampled_from(RECORDED), max_size=6), st.lists(st.sampled_from(RECORDED), max_size=6))
@settings(max_examples=25, deadline=None)
def test_two_histories_merge_as_sets_do(
    tmp_path_factory: pytest.TempPathFactory, one: list[Attempt], two: list[Attempt]
) -> None:
    folder = tmp_path_factory.mktemp("merge")
    paths = [folder / name for name in ("one", "two", "ab", "ba")]
    for path, some in zip(paths, (one, two, [], []), strict=True):
        path.touch()
        append(path, some)
    a, b, ab, ba = paths
    merge(ab, [a, b])
    merge(ba, [b, a])
    assert {each.run: each for each in read(ab).attempts} == {each.run: each for each in read(ba).attempts}
    assert {each.run for each in read(ab).attempts} == {each.run for each in (*one, *two)}
    assert merge(ab, [a, b]) == 0


def test_two_lines_of_one_run_come_to_the_same_whichever_was_first(tmp_path: Path) -> None:
    one, two = attempt(1, reason="a"), attempt(1, reason="b")
    lines = [line_of(one), line_of(two)]
    [first] = parse("\n".join(lines).encode()).attempts
    [second] = parse("\n".join(reversed(lines)).encode()).attempts
    assert first == second
    with pytest.raises(UsageError, match="no such history"):
        merge(tmp_path / "x", [tmp_path / "none"])


def test_the_index_says_what_the_history_says(tmp_path: Path) -> None:
    path = history_path(tmp_path)
    append(path, RECORDED[:3])
    with index.opened(tmp_path) as opened:
        assert opened.history().attempts == RECORDED[:3]
    with path.open("a") as file:
        file.write('{"cut sh')
    append(path, RECORDED[3:])
    with index.opened(tmp_path) as opened:
        found = opened.history()
        assert {each.run: each for each in found.attempts} == {each.run: each for each in RECORDED}
        assert found.unreadable == (4,)
        assert [each.night for each in found.attempts] == sorted(each.night for each in RECORDED)
        assert opened.of_image("b" * 64) == tuple(each for each in found.attempts if each.sha256 == "b" * 64)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["gone", "garbage", "cut", "flipped", "older", "a folder", "another history"])
def test_an_index_that_is_not_right_is_made_anew(tmp_path: Path, damage: str) -> None:
    append(history_path(tmp_path), RECORDED)
    with index.opened(tmp_path) as opened:
        whole = opened.history()
    file = history_path(tmp_path).with_name(index.FILE)
    data = file.read_bytes()
    match damage:
        case "gone":
            file.unlink()
        case "garbage":
            file.write_bytes(b"no database at all" * 500)
        case "cut":
            file.write_bytes(data[: len(data) // 2])
        case "flipped":
            file.write_bytes(data[:4096] + b"\xff" * 4096 + data[8192:])
        case "older":
            with sqlite3.connect(file) as connection:
                connection.execute("UPDATE source SET version = 0")
            connection.close()
        case "a folder":
            file.unlink()
            file.mkdir()
        case _:
            history_path(tmp_path).write_text("".join(f"{line_of(each)}\n" for each in reversed(RECORDED)))
    with index.opened(tmp_path) as opened:
        assert opened.history() == whole


def test_a_build_folder_without_a_history_has_an_empty_index(tmp_path: Path) -> None:
    with index.opened(tmp_path / "none") as opened:
        assert opened.history() == History()
    assert not (tmp_path / "none").exists()


def test_what_is_known_of_an_image(tmp_path: Path) -> None:
    sha = "a" * 64
    facts = facts_of(sha, MANIFEST)
    assert facts.packages == {"libc6:amd64": "2.36", "libc6:i386": "2.35", "ssh": "9.2"}
    assert (facts.size_bytes, facts.rootfs_bytes, facts.kernel) == (1000, 900, "6.12")
    seen = Seen(failed=frozenset(), warnings=frozenset({"a"}))
    write_facts(tmp_path, replace(facts, seen={"seabios": seen}))
    write_facts(tmp_path, ImageFacts(sha256=sha, seen={"seabios": Seen(warnings=frozenset({"b"})), "ovmf": Seen()}))
    found = read_facts(tmp_path, sha)
    assert found is not None
    assert found.packages == facts.packages
    assert found.seen["seabios"] == Seen(failed=frozenset(), warnings=frozenset({"a", "b"}), ports=None)
    assert found.seen["ovmf"] == Seen()
    assert facts_of(sha, {"packages": "x", "layers": 3, "size": "big"}) == ImageFacts(sha256=sha)


def test_what_is_known_of_images_merges(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    sha = "c" * 64
    write_facts(one, ImageFacts(sha256=sha, seen={"m": Seen(ports=frozenset({"tcp:22"}))}))
    write_facts(two, replace(facts_of(sha, MANIFEST), seen={"m": Seen(ports=frozenset({"tcp:80"}))}))
    assert merge_facts(one, [two]) == 1
    found = read_facts(one, sha)
    assert found is not None
    assert found.seen["m"].ports == frozenset({"tcp:22", "tcp:80"})
    assert "ssh" in found.packages
    (one / f"{sha}.json").write_text("{")
    assert read_facts(one, sha) is None
    write_facts(one, ImageFacts(sha256="../../x"))
    assert [path.name for path in one.iterdir()] == [f"{sha}.json"]
    assert json.loads((two / f"{sha}.json").read_text())["packages"]["ssh"] == "9.2"
