"""Answers over the serial line: what swells, never ends or lies about its length is none."""

from __future__ import annotations

import base64
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metallize.guest import ShellError, ShellOutput
from metallize.shells.answer import LINE, MOST_BYTES, MOST_LINES, Answer, decode, is_chatter

TOO_LONG = "too long for the serial line: more than 1 MiB"


def packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def lines(body: str) -> list[str]:
    return [body[at : at + LINE] for at in range(0, len(body), LINE)]


@given(st.binary(max_size=2000), st.binary(max_size=200), st.integers(0, 255))
def test_what_was_packed_comes_out(stdout: bytes, stderr: bytes, status: int) -> None:
    body = packed(b"%d\n%d\n" % (status, len(stdout)) + stdout + stderr)
    assert decode(body) == ShellOutput(status=status, stdout=stdout, stderr=stderr)
    assert decode(packed(b"0\n0\n")[:-8]) is None


@given(st.text(alphabet="ABCab01+/=", max_size=400))
def test_whatever_comes_is_an_answer_or_none(body: str) -> None:
    assert decode(body) is None


def test_an_answer_that_is_cut_is_none() -> None:
    whole = gzip.compress(b"0\n3\nabc", mtime=0)
    for end in range(len(whole)):
        assert decode(base64.b64encode(whole[:end]).decode()) is None


@pytest.mark.slow
def test_an_answer_that_swells_is_not_unpacked() -> None:
    bomb = gzip.compress(b"0\n0\n" + bytes(200 << 20), compresslevel=9)
    assert len(bomb) < MOST_BYTES
    with pytest.raises(ShellError, match=TOO_LONG):
        decode(base64.b64encode(bomb).decode())


def test_as_much_as_may_come_does() -> None:
    content = b"0\n0\n"
    answer = decode(packed(content + bytes(MOST_BYTES - len(content))))
    assert answer is not None
    assert len(answer.stderr) == MOST_BYTES - len(content)


def test_lines_without_end_are_not_kept() -> None:
    answer = Answer()
    for start in range(1, 1_000_000, 50_000):
        answer.take("".join(f"{number}\tAAAA\n" for number in range(start, start + 50_000, 7)), 1)
    assert len(answer._lines) <= MOST_LINES
    with pytest.raises(ShellError, match=TOO_LONG):
        answer.take("mz-begin-1-999999\n", 1)


def test_what_belongs_to_the_protocol_is_chatter() -> None:
    assert is_chatter("     1\tQUJD")
    assert is_chatter("mz-ran-3")
    assert not is_chatter("mz-ran-3 and more")
    assert not is_chatter("Kernel panic")
