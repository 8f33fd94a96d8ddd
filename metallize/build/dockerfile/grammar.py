"""What BuildKit refuses in an instruction, whatever the build's arguments are.

Source: Dockerfile reference, each instruction's own section.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Mapping

from metallize.build.dockerfile.lines import Instruction, Reading, Remark, heredoc, triggered
from metallize.build.dockerfile.words import UnsetError, WordError, expand, json_words, split_words
from metallize.config.reading.suggest import did_you_mean

_TEXT, _SWITCH, _MANY = "text", "switch", "many"
FLAGS: Mapping[str, Mapping[str, str]] = {
    "FROM": {"platform": _TEXT},
    "RUN": {"mount": _MANY, "network": _TEXT, "security": _TEXT, "device": _MANY},
    "COPY": {"from": _TEXT, "chown": _TEXT, "chmod": _TEXT, "link": _SWITCH, "parents": _SWITCH, "exclude": _MANY},
    "ADD": {"chown": _TEXT, "chmod": _TEXT, "link": _SWITCH, "keep-git-dir": _SWITCH, "checksum": _TEXT,
            "unpack": _SWITCH, "exclude": _MANY},
    "HEALTHCHECK": {"interval": _TEXT, "timeout": _TEXT, "start-period": _TEXT, "start-interval": _TEXT,
                    "retries": _TEXT},
}  # fmt: skip
"""The flags that an instruction takes, and whether each has a value, is a switch, or may be given again."""
KNOWN = (
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD",
    "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
)  # fmt: skip
_LAX_FLAGS = frozenset({"ARG", "STOPSIGNAL"})
"""Their flags are read and looked at by nobody."""
_SIGNALS = frozenset(each.name for each in signal.Signals)
_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*")


def faults(reading: Reading) -> Iterator[Remark]:
    """What BuildKit would end with, in the order of the lines."""
    started = False
    for each in reading.instructions:
        started |= each.word == "FROM"
        if each.word in KNOWN and not started and each.word != "ARG":
            hint = "the first instruction is FROM; ARG alone may stand before it"
            yield Remark(line=each.line, message=f"{each.word} stands before any FROM", hint=hint)
        for message, advice in _faults(each, reading.escape):
            yield Remark(line=each.line, message=message, hint=advice)
    if reading.instructions and not started:
        yield Remark(line=reading.instructions[-1].line, message="the dockerfile has no FROM, so it builds nothing")


def cautions(reading: Reading) -> Iterator[Remark]:
    """What BuildKit takes, but hardly in the sense of whoever wrote it."""
    for each in reading.instructions:
        inner = triggered(each, reading.escape) if each.word == "ONBUILD" else each
        text = inner.arguments.strip()
        if inner.word in ("CMD", "ENTRYPOINT", "RUN", "HEALTHCHECK") and not inner.heredocs:
            text = text.removeprefix("CMD").lstrip() if inner.word == "HEALTHCHECK" else text
            if re.match(r"\[\s*[\"'].*\]", text, re.DOTALL) and _json(text) is None:
                yield Remark(
                    line=each.line,
                    message=f"{inner.word} {text[:120]} is no JSON, so a shell is given the whole of it as a command",
                    hint=_json_hint(text),
                )


def _json_hint(text: str) -> str:
    if re.search(r",\s*\]$", text):
        return "take the comma before `]` away"
    if "'" in text:
        return 'the exec form takes double quotes: ["program", "argument"]'
    if not text.rstrip().endswith("]"):
        return "nothing may follow the `]`; BuildKit before 0.16 leaves away what does"
    return 'the exec form is a JSON array of strings: ["program", "argument"]'


def _json(text: str) -> tuple[str, ...] | None:
    try:
        return json_words(text)
    except WordError:
        return ()


Fault = tuple[str, str | None]


def _faults(each: Instruction, escape: str) -> Iterator[Fault]:
    if each.word not in KNOWN:
        yield f"unknown instruction: {each.word[:60]}", did_you_mean(each.word[:60], KNOWN)
        return
    if each.word not in _LAX_FLAGS:
        yield from _flag_faults(each)
    try:
        yield from _argument_faults(each, escape)
        for text in expanded_words(each, escape):
            _expands(text, escape)
    except WordError as exc:
        yield f"{each.word}: {exc}", None


def _expands(text: str, escape: str) -> None:
    try:
        expand(text, {}, escape=escape)
    except UnsetError:
        return  # the build's arguments decide


def _flag_faults(each: Instruction) -> Iterator[Fault]:
    taken = FLAGS.get(each.word, {})
    seen: set[str] = set()
    for flag in each.flags:
        name, equals, value = flag[2:].partition("=")
        kind = taken.get(name)
        if kind is None:
            yield f"{each.word} has no flag --{name}", did_you_mean(name, taken)
        elif name in seen and kind != _MANY:
            yield f"{each.word} has --{name} twice", None
        elif (kind != _SWITCH and not equals) or (equals and not value and kind == _SWITCH):
            yield f"{each.word} --{name} lacks its value", None
        elif kind == _SWITCH and value.lower() not in ("true", "false", ""):
            yield f"{each.word} --{name} is true or false, and not {value!r}", None
        seen.add(name)


def _argument_faults(each: Instruction, escape: str) -> Iterator[Fault]:  # noqa: C901, PLR0912 - a row for each word
    rest = each.arguments
    match each.word:
        case "FROM":
            words = rest.split()
            if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):  # noqa: PLR2004 - IMAGE AS NAME
                yield "FROM takes an image, or `IMAGE AS NAME`", None
            elif len(words) == 3 and not _STAGE_NAME.fullmatch(words[2].lower()):  # noqa: PLR2004 - as above
                yield f"invalid name for a build stage: {words[2]!r}", "letters, digits, `-`, `_`, `.`, a letter first"
        case "ENV" | "LABEL":
            yield from _pair_faults(each, escape)
        case "ARG":
            words = split_words(rest, escape)
            if not words:
                yield "ARG requires at least one argument", None
            if any(word.startswith("=") for word in words):
                yield "ARG names can not be blank", None
        case "COPY" | "ADD":
            paths = path_words(rest)
            if len(paths) < 2:  # noqa: PLR2004 - a source and a destination
                yield f"{each.word} takes a source and a destination", None
            elif heredoc(paths[-1]) is not None:
                yield f"{each.word} cannot take a here-document as its destination", None
        case "USER" | "WORKDIR" | "MAINTAINER" | "STOPSIGNAL" if not rest:
            yield f"{each.word} takes one argument", None
        case "STOPSIGNAL" if "$" not in rest and not _is_signal(rest):
            yield f"STOPSIGNAL: there is no signal {rest}", did_you_mean(rest.upper(), _SIGNALS)
        case "EXPOSE" if not rest:
            yield "EXPOSE takes at least one port", None
        case "VOLUME" if not [path for path in path_words(rest) if path.strip()]:
            yield "VOLUME takes at least one path", None
        case "CMD" | "ENTRYPOINT" | "RUN":
            json_words(rest)
        case "SHELL" if not json_words(rest):
            yield "SHELL takes its words as a JSON array", 'for example SHELL ["/bin/bash", "-c"]'
        case "HEALTHCHECK":
            kind, command = (*rest.split(None, 1), "", "")[:2]
            if kind.upper() == "NONE":
                if command.strip():
                    yield "HEALTHCHECK NONE takes no arguments", None
            elif kind.upper() != "CMD":
                yield f"HEALTHCHECK takes CMD or NONE, and not {kind!r}", did_you_mean(kind, ("CMD", "NONE"))
            elif not command.strip() or json_words(command) == ():
                yield "HEALTHCHECK CMD lacks its command", None
        case "ONBUILD":
            inner = triggered(each, escape)
            if inner.word in ("", "ONBUILD", "FROM", "MAINTAINER"):
                yield f"ONBUILD does not take {inner.word or 'nothing'}", None
            else:
                yield from _faults(inner, escape)


def _is_signal(text: str) -> bool:
    name = text.strip("\"'").upper().removeprefix("SIG")
    return f"SIG{name}" in _SIGNALS or re.fullmatch(r"[0-9]+|RTMIN\+[0-9]+|RTMAX-[0-9]+", name) is not None


def _pair_faults(each: Instruction, escape: str) -> Iterator[Fault]:
    words = split_words(each.arguments, escape)
    if not words:
        yield f"{each.word} requires at least one argument", None
    elif "=" not in words[0]:
        if len(each.arguments.split(None, 1)) < 2:  # noqa: PLR2004 - NAME VALUE
            yield f"{each.word} {words[0]} lacks a value", f"write {each.word} {words[0]}=VALUE"
    else:
        for word in words:
            if "=" not in word:
                yield f"{each.word}: {word!r} is no NAME=VALUE", "quote a value that has blanks"
            elif word.startswith("="):
                yield f"{each.word} names can not be blank", None


def path_words(rest: str) -> tuple[str, ...]:
    """The arguments of COPY, ADD and VOLUME: a JSON array, or words at blanks, with no quotes. Raises WordError."""
    words = json_words(rest)
    return words if words is not None else tuple(re.split(r"[\t\v\f\r ]+", rest) if rest else ())


def pairs(each: Instruction, escape: str) -> tuple[tuple[str, str | None], ...]:
    """Names and values of ENV, LABEL and ARG, not yet expanded; `ENV NAME the rest of the line` is the old form."""
    words = split_words(each.arguments, escape)
    if words and "=" not in words[0] and each.word != "ARG":
        key, value = (*re.split(r"[\t\v\f\r ]+", each.arguments, maxsplit=1), "")[:2]
        return ((key, value),)
    parted = (word.partition("=") for word in words)
    return tuple((key, value if equals else None) for key, equals, value in parted)


def expanded_words(each: Instruction, escape: str) -> tuple[str, ...]:  # noqa: PLR0911 - a row for each word
    """The texts of an instruction in which BuildKit replaces variables. Raises WordError."""
    match each.word:
        case "ENV" | "ARG" | "LABEL":
            return tuple(text for pair in pairs(each, escape) for text in pair if text)
        case "USER" | "WORKDIR" | "STOPSIGNAL":
            return (each.arguments,)
        case "FROM":
            return tuple(each.arguments.split()[:1])
        case "EXPOSE":
            return tuple(each.arguments.split())
        case "VOLUME":
            return path_words(each.arguments)
        case "COPY" | "ADD":
            return tuple(path for path in path_words(each.arguments) if heredoc(path) is None)
    return ()
