"""releases, promote, retract and pin: what is published, and what becomes of it. None of them builds anything."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import UTC, datetime

from metallize.commands.publishing import retention_of, serving_of
from metallize.commands.saying import err, out
from metallize.commands.shared import renderer_of
from metallize.errors import ExitCode
from metallize.release import curating
from metallize.release.channel.page import size_text
from metallize.release.curating import catalogues
from metallize.release.destinations import destination_at
from metallize.release.gpg import gpg_signer
from metallize.release.pointers import Sign
from metallize.release.spans import age_text
from metallize.render import JsonLines


def show(options: argparse.Namespace) -> int:
    """`metallize releases DEST`: the newest of each channel first."""
    destination = destination_at(options.destination)
    renderer = renderer_of(options)
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
    renderer = renderer_of(options)
    terms = curating.Terms(retention=retention_of(options), sign=_signer(options), serving=serving_of(options))
    with renderer:
        release = curating.promote(
            destination, options.version, renderer, terms, channel=options.channel, source=options.source
        )
    _tell(renderer, release.key, (options.channel,), "is offered in")
    return ExitCode.DONE


def retract(options: argparse.Namespace) -> int:
    """`metallize retract DEST VERSION`."""
    destination = destination_at(options.destination)
    renderer = renderer_of(options)
    terms = curating.Terms(sign=_signer(options), serving=serving_of(options))
    with renderer:
        done = curating.retract(destination, options.version, renderer, terms, why=options.why, channel=options.channel)
    _tell(renderer, options.version, done, "is no longer offered in")
    return ExitCode.DONE


def pin(options: argparse.Namespace) -> int:
    """`metallize pin DEST VERSION [--off]`."""
    destination = destination_at(options.destination)
    renderer = renderer_of(options)
    terms = curating.Terms(sign=_signer(options), serving=serving_of(options))
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
