"""README.md and CONTRIBUTING.md as data: the files that they show, and the commands that they name."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.conftest import ROOT

_FILE = re.compile(r"`(?P<name>[^`\s]+)`:\n\n```\w+\n(?P<content>.*?)^```$", re.DOTALL | re.MULTILINE)
_BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<content>.*?)^```$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`([^`]+)`")
_INDENTED = re.compile(r"^ {4}(\S.*)$", re.MULTILINE)


def section(document: str, title: str) -> str:
    """What stands below a heading of the second level, up to the next one."""
    below = f"\n{(ROOT / document).read_text()}".partition(f"\n## {title}\n")[2]
    assert below, f"{document} has no section `{title}`"
    return below.partition("\n## ")[0]


def files(text: str) -> dict[str, str]:
    """The files that a text shows, by the name that ends the line above each."""
    return {match["name"]: match["content"] for match in _FILE.finditer(text)}


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks in a language."""
    return [match["content"] for match in _BLOCK.finditer(text) if match["language"] == language]


def commands(document: str) -> Iterator[str]:
    """Everything that a document tells people to type: lines of its sh blocks, indented lines, code in its prose."""
    text = (ROOT / document).read_text()
    for block in blocks(text, "sh"):
        yield from block.splitlines()
    prose = _BLOCK.sub("", text)
    yield from _INDENTED.findall(prose)
    for code in _CODE.findall(_INDENTED.sub("", prose)):
        yield " ".join(code.split())
