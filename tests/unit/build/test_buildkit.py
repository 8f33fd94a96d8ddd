"""What BuildKit's output means: recorded from Docker 20.10 and from newer ones with buildx."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from metallize.build.engines import assembling, buildkit
from metallize.build.plan import LayerBuild
from metallize.errors import EngineError

DOCKERFILE = """\
# A layer.
ARG METALLIZE_SRC_IMG
FROM ${METALLIZE_SRC_IMG}
RUN echo fine
RUN echo working \\
 && echo "it broke" >&2 \\
 && exit 7
COPY missing /etc/
USER x
"""
OLD = """\
#1 [internal] load build definition from fail.dockerfile
#1 sha256:6e550f08a1369a7dd6ebd3820cd722ff4551eb1ccc75a8feee8f3658f00997b7
#1 transferring dockerfile: 180B 0.0s done
#1 DONE 0.0s

#5 [2/3] RUN echo fine
#5 sha256:463d3a8c0894927c3fe75e729b210038527420c98da777ed2c4b4a01ef85ab78
#5 0.211 fine
#5 DONE 0.2s

#6 [3/3] RUN echo working  && echo "it broke" >&2  && exit 7
#6 sha256:69a742f5acd7886d2fce518993666e023976a7ba051cb7cd868e92571b1d0dbc
#6 0.264 working
#6 0.264 it broke
#6 ERROR: executor failed running [/bin/sh -c echo working  && echo "it broke" >&2  && exit 7]: exit code: 7
------
 > [3/3] RUN echo working  && echo "it broke" >&2  && exit 7:
------
executor failed running [/bin/sh -c echo working  && echo "it broke" >&2  && exit 7]: exit code: 7
"""
NEW = """\
#0 building with "default" instance using docker driver

#1 [internal] load build definition from fail.dockerfile
#1 transferring dockerfile: 180B done
#1 DONE 0.0s

#6 [3/3] RUN echo working  && echo "it broke" >&2  && exit 7
#6 0.264 working
#6 0.264 it broke
#6 ERROR: process "/bin/sh -c echo working  && echo \\"it broke\\" >&2  && exit 7" did not complete: exit code: 7
------
 > [3/3] RUN echo working  && echo "it broke" >&2  && exit 7:
0.264 working
0.264 it broke
------
fail.dockerfile:5
--------------------
   4 |     RUN echo fine
   5 | >>> RUN echo working \\
   6 | >>>  && echo "it broke" >&2 \\
   7 | >>>  && exit 7
   8 |     COPY missing /etc/
--------------------
ERROR: failed to solve: process "/bin/sh -c echo working" did not complete: exit code: 7
"""
OLD_MISSING = """\
#6 [2/2] COPY missing /etc/
#6 sha256:6e333b969c8d510c5ba24009c73dc9a61c3f7c7c4e8b42af04f74fd187dfb8e5
#6 ERROR: "/missing" not found: not found
------
 > [2/2] COPY missing /etc/:
------
failed to compute cache key: "/missing" not found: not found
"""
NEW_MISSING = """\
#6 ERROR: failed to calculate checksum of ref 1234::5678: "/missing": not found
------
 > [2/2] COPY missing /etc/:
------
fail.dockerfile:8
--------------------
   8 | >>> COPY missing /etc/
--------------------
ERROR: failed to solve: failed to calculate checksum of ref 1234::5678: "/missing": not found
"""
PARSE = (
    "failed to solve with frontend dockerfile.v0: failed to create LLB definition: dockerfile parse error line 4: "
    "unknown instruction: BOGUS\n"
)
SYNTAX = """\
#3 resolve image config for docker.io/docker/dockerfile:1
#3 ERROR: failed to do request: Head "https://registry.example.org/v2/docker/dockerfile/manifests/1": no such host
------
 > resolve image config for docker.io/docker/dockerfile:1:
