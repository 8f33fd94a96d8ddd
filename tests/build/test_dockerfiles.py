"""Dockerfiles and ignore files mean to us what they mean to the BuildKit of this host: it builds them, from scratch."""

from __future__ import annotations

import json
import os
import posixpath
import random
import subprocess
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from metallize.build.container import DEFAULT_PATH, AppLayer, Container, container_of
from metallize.build.dockerfile import Dockerfile, automatic_arguments, parse
from metallize.build.dockerfile.dockerignore import read_ignored, relative
from metallize.build.engines import buildkit
from metallize.build.sources import _read
from metallize.model.profile import Platform

pytestmark = pytest.mark.docker
CORPUS = sorted((Path(__file__).parents[1] / "corpus/dockerfiles").glob("*.dockerfile"))
AUTOMATIC = automatic_arguments("linux/amd64", "linux/amd64")
OTHERWISE = {"json-trailing-text"}
"""What older engines take in another sense, which shortfalls tell."""
REFUSED_BY_VALUE = {"args-required"}
"""What only the build's arguments decide."""
FILES = (
    "a",
    "b",
    "with space.txt",
    "other.txt",
    "a1.md",
    "ab.md",
    "sub/c",
    "sub/d.txt",
    "sub/deep/e",
    ".hidden",
    "sub/.hidden",
    "build/image.iso",
    "build/keep.txt",
    "app",
    "json",
    "docs/README.md",
    "docs/sub/README.md",
    "#hash",
    "new\u00e9",
)


