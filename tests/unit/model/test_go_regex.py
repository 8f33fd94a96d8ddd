"""Go's regular expressions: what each construct means, and what Go does not take (RE2's syntax page)."""

from __future__ import annotations

import copy
import pickle
import re
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metallize.model.go_regex import compile_go_regex, literal

FOUND = [
    (r"^foo$", "foo"),
    (r"(?m)^foo$", "a\nfoo\nb"),
    (r"(?s)a.b", "a\nb"),
    (r"(?i)linux", "LINUX"),
    (r"(?i)straße", "STRAßE"),
    (r"^a(?i)bc$", "aBC"),
    (r"^(a(?i)b|c)d$", "Cd"),
    (r"^(?:a(?i)b)c$", "aBc"),
    (r"^(?i:a)b$", "Ab"),
    (r"(?i)^a(?-i)b$", "Ab"),
    (r"(?i-s)a.b", "A-B"),
    (r"a(?m)$", "a\nb"),
    (r"^\d+\s\w+\b", "42 foo"),
    (r"^\D\S\W$", "x-é"),
    (r"^[\d\s]+$", "4 2"),
    (r"^[\D]$", "é"),
    (r"^[^\W]$", "_"),
    (r"^[[:alpha:]][[:^alpha:]]$", "a1"),
    (r"^[^[:space:]]+$", "ab"),
    (r"^[]a]+$", "]a"),
    (r"^[^]a]$", "b"),
    (r"^[a\]b]+$", "]"),
    (r"^[a&&b|~-]+$", "&|~-"),
    (r"^[--a]$", "/"),
    (r"^[a-]$", "-"),
    (r"^[[a]+$", "[a"),
    (r"\Qa.b*\E+$", "a.b**"),
    (r"^\x41\x{263a}\101\0$", "A\u263aA\0"),
    (r"\a\f\t\n\r\v", "\a\f\t\n\r\v"),
    (r"^\.\-\_\/\"$", '.-_/"'),
    (r"\Afoo\z", "foo"),
    (r"^\pL\p{Lu}\PN\p{^Nd}\P{^Lu}$", "éÉx-A"),
    (r"(?P<name>a)(?<other>b)", "ab"),
    (r"^a{2}b{1,}c{0,2}?$", "aabb"),
    (r"^a{,2}{x}$", "a{,2}{x}"),
    (r"^(|a)*$", "aa"),
    (r"a|", "b"),
    (r"é+", "éé"),
    (r"^#x y$", "#x y"),
    (r"", ""),
    (r"^\p{Greek}+$", "αβγ"),
    (r"(?U)a+?b", "aab"),
    (r"\Q\C\E", r"\C"),
    (r"^.$", "\ud800"),
    (r"^\w+$", "a"),
]
NOT_FOUND = [
    (r"foo$", "foo\n"),
    (r"a.b", "a\nb"),
    (r"^\d$", "\u0663"),
    (r"^\w$", "é"),
    (r"^\s$", "\v"),
    (r"^\s$", "\u00a0"),
    (r"é\b", "é "),
    (r"^(?:a(?i)b)c$", "aBC"),
    (r"^(a(?i)b|c)d$", "CD"),
    (r"(?i)^a(?-i)b$", "AB"),
    (r"^[^\w]$", "a"),
    (r"^\p{Lu}$", "a"),
    (r"^[\x00-\x{10ffff}&&[b]]$", "a"),
]
REFUSED = [
    ("(?=a)", "(?=a is lookahead, which it lacks"),
    ("(?<!a)b", "is lookbehind, which it lacks"),
    (r"(a)\1", r"\1 is a backreference, which it lacks"),
    (r"\8", "is a backreference"),
    ("(?>a)", "(?>a is unknown to it"),
    ("(?P=x)", "(?P= is unknown to it"),
    ("(?#x)", "is unknown to it"),
    (r"\Z", r"\Z is unknown to it"),
    (r"\y", r"\y is unknown to it"),
    ("a++", "repeats nothing, or another repetition"),
    ("a**", "repeats nothing"),
    ("*a", "repeats nothing"),
    ("(?i)*", "repeats nothing"),
    ("a{1001}", "more than 1000 times"),
    ("(a", "a ( is never closed"),
    ("a)", "a ) closes nothing"),
    ("[a", "the [ at character 1 is never closed"),
    ("[z-a]", "ends before it begins"),
    ("[[:no:]]", "[:no:] names no class of characters"),
    ("a\\", "it ends in a backslash"),
    ("(?x)a", "(?x) is unknown to it"),
    (r"a\C", r"\C is unknown to it"),
    (r"\Z", r"(\z is the end of the text)"),
    (r"\p{Klingon}", "names no class of characters"),
    ("a{500}{500}", "repeats nothing, or another repetition"),
    ("(a{500}){500}", "more than 1000 times"),
    (r"\p", "names no class"),
    (r"\x{110000}", "there is no character"),
    ("(?P<n>a)(?P<n>b)", "two groups have the name n"),
]


