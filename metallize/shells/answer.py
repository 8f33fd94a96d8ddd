"""What a script printed in the guest, as it comes over a serial line that loses and adds what it likes.

The answer is base64 of gzip, in numbered lines between two markers: a line that was disturbed is asked for again and
the others are kept, and the checksum of the whole says when all is right.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import re
import zlib
from collections.abc import Iterable

from metallize.guest import ShellError, ShellOutput

LINE = 76
"""Characters of a line of base64(1), but for the last one."""
MOST_BYTES = 1 << 20
"""Of an answer, unpacked: what is packed may swell a thousand times."""
MOST_LINES = MOST_BYTES * 4 // 3 // LINE + 100
"""Of a packed answer that is no longer, where packing saves nothing."""
_NUMBERED = re.compile(r"^[ \t]*(\d{1,6})[ \t]+([A-Za-z0-9+/]{1,76}={0,2})$", re.MULTILINE)
_MARK = re.compile(r"^mz-(begin|end|none)-(\d+)-(\d{1,6})$", re.MULTILINE)
_CHATTER = re.compile(rf"^(?: *\d{{1,6}}\t[A-Za-z0-9+/]{{1,{LINE}}}={{0,2}}|mz-[a-z-]+(?:-\d+)*)$")


_GZIP = 16 + zlib.MAX_WBITS
"""To zlib: a gzip header and its checksum."""


def is_chatter(line: str) -> bool:
    """Whether a line of the console is this protocol's, and tells a person nothing."""
    return _CHATTER.fullmatch(line.rstrip()) is not None


class Answer:
    """Collects lines until the answer is whole. Raises ShellError for one that is too long: it counts as none."""

    def __init__(self) -> None:
        self._lines: dict[int, str] = {}
        self._count: int | None = None
        self.ended: set[int] = set()
        """The numbers of the requests whose end was seen."""
        self.lost = False
        """The guest has no answer, for it never ran the script."""

    def take(self, text: str, first: int) -> None:
        """What the console printed since the script was handed over; requests before the `first` are none of ours."""
        for what, number, count in _MARK.findall(text):
            if int(number) < first:
                continue
            if what == "none":
                self.lost = True
                continue
            self._count = int(count)
            if self._count > MOST_LINES:
                raise _too_long()
            if what == "end":
                self.ended.add(int(number))
        for number, line in _NUMBERED.findall(text):
            if int(number) <= MOST_LINES:
                self._lines.setdefault(int(number), line)

    @property
    def missing(self) -> tuple[int, ...] | None:
        """The lines that have not come whole; None where it is not known how many there are."""
        if self._count is None:
            return None
        return tuple(number for number in range(1, self._count + 1) if not self._is_whole(number))

    def forget(self) -> None:
        """The lines are not what was sent, although each looks right: all of them are asked for again."""
        self._lines.clear()

    def output(self) -> ShellOutput | None:
        """The answer once it is whole and its checksum is right."""
        if self._count is None or self.missing:
            return None
        return decode("".join(self._lines[number] for number in range(1, self._count + 1)))

    def _is_whole(self, number: int) -> bool:
        line = self._lines.get(number, "")
        whole = len(line) == LINE or (number == self._count and bool(line) and len(line) % 4 == 0)
        if not whole:
            self._lines.pop(number, None)
        return whole


def sed_lines(numbers: Iterable[int]) -> str:
    """The sed(1) program that prints these lines."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ";".join(f"{first},{last}p" for first, last in spans)


def encode(script: str) -> list[str]:
    """A script as the lines that are typed."""
    body = base64.b64encode(gzip.compress(script.encode(), mtime=0)).decode()
    return [body[at : at + LINE] for at in range(0, len(body), LINE)]


def decode(body: str) -> ShellOutput | None:
    """Status, length of standard output, both outputs; None where the checksum is wrong.

    Raises ShellError for one that is too long, before it is unpacked to its end.
    """
    try:
        unpacked = zlib.decompressobj(_GZIP)
        content = unpacked.decompress(base64.b64decode(body, validate=True), MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise _too_long()
        if not unpacked.eof:
            return None
        status, size, rest = content.split(b"\n", 2)
        length = int(size)
        return ShellOutput(status=int(status), stdout=rest[:length], stderr=rest[length:])
    except (binascii.Error, zlib.error, ValueError):
        return None


def _too_long() -> ShellError:
    return ShellError(f"the answer was too long for the serial line: more than {MOST_BYTES >> 20} MiB")
