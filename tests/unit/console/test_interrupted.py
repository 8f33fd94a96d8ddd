"""Lines that the kernel cut, put together; and a text without what the kernel wrote into it."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from metallize.console.interrupted import Rejoiner, without_kernel_lines
from metallize.console.literals import required_literal

KERNEL = "[   33.123456] kvm: noise\n"
PIECES = st.sampled_from([KERNEL, "[  OK  ] Started ", "ssh.service.\n", "debian login: ", "\nmore\n", "[    1.0", "x"])


@given(st.lists(PIECES, max_size=12), st.data())
def test_what_is_joined_does_not_depend_on_how_lines_are_grouped(pieces: list[str], data: st.DataObject) -> None:
    lines = ("".join(pieces) + "\n").splitlines(keepends=True)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(lines)), max_size=4)))
    one, many = Rejoiner(), Rejoiner()
    whole = [line for _, line in one.feed("".join(lines))]
    parts = [
        line for a, b in zip([0, *cuts], [*cuts, len(lines)], strict=True) for _, line in many.feed("".join(lines[a:b]))
    ]
    assert parts == whole
    assert one.head == many.head


def test_halves_are_joined_over_several_messages() -> None:
    rejoiner = Rejoiner()
    text = f"[  OK  ] Started s{KERNEL}{KERNEL}sh.serv{KERNEL}ice.\nnext\n"
    assert [line for _, line in rejoiner.feed(text)] == ["[  OK  ] Started ssh.service."]
    assert rejoiner.feed(f"{KERNEL}{KERNEL}plain\n") == []


def test_a_prompt_that_was_cut_is_whole_again() -> None:
    clean, original = without_kernel_lines(f"debian lo{KERNEL}gin: ")
    assert clean == "debian login: "
    assert original(len(clean)) == len(f"debian lo{KERNEL}gin: ")
    assert original(3) == 3


@given(st.lists(PIECES, max_size=12))
def test_places_lead_back_to_the_same_characters(pieces: list[str]) -> None:
    text = "".join(pieces)
    clean, original = without_kernel_lines(text)
    for place, sign in enumerate(clean):
        assert text[original(place)] == sign


@given(st.lists(st.sampled_from(["abc", "d", ".", "*", "+", "?", "\\.", "\\d", "[xy]", "^", "{2}", "$", "e"])))
def test_a_required_literal_is_in_every_match(tokens: list[str]) -> None:
    pattern = "".join(tokens)
    try:
        compiled = re.compile(pattern)
    except re.error:
        return
    literal = required_literal(pattern)
    for text in ("abc", "abcd.e", "ddabcabcx1.e", "eabc2abc", "dddd", "abc.abc", "abab", "xabcy.d1e", ""):
        if compiled.search(text):
            assert literal in text


def test_literals_are_found_where_they_can_be() -> None:
    assert required_literal("^ready to serve$") == "ready to serve"
    assert required_literal("secret [0-9]+") == "secret "
    assert required_literal("(?i)x") == ""
    assert required_literal("colou?r of money") == "r of money"
