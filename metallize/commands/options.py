"""The options that several verbs take. Each verb takes those that mean something to it, and no other."""

from __future__ import annotations

import argparse
from pathlib import Path

OF_PROFILES = ("overrides", "arguments", "outputs", "extensions_dir")
"""What says something about a profile, and nothing about an image: the names argparse gives them."""


NAMES = ("profiles", "machines", "layers", "all", "runs", "destinations")
"""What `metallize completion --names` prints, for the completion of shells."""


def profile_argument(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("profile", type=Path, metavar="PROFILE", help="a profile's file, or a shipped profile's name")


def of_a_profile(verb: argparse.ArgumentParser, *, outputs: bool = True) -> None:
    """What changes a profile, and where its layers are."""
    group = verb.add_argument_group("the profile")
    group.add_argument(
        "--arg",
        dest="arguments",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an argument of the layers: short for --set args.NAME=VALUE",
    )
    group.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="any key: output.file=x.iso"
    )
    if outputs:
        group.add_argument(
            "--output", dest="outputs", action="append", default=[], metavar="FILE", help="only this one of `outputs`"
        )
    extensions_dir(group)


def lent(verb: argparse.ArgumentParser) -> None:
    """What whoever builds lends to the layers' builds."""
    group = verb.add_argument_group("lent to RUN --mount, and never in the image")
    group.add_argument(
        "--secret",
        dest="secrets",
        action="append",
        default=[],
        metavar="id=NAME,src=FILE",
        help="a secret, from a file, or from the environment: id=NAME,env=VARIABLE",
    )
    group.add_argument(
        "--ssh",
        action="append",
        default=[],
        metavar="ID[=SOCKET|KEY]",
        help="an SSH agent: default is the one that runs",
    )


def extensions_dir(verb: argparse._ActionsContainer) -> None:
    verb.add_argument("--extensions-dir", "--extensions_dir", type=Path, metavar="FOLDER", help="more layers")


def build_dir(verb: argparse.ArgumentParser, default: str = "the profile's, else build") -> None:
    verb.add_argument("--build-dir", type=Path, metavar="FOLDER", help=f"default: {default}")


def internet(verb: argparse._ActionsContainer, where: str = "") -> None:
    verb.add_argument(
        "--internet",
        action="store_true",
        help=f"{where}let the guest reach other networks, and this host's own services",
    )


def machines(verb: argparse._ActionsContainer) -> None:
    verb.add_argument(
        "--machine", dest="machines", action="append", default=[], metavar="NAME", help="only this machine"
    )
    verb.add_argument("--accel", choices=["auto", "kvm", "tcg"], default="auto", help="default: probed")


def judged(verb: argparse.ArgumentParser, title: str, *, held: bool = True) -> None:
    """What a boot that is judged takes."""
    group = verb.add_argument_group(title)
    machines(group)
    if held:
        group.add_argument(
            "--keep-running-on-failure", action="store_true", help="hold a failed guest and print how to reach it"
        )
    group.add_argument("--capture", action="store_true", help="keep every packet of the guest's network card: net.pcap")
    group.add_argument("--junitxml", type=Path, metavar="FILE", help="the verdicts of all machines as JUnit XML")


def as_json(verb: argparse._ActionsContainer, what: str = "events and results") -> None:
    verb.add_argument("--json", action="store_true", help=f"{what} as JSON lines on standard output")


def showing(verb: argparse.ArgumentParser) -> None:
    """How a verb that takes a while tells of itself."""
    group = verb.add_argument_group("what is shown")
    as_json(group)
    how_much = group.add_mutually_exclusive_group()
    verbose(how_much)
    how_much.add_argument("--quiet", "-q", action="store_true", help="only warnings, what failed, and the result")
    colour(group)


def verbose(verb: argparse._ActionsContainer) -> None:
    verb.add_argument("--verbose", "-v", action="store_true", help="every line that the tools print")


def colour(verb: argparse._ActionsContainer) -> None:
    verb.add_argument(
        "--color",
        dest="colour",
        choices=["auto", "always", "never"],
        default="auto",
        help="default: auto, where it is a terminal and NO_COLOR is not set",
    )
