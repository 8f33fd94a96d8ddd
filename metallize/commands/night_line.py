"""What the verbs of the night take."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from metallize.commands import options as common
from metallize.commands.parser import Parser
from metallize.night.matrix.formats import Format

if TYPE_CHECKING:
    Group: TypeAlias = argparse.ArgumentParser | argparse._ArgumentGroup  # noqa: SLF001 - it has no public name


def nightly_options(verb: Parser) -> None:
    """Of `metallize nightly`."""
    _which_cells(verb)
    verb.add_argument("--no-cache", action="store_true", help="build every layer again, with today's packages")
    verb.add_argument("--anew", action="store_true", help="begin a new night where the last one was left unfinished")
    where = verb.add_argument_group("where cells boot")
    where.add_argument(
        "--executor",
        default="processes",
        metavar="WHERE",
        help="dask://HOST:PORT: on the workers of that scheduler; default: processes, on this host",
    )
    _keys(where)
    where.add_argument(
        "--shared", type=Path, metavar="FOLDER", help="images and evidence travel in it, and not over HTTP"
    )
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
    again.add_argument(
        "--bisect-minutes", type=_count, default=60, metavar="N",
        help="look for the layer at fault of what got worse for at most so long a night; 0: do not; default: 60",
    )  # fmt: skip
    itself = verb.add_argument_group("nights that come by themselves")
    itself.add_argument(
        "--install", action="store_true", help="have systemd run this night: write a timer and a service"
    )
    itself.add_argument("--print", action="store_true", help="with --install: print them instead")
    itself.add_argument(
        "--at", metavar="TIME", help="with --install: when, as systemd.time(7); default: *-*-* 02:00:00"
    )
    whose = itself.add_mutually_exclusive_group()
    whose.add_argument(
        "--system", dest="manager", action="store_const", const="system", help="for the system; default for root"
    )
    whose.add_argument(
        "--user", dest="manager", action="store_const", const="user", help="for this user; default for all others"
    )
    itself.add_argument(
        "--late", type=_count, metavar="HOURS", help="try nothing; tell whether none has come for so long (status 3)"
    )
    seen = verb.add_argument_group("the nights in a browser")
    seen.add_argument(
        "--serve", action="store_true", help="try nothing; serve the nights' pages, anew as nights go on, until Ctrl-C"
    )
    seen.add_argument("--address", metavar="ADDRESS", help="with --serve: of this host; default: 127.0.0.1")
    seen.add_argument(
        "--http-port", type=_count, metavar="PORT", help="with --serve; default: 8090; 0: any that is free"
    )
    common.showing(verb)


def worker_options(verb: Parser) -> None:
    """Of `metallize worker`."""
    verb.add_argument("scheduler", nargs="?", metavar="SCHEDULER", help="HOST:PORT of a scheduler of dask.distributed")
    _keys(verb)
    verb.add_argument(
        "--folder", type=Path, metavar="FOLDER", help="for images and work; default: ~/.cache/metallize/fleet"
    )
    verb.add_argument(
        "--cache",
        type=_size,
        default=20 << 30,
        metavar="SIZE",
        help="images take no more of it than this; default: 20G",
    )
    verb.add_argument(
        "--shared", type=Path, metavar="FOLDER",
        help="where the folder of nightly --shared is here; default: where it is on the night's host",
    )  # fmt: skip
    verb.add_argument("--make-keys", type=Path, metavar="FOLDER", help="make the keys of a fleet, and boot nothing")
    common.showing(verb)


def doctor_options(verb: Parser) -> None:
    """Of `metallize doctor`."""
    verb.add_argument(
        "--fleet", metavar="SCHEDULER", help="HOST:PORT: who of its workers can boot what, and what no worker can"
    )
    _keys(verb)


def matrix_options(verb: Parser) -> None:
    """Of `metallize matrix`."""
    _which_cells(verb)
    verb.add_argument(
        "--format",
        type=Format,
        choices=tuple(Format),
        default=Format.TABLE,
        help="github: for strategy.matrix; gitlab: a child pipeline; default: table",
    )
    group = verb.add_argument_group("the boots")
    common.machines(group)
    common.build_dir(verb, "build, whose history says how long each takes")
    common.of_a_profile(verb, outputs=False)


def _which_cells(verb: Parser) -> None:
    verb.add_argument("profiles", nargs="*", type=Path, metavar="PROFILE", help="default: every shipped profile")
    verb.add_argument(
        "--tag", dest="tags", action="append", default=[], metavar="TAG",
        help="only cells that have it: a generator, format, architecture, firmware or machine; may be repeated",
    )  # fmt: skip
    verb.add_argument(
        "--since", metavar="REV", help="only cells whose image, or what is asked of it, is another than in this commit"
    )


def _keys(verb: Group) -> None:
    verb.add_argument(
        "--keys",
        type=Path,
        metavar="FOLDER",
        help="of the fleet (worker --make-keys); off the loopback there must be some",
    )


def _size(text: str) -> int:
    from metallize.model.scalars import parse_size  # noqa: PLC0415 - the schema of profiles comes with it

    try:
        return parse_size(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"`{text}`: {exc}") from None


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS):
        raise argparse.ArgumentTypeError(f"`{text}` is no number")
    return int(text)


_DIGITS = 5
