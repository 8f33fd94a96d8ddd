"""Dockerfiles as text: instructions with their lines, arguments, stages, and what is read from the context."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metallize.build.dockerfile import automatic_arguments, parse


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


ON_SOURCE = "ARG METALLIZE_SRC_IMG\nFROM ${METALLIZE_SRC_IMG}\n"
AUTOMATIC = automatic_arguments("linux/arm64", "linux/amd64")


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("FROM a AS build\nFROM b\nCOPY --from=biuld /a /a", 3, "there is no stage `biuld`", "did you mean `build`?"),
        ("FROM a AS build\nFROM b\nRUN --mount=from=biuld,target=/x y", 3, "no stage `biuld`", "did you mean `build`?"),
        ("FROM a\nCOPY --from=1 /a /a", 2, "no stage of that number", None),
        ("FROM a AS x\nCOPY --from=y /a /a\nFROM b AS y", 2, "begins only in line 3", "move it"),
        ("FROM a AS x\nCOPY --from=x /a /a", 2, "the stage that it stands in", None),
        ("FROM a\nCOPY --from=$X /a /a", 2, "variables are not replaced", "FROM ${...}"),
        ("FROM a\nRNU true", 2, "unknown instruction: RNU", "did you mean `RUN`?"),
        ("FROM a\nCOPY --chonw=1 a b", 2, "no flag --chonw", "did you mean `chown`?"),
        ("FROM a\n\nRUN cat <<EOF\nx", 3, "unterminated heredoc `EOF`", "alone ends it"),
        ("FROM $X", 1, "declares X", "ARG X"),
        ("FROM a\nENV A='", 2, "single-quote", None),
        ('FROM a\nCMD ["a", 2]', 2, "strings only", None),
        ("", 1, "no instructions", None),
    ],
)
def test_what_buildkit_would_refuse_is_told_with_its_line(text: str, line: int, message: str, hint: str | None) -> None:
    fault = parse(text).faults[0]
    assert fault.line == line
    assert message in fault.message
    assert (hint or "") in (fault.hint or "")


@pytest.mark.parametrize(
    "source", ["nginx", "alpine", "node", "redis", "nginx:1", "biuld:latest", "team/biuld", "biuld@sha256:1"]
)
def test_an_image_that_looks_like_one_is_no_misspelt_stage(source: str) -> None:
    stages = "FROM a AS build\nFROM a AS alpine-build\nFROM a AS redis7\nFROM a AS node-modules\nFROM b\n"
    assert not parse(f"{stages}COPY --from={source} /a /a").faults


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ('["shop",]', "take the comma before `]` away"),
        ('["a", "b" , ]', "take the comma before `]` away"),
        ("['shop']", "double quotes"),
        ('["a" "b"]', "a JSON array of strings"),
        ('["a"] b', "nothing may follow"),
    ],
)
@pytest.mark.parametrize("word", ["CMD", "ENTRYPOINT", "RUN", "HEALTHCHECK CMD", "ONBUILD CMD"])
def test_an_exec_form_that_is_none_is_cautioned_of(word: str, command: str, hint: str) -> None:
    [caution] = parse(f"FROM a\n{word} {command}").cautions
    assert caution.line == 2
    assert "a shell is given the whole of it" in caution.message
    assert hint in str(caution.hint)


@pytest.mark.parametrize("command", ['["a", "b"]', "[ -e /x ] && y", "a", '["a,]"]'])
def test_what_is_meant_as_it_is_read_is_not(command: str) -> None:
    assert parse(f"FROM a\nCMD {command}").cautions == ()


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("FROM debian:trixie", [("debian:trixie", 1, "FROM", "")]),
        ("ARG S=trixie\nARG I=debian:${S}\nFROM $I", [("debian:trixie", 3, "FROM", "")]),
        ("FROM scratch", []),
        ("FROM a:1 AS x\nFROM x", [("a:1", 1, "FROM", "")]),
        ("FROM unused:1 AS x\nFROM b:2", [("b:2", 2, "FROM", "")]),
        ("FROM a:1 AS x\nFROM b:2\nCOPY --from=x /a /a", [("a:1", 1, "FROM", ""), ("b:2", 2, "FROM", "")]),
        ("FROM a:1\nFROM b:2\nCOPY --from=0 /a /a", [("a:1", 1, "FROM", ""), ("b:2", 2, "FROM", "")]),
        (f"{ON_SOURCE}COPY --from=nginx:1 /a /a", [("nginx:1", 3, "COPY", "")]),
        (f"{ON_SOURCE}RUN --mount=type=bind,from=uv:2,target=/x x", [("uv:2", 3, "RUN", "")]),
        ("FROM --platform=$BUILDPLATFORM go:1 AS x\nFROM x", [("go:1", 1, "FROM", "linux/amd64")]),
        (f"FROM tools:1 AS t\n{ON_SOURCE}COPY --from=t /a /a", [("tools:1", 1, "FROM", "")]),
        (ON_SOURCE, []),
        (f"ARG METALLIZE_NATIVE_IMG\nFROM $METALLIZE_NATIVE_IMG AS n\n{ON_SOURCE}COPY --from=n /a /a", []),
    ],
)  # fmt: skip
def test_the_images_that_come_from_elsewhere(text: str, images: list[tuple[str, int, str, str]]) -> None:
    found = parse(text).foreign_images({}, AUTOMATIC)
    assert [(each.reference, each.line, each.by, each.platform) for each in found] == images


def test_the_builds_arguments_decide_which_image() -> None:
    read = parse("ARG S=trixie\nFROM debian:$S")
    assert [each.reference for each in read.foreign_images({"S": "bookworm"}, AUTOMATIC)] == ["debian:bookworm"]


@pytest.mark.parametrize(
    ("text", "version", "lines", "action"),
    [
        ("FROM a\nRUN <<EOF\nx\nEOF", "20.10.24+dfsg1", [2], "it takes Docker 23"),
        ("FROM a\nRUN <<EOF\nx\nEOF", "23.0.1", [], ""),
        ("FROM a\nRUN <<EOF\nx\nEOF", "28.2.2", [], ""),
        ("FROM a\nRUN <<EOF\nx\nEOF", "dev", [], ""),
        ("FROM a\nCOPY --link a b\nADD --checksum=x a b", "20.10.5", [2, 3], "Docker 23"),
        ("FROM a\nENV A=${B##x}", "25.0.1", [2], "Docker 26"),
        ("FROM a\nENV A=${B-x} C=${D:-y}", "24.0.1", [2], "Docker 25"),
        ('FROM a\nCMD ["a"] b', "26.1.5", [2], "Docker 28"),
        ("FROM a\nCOPY --parents a b", "28.5.0", [2], "Dockerfile syntax 1.20"),
        ("# syntax=docker/dockerfile:1\nFROM a", "28.0.0", [1], "so take the line away"),
        ("# syntax=docker/dockerfile:1\nFROM a\nRUN <<E\nE", "20.10.1", [1], "without it the file needs Docker 23"),
        ("FROM a\nRUN true", "20.10.24", [], ""),
    ],
)
def test_what_this_hosts_engine_cannot_build_is_said_with_the_action(
    text: str, version: str, lines: list[int], action: str
) -> None:
    found = parse(text).shortfalls(version)
    assert [each.line for each in found] == lines
    assert action in " ".join(str(each.hint) for each in found)


def test_what_the_next_layer_will_run() -> None:
    read = parse("FROM a AS x\nONBUILD RUN lost\nFROM b\nONBUILD COPY src /dst\n")
    assert [(each.word, each.arguments, each.line) for each in read.triggers] == [("COPY", "src /dst", 4)]


@pytest.mark.slow
def test_a_long_dockerfile_is_read_in_linear_time() -> None:
    text = "FROM a\n" + "RUN cat <<EOF\n" + "x\n" * 20_000 + "EOF\n" + "ENV A='b c' D=$E \\\n" * 4_000 + "F=1\n"
    assert [each.word for each in parse(text).instructions] == ["FROM", "RUN", "ENV"]
    word = "x" * 2_000_000
    assert parse(f"FROM a\nENV A={word}\n").instructions[1].arguments == f"A={word}"


@pytest.mark.parametrize("text", ["ENV A=" + "${A:-" * 12_000, "ENV A=" + '"${A:-' * 10_000])
def test_what_is_nested_without_end_is_refused(text: str) -> None:
    assert parse(f"FROM a\n{text}\n").faults


def test_json_that_is_nested_without_end_is_none() -> None:
    [caution] = parse("FROM a\nCMD ['x'" + "[" * 50_000 + "]\n").cautions
    assert "is no JSON" in caution.message
    assert not parse("FROM a\nCMD " + "[" * 50_000 + "\n").faults


@pytest.mark.parametrize("signal", ["SIGQUIT", "quit", "9", "SIGRTMIN+3", "RTMAX-1", "${SIG}"])
def test_signals(signal: str) -> None:
    assert not parse(f"FROM a\nSTOPSIGNAL {signal}").faults
    [fault] = parse("FROM a\nSTOPSIGNAL SIGTREM").faults
    assert "did you mean `SIGTERM`?" in str(fault.hint)
