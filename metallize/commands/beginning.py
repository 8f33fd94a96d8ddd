"""What `metallize init` takes; light, because every command line is parsed with it."""

from __future__ import annotations

import argparse
from pathlib import Path

from metallize.starting.answers import KINDS, Ci, Kind


def init_options(verb: argparse.ArgumentParser) -> None:
    """The options of `metallize init`."""
    verb.add_argument(
        "folder", nargs="?", type=Path, metavar="FOLDER", help="default: this one, or os beside a Dockerfile"
    )
    verb.add_argument("--dockerfile", type=Path, metavar="PATH", help="an app's Dockerfile, which stays as it is")
    verb.add_argument(
        "--context", type=Path, metavar="FOLDER", help="that app's build context; default: its Dockerfile's"
    )
    verb.add_argument("--name", help="of image, layer and service; default: the folder's")
    verb.add_argument("--kind", choices=list(Kind), help="; ".join(f"{kind}: {KINDS[kind][2]}" for kind in Kind))
    verb.add_argument(
        "--base", metavar="REFERENCE", help="what it stands on; default: the Dockerfile's, or debian:trixie"
    )
    verb.add_argument(
        "--watchdog",
        action=argparse.BooleanOptionalAction,
        help="start the app again when its HEALTHCHECK keeps failing",
    )
    verb.add_argument("--ci", choices=list(Ci), help="whose pipeline builds and verifies it; default: github")
    verb.add_argument("--yes", action="store_true", help="do not ask on a terminal either")
    verb.set_defaults(json=False)
