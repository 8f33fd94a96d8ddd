"""Nothing that others wrote acts, hides or turns round where it is shown."""

from __future__ import annotations

import io
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metallize.console.normalise import Normaliser
from metallize.events import Note, Outcome, StepFinished, StepOutput, StepStarted
from metallize.model.visible import marked, visible, visible_line
from metallize.render import PlainLines

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
LINES = "\u0085\u2028\u2029"
NASTY = [b"\x1b", b"\x9d52;c;aGk=\x07", "\u009d52;c;aGk=\u009c".encode(), *(sign.encode() for sign in BIDI + LINES)]
PIECES = st.lists(
    st.one_of(
        st.binary(max_size=6),
        st.sampled_from([*NASTY, b"\r\n", b"text", b"\x1b]52;c;", b"\x1b[", b"\xc2", "\ufeff\u200b\u00ad".encode()]),
    ),
    max_size=30,
)


def acts(sign: str) -> bool:
    return (unicodedata.category(sign) in {"Cc", "Zl", "Zp"} and sign not in "\n\t") or sign in BIDI


@settings(deadline=None)
@given(PIECES)
def test_whatever_a_guest_prints_its_clean_text_is_safe_to_show(pieces: list[bytes]) -> None:
    normaliser = Normaliser()
    text = "".join(normaliser.feed(piece) for piece in pieces)
    assert not [sign for sign in text if acts(sign) or unicodedata.category(sign) == "Cs"]


@given(st.text(st.one_of(st.characters(), st.sampled_from(BIDI + LINES + "\ufeff\u200b\ud800\U000e0041\x1b"))))
def test_nothing_that_acts_or_hides_is_left(text: str) -> None:
    shown = visible(text)
    assert not [
        sign for sign in shown if acts(sign) or (unicodedata.category(sign) in {"Cf", "Cs"} and sign not in ALLOWED)
    ]
    shown.encode()
    assert visible(shown) == shown
    assert len(marked(text)) == len(text)


ALLOWED = {sign for sign in map(chr, range(0x110000)) if unicodedata.category(sign) == "Cf" and visible(sign) == sign}


def test_what_is_left_of_format_characters_is_drawn() -> None:
    """Signs of Arabic, Kaithi, hieroglyphs, shorthand and music, which stand for something."""
    blocks = {unicodedata.name(sign).split()[0] for sign in ALLOWED}
    assert blocks <= {"ARABIC", "SYRIAC", "KAITHI", "EGYPTIAN", "SHORTHAND", "MUSICAL"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u009d52;c;x", r"a\u009d52;c;x"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("one\u2028two", r"one\u2028two"),
        ("\ud83d", r"\ud83d"),
        ("\x1b[2J", r"\u001b[2J"),
        ("größer\n\t👍🏽", "größer\n\t👍🏽"),
    ],
)
def test_it_is_spelt_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_tools_colours_go() -> None:
    assert visible_line("\x1b[1;31mred\x1b[0m\x1b]52;c;x\x07\r") == r"red\u001b]52;c;x\u0007"


def test_what_is_shown_of_events_does_not_act() -> None:
    stream = io.StringIO()
    with PlainLines(stream, verbose=True) as renderer:
        renderer.emit(StepStarted(step="s", title="a\u202eb"))
        renderer.emit(StepOutput(step="s", line="c\u009dd"))
        renderer.emit(StepFinished(step="s", title="e\x1bf", outcome=Outcome.FAILED, seconds=1.0, detail="g\u2028h"))
        renderer.emit(Note(text="unit \x1b]52;c;x\x07.service"))
    assert not [sign for sign in stream.getvalue() if acts(sign)]