------
failed to solve with frontend dockerfile.v0: failed to solve with frontend gateway.v0: failed to do request
"""


@pytest.fixture
def layer(tmp_path: Path) -> LayerBuild:
    path = tmp_path / "fail.dockerfile"
    path.write_text(DOCKERFILE)
    return LayerBuild(
        name=path.name, summary="x", dockerfile=path, context=tmp_path, build_args={}, repository="t", key="0"
    )


@pytest.mark.parametrize(
    ("output", "line", "words", "hint"),
    [
        (OLD, 5, "it broke", None),
        (NEW, 5, "it broke", None),
        (OLD_MISSING, 8, '"/missing" not found', "the folder that holds its dockerfile"),
        (NEW_MISSING, 8, '"/missing": not found', "the folder that holds its dockerfile"),
        (PARSE, 4, "unknown instruction: BOGUS", None),
    ],
)
def test_a_failure_has_its_line_and_the_tail_of_its_output(
    layer: LayerBuild, output: str, line: int, words: str, hint: str | None
) -> None:
    error = buildkit.failure(layer, output.splitlines())
    first, *rest = error.message.splitlines()
    assert first == f"{layer.dockerfile}:{line}: layer fail.dockerfile failed to build"
    assert any(words in text for text in rest)
    assert "sha256:" not in error.message
    assert "transferring" not in error.message
    assert (hint in (error.hint or "")) if hint else error.hint is None


def test_a_syntax_line_without_a_registry(layer: LayerBuild) -> None:
    error = buildkit.failure(layer, SYNTAX.splitlines())
    assert error.message.startswith(f"{layer.dockerfile}: layer fail.dockerfile failed to build")
    assert error.hint is not None
    assert "`# syntax=` line" in error.hint


@pytest.mark.parametrize(
    ("output", "hint"),
    [
        ("E: Unable to locate package nosuch", "`apt-get update` is missing"),
        ("Temporary failure resolving 'mirror'", "cannot reach its package servers"),
        ("write /x: no space left on device", "`docker system df`"),
        ("exec /bin/sh: exec format error", "qemu-user-static"),
        ('exec: "/bin/sh": stat /bin/sh: no such file or directory', "no /bin/sh"),
        ("pull access denied for x", "could not be fetched"),
        ("dial unix: permission denied while using docker.sock: permission denied docker.sock", "group docker"),
        ("client version 1.41 is too old. Minimum supported API version is 1.44", "metallize doctor"),
        (
            "ERROR: failed to update builder last activity time: open /x/buildx/activity/.tmp-1: permission denied",
            "chown -R",
        ),
        ("fine", None),
    ],
)
def test_failures_that_are_met_often_have_a_hint(output: str, hint: str | None) -> None:
    found = buildkit.hint_for(output)
    assert (hint in (found or "")) if hint else found is None


def docker(folder: Path, version: str, *, buildx: bool) -> None:
    folder.mkdir()
    program = folder / "docker"
    program.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo "Docker version {version}, build x" && exit\n'
        f"exit {0 if buildx else 1}\n"
    )
    program.chmod(stat.S_IRWXU)


@pytest.fixture
def only_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """PATH has the folders a, b and c below this one; nothing is looked for elsewhere."""
    monkeypatch.setattr(buildkit, "USUAL_FOLDERS", ())
    monkeypatch.setenv("PATH", ":".join(str(tmp_path / name) for name in "abc"))
    return tmp_path


def test_the_first_docker_that_can_build_is_taken(only_path: Path) -> None:
    docker(only_path / "a", "28.2.2", buildx=False)
    docker(only_path / "b", "20.10.24+dfsg1", buildx=False)
    docker(only_path / "c", "28.2.2", buildx=True)
    found = buildkit.find_cli()
    assert (found.path, found.version) == (only_path / "b/docker", "20.10.24")
    assert "BuildKit is built in" in found.reason


def test_a_docker_with_buildx(only_path: Path) -> None:
    docker(only_path / "c", "28.2.2", buildx=True)
    assert buildkit.find_cli().reason == "has the buildx component"


def test_a_docker_that_cannot_build_is_named_with_its_reason(only_path: Path) -> None:
    docker(only_path / "a", "28.2.2", buildx=False)
    (only_path / "b").mkdir()
    (only_path / "b/docker").write_text("#!/bin/sh\nexit 1\n")
    (only_path / "b/docker").chmod(stat.S_IRWXU)
    with pytest.raises(EngineError) as caught:
        buildkit.find_cli()
    assert f"{only_path}/a/docker: Docker 28.2.2 has no buildx component" in caught.value.message
    assert f"{only_path}/b/docker: " in caught.value.message
    assert "docker-buildx" in (caught.value.hint or "")


def test_no_docker_at_all(only_path: Path) -> None:
    assert not list(only_path.iterdir())
    with pytest.raises(EngineError, match="no docker command on this host"):
        buildkit.find_cli()


def test_the_seal_says_what_the_rootfs_lacks() -> None:
    lines = [
        "#6 0.1 metallize: ERROR: no kernel in /boot: none of the profile's images installs one",
        "#6 0.1 metallize: Add a layer with a kernel, such as debian-live.dockerfile.",
        "------",
        "executor failed running [/bin/sh /run/metallize-seal]: exit code: 1",
    ]
    error = assembling.seal_failure(lines)
    assert error.message.startswith("the rootfs cannot be made bootable: no kernel in /boot")
    assert error.hint == "Add a layer with a kernel, such as debian-live.dockerfile."
    other = assembling.seal_failure(["#6 0.1 update-initramfs: failed"])
    assert "  | update-initramfs: failed" in other.message


@pytest.mark.parametrize(
    ("status", "lines", "message", "hint"),
    [
        (1, ["metallize: ISO", "metallize: ERROR: too big"], "the image of my could not be made: too big", None),
        (1, ["Write failed: No space left on device", "metallize: ERROR: x failed"], "No space left", "--build-dir"),
        (137, ["x"], "it was killed (out of memory?)", None),
        (1, ["Traceback", "KeyError"], "the generator ended with status 1\n  | Traceback\n  | KeyError", None),
    ],
)
def test_the_generator_says_what_is_wrong(status: int, lines: list[str], message: str, hint: str | None) -> None:
    error = assembling.generator_failure("my", status, lines)
    assert message in error.message
    assert (hint in (error.hint or "")) if hint else error.hint is None
