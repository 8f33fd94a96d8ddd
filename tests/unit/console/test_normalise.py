"""The console's text does not depend on how its bytes were cut into reads."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from metallize.console.normalise import Normaliser

PIECES = st.sampled_from(
    [
        b"plain ",
        "ünï ✓".encode(),
        b"\xff\xc3",
        b"\r\n",
        b"\r",
        b"\n",
        b"\x1b[0;32m",
        b"\x1b[2J",
        b"\x1b[01;01H",
        b"\x1b[1;2H",
        b"\x1b[1;3H",
        b"\x1b]0;a title\x07",
        b"\x1b]3008;start=1\x1b\\",
        b"\x1bP+q544e\x1b\\",
        b"\x1b(B",
        b"\x1b[?2004h",
        b"\x1b",
        b"\x1b[",
        b"\x07\x00\x08",
        b"login: ",
    ]
)


def clean(*reads: bytes) -> str:
    normaliser = Normaliser()
    return "".join(normaliser.feed(read) for read in reads)


@settings(deadline=None)
@given(st.lists(PIECES, max_size=30).map(b"".join), st.data())
def test_cuts_do_not_matter(blob: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(blob)), max_size=8)))
    reads = [blob[a:b] for a, b in zip([0, *cuts], [*cuts, len(blob)], strict=True)]
    assert clean(*reads) == clean(blob)


@settings(deadline=None)
@given(st.lists(PIECES, max_size=30).map(b"".join))
def test_byte_by_byte_is_the_same_and_no_control_character_is_left(blob: bytes) -> None:
    text = clean(*(blob[at : at + 1] for at in range(len(blob))))
    assert text == clean(blob)
    assert not set(text) & {chr(code) for code in range(32) if chr(code) not in "\n\t"}


def test_sequences_go_and_text_stays() -> None:
    assert clean(b"[\x1b[0;32m  OK  \x1b[0m] Started \x1b[0;1;39mssh\x1b[0m.\r\n") == "[  OK  ] Started ssh.\n"
    assert clean(b"\x1b]3008;start=x;user=root\x1b\\$ ") == "$ "
    assert clean(b"\x1b(B\x1b[mdebian login: ") == "debian login: "


def test_a_progress_line_that_is_drawn_again_is_a_line_of_its_own() -> None:
    assert clean(b"\r\x1b[K[*  ] A start job\r\x1b[K[ * ] A start job") == "\n[*  ] A start job\n[ * ] A start job"


def test_a_jump_of_the_cursor_begins_a_line() -> None:
    assert clean(b"\x1b[2J\x1b[01;01HBdsDxe: loading") == "\nBdsDxe: loading"


def test_a_tick_of_seabios_begins_no_line() -> None:
    assert clean(b"\x1b[25;18H\x1b[0;31mP\x1b[25;18H\x1b[25;19Hress ENTER") == "\nPress ENTER"
    assert clean(b"automatically i\x1b[23;57H\x1b[23;58Hn 13s.  \x1b[05;78H\r\n") == "automatically in 13s.  \n\n"
    assert clean(b"a\x1b[1;2H\x1b[1;4Hb\x1b[1;2H\x1b[2;3Hc") == "a\n\nb\n\nc"
    assert clean(b"a\x1b[9;9H\x1b[1;2H\x1b[1;3Hb") == "a\nb"


def test_a_place_before_a_tick_begins_a_line_however_it_is_cut() -> None:
    place, behind = b"\x1b[1;2H", b"\x1b[1;3H"
    for reads in ([place + place + behind, behind, b"x"], [place + place, behind + behind, b"x"]):
        assert clean(*reads) == "\n\nx"


def test_a_place_is_held_back_for_what_may_follow_it() -> None:
    normaliser = Normaliser()
    assert normaliser.feed(b"P\x1b[25;18H") == "P"
    assert normaliser.feed(b"\x1b[25") == ""
    assert normaliser.feed(b";19Hress") == "ress"


def test_the_beginning_of_a_sequence_is_held_back() -> None:
    normaliser = Normaliser()
    assert normaliser.feed(b"a\x1b[0;3") == "a"
    assert normaliser.feed(b"2mb") == "b"


def test_a_character_that_came_in_halves_is_whole() -> None:
    normaliser = Normaliser()
    assert normaliser.feed(b"\xc3") == ""
    assert normaliser.feed(b"\xbc") == "ü"


def test_an_endless_control_string_is_not_held_for_ever() -> None:
    normaliser = Normaliser()
    text = normaliser.feed(b"\x1b]0;" + b"x" * 10_000)
    assert text.endswith("x" * 10_000)


def test_a_flood_is_cheap() -> None:
    line = b"[    1.234567] \x1b[1msome\x1b[0m kernel line of ordinary length that comes again and again\r\n"
    begun = time.process_time()
    normaliser = Normaliser()
    for _ in range(25_000_000 // 65_536):
        normaliser.feed((line * 800)[:65_536])
    assert time.process_time() - begun < 3
