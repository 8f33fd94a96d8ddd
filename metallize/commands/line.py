"""The command line: the verbs and what they take."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from metallize import __version__
from metallize.commands import (
    building,
    catalogue,
    flashing,
    history,
    host,
    release_line,
    serving,
    verifying,
)
from metallize.config.suggest import did_you_mean
from metallize.errors import UsageError
from metallize.serve.server import EVERYWHERE

_DESCRIPTION = "Bootable OS images from Dockerfiles, proven to boot before anyone can publish them."
_EPILOG = """exit status: 0 done or verified; 1 the image failed its boot assertions; 2 bad input;
3 the machinery broke (Docker, QEMU, disk, or a bug in metallize); 130 interrupted; 141 nobody read the output"""


class _Parser(argparse.ArgumentParser):
    """argparse, with its errors as ours."""

    commands: Mapping[str, _Parser] = MappingProxyType({})
    """The parser of each command, by its name."""

    def error(self, message: str) -> None:  # type: ignore[override]  # ends by raising
        raise UsageError(message, hint=f"{self.prog} --help")

    @property
    def options(self) -> tuple[str, ...]:
        """Every option that it takes, as it is written."""
        return tuple(self._option_string_actions)


def parser() -> _Parser:
    """The command line: PROFILE.md, Commands."""
    top = _Parser(
        prog="metallize", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--version", action="version", version=f"metallize {__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="COMMAND", required=True)
    _add_build(verbs)
    _add_publish(verbs)
    _add_verify(verbs)
    _add_flash(verbs)
    _add_serve(verbs)
    _add_nightly(verbs)
    _add_catalogue(verbs)
    top.commands = verbs.choices
    return top


def _add_build(verbs: argparse._SubParsersAction[_Parser]) -> None:
    build = verbs.add_parser("build", help="build the image; with --verify boot it first")
    _profile_argument(build)
    build.add_argument(
        "--verify", action="store_true", help="only an image that passes its boots reaches the build folder"
    )
    build.add_argument("--no-cache", action="store_true", help="build every layer again, and the bases made here")
    build.add_argument("--pull", action="store_true", help="ask the registries for newer base images")
    _common(build)
    _booting(build)
    _output_option(build)
    build.set_defaults(run=building.build)
    plan = verbs.add_parser("plan", help="print the build as a shell script that does the same")
    _profile_argument(plan)
    _common(plan)
    _output_option(plan)
    plan.set_defaults(run=building.plan)


def _add_publish(verbs: argparse._SubParsersAction[_Parser]) -> None:
    publish = verbs.add_parser("publish", help="ship a verified image; refuses any other")
    _profile_argument(publish)
    release_line.publish_options(publish)
    _common(publish)
    _output_option(publish)
    for name, what, add_options in release_line.VERBS:
        verb = verbs.add_parser(name, help=what)
        add_options(verb)
        verb.add_argument("--json", action="store_true", help="events and results as JSON lines on standard output")
        verb.add_argument("--verbose", "-v", action="store_true", help="every line that the tools print")


def _add_verify(verbs: argparse._SubParsersAction[_Parser]) -> None:
    verify = verbs.add_parser("verify", help="boot an image that is already built, and judge it")
    verify.add_argument("profile", nargs="?", type=Path, metavar="PROFILE")
    verify.add_argument("--image", type=Path, metavar="FILE", help="verify this image, whoever made it")
    verify.add_argument("--assert", dest="assertions", type=Path, action="append", default=[], metavar="GOSS.yaml")
    verify.add_argument("--user", help="log in as this user (with --image)")
    verify.add_argument("--password", help="its password")
    verify.add_argument(
        "--steps", type=Path, metavar="STEPS.yaml", help="console steps: a list of {expect, send} (with --image)"
    )
    verify.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="PATTERN",
        help="a regular expression that a line of the console must match; may be repeated (with --image)",
    )
    verify.add_argument(
        "--display", action="store_true", help="give it a VGA display, and keep a screenshot of that (with --image)"
    )
    verify.add_argument(
        "--init",
        choices=["systemd", "other"],
        default="systemd",
        help="what runs as process 1; of one that is not systemd no unit is asked (with --image; default: systemd)",
    )
    _internet(verify, "with --image: ")
    _common(verify)
    _booting(verify)
    _output_option(verify)
    verify.set_defaults(run=verifying.verify)
    boot = verbs.add_parser("boot", help="boot it for a person: serial on the terminal, SSH command printed")
    boot.add_argument("target", type=Path, metavar="PROFILE or IMAGE")
    _internet(boot)
    _common(boot)
    _booting(boot)
    _output_option(boot)
    boot.set_defaults(run=verifying.boot)


def _add_flash(verbs: argparse._SubParsersAction[_Parser]) -> None:
    flash = verbs.add_parser(
        "flash",
        help="write an image to a card, stick or disk and read it back; without DEVICE: list what could be written to",
    )
    flash.add_argument("image", nargs="?", type=Path, metavar="IMAGE")
    flash.add_argument("device", nargs="?", type=Path, metavar="DEVICE", help="a disk (/dev/sdb) or a file")
    flash.add_argument("--yes", action="store_true", help="do not ask: everything on the device is lost")
    flash.add_argument("--any-disk", action="store_true", help="take and list also disks that are not removable")
    _common(flash)
    flash.set_defaults(run=flashing.flash)


def _add_serve(verbs: argparse._SubParsersAction[_Parser]) -> None:
    serve = verbs.add_parser("serve", help="hand out a network boot image over HTTP and TFTP; says who fetched what")
    serve.add_argument("target", type=Path, metavar="IMAGE, FOLDER or PROFILE")
    serve.add_argument("--address", default=EVERYWHERE, help="of this host, to listen on; default: all of them")
    serve.add_argument("--http-port", type=_port, default=8080, metavar="PORT", help="default: 8080")
    serve.add_argument("--tftp-port", type=_port, default=69, metavar="PORT", help="default: 69, where firmware asks")
    serve.add_argument("--no-tftp", action="store_true", help="HTTP alone: another server hands out the boot loaders")
    serve.add_argument("--unverified", action="store_true", help="also what has not been seen to boot")
    _common(serve)
    _output_option(serve)
    serve.set_defaults(run=serving.serve)


def _port(text: str) -> int:
    """A port's number; 0 is any that is free."""
    if not text.isdecimal() or int(text) > _LAST_PORT:
        raise argparse.ArgumentTypeError(f"`{text}` is no port: it is a number from 0 to {_LAST_PORT}")
    return int(text)


