"""argparse as this command line wants it: errors are ours, commands stand in groups, modules are imported late."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from metallize.errors import UsageError

OTHERS = "Others"
"""The heading of commands that name no group."""


class Parser(argparse.ArgumentParser):
    """argparse, with its errors as ours, and the commands in groups."""

    commands: Mapping[str, Parser] = MappingProxyType({})
    """The parser of each command, by its name."""
    group: str = OTHERS
    summary: str = ""
    """What `metallize --help` says of the command."""

    def error(self, message: str) -> None:  # type: ignore[override]  # ends by raising
        raise UsageError(message, hint=f"{self.prog} --help")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """As argparse's, in our words: of an enum its own would show the members, and it never says what was meant."""
        if action.choices is None or value in action.choices:
            return
        from metallize.config.reading.suggest import did_you_mean  # noqa: PLC0415 - a command line that is right needs it not

        known = [str(choice) for choice in action.choices]
        hint = did_you_mean(str(value), known) or f"there is {', '.join(known)}"
        raise argparse.ArgumentError(action, f"invalid choice: '{value}' ({hint})")

    @property
    def options(self) -> tuple[str, ...]:
        """Every option that it takes, as it is written."""
        return tuple(self._option_string_actions)

    @property
    def actions(self) -> tuple[argparse.Action, ...]:
        """Everything that it takes, as argparse keeps it."""
        return tuple(self._actions)

    def groups(self) -> Iterator[tuple[str, tuple[Parser, ...]]]:
        """The headings with the commands that stand below each, in the order in which they were added."""
        headings = dict.fromkeys(command.group for command in self.commands.values())
        for heading in headings:
            yield heading, tuple(command for command in self.commands.values() if command.group == heading)

    def format_help(self) -> str:
        """The help as argparse makes it; of the whole command line, with its commands in groups."""
        if not self.commands:
            return super().format_help()
        formatter = self._get_formatter()
        formatter.add_usage("%(prog)s COMMAND ...", (), ())
        formatter.add_text(self.description)
        for heading, commands in self.groups():
            formatter.start_section(heading)
            for command in commands:
                formatter.add_argument(_line(command))
            formatter.end_section()
        formatter.start_section("Options")
        formatter.add_arguments(action for action in self._actions if action.option_strings)
        formatter.end_section()
        formatter.add_text(self.epilog)
        return formatter.format_help()


def _line(command: Parser) -> argparse.Action:
    """A command as an argument of the formatter's, which keeps the columns."""
    return argparse.Action([], dest="", nargs=0, metavar=command.prog.rpartition(" ")[2], help=command.summary)


@dataclass(frozen=True, slots=True)
class Later:
    """A function of a module of this package; the module is imported when it is needed."""

    module: str
    function: str

    def load(self) -> None:
        """Import the module."""
        importlib.import_module(f"metallize.commands.{self.module}")

    def __call__(self, options: argparse.Namespace) -> int:
        module = importlib.import_module(f"metallize.commands.{self.module}")
        status: int = getattr(module, self.function)(options)
        return status
