"""A dockerfile as text: its instructions with their lines, the arguments it declares, the files it copies.

Only what a planner needs is read here; BuildKit remains the judge of the rest. Source: Dockerfile reference
(parser directives, line continuations, here-documents).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

RUNTIME_ONLY = ("CMD", "ENTRYPOINT", "ENV", "USER", "WORKDIR", "VOLUME", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL")
"""Instructions that configure a container and say nothing to an operating system that boots."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One instruction: its word in capitals, the rest on one line, and the line it starts on (from 1)."""

    word: str
    rest: str
    line: int

    @property
    def text(self) -> str:
        return f"{self.word} {self.rest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dockerfile:
    instructions: tuple[Instruction, ...]

    @property
    def arguments(self) -> frozenset[str]:
        """Names of all ARG instructions."""
        found: set[str] = set()
        for each in self.instructions:
            if each.word == "ARG":
                found.update(word.partition("=")[0] for word in _words(each.rest))
        return frozenset(found)

    @property
    def builds_on_source(self) -> bool:
        """Whether its last stage stands, directly or through its own stages, on METALLIZE_SRC_IMG."""
        stages: dict[str, bool] = {}
        standing = {"METALLIZE_SRC_IMG"}
        """ARGs that hold the image, by itself or as the default of another."""
        last = False
        for each in self.instructions:
            if each.word == "ARG":
                pairs = (word.partition("=") for word in _words(each.rest))
                standing |= {name for name, _, value in pairs if any(known in value for known in standing)}
            if each.word != "FROM":
                continue
            words = [word for word in each.rest.split() if not word.startswith("--")]
            image = words[0] if words else ""
            last = any(known in image for known in standing) or stages.get(image.lower(), False)
            if len(words) == 3 and words[1].upper() == "AS":  # noqa: PLR2004 - FROM image AS name
                stages[words[2].lower()] = last
        return last

    @property
    def needs_source(self) -> bool:
        """Whether it stands on METALLIZE_SRC_IMG and names no image to stand on where none is given."""
        own = any(re.search(r"\bMETALLIZE_SRC_IMG(?:=|:?-)", each.rest) for each in self.instructions)
        return self.builds_on_source and not own

    @property
    def runtime_only(self) -> tuple[Instruction, ...]:
        """Instructions of the last stage that mean nothing once the image boots."""
        start = max((i for i, each in enumerate(self.instructions) if each.word == "FROM"), default=0)
        return tuple(each for each in self.instructions[start:] if each.word in RUNTIME_ONLY)

    def context_sources(self) -> tuple[str, ...] | None:
        """Paths (with wildcards) that it reads from its build context; None where only a build could tell."""
        found: list[str] = []
        for each in self.instructions:
            if each.word in ("COPY", "ADD"):
                sources = _copied(each.rest)
            elif each.word == "RUN":
                sources = _bound(each.rest)
            else:
                continue
            if any("$" in source for source in sources):
                return None
            found += sources
        return tuple(found)

    def at(self, line: int) -> Instruction | None:
        """The instruction that stands on a line, or begins before it and goes on there."""
        return max((each for each in self.instructions if each.line <= line), key=lambda each: each.line, default=None)

    def locate(self, step: str) -> Instruction | None:
        """The instruction that BuildKit names in a step such as `[2/3] RUN apt-get ...`."""
        wanted = _squeeze(step)
        matches = [each for each in self.instructions if _squeeze(each.text) == wanted]
        if not matches:  # BuildKit shows a RUN's command after its own expansion and may cut it
            matches = [
                each for each in self.instructions if wanted and _squeeze(each.text).startswith(wanted.rstrip("."))
            ]
        return matches[0] if matches else None


def parse(text: str) -> Dockerfile:
    """Read a dockerfile; never fails, because BuildKit is the one to refuse it."""
    return Dockerfile(instructions=tuple(_instructions(text)))


def _instructions(text: str) -> Iterator[Instruction]:
    text = text.removeprefix("\ufeff")
    escape = _escape(text)
    lines = iter(enumerate(text.replace("\r\n", "\n").split("\n"), start=1))
    for number, line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parts = [line]
        while parts[-1].rstrip().endswith(escape):
            parts[-1] = parts[-1].rstrip()[:-1]
            following = next(lines, None)
            while following is not None and (following[1].lstrip().startswith("#") or not following[1].strip()):
                following = next(lines, None)
            if following is None:
                break
            parts.append(following[1])
        joined = "".join(parts).strip()
        if not joined:
            continue
        word, *rest = joined.split(None, 1)
        instruction = Instruction(word=word.upper(), rest=rest[0] if rest else "", line=number)
        for end, indented in _heredocs(instruction):
            for _, body in lines:
                if (body.lstrip("\t") if indented else body) == end:
                    break
        yield instruction


def _escape(text: str) -> str:
    """The character that continues a line: a directive among the first lines may change it."""
    for line in text.split("\n"):
        directive = re.fullmatch(r"#\s*(\w+)\s*=\s*(.+?)\s*", line)
        if directive is None:
            break
        if directive[1].lower() == "escape":
            return directive[2]
    return "\\"


def _heredocs(instruction: Instruction) -> Iterator[tuple[str, bool]]:
    """The here-documents that follow: each one's end, and whether tabs before its lines are dropped."""
    if instruction.word not in ("RUN", "COPY", "ADD"):
        return
    for word in instruction.rest.split():
        if match := re.fullmatch(r"\d*<<(-?)([\"']?)([A-Za-z_][A-Za-z0-9_.]*)\2\S*", word):
            yield match[3], bool(match[1])


def _squeeze(text: str) -> str:
    return re.sub(r"[\s\\]+", " ", text).strip()


def _words(rest: str) -> list[str]:
    try:
        return shlex.split(rest)
    except ValueError:
        return rest.split()


def _copied(rest: str) -> list[str]:
    words = rest.split()
    flags = [word for word in words if word.startswith("--")]
    if any(flag.startswith("--from=") for flag in flags):
        return []
    plain = rest.strip()
    while plain.startswith("--"):
        plain = plain.partition(" ")[2].lstrip()
    if plain.startswith("["):
        paths = re.findall(r'"((?:[^"\\]|\\.)*)"', plain)
    else:
        paths = [word for word in _words(plain) if not word.startswith("<<")]
        if "<<" in plain:
            paths = paths[:-1] if len(paths) > 1 else []
            return [path for path in paths if "://" not in path]
    return [path for path in paths[:-1] if "://" not in path]


def _bound(rest: str) -> list[str]:
    """Sources of `RUN --mount=type=bind` that come from the build context; the type is bind where none is named."""
    found: list[str] = []
    for mount in re.findall(r"--mount=(\S+)", rest):
        pairs = {key: value for key, _, value in (part.partition("=") for part in mount.split(","))}
        if pairs.get("type", "bind") == "bind" and "from" not in pairs:
            found.append(pairs.get("source", pairs.get("src", ".")))
    return found