_LAST_PORT = 65535


def _add_nightly(verbs: argparse._SubParsersAction[_Parser]) -> None:
    nightly = verbs.add_parser("nightly", help="build and verify every profile, keep the history, write its page")
    nightly.add_argument("profiles", nargs="*", type=Path, metavar="PROFILE", help="default: every shipped profile")
    nightly.add_argument("--no-cache", action="store_true", help="build every layer again, with today's packages")
    _common(nightly)
    _booting(nightly, held=False)
    nightly.set_defaults(run=history.nightly)
    report = verbs.add_parser("report", help="the nightlies' history as one HTML page")
    _common(report)
    report.set_defaults(run=history.report)


def _add_catalogue(verbs: argparse._SubParsersAction[_Parser]) -> None:
    listing = verbs.add_parser("list", help="layers, generators, machines, assertion kinds, suites, profiles")
    _common(listing)
    listing.set_defaults(run=catalogue.list_all)
    explain = verbs.add_parser("explain", help="what one of them is and takes")
    explain.add_argument("name", metavar="NAME")
    _common(explain)
    explain.set_defaults(run=catalogue.explain)
    schema = verbs.add_parser("schema", help="JSON Schema of a profile, for editors")
    _common(schema)
    schema.set_defaults(run=catalogue.schema)
    doctor = verbs.add_parser("doctor", help="what this host has and lacks, each with the command that mends it")
    _common(doctor)
    doctor.set_defaults(run=host.doctor)
    base = verbs.add_parser("base", help="make a base image from the distribution's own packages")
    base.add_argument("reference", metavar="REFERENCE", help="debian:trixie, ubuntu:24.04, ...")
    base.add_argument("--platform", choices=["linux/amd64", "linux/arm64"], help="default: the host's")
    _common(base)
    base.set_defaults(run=host.base)


def _profile_argument(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("profile", type=Path, metavar="PROFILE", help="a profile's file, or a shipped profile's name")


def _output_option(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--output", dest="outputs", action="append", default=[], metavar="FILE", help="only this one of `outputs`"
    )


def _internet(verb: argparse.ArgumentParser, where: str = "") -> None:
    verb.add_argument(
        "--internet",
        action="store_true",
        help=f"{where}let the guest reach other networks, and this host's own services",
    )


def _common(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="args.NAME=VALUE, output.file=...",
    )
    verb.add_argument("--build-dir", type=Path, metavar="FOLDER", help="default: the profile's, else build")
    verb.add_argument("--extensions-dir", "--extensions_dir", type=Path, metavar="FOLDER", help="more layers")
    verb.add_argument("--json", action="store_true", help="events and results as JSON lines on standard output")
    verb.add_argument("--verbose", "-v", action="store_true", help="every line that the tools print")


def _booting(verb: argparse.ArgumentParser, *, held: bool = True) -> None:
    verb.add_argument(
        "--machine", dest="machines", action="append", default=[], metavar="NAME", help="only this machine"
    )
    verb.add_argument("--accel", choices=["auto", "kvm", "tcg"], default="auto", help="default: probed")
    if held:
        verb.add_argument(
            "--keep-running-on-failure", action="store_true", help="hold a failed guest and print how to reach it"
        )
    verb.add_argument("--capture", action="store_true", help="keep every packet of the guest's network card: net.pcap")


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The command line as options. Raises UsageError, with the nearest command or option there is."""
    top = parser()
    known = top.commands
    if words and not words[0].startswith("-") and words[0] not in known:
        raise UsageError(f"there is no command `{words[0]}`", hint=did_you_mean(words[0], known) or "metallize --help")
    options, rest = top.parse_known_args(words)
    if rest:
        verb = known[options.verb]
        near = did_you_mean(rest[0].partition("=")[0], verb.options) if rest[0].startswith("-") else None
        raise UsageError(f"`{verb.prog}` does not take `{rest[0]}`", hint=near or f"{verb.prog} --help")
    return options


def run(words: Sequence[str]) -> int:
    """Run one command; its exit status. Raises MetallizeError, and whatever else its verb raises."""
    options = parse(words)
    status: int = options.run(options)
    return status
