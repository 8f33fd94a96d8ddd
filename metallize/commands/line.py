"""The command line: the verbs and what they take. A verb's own module is imported when it is called."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from metallize import __version__
from metallize.commands import options as common
from metallize.commands.beginning import init_options
from metallize.commands.looking_line import logs_options, prune_options, regressions_options, runs_options
from metallize.commands.night_line import doctor_options, matrix_options, nightly_options, worker_options
from metallize.commands.parser import Later, Parser
from metallize.commands.ports import add_ports
from metallize.commands.release_line import VERBS, fetched_options, image_or_address, publish_options
from metallize.errors import ExitCode, UsageError
from metallize.report.ci_systems import System

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[Parser]  # noqa: SLF001 - add_subparsers returns it, and it has no public name

_DESCRIPTION = "Bootable OS images from Dockerfiles, proven to boot before anyone can publish them."
_EPILOG = """`metallize COMMAND --help` says what a command takes; `metallize man` prints the manual page.

exit status: 0 done or verified; 1 the image failed its boot assertions; 2 bad input;
3 the machinery broke (Docker, QEMU, disk, or a bug in metallize); 130 interrupted; 141 nobody read the output"""
_IMAGE_OR_PROFILE = "a profile's file, a shipped profile's name, or an image that anybody made"

MAKE = "Make an image"
PROVE = "Prove that it boots"
HAND_OUT = "Hand it out"
LOOK = "See what there is"
TEND = "Tend this host and your shell"


@cache
def parser() -> Parser:
    """The whole command line, which is asked more than once in a run."""
    top = Parser(
        prog="metallize", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--version", action="version", version=f"metallize {__version__}", help="print the version")
    verbs = top.add_subparsers(dest="verb", metavar="COMMAND", required=True)
    _add_making(verbs)
    _add_proving(verbs)
    _add_handing_out(verbs)
    _add_looking(verbs)
    _add_tending(verbs)
    top.commands = verbs.choices
    return top


def add(verbs: Verbs, group: str, name: str, run: Later, summary: str) -> Parser:
    """Add a command below a heading of the help."""
    command = verbs.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    command.group, command.summary = group, summary
    command.set_defaults(run=run)
    return command


def _add_making(verbs: Verbs) -> None:
    summary = "begin a folder with a profile, a layer, assertions and CI; with --dockerfile around an app's Dockerfile"
    init_options(add(verbs, MAKE, "init", Later("init", "init"), summary))
    build = add(verbs, MAKE, "build", Later("building", "build"), "build the image; with --verify boot it first")
    common.profile_argument(build)
    build.add_argument(
        "--verify", action="store_true", help="only an image that passes its boots reaches the build folder"
    )
    build.add_argument("--no-cache", action="store_true", help="build every layer again, and the bases made here")
    build.add_argument("--pull", action="store_true", help="ask the registries for newer base images")
    build.add_argument(
        "--check", action="store_true", help="build twice from nothing, and name each file that is not the same in both"
    )
    common.build_dir(build)
    common.of_a_profile(build)
    common.lent(build)
    common.judged(build, "the boots, with --verify")
    common.showing(build)
    plan = add(verbs, MAKE, "plan", Later("building", "plan"), "print the build as a shell script that does the same")
    common.profile_argument(plan)
    common.build_dir(plan)
    common.of_a_profile(plan)
    common.lent(plan)
    common.as_json(plan, "what is wrong with the profile, or the script,")
    summary = "build and verify, and again after each change, until Ctrl-C"
    watch = add(verbs, MAKE, "watch", Later("watch", "watch"), summary)
    common.profile_argument(watch)
    watch.add_argument("--no-verify", action="store_true", help="build only")
    common.build_dir(watch)
    common.of_a_profile(watch)
    common.lent(watch)
    common.judged(watch, "the boots", held=False)
    common.showing(watch)
    summary = "write the versions of the packages that a profile installs beside it, to hold every build to them"
    lock = add(verbs, MAKE, "lock", Later("locking", "lock"), summary)
    common.profile_argument(lock)
    lock.add_argument("--no-cache", action="store_true", help="build every layer again, with today's packages")
    common.build_dir(lock)
    common.of_a_profile(lock, outputs=False)
    common.lent(lock)
    common.showing(lock)
    base = add(verbs, MAKE, "base", Later("host", "base"), "make a base image from the distribution's own packages")
    base.add_argument("reference", metavar="REFERENCE", help="debian:trixie, ubuntu:24.04, ...")
    base.add_argument("--platform", choices=["linux/amd64", "linux/arm64"], help="default: the host's")
    common.showing(base)


def _add_proving(verbs: Verbs) -> None:
    summary = "boot an image that is there already, and judge it"
    verify = add(verbs, PROVE, "verify", Later("verifying", "verify"), summary)
    verify.add_argument("target", nargs="?", type=Path, metavar="PROFILE or IMAGE", help=_IMAGE_OR_PROFILE)
    verify.add_argument("--image", type=Path, metavar="FILE", help="the image, whatever it is called")
    common.build_dir(verify, "the profile's, else build; of an image, where its runs are kept")
    image = verify.add_argument_group("an image that no profile tells of")
    image.add_argument(
        "--assert", dest="assertions", type=Path, action="append", default=[], metavar="GOSS.yaml", help="assertions"
    )
    image.add_argument("--user", help="log in as this user")
    image.add_argument("--password", help="its password")
    image.add_argument("--steps", type=Path, metavar="STEPS.yaml", help="console steps: a list of {expect, send}")
    image.add_argument(
        "--update", type=Path, metavar="UPDATE.yaml", help="how the release before comes to it: what boot.update has"
    )
    image.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="PATTERN",
        help="a regular expression that a line of the console must match; may be repeated",
    )
    image.add_argument("--display", action="store_true", help="give it a VGA display, and keep a screenshot of that")
    image.add_argument(
        "--init",
        choices=["systemd", "other"],
        default="systemd",
        help="what runs as process 1; of one that is not systemd no unit is asked (default: systemd)",
    )
    common.internet(image)
    common.of_a_profile(verify)
    common.judged(verify, "the boots")
    common.showing(verify)
    summary = "boot it for a person: serial on the terminal, SSH command printed"
    boot = add(verbs, PROVE, "boot", Later("verifying", "boot"), summary)
    boot.add_argument("target", type=Path, metavar="PROFILE or IMAGE", help=_IMAGE_OR_PROFILE)
    add_ports(boot)
    common.internet(boot)
    common.machines(boot)
    common.build_dir(boot)
    common.of_a_profile(boot)
    common.verbose(boot)
    _add_held(verbs)
    summary = "build and verify every profile, keep the history, write its page"
    nightly_options(add(verbs, PROVE, "nightly", Later("nightly", "nightly"), summary))
    summary = "what a night would boot: each image on each machine, for people and for CI systems"
    matrix_options(add(verbs, PROVE, "matrix", Later("matrix", "matrix"), summary))
    summary = "boot cells of the nights that other hosts lead, for a scheduler of dask.distributed"
    worker_options(add(verbs, PROVE, "worker", Later("worker", "worker"), summary))
    summary = "what got worse in the latest night, since when and why"
    regressions_options(add(verbs, PROVE, "regressions", Later("history", "regressions"), summary))
    report = add(verbs, PROVE, "report", Later("history", "report"), "the nightlies' history as one HTML page")
    report.add_argument(
        "--annotations", type=System, choices=tuple(System), help="print what did not hold, as CI shows it beside lines"
    )
    report.add_argument(
        "--merge", action="append", type=Path, default=[], metavar="FOLDER",
        help="take in the history of another build folder first; may be repeated",
    )  # fmt: skip
    common.build_dir(report, "build")
    common.as_json(report)


def _add_held(verbs: Verbs) -> None:
    """The ways into a guest that is held."""
    summary = "log in over SSH to a guest that is held (--keep-running-on-failure)"
    ssh = add(verbs, PROVE, "ssh", Later("ssh", "ssh"), summary)
    ssh.add_argument("-c", "--command", metavar="COMMAND", help="run this, and end with its exit status")
    ssh.add_argument("--user", help="default: the profile's boot.ssh.user")
    summary = "the serial port of a guest that is held, on this terminal"
    shell = add(verbs, PROVE, "shell", Later("ssh", "shell"), summary)
    for verb in (ssh, shell):
        verb.add_argument(
            "target", nargs="?", metavar="PROFILE, IMAGE or RUN", help="whose guest; default: the only one there is"
        )
        verb.add_argument(
            "--machine", dest="machines", action="append", default=[], metavar="NAME", help="the one on this machine"
        )
        common.build_dir(verb)
        common.of_a_profile(verb, outputs=False)


def _add_handing_out(verbs: Verbs) -> None:
    publish = add(
        verbs, HAND_OUT, "publish", Later("publishing", "publish"), "ship a verified image; refuses any other"
    )
    common.profile_argument(publish)
    publish_options(publish)
    common.build_dir(publish)
    common.of_a_profile(publish)
    common.showing(publish)
    for name, run, summary, add_options in VERBS:
        verb = add(verbs, HAND_OUT, name, run, summary)
        add_options(verb)
        common.showing(verb)
    summary = "write an image to a card, stick or disk and read it back; without DEVICE: list what could be written to"
    flash = add(verbs, HAND_OUT, "flash", Later("flashing", "flash"), summary)
    flash.add_argument(
        "image", nargs="?", type=image_or_address, metavar="IMAGE or URL",
        help="an image file, or the address of a release's channel, or of a file in it",
    )  # fmt: skip
    flash.add_argument("device", nargs="?", type=Path, metavar="DEVICE", help="a disk (/dev/sdb) or a file")
    flash.add_argument("--yes", action="store_true", help="do not ask: everything on the device is lost")
    flash.add_argument("--any-disk", action="store_true", help="take and list also disks that are not removable")
    fetched_options(flash)
    common.showing(flash)
    summary = "hand out a network boot image over HTTP and TFTP; says who fetched what"
    serve = add(verbs, HAND_OUT, "serve", Later("serving", "serve"), summary)
    serve.add_argument("target", type=Path, metavar="IMAGE, FOLDER or PROFILE", help="what is handed out")
    serve.add_argument("--address", metavar="ADDRESS", help="of this host, to listen on; default: all of them")
    serve.add_argument("--http-port", type=_port, default=8080, metavar="PORT", help="default: 8080")
    serve.add_argument("--tftp-port", type=_port, default=69, metavar="PORT", help="default: 69, where firmware asks")
    serve.add_argument("--no-tftp", action="store_true", help="HTTP alone: another server hands out the boot loaders")
    serve.add_argument("--unverified", action="store_true", help="also what has not been seen to boot")
    common.build_dir(serve)
    common.of_a_profile(serve)
    common.as_json(serve)


def _port(text: str) -> int:
    """A port's number; 0 is any that is free."""
    if not text.isdecimal() or int(text) > _LAST_PORT:
        raise argparse.ArgumentTypeError(f"`{text}` is no port: it is a number from 0 to {_LAST_PORT}")
    return int(text)