class Builder:
    """The host's own `docker build`, on one small context."""

    def __init__(self, folder: Path) -> None:
        self.docker = str(buildkit.find_cli().path)
        self.context = folder
        self.tag = f"metallize-test-{uuid4().hex[:12]}"
        shown = self.run("version", "--format", "{{.Server.Version}}")
        self.version = shown.stdout.decode().strip()
        for name in FILES:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)

    def run(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        environment = {**os.environ, **buildkit.ENVIRONMENT}
        return subprocess.run([self.docker, *words], env=environment, capture_output=True, check=False, timeout=120)

    def build(self, dockerfile: bytes, *words: str) -> subprocess.CompletedProcess[bytes]:
        path = self.context.with_name("Dockerfile")
        path.write_bytes(dockerfile)
        on = ("--build-arg", "METALLIZE_SRC_IMG=scratch")
        return self.run("build", "--file", str(path), *on, *words, str(self.context))

    def configuration(self, dockerfile: bytes) -> dict[str, Any] | None:
        """What the image that it makes would run; None where BuildKit refuses it."""
        done = self.build(dockerfile, "--tag", self.tag)
        if done.returncode:
            return None
        shown = self.run("image", "inspect", "--format", "{{json .Config}}", self.tag)
        found: dict[str, Any] = json.loads(shown.stdout)
        return found


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    folder = tmp_path_factory.mktemp("dockerfiles") / "context"
    folder.mkdir()
    made = Builder(folder)
    yield made
    made.run("image", "rm", "--force", made.tag)


def ours(read: Dockerfile) -> Container:
    return container_of([AppLayer(name="x", dockerfile=read, build_args={})], Platform.AMD64)


def compared(configuration: dict[str, Any]) -> dict[str, Any]:
    environment = dict(pair.split("=", 1) for pair in configuration["Env"] or ())
    if environment.get("PATH") == DEFAULT_PATH:
        del environment["PATH"]
    return {
        "environment": environment,
        "user": configuration["User"],
        "directory": posixpath.normpath(configuration["WorkingDir"] or "/").replace("//", "/"),
        "entrypoint": tuple(configuration["Entrypoint"] or ()),
        "command": tuple(configuration["Cmd"] or ()),
        "stop_signal": configuration.get("StopSignal", ""),
    }


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_the_corpus_means_what_it_means_to_buildkit(builder: Builder, path: Path) -> None:
    text = path.read_bytes()
    read = parse(text.decode())
    short = read.shortfalls(builder.version)
    registry = read.frontend_image or read.foreign_images({}, AUTOMATIC) or b"https://" in text
    if registry or (short and path.stem in OTHERWISE):
        return  # it takes a registry or the network; tests/unit holds how it is read
    configuration = builder.configuration(text)
    if read.faults or short or path.stem in REFUSED_BY_VALUE:
        assert configuration is None, "BuildKit builds what we call refused"
        return
    assert configuration is not None, "BuildKit refuses what we would build"
    container = ours(read)
    found = compared(configuration)
    assert found == {key: getattr(container, key) for key in found}


def test_values_are_expanded_as_buildkit_expands_them(builder: Builder) -> None:
    chance = random.Random(14)  # noqa: S311 - a test's cases
    parts = [
        "a",
        " ",
        "$A",
        "${A}",
        "$B",
        "${NO:-x}",
        "${A:+y}",
        "${NO:-$A}",
        '"',
        "'",
        "\\",
        "$",
        "\\$",
        "#",
        "=",
        "\u00e9",
        "{",
        "}",
    ]
    texts = ["".join(chance.choices(parts, k=chance.randint(1, 6))) for _ in range(600)]
    head = "FROM scratch\nENV A=1 B='b b'\n"
    lines = [f"ENV V{number}={text}" for number, text in enumerate(texts)]
    taken = [line for line in lines if not parse(f"{head}{line}\n").faults and not line.endswith("\\")]
    text = head + "\n".join(taken) + "\n"
    configuration = builder.configuration(text.encode())
    assert len(taken) > 100
    assert configuration is not None
    assert compared(configuration)["environment"] == ours(parse(text)).environment
    refused = [line for line in lines if parse(f"{head}{line}\n").faults]
    for line in refused[:: max(1, len(refused) // 12)]:
        assert builder.configuration(f"{head}{line}\n".encode()) is None, line


IGNORED = [
    "",
    "sub",
    "/sub",
    "sub/",
    "./sub",
    "*",
    "*\n!a",
    "*\n!sub/deep",
    "**/*.txt",
    "*.txt",
    "*/*.txt",
    "**/.hidden",
    ".*",
    "build\n!build/keep.txt",
    "build/*\n!build/keep.txt",
    "**\n!docs/**/README.md",
    "*.md\n!a1.md\nab.md",
    "# a comment\na",
    " # no comment\nb",
    "\\#hash",
    "sub/**",
    "**/deep",
    "a?.md",
    "[ab]",
    "[^ab]",
    "a[0-9].md",
    "docs/../sub",
    "!a\na",
    "a\n!a",
    "with space.txt",
    "  b  ",
    "sub\n!sub/d.txt\nsub/d.txt",
    "s*b/d*",
    "**/sub",
    "d*cs/**/*.md",
    "new*",
    "\ufeffa",
]


SKIPPED = {"**\n!docs/**/README.md"}
"""Clients before 23 look into no folder that is left out where the pattern that brings something back has wildcards."""


@pytest.mark.nightly
@pytest.mark.parametrize("rules", IGNORED)
def test_ignore_files_leave_out_what_they_leave_out_for_buildkit(builder: Builder, rules: str) -> None:
    ignore = builder.context.with_name("Dockerfile.dockerignore")
    ignore.write_text(rules)
    try:
        done = builder.build(b"FROM scratch\nCOPY . /\n", "--output", "type=tar,dest=-")
        with tarfile.open(fileobj=BytesIO(done.stdout)) as tar:
            theirs = {member.name.rstrip("/") for member in tar if not member.isdir()}
        reads = parse("FROM scratch\nCOPY . /\n").context_reads()
        assert reads is not None
        found = _read(builder.context, reads, read_ignored(ignore))
        files = {relative(path, builder.context) for path in found if not path.is_dir()}
        if rules in SKIPPED and int(builder.version.partition(".")[0]) < 23:
            assert files > theirs
        else:
            assert files == theirs
    finally:
        ignore.unlink()
