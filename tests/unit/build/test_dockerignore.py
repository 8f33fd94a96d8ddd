"""Ignore files by Docker's rules, which are not git's; tests/build holds them to what BuildKit does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metallize.build.dockerfile.dockerignore import ignore_file, read_ignored, wildcards
from metallize.errors import MetallizeError


def left_out(tmp_path: Path, rules: str | bytes, path: str) -> bool:
    file = tmp_path / ".dockerignore"
    file.write_bytes(rules if isinstance(rules, bytes) else rules.encode())
    return path in read_ignored(file)


@pytest.mark.parametrize(
    ("rules", "path", "out"),
    [
        ("a", "a", True), ("a", "sub/a", False), ("a", "a/b/c", True), ("/a", "a", True), ("./a/", "a", True),
        ("*.txt", "x.txt", True), ("*.txt", "sub/x.txt", False), ("**/*.txt", "sub/deep/x.txt", True),
        ("**/*.txt", "x.txt", True), ("a/**", "a/b/c", True), ("**", "anything/at/all", True), ("?", "ab", False),
        ("build\n!build/keep", "build/keep", False), ("build\n!build/keep", "build/image", True),
        ("!a\na", "a", True), ("a\n!a", "a", False), ("*\n!a", "a/b", False), ("# a\nb", "# a", False),
        (" # a", "# a", True), ("\\#a", "#a", True), ("[a-c]x", "bx", True), ("[^a]x", "bx", True),
        ("[^a]x", "ax", False),
        ("a b", "a b", True), ("x/../a", "a", True), ("\ufeffa", "a", True), ("a\r\n", "a", True), ("", "a", False),
        ("a.c", "abc", False), ("a*/c", "a/b/c", False), ("! a\n", "a", False), ("a\n! a", "a", False),
    ],
)  # fmt: skip
def test_what_is_left_out(tmp_path: Path, rules: str, path: str, out: bool) -> None:
    assert left_out(tmp_path, rules, path) is out


@pytest.mark.parametrize(("rules", "line"), [("a\n!", 2), ("[a", 1), ("a\n\n[]a]x", 3), ("x\\", 1), ("[z-a]", 1)])
def test_a_rule_that_is_none_is_told_with_its_line(tmp_path: Path, rules: str, line: int) -> None:
    with pytest.raises(MetallizeError, match=rf"\.dockerignore:{line}: .* is no pattern"):
        left_out(tmp_path, rules, "a")


def test_the_dockerfiles_own_ignore_file_comes_first(tmp_path: Path) -> None:
    dockerfile = tmp_path / "web.dockerfile"
    assert ignore_file(dockerfile, tmp_path) is None
    (tmp_path / ".dockerignore").write_text("a")
    assert ignore_file(dockerfile, tmp_path) == tmp_path / ".dockerignore"
    own = tmp_path / "web.dockerfile.dockerignore"
    own.write_text("b")
    assert ignore_file(dockerfile, tmp_path) == own


@given(st.text("a*?[]\\^-/.", max_size=12), st.text("ab/^-", max_size=8))
def test_any_pattern_is_an_expression_or_refused(pattern: str, path: str) -> None:

    try:
        expression = wildcards(pattern, deep=True)
    except ValueError:
        return
    re.fullmatch(expression, path)
