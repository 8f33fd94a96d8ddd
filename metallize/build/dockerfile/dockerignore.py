"""Which files of a build context do not exist for the build: .dockerignore, by Docker's own rules.

They are not git's, so pathspec does not serve: a pattern is anchored at the context's root, `!` brings files back from
a folder that is left out, `#` begins a comment in the first column alone. Source: Docker's documentation, "Build
context" (.dockerignore files); Go's path.Match for wildcards.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from metallize.errors import MetallizeError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    expression: re.Pattern[str]
    returns: bool
    """`!`: what it matches is there after all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """The rules of one ignore file, in their order: the last one that matches a path or a folder above it decides."""

    rules: tuple[_Rule, ...] = ()

    @property
    def returns(self) -> bool:
        """Whether it may bring something back from a folder that is left out."""
        return any(rule.returns for rule in self.rules)

    def __contains__(self, path: str) -> bool:
        """Whether a path, relative to the context and with `/`, is left out."""
        parts = path.split("/")
        above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        left_out = False
        for rule in self.rules:
            if rule.returns == left_out and any(rule.expression.fullmatch(each) for each in above):
                left_out = not rule.returns
        return left_out


def ignore_file(dockerfile: Path, context: Path) -> Path | None:
    """NAME.dockerignore beside the dockerfile, else .dockerignore at the context's root, as BuildKit chooses."""
    candidates = (dockerfile.with_name(f"{dockerfile.name}.dockerignore"), context / ".dockerignore")
    return next((path for path in candidates if path.is_file()), None)


def read_ignored(path: Path | None) -> Ignored:
    """The rules of an ignore file. Raises MetallizeError, with the line, where one is no pattern."""
    if path is None:
        return Ignored()
    try:
        text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as exc:
        raise MetallizeError(f"{path}: cannot be read: {exc.strerror}") from exc
    rules = []
    for number, line in enumerate(text.split("\n"), start=1):
        pattern = "" if line.startswith("#") else line.strip()
        if not pattern:
            continue
        try:
            rules.append(_rule(pattern))
        except ValueError as exc:
            raise MetallizeError(
                f"{path}:{number}: {pattern!r} is no pattern: {exc}", hint="see Docker's page on .dockerignore"
            ) from exc
    return Ignored(rules=tuple(rules))


def excluded(patterns: Iterable[str]) -> Ignored:
    """The rules of `--exclude` flags. A pattern that is none matches nothing: BuildKit refuses it."""
    rules = []
    for pattern in patterns:
        try:
            rules.append(_rule(pattern))
        except ValueError:
            continue
    return Ignored(rules=tuple(rules))


def _rule(pattern: str) -> _Rule:
    returns = pattern.startswith("!")
    pattern = pattern.removeprefix("!").strip()
    if returns and not pattern:
        raise ValueError("nothing follows the !")
    clean = posixpath.normpath(pattern)
    clean = re.sub("^/+", "", clean) or "/"
    return _Rule(expression=re.compile(wildcards(clean, deep=True), re.DOTALL), returns=returns)


def wildcards(pattern: str, *, deep: bool) -> str:
    """A pattern of Go's path.Match as a regular expression; `**` stands for any number of folders where `deep`.

    Raises ValueError for a pattern that path.Match refuses.
    """
    return "".join(_wildcards(pattern, deep=deep))


def _wildcards(pattern: str, *, deep: bool) -> Iterator[str]:
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*" and deep and pattern.startswith("*", at):
            at += 1 + pattern.startswith("/", at + 1)
            yield ".*" if at >= len(pattern) else "(?:.*/)?"
        elif char == "*":
            yield "[^/]*"
        elif char == "?":
            yield "[^/]"
        elif char == "[":
            group, at = _group(pattern, at)
            yield group
        elif char == "\\":
            if at >= len(pattern):
                raise ValueError("it ends with an escape")
            yield re.escape(pattern[at])
            at += 1
        else:
            yield re.escape(char)


def _group(pattern: str, at: int) -> tuple[str, int]:
    """A bracket expression, `[` taken: ranges, `^` for all others, an escape before a character that is meant."""
    negated = pattern.startswith("^", at)
    at += negated
    ranges: list[str] = []
    while not (pattern.startswith("]", at) and ranges):
        low, at = _member(pattern, at)
        high = low
        if pattern.startswith("-", at):
            high, at = _member(pattern, at + 1)
        if low <= high:
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            raise ValueError(f"the range {low}-{high} is empty")
    return f"[{'^/' if negated else ''}{''.join(ranges)}]", at + 1


def _member(pattern: str, at: int) -> tuple[str, int]:
    escaped = pattern.startswith("\\", at)
    at += escaped
    char = pattern[at : at + 1]
    if not char or (char in "-]" and not escaped):
        raise ValueError("its bracket is not closed")
    return char, at + 1


def relative(path: Path, root: Path) -> str:
    """A path below the root as patterns see it."""
    return os.fsdecode(path.relative_to(root).as_posix())
