"""Bases from a registry, with a real one: what is pulled, with which credentials, and what becomes of half of one."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from metallize.build.base.bases import Origin
from metallize.build.engines.docker import DockerEngine
from metallize.errors import EngineError
from metallize.model.profile import Platform
from tests import registry
from tests.conftest import Cli
from tests.registry import Login, OciImage, Registry, line_to, rootfs
from tests.registry import resolved as base

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(registry.is_nowhere(), reason="this host's distribution has no docker-registry"),
]
NAME = "own/debian"
LARGE = random.Random(1).randbytes(4 << 20)  # noqa: S311 - no secret
"""Four megabytes: many packets, so that there is a middle to cut at."""


def image(platform: Platform, words: str) -> OciImage:
    return OciImage(platform=platform, archive=rootfs({"etc/what": f"{platform} {words}\n".encode()}))


def pair(words: str) -> list[OciImage]:
    return [image(platform, words) for platform in Platform]


@pytest.fixture
def engine() -> Iterator[DockerEngine]:
    """An engine that forgets, at the end of a test, what it fetched from loopback."""
    made = DockerEngine()
    yield made
    client = made._client
    for found in client.images.list():
        names = [*found.tags, *(found.attrs.get("RepoDigests") or ())]
        if any(name.startswith(("127.0.0.1:", "metallize/pulled-127-0-0-1-")) for name in names):
            client.images.remove(str(found.id), force=True)
    made.close()


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry.running(tmp_path_factory.mktemp("registry")) as running:
        yield running


def test_a_base_is_pulled_and_then_local(engine: DockerEngine, here: Registry) -> None:
    here.push(NAME, "trixie", pair("first"))
    reference = f"{here.host}/{NAME}:trixie"
    pulled = base(engine, reference)
    assert (pulled.origin, pulled.image.platform, pulled.reference) == (Origin.REGISTRY, Platform.AMD64, reference)
    assert not pulled.image.triggers
    again = base(engine, reference)
    assert (again.origin, again.image.id) == (Origin.LOCAL, pulled.image.id)


def test_both_architectures_are_under_one_tag(engine: DockerEngine, here: Registry) -> None:
    here.push(NAME, "both", pair("each its own"))
    reference = f"{here.host}/{NAME}:both"
    order = [Platform.AMD64, Platform.ARM64, Platform.AMD64, Platform.ARM64]
    found = [base(engine, reference, platform).image for platform in order]
    assert [each.platform for each in found] == order
    assert found[0].id == found[2].id != found[1].id == found[3].id


def test_an_architecture_that_the_tag_has_not_is_an_error(engine: DockerEngine, here: Registry) -> None:
    here.push(NAME, "one", [image(Platform.ARM64, "only")])
    with pytest.raises(EngineError) as caught:
        base(engine, f"{here.host}/{NAME}:one")
    assert "amd64" in caught.value.message
    assert "docker load" in (caught.value.hint or "")


def test_a_digest_gives_those_bytes_wherever_the_tag_has_moved(engine: DockerEngine, here: Registry) -> None:
    old = here.push(NAME, "moving", pair("old"))
    new = here.push(NAME, "moving", pair("new"))
    assert old != new
    latest = base(engine, f"{here.host}/{NAME}:moving")
    pinned = {platform: base(engine, f"{here.host}/{NAME}:moving@{old}", platform) for platform in Platform}
    assert all(each.origin is Origin.REGISTRY for each in pinned.values())
    assert [each.image.platform for each in pinned.values()] == list(Platform)
    assert len({latest.image.id, *(each.image.id for each in pinned.values())}) == 3
    assert base(engine, f"{here.host}/{NAME}:moving").image.id == latest.image.id, "the tag is not what was pinned"
    with pytest.raises(EngineError, match="sha256:0000"):
        base(engine, f"{here.host}/{NAME}:moving@sha256:{'0' * 64}")


def test_credentials_are_those_of_the_docker_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    login = Login()
    with registry.running(tmp_path / "registry", login=login) as closed:
        closed.push(NAME, "secret", pair("for few"))
        reference = f"{closed.host}/{NAME}:secret"
        configuration = tmp_path / "docker" / "config.json"
        configuration.parent.mkdir()
        monkeypatch.setenv("DOCKER_CONFIG", str(configuration.parent))
        for auths in ({}, {closed.host: {"auth": Login(password="another").encoded}}):
            configuration.write_text(json.dumps({"auths": auths}))
            stranger = DockerEngine()
            with pytest.raises(EngineError) as caught:
                base(stranger, reference)
            stranger.close()
            assert "unauthorized" in caught.value.message or "no basic auth credentials" in caught.value.message
            assert "docker login" in f"{caught.value.message} {caught.value.hint}"
        configuration.write_text(json.dumps({"auths": {closed.host: {"auth": login.encoded}}}))
        known = DockerEngine()
        found = base(known, reference)
        assert found.origin is Origin.REGISTRY
        known._client.images.remove(found.image.id, force=True)
        known.close()


@pytest.mark.nightly  # Docker tries again for a minute
def test_a_registry_that_goes_down_in_the_middle(
    engine: DockerEngine, here: Registry, tmp_path: Path, cli: Cli
) -> None:
    """Nothing half is left: neither an image that can be built on, nor one that the next try takes for whole."""
    large = [OciImage(platform=each, archive=rootfs({"large": LARGE, "n": each.encode()})) for each in Platform]
    here.push(NAME, "large", large)
    with line_to(here, allowed_bytes=20_000) as line:
        reference = f"{line.host}/{NAME}:large"
        with pytest.raises(EngineError) as caught:
            base(engine, reference)
        assert line.is_cut, caught.value.message
        assert reference in caught.value.message
        assert engine.inspect(reference) is None
        profile = tmp_path / "cut.yaml"
        profile.write_text(
            f"platform: linux/amd64\nimages: ['{reference}']\noutput: {{generator: ext4, file: cut.img}}\n"
        )
        done = cli("build", profile, cwd=tmp_path)
        assert (done.status, "Traceback" in done.stderr) == (3, False)
        assert reference in done.stderr
        assert not (tmp_path / "build" / "cut.img").exists()
        line.mend()
        whole = base(engine, reference)
        assert whole.origin is Origin.REGISTRY
        assert whole.image.size_bytes > len(LARGE)


def test_a_base_with_triggers_is_known_as_one(engine: DockerEngine, here: Registry) -> None:
    triggering = OciImage(platform=Platform.AMD64, archive=rootfs({"x": b"x"}), triggers=("RUN false",))
    here.push(NAME, "onbuild", [triggering])
    assert base(engine, f"{here.host}/{NAME}:onbuild").image.triggers