@pytest.mark.parametrize(("source", "text"), FOUND)
def test_is_found(source: str, text: str) -> None:
    assert compile_go_regex(source).search(text) is not None


@pytest.mark.parametrize(("source", "text"), NOT_FOUND)
def test_is_not_found(source: str, text: str) -> None:
    assert compile_go_regex(source).search(text) is None


@pytest.mark.parametrize(("source", "said"), REFUSED)
def test_what_go_does_not_take_is_named(source: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        compile_go_regex(source)
    assert f"`{source}`" in str(caught.value)


def test_flags_behind_a_pattern() -> None:
    assert compile_go_regex("^b|c$", "im").search("a\nB\n")
    assert compile_go_regex("a.b", "s").search("a\nb")


@given(st.text(alphabet=[*string.ascii_lowercase, *r"\[](){}*+?|^$.-:&~,0123456789ipQE<>=!"], max_size=12))
def test_any_text_is_an_expression_or_a_named_mistake(source: str) -> None:
    mistake = ""
    try:
        compile_go_regex(source).search("some text")
    except ValueError as exc:
        mistake = str(exc)
    assert mistake == "" or mistake.startswith(f"`{source}`")


@given(st.text(max_size=20))
def test_a_quoted_text_is_found_in_itself(text: str) -> None:
    if r"\E" not in text:
        assert compile_go_regex(rf"^\Q{text}\E$" if not text.endswith("\\") else "").search(text) is not None


@pytest.mark.parametrize("source", [r"^(a+)+b$", r"(a|aa)+$b", r"(.*)*x(.*)*y", r"(a?){50}a{50}b", r"(?:a*)*c"])
def test_time_is_linear_in_the_text(source: str) -> None:
    pattern = compile_go_regex(source)
    begun = time.process_time()
    assert pattern.search("a" * 16_384) is None
    assert time.process_time() - begun < 1


def test_what_stands_before_the_start_is_seen_and_not_matched() -> None:
    assert compile_go_regex("^b", "m").search("ab", 1) is None
    found = compile_go_regex("^é", "m").search("é\né✓", 2)
    assert found is not None
    assert (found.start(), found.end(), found[0]) == (2, 3, "é")
    assert compile_go_regex("a").search("a", 1) is None


def test_groups_and_what_took_no_part() -> None:
    found = compile_go_regex("(ü)(b)?(c)").search("\ud800üc")
    assert found is not None
    assert found.groups() == ("ü", None, "c")
    assert (found.start(), found[2]) == (1, "")


def test_flags_do_not_mend_what_is_none() -> None:
    with pytest.raises(ValueError, match="closes nothing"):
        compile_go_regex("a)|(b", "i")
    assert compile_go_regex(r"\Qa)", "i").search("A)")


def test_it_is_what_it_was_written_as() -> None:
    """What a profile asks is compared between processes, and handed to others."""
    pattern = compile_go_regex("^a", "i")
    assert repr(pattern) == "GoRegex(pattern='^a', flags='i')"
    for other in (copy.deepcopy(pattern), pickle.loads(pickle.dumps(pattern)), compile_go_regex("^a", "i")):  # noqa: S301
        assert other == pattern
        assert hash(other) == hash(pattern)
        assert other.search("Ab")


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_a_literal_is_found_where_it_stands(before: str, text: str, after: str) -> None:
    found = literal(text).search(before + text + after)
    assert found is not None
    assert found.start() <= len(before)
    assert found.end() - found.start() == len(text)
