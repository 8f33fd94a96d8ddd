"""From a dockerfile's text to its instructions: directives, continued lines, flags and here-documents.

Read as BuildKit reads them, and never refused: what BuildKit would refuse is a remark with its line. Source:
Dockerfile reference (Parser directives, Format, Here-documents).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from metallize.build.dockerfile.words import SPACES, WordError, json_words, quoting, shell_words

LONGEST_LINE_BYTES = 65_535
_DIRECTIVES = frozenset({"syntax", "escape", "check"})
_BLANKS = "\t\v\f\r "
"""What separates an instruction's word from its arguments."""
_WITH_HEREDOCS = frozenset({"RUN", "COPY", "ADD"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """Something about a line of a dockerfile: an error that BuildKit ends with, or a warning."""

    line: int
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heredoc:
    """A here-document: its name, the text between, and whether variables in it are replaced."""

    name: str
    content: str = ""
    expands: bool = True
    chomps: bool = False
    """`<<-`: tabs at the beginning of its lines are dropped."""
    apart: bool = False
    """Blanks stand between `<<` and the name, which BuildKit knows since 0.22."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One instruction: its word in capitals, the rest on one line, and the line it starts on (from 1)."""

    word: str
    rest: str
    line: int
    end: int = 0
    """The last line that belongs to it, its here-documents included; 0 where nobody knows."""
    flags: tuple[str, ...] = ()
    arguments: str = ""
    """The rest without its flags."""
    heredocs: tuple[Heredoc, ...] = ()

    @property
    def text(self) -> str:
        return f"{self.word} {self.rest}"

    def flag(self, name: str) -> str | None:
        """The value of the last --name=value; empty for a bare --name."""
        found = None
        for each in self.flags:
            key, _, value = each.partition("=")
            found = value if key == f"--{name}" else found
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """A parser directive: `# syntax=`, `# escape=` or `# check=`."""

    name: str
    value: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the text says: directives and instructions in their order, and what is wrong with its form."""

    instructions: tuple[Instruction, ...]
    directives: tuple[Directive, ...]
    escape: str
    faults: tuple[Remark, ...]
    cautions: tuple[Remark, ...]


def read(text: str) -> Reading:
    """Read a dockerfile; never fails."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", text.removeprefix("\ufeff"))
    directives, faults = _directives(lines)
    escape = next((each.value for each in directives if each.name == "escape"), "\\")
    cautions: list[Remark] = []
    instructions = tuple(_instructions(lines, escape, faults, cautions))
    if not instructions and not faults:
        faults.append(Remark(line=max(1, len(lines)), message="the dockerfile has no instructions"))
    return Reading(
        instructions=instructions,
        directives=directives,
        escape=escape,
        faults=tuple(faults),
        cautions=tuple(cautions),
    )


def instruction(line: str, number: int, escape: str) -> Instruction:
    """One joined line as an instruction, without its here-documents."""
    word, rest = _parted(line.strip(SPACES))
    flags, arguments = _flags(rest, escape)
    return Instruction(
        word=word.upper(), rest=rest.strip(SPACES), line=number, end=number, flags=flags, arguments=arguments
    )


def triggered(each: Instruction, escape: str) -> Instruction:
    """What an ONBUILD will run, with the here-documents that follow it."""
    return replace(instruction(each.arguments, each.line, escape), end=each.end, heredocs=each.heredocs)


# --- directives ------------------------------------------------------------------------------------------------------


def _directives(lines: list[str]) -> tuple[tuple[Directive, ...], list[Remark]]:
    """Those among the first lines; any other line, an empty one too, ends them."""
    found: dict[str, Directive] = {}
    faults: list[Remark] = []
    for number, line in enumerate(lines, start=1):
        match = re.fullmatch(
            r"#[\s]*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*", line.rstrip("\r\n").lstrip(SPACES), re.ASCII
        )
        name = match[1].lower() if match else ""
        if match is None or name not in _DIRECTIVES:
            break
        if name in found:
            faults.append(Remark(line=number, message=f"only one {name} parser directive can be used"))
        elif name == "escape" and match[2] not in ("\\", "`"):
            message = f"invalid escape token '{match[2]}' does not match ` or \\"
            faults.append(Remark(line=number, message=message))
        else:
            found[name] = Directive(name=name, value=match[2], line=number)
    return tuple(found.values()), faults


# --- lines -----------------------------------------------------------------------------------------------------------


def _instructions(lines: list[str], escape: str, faults: list[Remark], cautions: list[Remark]) -> Iterator[Instruction]:
    # An escape that is itself escaped continues nothing: `echo \\` ends there.
    continued = re.compile(rf"(?:(?<=[^{re.escape(escape)}])|^){re.escape(escape)}[ \t]*\Z")
    at = 0
    while at < len(lines):
        start, line = at + 1, lines[at].rstrip("\r\n").lstrip(SPACES)
        at += 1
        if not line or line.startswith("#"):
            continue
        parts, empty = [], 0
        while found := continued.search(line):
            parts.append(line[: found.start()])
            line = ""
            while at < len(lines):
                following = lines[at].rstrip("\r\n")
                at += 1
                bare = following.strip(SPACES)
                if bare and not bare.startswith("#"):
                    line = following
                    break
                empty = empty or (0 if bare else at)
        joined = "".join([*parts, line])
        faults += _too_long(lines[start - 1 : at], start)
        if empty:
            cautions.append(Remark(line=empty, message="an empty line inside a continued one: BuildKit will refuse it"))
        if not joined.strip(SPACES):
            faults.append(Remark(line=start, message="a line with an escape alone is no instruction"))
            continue
        read_one = replace(instruction(joined, start, escape), end=at)
        inner = triggered(read_one, escape) if read_one.word == "ONBUILD" else read_one
        if inner.word in _WITH_HEREDOCS and "<<" in joined and not _is_json(inner):
            documents, at = _heredocs(joined, lines, at, faults, start)
            read_one = replace(read_one, heredocs=documents, end=at)
        yield read_one


def _too_long(lines: list[str], start: int) -> Iterator[Remark]:
    for number, line in enumerate(lines, start=start):
        if len(line.encode("utf-8", "surrogateescape")) > LONGEST_LINE_BYTES:
            yield Remark(line=number, message=f"the line is longer than {LONGEST_LINE_BYTES} bytes")


def _is_json(each: Instruction) -> bool:
    try:
        return json_words(each.arguments) is not None
    except WordError:
        return True


def _parted(line: str) -> tuple[str, str]:
    match = re.match(rf"([^{re.escape(_BLANKS)}]*)[{re.escape(_BLANKS)}]*(.*)", line, re.DOTALL)
    return (match[1], match[2]) if match else (line, "")


def _flags(rest: str, escape: str) -> tuple[tuple[str, ...], str]:
    """The words that begin with `--` before any other, their quotes and escapes taken off; and what follows them."""
    flags: list[str] = []
    at = 0
    while True:
        while at < len(rest) and rest[at] in SPACES:
            at += 1
        if not rest.startswith("--", at):
            return tuple(flags), rest[at:].strip(SPACES)
        word, quote = "", ""
        while at < len(rest) and (quote or rest[at] not in SPACES):
            char = rest[at]
            at += 1
            if char == escape:
                word += rest[at : at + 1]
                at += 1
            elif quote:
                word, quote = (word, "") if char == quote else (word + char, quote)
            elif char in "'\"":
                quote = char
            else:
                word += char
        if word == "--":
            return tuple(flags), rest[at:].strip(SPACES)
        flags.append(word)


# --- here-documents --------------------------------------------------------------------------------------------------


def heredoc(word: str) -> Heredoc | None:
    """The here-document that a word such as `<<EOF`, `3<<-EOF` or `<<"E O F"` opens, if it opens one."""
    match = re.fullmatch(r"(\d*)<<(-?)(\s*)([^<]*)", word, re.ASCII)
    if match is None or not match[4]:
        return None
    try:
        plain, raw = quoting(match[4])
    except WordError:
        return None
    if len(plain) != 1 or len(raw) != 1:
        return None
    quotes = [sum(text.count(mark) for mark in "'\"") for text in (plain[0], raw[0])]
    return Heredoc(name=plain[0], expands=quotes[0] == quotes[1], chomps=bool(match[2]), apart=bool(match[3]))


def _heredocs(
    line: str, lines: list[str], at: int, faults: list[Remark], start: int
) -> tuple[tuple[Heredoc, ...], int]:
    """The documents that a line opens, and where the lines after them begin."""
    found: list[Heredoc] = []
    for word in shell_words(line):
        opened = heredoc(word)
        if opened is None:
            continue
        end = _end(opened, lines, at)
        if end is None and opened.apart:
            continue  # $((1 << 3)): with a blank before it, only what ends somewhere is a document
        if end is None:
            hint = f"a line with `{opened.name}` alone ends it"
            faults.append(Remark(line=start, message=f"unterminated heredoc `{opened.name}`", hint=hint))
            end = len(lines)
        found.append(replace(opened, content="".join(lines[at:end])))
        at = min(end + 1, len(lines))
    return tuple(found), at


def _end(opened: Heredoc, lines: list[str], at: int) -> int | None:
    for number in range(at, len(lines)):
        line = lines[number].rstrip("\r\n")
        if (line.lstrip("\t") if opened.chomps else line) == opened.name:
            return number
    return None
