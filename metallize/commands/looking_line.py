"""What the verbs take that look at boots that were, and that make room."""

from __future__ import annotations

import argparse
from datetime import date

from metallize.commands import options as common
from metallize.commands.parser import Parser


def runs_options(verb: Parser) -> None:
    """Of `metallize runs`."""
    _which_runs(verb)
    verb.add_argument("--number", "-n", type=_count, default=20, metavar="N", help="so many; default: 20")
    verb.add_argument("--all", action="store_true", help="all of them")
    common.as_json(verb, "each run")
    common.colour(verb)


def logs_options(verb: Parser) -> None:
    """Of `metallize logs`."""
    _which_runs(verb)
    verb.add_argument("--file", default="console.txt", metavar="FILE", help="default: console.txt")
    verb.add_argument("--lines", "-n", type=_count, metavar="N", help="only the last ones; default: all")
    how = verb.add_mutually_exclusive_group()
    how.add_argument("--follow", "-f", action="store_true", help="go on with what is added until the run ends")
    how.add_argument("--files", action="store_true", help="list the files of the run")
    how.add_argument("--path", action="store_true", help="print the path of its folder")
    how.add_argument("--open", action="store_true", help="open its report.html in the browser")


def regressions_options(verb: Parser) -> None:
    """Of `metallize regressions`."""
    verb.add_argument("--since", type=_day, metavar="DAY", help="2026-11-20: of all nights from then on")
    verb.add_argument("--all", action="store_true", help="also what was cleared, and what is too young to judge")
    verb.add_argument("--release", metavar="DEST", help="compare the latest night with what is published there, too")
    verb.add_argument("--channel", metavar="NAME", help="of --release; default: all of them")
    common.build_dir(verb, "build")
    common.as_json(verb, "each of them")


def prune_options(verb: Parser) -> None:
    """Of `metallize prune`."""
    verb.add_argument("--dry-run", action="store_true", help="say what would go, and remove nothing")
    verb.add_argument("--runs", action="store_true", help="runs only")
    verb.add_argument("--images", action="store_true", help="kept images, and what killed builds left, only")
    verb.add_argument("--layers", action="store_true", help="layers' tags in Docker only")
    stays = verb.add_argument_group("what stays")
    stays.add_argument("--keep", type=_count, metavar="N", help="runs of each profile on each machine; default: 10")
    stays.add_argument(
        "--older-than",
        type=_count,
        metavar="DAYS",
        help="kept images and layers that are younger stay; default: 14",
    )
    stays.add_argument("--all", action="store_true", help="nothing but what is in use, proves an image, or passed last")
    common.build_dir(verb, "build")
    common.as_json(verb, "each thing that goes")


def _which_runs(verb: Parser) -> None:
    verb.add_argument("name", nargs="?", metavar="NAME", help="a profile or an image; default: whatever ran last")
    verb.add_argument(
        "--machine", dest="machines", action="append", default=[], metavar="NAME", help="only on this one"
    )
    verb.add_argument("--failed", action="store_true", help="only what did not pass")
    common.build_dir(verb, "build")


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"`{text}` is no day, like 2026-11-20") from None


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"`{text}` is no number")
    return int(text)
