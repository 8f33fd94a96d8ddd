"""completion and man: the command line as a shell and as a reader of manuals want it, made of the parser itself."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import shtab

from metallize import __version__
from metallize.catalog import Catalog
from metallize.commands import line
from metallize.commands.parser import Parser
from metallize.commands.saying import out
from metallize.commands.shared import catalog_of
from metallize.errors import ExitCode, UsageError
from metallize.release.destinations import schemes
from metallize.report.runs import find_runs

_KINDS = {
    "profile": "file_profiles",
    "profiles": "file_profiles",
    "target": "file_targets",
    "machines": "machines",
    "to": "destinations",
    "destination": "destinations",
    "NAME of explain": "all",
    "NAME of runs": "runs",
    "NAME of logs": "runs",
}
"""Of what takes names: which. Where a path may stand too, shtab's Bash looks for `_file` in the function's name."""
_FILES = frozenset({"image", "before", "after", "sign_key"})
"""What may be a path, beside all that is one by its type."""
_FOLDER = "FOLDER"
"""What the help calls a path of a folder."""
_ANY_FILE = {"bash": "_shtab_compgen_files", "zsh": "_files"}
_ANY_FOLDER = {"bash": "_shtab_compgen_dirs", "zsh": "_files -/"}
_BASH = """
_metallize_names() {
  local IFS=$'\\n'
  compgen -W "$("${COMP_WORDS[0]}" completion --names "$1" 2>/dev/null)" -- "$2"
}
_metallize_file_profiles() { _metallize_names profiles "$1"; compgen -f -X '!*.y*ml' -- "$1"; compgen -d -- "$1"; }
_metallize_file_targets() { _metallize_names profiles "$1"; compgen -f -- "$1"; }
_metallize_machines() { _metallize_names machines "$1"; }
_metallize_layers() { _metallize_names layers "$1"; }
_metallize_all() { _metallize_names all "$1"; }
_metallize_runs() { _metallize_names runs "$1"; }
_metallize_destinations() { _metallize_names destinations "$1"; compgen -d -- "$1"; }
"""
_ZSH = """
_metallize_names() {
  local -a names
  names=("${(@f)$("${_comp_command1:-metallize}" completion --names "$1" 2>/dev/null)}")
  compadd -a names
}
_metallize_file_profiles() { _metallize_names profiles; _files -g '*.y(a|)ml' }
_metallize_file_targets() { _metallize_names profiles; _files }
_metallize_machines() { _metallize_names machines }
_metallize_layers() { _metallize_names layers }
_metallize_all() { _metallize_names all }
_metallize_runs() { _metallize_names runs }
_metallize_destinations() { _metallize_names destinations; _files -/ }
"""


def completion(options: argparse.Namespace) -> int:
    """`metallize completion [bash|zsh]`: the script that completes commands, options and names."""
    if options.names:
        if options.shell:
            raise UsageError("--names means nothing beside a shell", hint="leave one out")
        for name in names(options.names, catalog_of(options)):
            out(name)
        return ExitCode.DONE
    if options.extensions_dir:
        raise UsageError("--extensions-dir goes with --names", hint="leave it out: it is asked for when you complete")
    shell = options.shell or Path(os.environ.get("SHELL", "")).name
    if shell not in ("bash", "zsh"):
        raise UsageError(f"no completion for {shell or 'an unknown shell'}", hint="metallize completion bash, or zsh")
    top = line.parser()
    for verb, command in top.commands.items():
        for action in command.actions:
            _complete(verb, action)
    sys.stdout.write(shtab.complete(top, shell=shell, preamble=_BASH if shell == "bash" else _ZSH))
    return ExitCode.DONE


def _complete(verb: str, action: argparse.Action) -> None:
    """Say on an action how its value is completed: shtab looks for it there."""
    kind = _KINDS.get(f"NAME of {verb}" if action.dest == "name" else action.dest)
    how = {"bash": f"_metallize_{kind}", "zsh": f"_metallize_{kind}"} if kind else None
    if action.metavar == _FOLDER:
        how = _ANY_FOLDER
    elif how is None and (action.dest in _FILES or action.type is Path):
        how = _ANY_FILE
    if how is not None:
        action.complete = how  # type: ignore[attr-defined]  # shtab's way


def names(kind: str, catalog: Catalog) -> Iterator[str]:
    """The names of a kind, for whoever completes them."""
    match kind:
        case "profiles":
            yield from catalog.profiles
        case "machines":
            yield from catalog.machines
        case "layers":
            yield from dict.fromkeys([*catalog.layer_names(beside=Path.cwd()), *catalog.layers])
        case "destinations":
            yield from (f"{each}://" for each in schemes())
        case "runs":
            yield from dict.fromkeys(run.profile for run in find_runs(Path("build")))
        case _:
            for group in (catalog.profiles, catalog.layers, catalog.generators, catalog.machines, catalog.kinds):
                yield from group
            yield from catalog.suites


# --- the manual page -------------------------------------------------------------------------------------------------


def man(options: argparse.Namespace) -> int:
    """The manual page on standard output, with every command and option."""
    del options  # it takes none
    sys.stdout.write(manual_page(line.parser()))
    return ExitCode.DONE


def manual_page(top: Parser) -> str:
    """The manual page of a command line; pure, and the same for the same parser."""
    lines = [
        f'.TH METALLIZE 1 "" "metallize {__version__}" "User Commands"',
        ".SH NAME",
        f"metallize \\- {_text((top.description or '').rstrip('.'))}",
        ".SH SYNOPSIS",
        ".B metallize",
        r"\fICOMMAND\fR [\fIOPTIONS\fR]",
    ]
    for heading, commands in top.groups():
        lines.append(f".SH {_text(heading.upper())}")
        for command in commands:
            lines += _command(command)
    lines += [".SH EXIT STATUS"]
    status = (top.epilog or "").partition("exit status:")[2]
    lines.append(_text(" ".join(status.split())))
    lines += [".SH ENVIRONMENT"]
    for name, what in _ENVIRONMENT.items():
        lines += [".TP", f".B {name}", _text(what)]
    return "\n".join(lines) + "\n"


_ENVIRONMENT = {
    "DOCKER_HOST": "Where the Docker engine listens; else the docker command's context, else the usual socket.",
    "METALLIZE_CPUS": "How many CPUs a guest has whose profile does not say.",
    "METALLIZE_DEBIAN_MIRROR": "Where bases of Debian are made from: an address, or a line of sources.list(5).",
    "METALLIZE_DEBIAN_SNAPSHOT": "The same for base.snapshot of a profile, with {date} in place of the date.",
    "METALLIZE_GUESTS": "How many guests run at once on this host.",
    "METALLIZE_UBUNTU_MIRROR": "As METALLIZE_DEBIAN_MIRROR, for Ubuntu.",
    "METALLIZE_UBUNTU_SNAPSHOT": "As METALLIZE_DEBIAN_SNAPSHOT, for Ubuntu.",
    "NO_COLOR": "No colour, where --color does not say otherwise.",
    "SOURCE_DATE_EPOCH": "The time that an image's files carry, in seconds since 1970.",
}


def _command(command: Parser) -> Iterable[str]:
    yield f".SS {_text(command.prog)}"
    yield _text(command.description or "")
    positional = [action for action in command.actions if not action.option_strings]
    words = " ".join(_argument(action) for action in positional)
    if words:
        yield ".PP"
        yield rf"\fB{_text(command.prog)}\fR [\fIOPTIONS\fR] {words}"
    for action in (*positional, *(each for each in command.actions if each.option_strings)):
        if action.dest == "help":
            continue
        yield ".TP"
        yield ", ".join(_written(action))
        yield _text(action.help or "")


def _argument(action: argparse.Action) -> str:
    name = rf"\fI{_text(_metavar(action))}\fR"
    name = f"{name} ..." if action.nargs == "*" else name
    return f"[{name}]" if action.nargs in ("?", "*") else name


def _written(action: argparse.Action) -> Iterator[str]:
    """How an argument is written, once for each of its spellings."""
    if not action.option_strings:
        yield rf"\fI{_text(_metavar(action))}\fR"
    for option in action.option_strings:
        value = "" if action.nargs == 0 else rf" \fI{_text(_metavar(action))}\fR"
        yield rf"\fB{_text(option)}\fR{value}"


def _metavar(action: argparse.Action) -> str:
    if action.choices is not None and action.metavar is None:
        return "|".join(str(choice) for choice in action.choices)
    return str(action.metavar or action.dest.upper())


def _text(text: str) -> str:
    """Text as troff takes it: groff_char(7), and no line that begins as a request does."""
    safe = text.replace("\\", "\\e").replace("-", "\\-").replace("%%", "%")
    return f"\\&{safe}" if safe.startswith((".", "'")) else safe
