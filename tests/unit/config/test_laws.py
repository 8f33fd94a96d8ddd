"""Reading a profile ends in a Profile or in a ProfileError, whatever the file holds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metallize.config import Vocabulary, load_profile, load_suite
from metallize.errors import Problem, ProfileError
from tests.laws import cases
from tests.unit.config.conftest import GOOD

WORDS = [
    *("args", "images", "output", "boot", "platform", "metallize", "generator", "file", "options", "machines"),
    *("memory", "timeout", "login", "ssh", "user", "password", "key", "console", "forbid", "suites", "reach"),
    *("assert", "service", "port", "command", "exit-status", "stdout", "mode", "exists", "contents", "enabled"),
    *("livecd", "ext4", "seabios", "base", "debian:trixie", "a.iso", "tcp:22", "8G", "5m", "/re(/", "!x", "{{x}}"),
    *("not", "and", "or", "gjson", "have-len", "equal", "semver-constraint", "match-regexp", "<<", "on", "1:2"),
]
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(WORDS),
    st.text(max_size=12),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(WORDS), st.text(max_size=6)), inner, max_size=5),
    ),
    max_leaves=25,
)
SECTIONS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("args", "images", "output", "boot", "platform", "metallize"), TREES),
)


def _problems(read: Callable[[Path], object], path: Path) -> tuple[Problem, ...] | None:
    try:
        read(path)
    except ProfileError as exc:
        return exc.problems
    return None


def _attempt(content: bytes, read: Callable[[Path], object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.yaml"
        path.write_bytes(content)
        found = _problems(read, path)
    if found is None:
        return
    assert found
    assert all(problem.location.line >= 1 and problem.location.column >= 1 for problem in found)
    assert all(problem.message and "\n" not in problem.message for problem in found)


SOME = settings(max_examples=cases(25), deadline=None, suppress_health_check=list(HealthCheck))


@SOME
@given(content=st.binary(max_size=200))
def test_bytes(content: bytes, vocabulary: Vocabulary) -> None:
    _attempt(content, lambda path: load_profile(path, vocabulary=vocabulary))


@SOME
@given(text=st.text(alphabet="abc:-{}[]&*!|>'\"%@`,?#\t\n 0123.<=~/\\", max_size=80))
def test_text_that_looks_like_yaml(text: str, vocabulary: Vocabulary) -> None:
    _attempt(text.encode(), lambda path: load_profile(path, vocabulary=vocabulary))


@SOME
@given(tree=TREES)
def test_trees(tree: object, vocabulary: Vocabulary) -> None:
    content = yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass")
    _attempt(content, lambda path: load_profile(path, vocabulary=vocabulary))


@SOME
@given(tree=SECTIONS)
def test_trees_with_the_right_sections(tree: dict[str, object], vocabulary: Vocabulary) -> None:
    content = yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass")
    _attempt(content, lambda path: load_profile(path, vocabulary=vocabulary))


@pytest.mark.slow
@SOME
@given(
    tree=st.dictionaries(
        st.sampled_from(["file", "command", "port", "user"]), st.dictionaries(st.text(max_size=8), TREES)
    )
)
def test_suites(tree: object, vocabulary: Vocabulary) -> None:
    content = yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass")
    _attempt(content, lambda path: load_suite(path, vocabulary=vocabulary))


@SOME
@given(position=st.integers(0, len(GOOD) - 1), mutation=st.text(max_size=3))
def test_a_good_profile_with_a_few_characters_changed(position: int, mutation: str, vocabulary: Vocabulary) -> None:
    text = GOOD[:position] + mutation + GOOD[position + 1 :]
    _attempt(text.encode("utf-8", "surrogatepass"), lambda path: load_profile(path, vocabulary=vocabulary))


@SOME
@given(
    key=st.one_of(st.text(max_size=8), st.sampled_from(["args.x", "boot.cpus", "output.file", "images.0", "boot"])),
    value=st.one_of(st.text(max_size=10), st.sampled_from(["0x_", "1e999", "08", "<<", "=", ".inf", "1_", "0b"])),
)
def test_overrides(key: str, value: str, vocabulary: Vocabulary) -> None:
    _attempt(GOOD.encode(), lambda path: load_profile(path, vocabulary=vocabulary, overrides={key: value}))
