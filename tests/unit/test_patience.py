"""The table of waits: each says by whose clock it is counted and what it is for, and nobody keeps one elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import metallize
from metallize import patience
from metallize.patience import Wait

ROOMS = ("console", "shells", "verify")
TABLE = {name: value for name, value in vars(patience).items() if isinstance(value, Wait)}
ELSEWHERE = {"console/stages.py", "verify/looks/batch.py"}
"""Tables of their own, by stage, and what a script in the guest counts."""


def test_each_wait_says_what_it_is_for() -> None:
    assert len(TABLE) > 60
    for name, wait in TABLE.items():
        assert wait > 0, name
        assert len(wait.why) > 10, name
        assert wait.clock in patience.Clock, name


def test_each_wait_is_somebodys() -> None:
    package = Path(metallize.__file__).parent
    words = {
        word
        for file in package.rglob("*.py")
        if file.name != "patience.py"
        for word in re.findall(r"\w+", file.read_text())
    }
    assert [name for name in TABLE if name not in words] == []


def test_nobody_keeps_a_wait_elsewhere() -> None:
    package = Path(metallize.__file__).parent
    written = re.compile(r"^_?[A-Z_]+(?<!NANO)(?<!MICRO)SECONDS = [0-9.]+", re.MULTILINE)
    files = [file for room in ROOMS for file in (package / room).rglob("*.py")]
    found = {file.relative_to(package).as_posix() for file in files if written.search(file.read_text())}
    assert found <= ELSEWHERE
