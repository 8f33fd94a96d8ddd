"""Guests of several processes take turns: who may start beside whom, who waits, and what a dead holder leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metallize.errors import HostError
from metallize.events import Event, Note
from metallize.host import admission
from metallize.host.admission import SLOTS_VARIABLE, Capacity, admitted, capacity_of, fits, room_beside, runtime_folder
from metallize.host.turns import Holder, Need, head_of_the_line, opened_line

GIB = 1 << 30
SMALL = Need(what="a.iso on ovmf", cpus=2, memory_bytes=GIB)


class Recorder:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def emit(self, event: Event, /) -> None:
        if isinstance(event, Note):
            self.notes.append(event.text)


@pytest.mark.parametrize("cores", [1, 2, 3, 64])
def test_a_host_has_a_slot_for_each_core_and_a_guest_takes_one_for_each_cpu(cores: int) -> None:
    capacity = capacity_of("", cores, 8 * GIB)
    assert capacity is not None
    assert capacity.slots == cores
    small, large = (Need(what="x", cpus=cpus, memory_bytes=GIB) for cpus in (1, 2))
    assert capacity.slots_of(small) == 1
    assert capacity.slots_of(large) == min(cores, 2)


@pytest.mark.parametrize(
    ("setting", "cores", "cpus", "together"),
    [("", 2, 1, True), ("", 2, 2, False), ("0", 2, 2, False), ("0", 2, 1, True), ("1", 8, 1, False), ("2", 1, 4, True)],
)
def test_own_guests_run_together_where_the_host_or_the_setting_has_room(
    monkeypatch: pytest.MonkeyPatch, setting: str, cores: int, cpus: int, together: bool
) -> None:
    monkeypatch.setenv(SLOTS_VARIABLE, setting)
    monkeypatch.setattr(admission, "usable_cores", lambda: cores)
    monkeypatch.setattr(admission, "usable_memory_bytes", lambda: 8 * GIB)
    need = Need(what="x", cpus=cpus, memory_bytes=GIB)
    assert room_beside(need, [])
    assert room_beside(need, [need]) is together


def test_the_number_of_slots_is_a_setting() -> None:
    capacity = capacity_of("3", 2, 8 * GIB)
    assert capacity is not None
    assert capacity.slots == 3
    assert capacity.slots_of(Need(what="large", cpus=64, memory_bytes=GIB)) == 1
    assert capacity_of("0", 2, 8 * GIB) is None


@pytest.mark.parametrize("setting", ["two", "-1", "1.5", "1e3", "99999999", "²"])
def test_a_setting_that_is_no_number_is_an_error(setting: str) -> None:
    with pytest.raises(HostError, match=SLOTS_VARIABLE):
        capacity_of(setting, 2, GIB)


@given(cpus=st.integers(1, 64), slots=st.integers(1, 32))
def test_every_guest_can_start_on_an_idle_host(cpus: int, slots: int) -> None:
    capacity = Capacity(slots=slots, memory_bytes=GIB)
    assert fits(Need(what="x", cpus=cpus, memory_bytes=64 * GIB), capacity, slots, ())


def test_memory_is_counted_as_well() -> None:
    capacity = Capacity(slots=8, memory_bytes=4 * GIB)
    running = [Holder(pid=1, what="b", memory_bytes=3 * GIB)]
    assert fits(SMALL, capacity, 7, running)
    assert not fits(Need(what="x", cpus=1, memory_bytes=2 * GIB), capacity, 7, running)


def test_the_runtime_folder_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = runtime_folder()
    assert folder == tmp_path / "metallize"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert runtime_folder() == folder
    folder.chmod(0o777)
    with pytest.raises(PermissionError):
        runtime_folder()


def test_a_link_in_its_place_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "metallize").symlink_to("elsewhere")
    with pytest.raises(PermissionError):
        runtime_folder()


CHILD = """
import sys, time
from pathlib import Path
from metallize.events import Silent
from metallize.host.admission import admitted
from metallize.host.turns import Need
need = Need(what="the other", cpus=int(sys.argv[2]), memory_bytes=1 << 20)
with admitted(need, Silent(), folder=Path(sys.argv[1])):
    print("in", flush=True)
    time.sleep(float(sys.argv[3]))
