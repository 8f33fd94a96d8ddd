"""What is written down where metallize itself breaks: the traceback, the versions and the command, with no secrets."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata

from metallize import __version__

_SECRET_OPTIONS = ("--password", "--set", "--arg")
_SHORTEST_OPTION = 3
"""argparse takes an option's beginning for it; `--` alone is none."""
_SHORTEST_SECRET = 3
"""What is shorter stands anywhere by chance: it is taken out of the command alone."""
HIDDEN = "***"
_PARTS = ("docker", "paramiko", "pydantic", "PyYAML", "qemu.qmp", "rich", "google-re2")


def without_secrets(words: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A command line with passwords and the values of --set hidden, and what was hidden; pure."""
    shown: list[str] = []
    secrets: list[str] = []
    option = ""
    for word in words:
        name, equals, value = word.partition("=")
        here = _option(name)
        if option:
            shown.append(_hidden(option, word, secrets))
            option = ""
        elif here and equals:
            shown.append(f"{name}={_hidden(here, value, secrets)}")
        else:
            shown.append(word)
            option = here
    return tuple(shown), tuple(secrets)


def _option(name: str) -> str:
    """The option with a secret that this may be short for; empty: none."""
    if len(name) < _SHORTEST_OPTION:
        return ""
    return next((option for option in _SECRET_OPTIONS if option.startswith(name)), "")


def _hidden(option: str, value: str, secrets: list[str]) -> str:
    key, equals, rest = value.partition("=") if option != "--password" and "=" in value else ("", "", value)
    secrets.append(rest)
    return f"{key}{equals}{HIDDEN}"


def hide(text: str, secrets: Sequence[str]) -> str:
    """The text without what is secret; pure."""
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, HIDDEN)
    return text


def report_text(error: BaseException, words: Sequence[str]) -> str:
    """All that whoever mends it needs to know."""
    shown, secrets = without_secrets(words)
    found = "".join(traceback.format_exception(error))
    lines = [
        f"metallize {__version__}, {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        f"Python {sys.version.split()[0]} on {platform.platform()}",
        ", ".join(f"{part} {_version(part)}" for part in _PARTS),
        f"command: metallize {' '.join(shown)}",
        "",
        hide(found, secrets),
    ]
    return "\n".join(lines)


def write(error: BaseException, words: Sequence[str]) -> str:
    """Write the report where temporary files are, for this user alone; its path. Raises OSError."""
    number, name = tempfile.mkstemp(prefix="metallize-bug-", suffix=".txt")  # mode 0600
    with os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(report_text(error, words))
    return name


def _version(part: str) -> str:
    try:
        return metadata.version(part)
    except metadata.PackageNotFoundError:
        return "(not installed)"
