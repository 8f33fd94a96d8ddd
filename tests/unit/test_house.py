"""The house: no file that nobody would want to live in, no room so full that one looks for things in it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from metallize.catalog import Catalog
from metallize.config import load_profile
from tests.build.test_same_bytes import ELSEWHERE, HERE
from tests.conftest import ROOT

MOST_LINES = 350
MOST_FILES = 20
PLUG_INS = {
    "metallize/checks": "KIND",
    "metallize/machines": "MACHINE",
    "metallize/commands": "(options: argparse.Namespace) -> int:",
    "metallize/night/executors": "SCHEMES = ",
}
"""Rooms that hold plug-ins, and what a file of theirs has in it that is one."""
CODE = [
    path.relative_to(ROOT)
    for folder in ("metallize", "generators", "boot-tests", "scripts", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def test_no_module_is_too_long() -> None:
    lines = {str(path): len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in CODE}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_no_room_is_too_full() -> None:
    assert sum(path.parts[0] == "metallize" for path in CODE) > 300, "the walk has found the package"
    files = Counter(str(path.parent) for path in CODE if path.parts[0] == "metallize" and not _counts_not(path))
    assert {room: count for room, count in files.items() if count > MOST_FILES} == {}


def _counts_not(path: Path) -> bool:
    sign = PLUG_INS.get(str(path.parent))
    return path.name in {"__init__.py", "__main__.py"} or (
        sign is not None and sign in (ROOT / path).read_text(encoding="utf-8")
    )


@pytest.mark.parametrize("name", PLUG_INS)
def test_a_room_of_plug_ins_has_some(name: str) -> None:
    assert any(_counts_not(path) and path.name != "__init__.py" for path in CODE if str(path.parent) == name)


def test_one_module_knows_the_record_of_a_proof() -> None:
    """All others ask metallize.proof for its place and for what it says."""
    naming = {
        str(path)
        for path in CODE
        if path.parts[0] == "metallize" and ".verification.json" in (ROOT / path).read_text(encoding="utf-8")
    }
    words = "metallize/commands/release_line.py"  # says in a help what the default is
    assert naming - {words} == {"metallize/proof.py"}


def test_every_generators_printed_plan_is_held_to_its_build() -> None:
    catalog = Catalog()
    assert {*HERE, *ELSEWHERE} == set(catalog.generators)
    for generator, name in ELSEWHERE.items():
        profile = load_profile(catalog.profiles[Path(name).stem], vocabulary=catalog.vocabulary())
        assert profile.output.generator == generator