print("out", flush=True)
"""


def started(folder: Path, *, cpus: int = 2, seconds: float = 60) -> subprocess.Popen[str]:
    env = {**os.environ, SLOTS_VARIABLE: "1"}
    argv = [sys.executable, "-c", CHILD, str(folder), str(cpus), str(seconds)]
    return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True)


def said(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def wait_for_a_line_of(length: int, folder: Path) -> None:
    end = time.monotonic() + 30
    with opened_line(folder) as line:
        while len(line.taken()) < length:
            assert time.monotonic() < end
            time.sleep(0.01)


@pytest.fixture(autouse=True)
def _one_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SLOTS_VARIABLE, "1")


@pytest.mark.slow
def test_two_processes_take_turns_and_say_for_whom_they_wait(tmp_path: Path) -> None:
    recorder = Recorder()
    with started(tmp_path, seconds=1.2) as child:
        assert said(child) == "in"
        with admitted(SMALL, recorder, folder=tmp_path):
            assert said(child) == "out"
    [note] = recorder.notes
    assert f"waits for process {child.pid} (the other)" in note
    assert SLOTS_VARIABLE in note


def test_a_slot_is_free_as_soon_as_its_holder_is_killed(tmp_path: Path) -> None:
    with started(tmp_path) as child:
        assert said(child) == "in"
        child.send_signal(signal.SIGKILL)
        child.wait(5)
        begun = time.monotonic()
        with admitted(SMALL, Recorder(), folder=tmp_path):
            assert time.monotonic() - begun < 2


@pytest.mark.slow
def test_one_who_waits_and_is_killed_holds_nobody_up(tmp_path: Path) -> None:
    with started(tmp_path) as first:
        assert said(first) == "in"
        with started(tmp_path) as second:
            wait_for_a_line_of(1, tmp_path)
            second.send_signal(signal.SIGKILL)
            first.send_signal(signal.SIGKILL)
            begun = time.monotonic()
            with admitted(SMALL, Recorder(), folder=tmp_path):
                assert time.monotonic() - begun < 5


@pytest.mark.slow
def test_who_came_first_is_served_first(tmp_path: Path) -> None:
    """Several times over: whoever looks often would else be served before whoever waits."""
    order = tmp_path / "order"
    program = CHILD.replace('print("in", flush=True)', 'open(sys.argv[4], "a").write(sys.argv[5])')
    env = {**os.environ, SLOTS_VARIABLE: "1"}
    line = tmp_path / "line"
    line.mkdir()
    with started(line) as first:
        assert said(first) == "in"
        waiting = []
        for number in range(3):
            argv = [sys.executable, "-c", program, str(line), "2", "0.05", str(order), str(number)]
            waiting.append(subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL))
            wait_for_a_line_of(number + 1, line)
        first.kill()
        for child in waiting:
            assert child.wait(30) == 0
    assert order.read_text() == "012"
    assert sorted(path.name for path in line.iterdir()) == ["line", "slot-0"]


def test_threads_of_one_process_wait_for_each_other_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    served: list[int] = []
    seen: list[Holder | None] = []
    before: list[int] = []

    def look(ahead: Holder | None, number: int) -> None:
        seen.append(ahead)
        before.append(number)

    def wait(number: int) -> None:
        need = Need(what=f"guest {number}\n" * 99, cpus=1, memory_bytes=number)
        with head_of_the_line(tmp_path, need, look):
            served.append(number)

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(6)]
    with head_of_the_line(tmp_path, SMALL, look):
        for number, thread in enumerate(threads):
            thread.start()
            wait_for_a_line_of(number + 2, tmp_path)
        time.sleep(0.3)
    for thread in threads:
        thread.join(10)
    assert served == list(range(6))
    assert max(before) == 6
    ahead = {holder.memory_bytes: holder for holder in seen if holder}
    assert ahead.keys() == {SMALL.memory_bytes, *range(5)}
    assert ahead[SMALL.memory_bytes] == Holder(pid=os.getpid(), what=SMALL.what, memory_bytes=SMALL.memory_bytes)
    assert ahead[4].what.startswith("guest 4\nguest 4\n")


def test_a_line_that_has_become_empty_starts_at_its_front(tmp_path: Path) -> None:
    for _ in range(3):
        with head_of_the_line(tmp_path, SMALL, lambda *_: None):
            pass
    size = (tmp_path / "line").stat().st_size
    with head_of_the_line(tmp_path, SMALL, lambda *_: None):
        assert (tmp_path / "line").stat().st_size == size


def test_with_no_limit_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with started(tmp_path) as child:
        assert said(child) == "in"
        monkeypatch.setenv(SLOTS_VARIABLE, "0")
        with admitted(SMALL, Recorder(), folder=tmp_path):
            pass
        child.kill()


def test_nothing_is_left_but_the_lock_files(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        with admitted(SMALL, Recorder(), folder=tmp_path):
            pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["line", "slot-0"]
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_user_without_a_folder_is_admitted_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "metallize").write_text("")
    recorder = Recorder()
    with admitted(SMALL, recorder):
        pass
    assert "not waited for" in recorder.notes[0]
