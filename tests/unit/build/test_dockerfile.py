"""Dockerfiles as text: instructions with their lines, arguments, stages, and what is read from the context."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metallize.build.dockerfile import parse


def words(text: str) -> list[tuple[str, str, int]]:
    return [(each.word, each.rest, each.line) for each in parse(text).instructions]


def test_instructions_with_their_lines() -> None:
    text = "# comment\n\nfrom debian\n  # indented comment\nRUN\ttrue  \nUSER nobody"
    assert words(text) == [("FROM", "debian", 3), ("RUN", "true", 5), ("USER", "nobody", 6)]


def test_continuations_skip_comments_and_empty_lines() -> None:
    text = "RUN one \\\n  # why\n\n  && two\\\n3 \\  \n  && four\nUSER x"
    assert words(text) == [("RUN", "one   && two3   && four", 1), ("USER", "x", 7)]


def test_a_continuation_at_the_end_of_the_file() -> None:
    assert words("RUN one \\") == [("RUN", "one", 1)]


@pytest.mark.parametrize("directive", ["# escape=`", "#escape = `", "# syntax=x/y:1\n# escape=`", "\ufeff# escape=`"])
def test_the_escape_directive(directive: str) -> None:
    text = f"{directive}\nRUN dir C:\\\nRUN one `\n two"
    assert [word[1] for word in words(text)] == ["dir C:\\", "one  two"]


def test_an_escape_directive_counts_only_at_the_top() -> None:
    assert [word[0] for word in words("# a comment\n# escape=`\nRUN a \\\n b\nUSER x")] == ["RUN", "USER"]


@pytest.mark.parametrize(
    ("opening", "ending"),
    [("<<EOF", "EOF"), ("<<'EOF'", "EOF"), ('<<"EOF"', "EOF"), ("<<-EOF", "\t\tEOF"), ("0<<E.1", "E.1")],
)
def test_a_here_document_is_no_instruction(opening: str, ending: str) -> None:
    text = f"RUN cat {opening} >/x\nUSER fake\n {ending}x\n{ending}\nUSER real"
    assert [(word, line) for word, _, line in words(text)] == [("RUN", 1), ("USER", 5)]


def test_several_here_documents_follow_in_their_order() -> None:
    text = "COPY <<A <<B /etc/\nUSER 1\nA\nUSER 2\nB\nUSER 3"
    assert [(word, rest) for word, rest, _ in words(text)] == [("COPY", "<<A <<B /etc/"), ("USER", "3")]


@pytest.mark.parametrize("command", ["cat <<<word", "echo $((1 << 3))", "echo 'a<<b'", "x=1<<2"])
def test_what_only_looks_like_a_here_document(command: str) -> None:
    assert [word for word, _, _ in words(f"RUN {command}\nUSER x")] == ["RUN", "USER"]


@given(st.text())
def test_reading_never_fails(text: str) -> None:
    found = parse(text)
    assert all(each.line >= 1 and each.word == each.word.upper() for each in found.instructions)
    assert isinstance(found.arguments, frozenset)
    assert found.builds_on_source in (True, False)
    found.context_sources()


def test_arguments() -> None:
    text = 'ARG A\nARG B=1 C="two words"\nFROM x\nARG D=$A\nRUN echo ARG E'
    assert parse(text).arguments == {"A", "B", "C", "D"}


@pytest.mark.parametrize(
    ("text", "stands"),
    [
        ("ARG METALLIZE_SRC_IMG\nFROM ${METALLIZE_SRC_IMG}", True),
        ("ARG METALLIZE_SRC_IMG\nFROM --platform=linux/amd64 $METALLIZE_SRC_IMG AS x", True),
        ("FROM debian", False),
        ("FROM ${METALLIZE_SRC_IMG} AS one\nFROM debian", False),
        ("FROM debian AS tools\nFROM ${METALLIZE_SRC_IMG}\nCOPY --from=tools /a /a", True),
        ("FROM ${METALLIZE_SRC_IMG} AS One\nFROM one AS two\nFROM TWO", True),
        ("ARG METALLIZE_SRC_IMG\nARG BASE=${METALLIZE_SRC_IMG}\nFROM ${BASE}", True),
        ("", False),
    ],
)
def test_whether_the_last_stage_stands_on_the_layers_below(text: str, stands: bool) -> None:
    assert parse(text).builds_on_source is stands


@pytest.mark.parametrize(
    ("instruction", "sources"),
    [
        ("COPY a b /dest/", ("a", "b")),
        ('COPY ["with space", "b", "/dest/"]', ("with space", "b")),
        ("COPY --chown=1:2 --chmod=600 a /dest", ("a",)),
        ('COPY --chown=1:2 ["a", "/dest"]', ("a",)),
        ("COPY 'a b' /dest", ()),  # BuildKit splits at the blank and refuses the quote that stays open
        ('COPY "a" /dest', ("a",)),
        ("COPY --from=stage a /dest", ()),
        ("COPY --chown=1 --from=stage a /dest", ()),
        ("ADD https://example.org/x a /dest/", ("a",)),
        ("COPY <<EOF /dest\nx\nEOF", ()),
        ("COPY <<EOF a /dest/\nx\nEOF", ("a",)),
        ("RUN --mount=type=bind,source=tool,target=/t /t", ("tool",)),
        ("RUN --mount=target=/t /t", (".",)),
        ("RUN --mount=type=bind,from=x,source=tool,target=/t /t", ()),
        ("RUN --mount=type=cache,target=/var/cache/apt true", ()),
        ("COPY a*.txt sub/ /dest/", ("a*.txt", "sub/")),
    ],
)
def test_what_is_read_from_the_context(instruction: str, sources: tuple[str, ...]) -> None:
    assert parse(f"FROM x\n{instruction}").context_sources() == sources


def test_a_variable_in_a_source_only_a_build_can_tell() -> None:
    assert parse("FROM x\nARG F\nCOPY $F /dest").context_sources() is None


def test_instructions_that_an_os_does_not_see_are_those_of_the_last_stage() -> None:
    text = "FROM a AS x\nUSER one\nFROM b\nENV A=1\nRUN true\nENTRYPOINT x"
    assert [(each.word, each.line) for each in parse(text).runtime_only] == [("ENV", 4), ("ENTRYPOINT", 6)]


def test_locating_a_step_by_its_text_and_an_instruction_by_a_line() -> None:
    found = parse("FROM a\nRUN apt-get update \\\n && false\nRUN true")
    located = found.locate("RUN apt-get update  && false")
    assert located is not None
    assert located.line == 2
    cut = found.locate("RUN apt-get upda...")
    assert cut is not None
    assert cut.line == 2
    assert found.locate("RUN other") is None
    inside = found.at(3)
    assert inside is not None
    assert inside.line == 2
    assert parse("").at(3) is None