_LAST_PORT = 65535


def _add_looking(verbs: Verbs) -> None:
    ls = add(verbs, LOOK, "ls", Later("looking", "ls"), "the images in the build folder: verdict, age, size")
    common.build_dir(ls, "build")
    common.as_json(ls, "each image")
    common.colour(ls)
    runs = add(
        verbs, LOOK, "runs", Later("looking", "runs"), "how boots went, the newest first, and where their logs are"
    )
    runs_options(runs)
    logs = add(
        verbs, LOOK, "logs", Later("looking", "logs"), "what the newest run printed: its console, or another file"
    )
    logs_options(logs)
    summary = "layers, generators, machines, assertion kinds, suites, profiles"
    listing = add(verbs, LOOK, "list", Later("catalogue", "list_all"), summary)
    common.extensions_dir(listing)
    common.as_json(listing, "each of them")
    explain = add(verbs, LOOK, "explain", Later("catalogue", "explain"), "what one of them is and takes")
    explain.add_argument("name", metavar="NAME", help="as `metallize list` has it")
    common.extensions_dir(explain)
    common.as_json(explain, "all of that")
    summary = "JSON Schema of a profile, for editors; with --write of every kind of file"
    schema = add(verbs, LOOK, "schema", Later("catalogue", "schema"), summary)
    schema.add_argument(
        "--write",
        nargs="?",
        type=Path,
        const=Path(".metallize"),
        metavar="FOLDER",
        help="into files; default: .metallize",
    )
    common.extensions_dir(schema)
    summary = "what this host has and lacks, each with the command that mends it"
    doctor = add(verbs, LOOK, "doctor", Later("host", "doctor"), summary)
    doctor_options(doctor)
    common.as_json(doctor, "each finding")


