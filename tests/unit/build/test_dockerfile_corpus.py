"""The corpus of dockerfiles, read as BuildKit's own parser reads them: PyPI has that of BuildKit 0.12."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metallize.build.dockerfile import Dockerfile, Instruction, automatic_arguments, parse
from metallize.build.dockerfile.grammar import pairs, path_words
from metallize.build.dockerfile.lines import triggered
from metallize.build.dockerfile.words import WordError, json_words, split_words

theirs = pytest.importorskip("dockerfile", reason="the official parser has wheels for x86-64 alone")

CORPUS = sorted((Path(__file__).parents[2] / "corpus/dockerfiles").glob("*.dockerfile"))
YOUNGER = {"heredoc-spaced", "json-trailing-text"}
"""What BuildKit reads otherwise since the parser on PyPI was made: each has a test of its own."""


def text_of(path: Path) -> str:
    return path.read_bytes().decode()


def values(each: Instruction, escape: str) -> tuple[str, ...]:  # noqa: PLR0911 - a row for each word
    """The arguments as the official parser lists them."""
    rest = each.arguments
    match each.word:
        case "ENV" | "LABEL":
            return tuple(text or "" for pair in pairs(each, escape) for text in pair)
        case "ARG":
            return tuple(split_words(rest, escape))
        case "COPY" | "ADD" | "VOLUME":
            return path_words(rest)
        case "FROM" | "EXPOSE":
            return tuple(rest.split())
        case "RUN" | "CMD" | "ENTRYPOINT" | "SHELL":
            words = json_words(rest)
            return words if words is not None else (rest,) if rest else ()
        case "HEALTHCHECK":
            kind, _, command = rest.partition(" ")
            words = json_words(command)
            return (kind, *(words if words is not None else (command,) if command else ()))
        case "ONBUILD":
            inner = triggered(each, escape)
            return values(inner, escape) if inner.word != "ONBUILD" else ("",)
    return (rest,) if rest else ()


def ours(read: Dockerfile) -> list[tuple[Any, ...]]:
    return [
        (
            each.word,
            each.line,
            each.end,
            each.flags,
            values(each, read.reading.escape),
            # The package does not hand on the documents of an ONBUILD; where they end shows that they were read.
            tuple((document.name, document.content) for document in each.heredocs if each.word != "ONBUILD"),
        )
        for each in read.instructions
    ]


def official(text: str) -> list[tuple[Any, ...]] | None:
    """What the official parser reads, in our words; None where it refuses the text."""
    try:
        commands = theirs.parse_string(text)
    except theirs.GoParseError:
        return None
    return [
        (
            (each.cmd or "").upper(),
            each.start_line,
            each.end_line,
            each.flags,
            each.value,
            tuple((document.name, document.content) for document in each.heredocs),
        )
        for each in commands
    ]


def agree(text: str) -> None:
    read, expected = parse(text), official(text)
    if expected is None:
        assert read.faults, "BuildKit refuses it"
        return
    known = [row for row in expected if row[0] in WORDS]
    assert [row for row in ours(read) if row[0] in WORDS] == known
    if len(known) < len(expected):
        assert read.faults, "BuildKit does not know the instruction"


WORDS = frozenset(word.upper() for word in theirs.all_cmds())


def test_the_corpus_is_large() -> None:
    assert len(CORPUS) >= 100


@pytest.mark.parametrize("path", [path for path in CORPUS if path.stem not in YOUNGER], ids=lambda path: path.stem)
def test_read_as_the_official_parser_reads_it(path: Path) -> None:
    agree(text_of(path))


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_what_is_called_bad_has_a_fault_with_its_line(path: Path) -> None:
    text = text_of(path)
    read = parse(text)
    assert bool(read.faults) is path.stem.startswith("bad-"), read.faults
    assert all(1 <= fault.line <= text.count("\n") + 1 for fault in read.faults)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_every_question_has_an_answer(path: Path) -> None:
    read = parse(text_of(path))
    read.context_sources()
    read.shortfalls("20.10.24+dfsg1")
    images = read.foreign_images({}, automatic_arguments("linux/arm64", "linux/amd64"))
    assert all(image.reference and image.line for image in images)


LINES = st.sampled_from(
    [
        "FROM a",
        "FROM a AS b",
        "RUN one",
        "RUN one \\",
        "  two \\",
        "  # why",
        "",
        "   ",
        "\\",
        "EOF",
        "\tEOF",
        "x \\\\",
        "RUN cat <<EOF",
        "RUN cat <<-EOF >/x",
        "RUN cat <<'EOF'",
        'RUN <<"E F"',
        "E F",
        "RUN a <<EOF b <<E",
        "E",
        "RUN 3<<E",
        "COPY <<EOF /x",
        'COPY ["<<EOF", "/x"]',
        "COPY a b",
        "RUN x<<<y",
        'RUN echo "a <<EOF',
        "RUN 'it <<EOF'",
        "ENV A=1 B='2 3' \\",
        "ENV A b  c",
        'ENV A="x\\" y" C=\\ d',
        "ENV A=$B`",
        "ARG X=1 Y",
        "# escape=`",
        "#escape = \\",
        'CMD ["a",]',
        'CMD ["a", "b"]',
        "CMD --x y",
        "COPY --from=a --chown='1 2' b c",
        "RUN --mount=type=bind x",
        "USER `",
        "ONBUILD RUN <<EOF",
        "ONBUILD COPY a b",
        "HEALTHCHECK --interval=1s CMD a b",
        "LABEL a=b c",
        "EXPOSE 1  2",
        "VOLUME /a /b",
        "RUN \\",
        "RUN -- --x",
        "RUN --\\x y",
        "# syntax=a",
        "\ufeffRUN x",
        "WORKDIR \u00a0/x",
        "RUN a\r",
        "\x0cUSER b",
    ]
)


def begins_with_an_array(text: str) -> bool:
    """Whether more stands after a JSON array."""
    text = text.strip()
    try:
        found, end = json.JSONDecoder().raw_decode(text)
    except ValueError:
        return False
    return isinstance(found, list) and end < len(text)


@given(lines=st.lists(LINES | st.text("<E'\"\\`$-{}[] \tF=#", max_size=8), min_size=1, max_size=8))
def test_any_text_is_read_as_the_official_parser_reads_it(lines: list[str]) -> None:
    text = "FROM x\n" + "\n".join(lines)
    read = parse(text).instructions
    if any(document.apart for each in read for document in each.heredocs) or "<< " in text:
        return  # younger than the official parser at hand
    if any(begins_with_an_array(each.arguments) for each in read):
        return  # so is that such a text is no array (BuildKit's pull request 5107)
    try:
        agree(text)
    except WordError:  # arrays of anything but strings
        assert parse(text).faults


def test_a_blank_before_the_name_opens_a_document_where_its_end_follows() -> None:
    read = parse("FROM x\nRUN cat << EOF\nUSER fake\nEOF\nRUN echo $((1 << 3))\nUSER real\n")
    assert [(each.word, each.line) for each in read.instructions] == [("FROM", 1), ("RUN", 2), ("RUN", 5), ("USER", 6)]
    assert not read.faults
    [remark] = read.shortfalls("27.5.1")
    assert remark.line == 2
    assert "leave the blank out" in str(remark.hint)
