"""worker: this host boots cells for the nights of others; and the keys of a fleet."""

from __future__ import annotations

import argparse
from pathlib import Path

from metallize.commands.saying import out
from metallize.commands.shared import renderer_of
from metallize.errors import ExitCode, UsageError
from metallize.files.cache import cache_folder
from metallize.night.fleet.keys import keys_in, make_keys
from metallize.night.fleet.link import place_of
from metallize.night.fleet.worker import Serving


def worker(options: argparse.Namespace) -> int:
    """`metallize worker SCHEDULER`, until it is interrupted; `metallize worker --make-keys FOLDER`."""
    if options.make_keys is not None:
        if options.scheduler is not None:
            raise UsageError("--make-keys boots nothing", hint="leave SCHEDULER out")
        keys = make_keys(options.make_keys)
        out(f"{keys.certificate} and {keys.key}: whoever has them is in the fleet")
        return ExitCode.DONE
    if options.scheduler is None:
        raise UsageError("whose worker it is to be is not said", hint="metallize worker HOST:PORT")
    folder: Path = options.folder or cache_folder() / "fleet"
    renderer = renderer_of(options)
    with renderer:
        Serving(
            place=place_of(options.scheduler.removeprefix("dask://")),
            keys=None if options.keys is None else keys_in(options.keys),
            folder=folder,
            cache_bytes=options.cache,
            events=renderer,
            shared=options.shared,
        ).run()
    return ExitCode.DONE