def _add_tending(verbs: Verbs) -> None:
    summary = "remove old runs, images that were kept aside, and layers that no image here stands on"
    prune_options(add(verbs, TEND, "prune", Later("tidying", "prune"), summary))
    summary = 'completion for your shell: eval "$(metallize completion bash)"'
    completion = add(verbs, TEND, "completion", Later("manual", "completion"), summary)
    completion.add_argument("shell", nargs="?", choices=["bash", "zsh"], help="default: the one of $SHELL")
    completion.add_argument("--names", choices=list(common.NAMES), help="print the names of these, one a line")
    common.extensions_dir(completion)
    add(verbs, TEND, "man", Later("manual", "man"), "the manual page, of troff: metallize man | man -l -")


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The command line as options. Raises UsageError, with the nearest command or option there is."""
    top = parser()
    known = top.commands
    if words and not words[0].startswith("-") and words[0] not in known:
        near = _nearest(words[0], known)
        hint = near if near and near.startswith("did you mean") else "metallize --help"  # there are too many to list
        raise UsageError(f"there is no command `{words[0]}`", hint=hint)
    options, rest = top.parse_known_args(words)
    if rest:
        raise _not_taken(rest[0], known[options.verb], known)
    return options


def _not_taken(word: str, verb: Parser, known: Mapping[str, Parser]) -> UsageError:
    """The error for a word that a verb has no use for."""
    name = word.partition("=")[0]
    hint = _nearest(name, verb.options) if word.startswith("-") else None
    others = [other for other, command in known.items() if name in command.options]
    if others:
        hint = f"it means something to {', '.join(others)}; see {verb.prog} --help"
    return UsageError(f"`{verb.prog}` does not take `{word}`", hint=hint or f"{verb.prog} --help")


def _nearest(word: str, words: Iterable[str]) -> str | None:
    from metallize.config.reading.suggest import did_you_mean  # noqa: PLC0415 - brings all that reads profiles along

    return did_you_mean(word, words)


def load(words: Sequence[str]) -> None:
    """Import all that a command line needs, as far as it can be known: nothing of it is run."""
    command = parser().commands.get(words[0]) if words else None
    later = command.get_default("run") if command is not None else None
    if isinstance(later, Later) and not {"-h", "--help"} & set(words):
        later.load()
        if command is not None and "--quiet" in command.options and sys.stderr is not None and sys.stderr.isatty():
            importlib.import_module("metallize.render.terminal")


def run(words: Sequence[str]) -> int:
    """Run one command; its exit status. Raises MetallizeError, and whatever else its verb raises."""
    if not words:
        sys.stdout.write(parser().format_help())
        return ExitCode.DONE
    options = parse(words)
    status: int = options.run(options)
    return status
