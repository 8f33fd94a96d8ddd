"""diff: what is otherwise in one image, or release, than in another."""

from __future__ import annotations

import argparse
from pathlib import Path

from metallize.commands.saying import err, out
from metallize.commands.shared import renderer_of
from metallize.errors import ExitCode, UsageError
from metallize.release.destinations import destination_at
from metallize.release.difference import Difference, Side, difference
from metallize.release.sides import side_of_file, sides_of_release
from metallize.render import JsonLines


def diff(options: argparse.Namespace) -> int:
    """`metallize diff A B`, the status is 0 whatever differs."""
    if options.destination is None:
        if options.channel is not None:
            raise UsageError("--channel goes with --in", hint="--in DEST, where the releases are")
        pairs = [(side_of_file(Path(options.before)), side_of_file(Path(options.after)))]
    else:
        destination = destination_at(options.destination)
        before, after = (
            sides_of_release(destination, version, options.channel) for version in (options.before, options.after)
        )
        pairs = [(before[name], after[name]) for name in before if name in after]
        alone = [f"{name} is in {options.before} only" for name in before if name not in after]
        alone += [f"{name} is in {options.after} only" for name in after if name not in before]
        if not pairs:
            raise UsageError(
                f"{options.before} and {options.after} have no image in common: {'; '.join(alone)}",
                hint="name two manifests",
            )
        for line in alone:
            err(line)
    renderer = renderer_of(options)
    for one, other in pairs:
        found = _compared(one, other)
        if isinstance(renderer, JsonLines):
            renderer.write({"event": "difference", **found.as_json()})
            continue
        for line in found.lines():
            out(line)
    return ExitCode.DONE


def _compared(one: Side, other: Side) -> Difference:
    try:
        return difference(one, other)
    except (ValueError, TypeError) as exc:
        raise UsageError(f"{one.name} and {other.name} cannot be compared: {exc}") from exc
