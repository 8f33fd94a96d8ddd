"""A generator's container whose builder was killed: any other build finds and ends it, and no other container."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from uuid import uuid4

import pytest

from metallize.build.base.bootstrap import base_tag
from metallize.build.engines.docker import DockerEngine
from metallize.build.engines.orphans import find_orphans, labels, remove_orphans
from metallize.catalog import host_platform
from tests.conftest import Cli

from .conftest import BASE

pytestmark = pytest.mark.docker
BUILDER = """
import sys
from metallize.build.engines import endpoint
from metallize.build.engines.orphans import labels
client, _ = endpoint.connect()
made = [
    client.containers.create(sys.argv[1], command, labels=dict(labels())) for command in (["sleep", "90210"], ["true"])
]
made[0].start()
for container in made:
    print(container.id, flush=True)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def image(engine: DockerEngine, cli: Cli) -> str:
    """Any system that has a `sleep`."""
    name = base_tag(BASE, host_platform())
    if engine.inspect(name) is None:
        assert cli("base", BASE).status == 0
    return name


@pytest.fixture
def builder(image: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A builder with a container that runs and one that was only made, by their ids."""
    argv = [sys.executable, "-c", BUILDER, image]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [line.strip() for line in iter(process.stdout.readline, "ready\n")]
        try:
            yield process, lines
        finally:
            process.kill()


def test_what_a_killed_builder_left_is_ended_by_any_other(
    engine: DockerEngine, image: str, builder: tuple[subprocess.Popen[str], list[str]]
) -> None:
    process, ids = builder
    client = engine._client
    own = client.containers.create(image, ["true"], labels=dict(labels()))
    others = client.containers.create(image, ["true"], labels={"io.metallize.builder.not": "x"})
    kept = {str(own.id), str(others.id)}
    try:
        assert not {orphan.id for orphan in find_orphans(client)} & {*ids, *kept}, "its builder lives"
        process.kill()
        process.wait()
        found = {orphan.id: orphan for orphan in find_orphans(client)}
        assert [found[each].running for each in ids] == [True, False]
        assert "which still runs" in str(found[ids[0]])
        removed = {orphan.id for orphan in remove_orphans(client)}
        assert removed >= set(ids)
        assert not removed & kept
        there = {each.id for each in client.containers.list(all=True, ignore_removed=True)}
        assert not there & set(ids)
        assert there >= kept
        assert not {orphan.id for orphan in remove_orphans(client)} & set(ids)
    finally:
        for container in (own, others):
            container.remove(force=True)


SEALER = """
import io, sys
from metallize.build.engines import endpoint
from metallize.build.engines.orphans import labels
client, _ = endpoint.connect()
container = client.containers.create(sys.argv[1], ["true"])
words = " ".join(f'"{name}"="{value}"' for name, value in labels().items())
client.api.commit(container.id, "metallize/sealed", sys.argv[2], changes=f"LABEL {words}")
container.remove()
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_sealed_rootfs_whose_builder_was_killed_goes_by_its_tag(engine: DockerEngine, cli: Cli, image: str) -> None:
    tag = f"metallize/sealed:{uuid4().hex[:16]}"
    argv = [sys.executable, "-c", SEALER, image, tag.rpartition(":")[2]]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            assert tag not in cli("prune", "--images", "--dry-run").stdout, "its builder lives"
        finally:
            process.kill()
    dry, done = (cli("prune", "--images", *words) for words in (("--dry-run",), ()))
    assert (dry.status, done.status) == (0, 0)
    # what another test's build has removed meanwhile needs no name
    assert f"a killed build's rootfs  {tag}" in dry.stdout or engine.inspect(tag) is None
    assert engine.inspect(tag) is None


def test_prune_names_and_ends_it(
    engine: DockerEngine, cli: Cli, builder: tuple[subprocess.Popen[str], list[str]]
) -> None:
    process, ids = builder
    short = {each[:12] for each in ids}

    def told(*words: str) -> set[str]:
        done = cli("prune", "--images", "--json", *words)
        assert done.status == 0
        events = [json.loads(line) for line in done.stdout.splitlines()]
        return {event["name"] for event in events if event.get("what") == "a killed build's container"}

    def left() -> set[str]:
        return {str(each.id) for each in engine._client.containers.list(all=True, ignore_removed=True)} & set(ids)

    assert not told("--dry-run") & short, "its builder lives"
    process.kill()
    process.wait()
    named = told("--dry-run")
    assert named >= {each[:12] for each in left()}, "what another test's build has ended meanwhile needs no name"
    ended = told()
    assert not left()
    assert named >= ended & short
    assert not told() & short
