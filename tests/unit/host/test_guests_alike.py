"""Two guests of one process that nobody can tell apart are two all the same."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from metallize.events import Silent
from metallize.host import admission
from metallize.host.admission import SLOTS_VARIABLE, admitted
from metallize.host.turns import Need

GIB = 1 << 30


def test_the_memory_of_both_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SLOTS_VARIABLE, "3")
    monkeypatch.setattr(admission, "usable_memory_bytes", lambda: 10 * GIB)
    need = Need(what="the same", cpus=1, memory_bytes=3 * GIB)
    third = threading.Event()

    def come() -> None:
        with admitted(need, Silent(), folder=tmp_path):
            third.set()

    with admitted(need, Silent(), folder=tmp_path):
        with admitted(need, Silent(), folder=tmp_path):
            thread = threading.Thread(target=come)
            thread.start()
            assert not third.wait(0.5)
        assert third.wait(10)
    thread.join(10)
