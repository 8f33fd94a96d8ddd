"""What the verbs of the night take."""

from __future__ import annotations

import argparse
from pathlib import Path

from metallize.commands import options as common
from metallize.commands.parser import Parser


def nightly_options(verb: Parser) -> None:
    """Of `metallize nightly`."""
    verb.add_argument("profiles", nargs="*", type=Path, metavar="PROFILE", help="default: every shipped profile")
    verb.add_argument("--no-cache", action="store_true", help="build every layer again, with today's packages")
    common.build_dir(verb)
    common.of_a_profile(verb, outputs=False)
    common.lent(verb)
    common.judged(verb, "the boots", held=False)
    again = verb.add_argument_group("boots in turn, to know whether an image is slower than the one before")
    again.add_argument(
        "--confirm-boots", type=_count, default=40, metavar="N", help="at most so many a night; 0: none; default: 40"
    )
    again.add_argument(
        "--confirm-minutes", type=_count, default=60, metavar="N", help="for at most so long a night; default: 60"
    )
    common.showing(verb)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS):
        raise argparse.ArgumentTypeError(f"`{text}` is no number")
    return int(text)


_DIGITS = 5
