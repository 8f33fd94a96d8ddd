"""releases, promote, retract and pin: what is published, and what becomes of it. None of them builds anything."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime

from metallize.commands.publishing import add_change_options, retention_of
from metallize.commands.shared import err, out
from metallize.errors import ExitCode
from metallize.release import catalogues, curating, destination_at, gpg_signer
from metallize.release.page import size_text
from metallize.release.pointers import Sign
from metallize.release.spans import age_text
from metallize.render import JsonLines, choose


def _releases_options(verb: argparse.ArgumentParser) -> None:
    _destination(verb)
    verb.set_defaults(run=show)


def _promote_options(verb: argparse.ArgumentParser) -> None:
    _release(verb)
    verb.add_argument("--channel", required=True, metavar="NAME", help="where it is offered from now on too")
    verb.add_argument("--from", dest="source", metavar="NAME", help="the channel that has it; default: whichever does")
    add_change_options(verb)
    verb.set_defaults(run=promote)


def _retract_options(verb: argparse.ArgumentParser) -> None:
    _release(verb)
    verb.add_argument("--channel", metavar="NAME", help="this one alone; default: all that have it")
    verb.add_argument("--why", default="retracted", metavar="TEXT", help="is shown to whoever looks for it")
    add_change_options(verb, retention=False)
    verb.set_defaults(run=retract)


def _pin_options(verb: argparse.ArgumentParser) -> None:
    _release(verb)
    verb.add_argument("--channel", metavar="NAME", help="this one alone; default: all that have it")
    verb.add_argument("--off", action="store_true", help="let retention take it away again")
    add_change_options(verb, retention=False)
    verb.set_defaults(run=pin)


VERBS: tuple[tuple[str, str, Callable[[argparse.ArgumentParser], None]], ...] = (
    ("releases", "what is published: channels, versions, sizes, where each passed, ages", _releases_options),
    ("promote", "offer a release in another channel too: the same bytes, no new build", _promote_options),
    ("retract", "offer a release no longer; its files stay for another day", _retract_options),
    ("pin", "have a release stay, whatever --keep and --keep-for say", _pin_options),
)
"""Name, help and options of each."""


def _destination(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("destination", metavar="DEST", help="where it was published to")


def _release(verb: argparse.ArgumentParser) -> None:
    _destination(verb)
    verb.add_argument("version", metavar="VERSION", help="20261130.1, or with its name: web_20261130.1")


def show(options: argparse.Namespace) -> int:
    """`metallize releases DEST`: the newest of each channel first."""
    destination = destination_at(options.destination)
    renderer = choose(as_json=options.json, verbose=options.verbose)
    now = datetime.now(UTC)
    found = catalogues(destination)
    for catalogue in found:
        for release in catalogue.releases:
            if isinstance(renderer, JsonLines):
                renderer.write({"event": "release", "channel": catalogue.channel, **asdict(release)})
                continue
            machines = sorted({machine for image in release.images for machine in image.machines})
            pinned = ", pinned" if release.pinned else ""
            out(
                f"{catalogue.channel:10} {release.key}  {size_text(release.size_bytes)}  "
                f"passed on {', '.join(machines)}  {age_text(now, release.published)}{pinned}"
            )
        for gone in catalogue.gone:
            if isinstance(renderer, JsonLines):
                renderer.write({"event": "gone", "channel": catalogue.channel, **asdict(gone)})
            else:
                out(f"{catalogue.channel:10} {gone.key}  no longer there: {gone.why}, {age_text(now, gone.since)}")
    if not any(catalogue.releases for catalogue in found):
        err(f"nothing is released in {destination.place}")
    return ExitCode.DONE


def promote(options: argparse.Namespace) -> int:
    """`metallize promote DEST VERSION --channel NAME`."""
    destination = destination_at(options.destination)
    renderer = choose(as_json=options.json, verbose=options.verbose)
    terms = curating.Terms(retention=retention_of(options), sign=_signer(options))
    with renderer:
        release = curating.promote(
            destination, options.version, renderer, terms, channel=options.channel, source=options.source
        )
    _tell(renderer, release.key, (options.channel,), "is offered in")
    return ExitCode.DONE


def retract(options: argparse.Namespace) -> int:
    """`metallize retract DEST VERSION`."""
    destination = destination_at(options.destination)
    renderer = choose(as_json=options.json, verbose=options.verbose)
    terms = curating.Terms(sign=_signer(options))
    with renderer:
        done = curating.retract(destination, options.version, renderer, terms, why=options.why, channel=options.channel)
    _tell(renderer, options.version, done, "is no longer offered in")
    return ExitCode.DONE


def pin(options: argparse.Namespace) -> int:
    """`metallize pin DEST VERSION [--off]`."""
    destination = destination_at(options.destination)
    renderer = choose(as_json=options.json, verbose=options.verbose)
    terms = curating.Terms(sign=_signer(options))
    with renderer:
        done = curating.pin(
            destination, options.version, renderer, terms, pinned=not options.off, channel=options.channel
        )
    _tell(renderer, options.version, done, "is no longer pinned in" if options.off else "is pinned in")
    return ExitCode.DONE


def _signer(options: argparse.Namespace) -> Sign | None:
    return gpg_signer(options.gpg_key) if options.gpg_key is not None else None


def _tell(renderer: object, what: str, channels: tuple[str, ...], done: str) -> None:
    if isinstance(renderer, JsonLines):
        renderer.write({"event": "result", "release": what, "channels": list(channels)})
    else:
        out(f"{what} {done} {', '.join(channels)}")
