"""Every regular expression that meets what a guest prints takes time that is linear in it.

The expressions are found, not listed: those of the rules, of modules, and those that are written where they are used.
"""

from __future__ import annotations

import ast
import importlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import metallize
from metallize.console.rules import Scanner, built_in_rules
from metallize.model.boot import ConsoleRules
from tests.linear import LONG, MOST_WAYS, TOO_LONG, WAYS, attacks, slowest

PACKAGE = Path(metallize.__file__).parent
ROOMS = ("checks", "console", "qemu", "shells", "verify")
FLAGS = {"MULTILINE": re.MULTILINE, "DOTALL": re.DOTALL, "VERBOSE": re.VERBOSE, "IGNORECASE": re.IGNORECASE}


def of_rules() -> Iterator[tuple[str, re.Pattern[str]]]:
    for rule in built_in_rules():
        for pattern in (rule.pattern, rule.stamped):
            assert pattern is None or isinstance(pattern, re.Pattern)
            if pattern is not None:
                yield rule.id, pattern


def of_modules() -> Iterator[tuple[str, re.Pattern[str]]]:
    for file in sorted(file for room in ROOMS for file in (PACKAGE / room).rglob("*.py")):
        name = ".".join(("metallize", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        for constant, value in vars(importlib.import_module(name)).items():
            if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
                yield f"{name}.{constant}", value
            elif file.parent.name == "shells" and isinstance(value, str) and re.fullmatch(r"_[A-Z_]+", constant):
                yield f"{name}.{constant}", re.compile(value if _is_expression(value) else re.escape(value))
        yield from (_written(name, call) for call in ast.walk(ast.parse(file.read_text())) if _is_search(call))


def _is_expression(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True


def _is_search(node: ast.AST) -> bool:
    function = node.func if isinstance(node, ast.Call) and node.args else None
    return (
        isinstance(function, ast.Attribute)
        and ast.unparse(function.value) == "re"
        and function.attr not in {"compile", "escape"}
        and isinstance(node.args[0], ast.Constant | ast.JoinedStr)  # type: ignore[attr-defined]  # a call, as above
        and not isinstance(getattr(node.args[0], "value", ""), bytes)  # type: ignore[attr-defined]
    )


def _written(module: str, call: ast.AST) -> tuple[str, re.Pattern[str]]:
    assert isinstance(call, ast.Call)
    first, *rest = call.args
    parts = first.values if isinstance(first, ast.JoinedStr) else [first]
    source = "".join(part.value if isinstance(part, ast.Constant) else "22" for part in parts)  # type: ignore[misc]
    flags = sum(flag for name, flag in FLAGS.items() for argument in rest if name in ast.unparse(argument))
    method = ast.unparse(call.func)
    return f"{module}:{call.lineno}", re.compile(f"^{source}" if "match" in method else source, flags)


PATTERNS = {pattern: name for name, pattern in (*of_rules(), *of_modules())}


def test_the_expressions_are_found() -> None:
    names = set(PATTERNS.values())
    assert {"kernel-panic", "metallize.shells.login._CLOSED", "metallize.console.stages._SPAN"} <= names
    assert any(name.startswith("metallize.verify.why.ssh:") for name in names)
    assert len(names) > 150


@pytest.mark.slow
@pytest.mark.parametrize("most", [WAYS, pytest.param(MOST_WAYS, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("pattern", PATTERNS, ids=PATTERNS.values())
def test_four_times_the_text_takes_about_four_times_as_long(pattern: re.Pattern[str], most: int) -> None:
    ratio, text = slowest(pattern, most)
    assert ratio < TOO_LONG, f"/{pattern.pattern}/ against {text!r}..."


@pytest.mark.slow
@pytest.mark.parametrize(
    "quadratic", [r"[^\n]*account has expired", r"\d+ms", r"a +(.*) b", r"^(?:\s*boot: ?)+$", r"^(a+)+$"]
)
def test_what_is_not_linear_is_found_out(quadratic: str) -> None:
    assert slowest(re.compile(quadratic))[0] >= TOO_LONG
    assert all(len(text) <= LONG + 1 and "\n" not in text for text in attacks(quadratic, LONG))


def test_a_flood_is_cheap() -> None:
    line = "[    1.234567] some kernel line of ordinary length that is printed again and again\n"
    scanner = Scanner(ConsoleRules(forbid=("nothing like that",)))
    begun = time.process_time()
    for _ in range(25_000_000 // 65_536):
        scanner.scan(line * (65_536 // len(line)))
    assert time.process_time() - begun < 4
