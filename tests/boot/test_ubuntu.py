"""Ubuntu's shipped profiles, as near as they can be had where no Ubuntu archive is reachable: see tests/ubuntu.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from metallize.build.base.bootstrap import base_tag
from metallize.build.engines.docker import DockerEngine
from metallize.model.profile import Platform
from tests import makers, registry
from tests.conftest import ROOT, Cli
from tests.ubuntu import FOCAL, NOBLE, Archive, Release, archive, bridge, served

pytestmark = [pytest.mark.docker, pytest.mark.boot, pytest.mark.nightly]


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerEngine]:
    made = DockerEngine()
    yield made
    made.close()


@pytest.fixture(scope="module", params=[NOBLE, FOCAL], ids=["noble", "focal"])
def ubuntu(
    request: pytest.FixtureRequest, engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Archive]:
    release: Release = request.param
    debian = registry.resolved(engine, f"debian:{release.debian}")
    docker = engine.cli.path
    made = archive(release, docker, debian.image.reference, tmp_path_factory.mktemp(release.suite))
    with pytest.MonkeyPatch.context() as patch, served(made, bridge(docker)):
        patch.setenv("METALLIZE_UBUNTU_MIRROR", made.mirror)
        yield made
        tag = base_tag(f"ubuntu:{release.version}", Platform.AMD64)
        if engine.inspect(tag) is not None:
            engine._client.images.remove(tag, force=True)


def profiles(release: Release) -> list[Path]:
    """The shipped ones that stand on this release."""
    found = sorted((ROOT / "profiles").glob("ubuntu*.yaml"))
    return [path for path in found if f"- ubuntu:{release.version}\n" in path.read_text()]


def test_each_profile_is_built_and_boots_on_bios_and_uefi(ubuntu: Archive, cli: Cli, build_dir: Path) -> None:
    release = ubuntu.release
    made = cli("base", f"ubuntu:{release.version}", "--platform", "linux/amd64")
    assert made.status == 0
    assert profiles(release)
    for profile in profiles(release):
        done = cli("build", profile, "--verify", "--build-dir", build_dir)
        assert done.status == 0
        image = Path(done.stdout.strip().splitlines()[-1])
        manifest = json.loads((build_dir / f"{image.name}.manifest.json").read_text())
        assert manifest["base"]["origin"] == "bootstrap"
        assert (manifest["os"]["ID"], manifest["os"]["VERSION_ID"]) == ("ubuntu", release.version)
        assert "linux-image-generic" in {package["name"] for package in manifest["packages"]}
        record = json.loads((build_dir / f"{image.name}.verification.json").read_text())
        assert [machine["machine"] for machine in record["machines"]] == ["ovmf", "seabios"]


@pytest.mark.skipif(registry.is_nowhere(), reason="this host's distribution has no docker-registry")
def test_a_base_from_a_registry_that_is_made_as_ubuntus_is(
    ubuntu: Archive, engine: DockerEngine, cli: Cli, tmp_path: Path
) -> None:
    """Its diverted initctl, its user ubuntu, its sources in deb822, and no documents."""
    version = ubuntu.release.version
    assert cli("base", f"ubuntu:{version}", "--platform", "linux/amd64").status == 0
    bootstrapped = base_tag(f"ubuntu:{version}", Platform.AMD64)
    archive = makers.ubuntu(makers.exported(engine.cli.path, bootstrapped, tmp_path / "rootfs.tar"))
    with registry.running(tmp_path / "registry") as here:
        here.push("library/ubuntu", version, [registry.OciImage(platform=Platform.AMD64, archive=archive)])
        reference = f"{here.host}/library/ubuntu:{version}"
        profile = profiles(ubuntu.release)[0]
        text = profile.read_text()
        assert f"- ubuntu:{version}\n" in text
        assert "machines: [seabios, ovmf]" in text
        text = text.replace(f"- ubuntu:{version}\n", f"- {reference}\n")
        own = tmp_path / profile.name
        own.write_text(text.replace("machines: [seabios, ovmf]", "machines: [seabios]"))
        done = cli("build", own, "--verify", cwd=tmp_path)
        engine._client.images.remove(reference, force=True)
    assert done.status == 0
    [found] = (tmp_path / "build").glob("*.manifest.json")
    assert json.loads(found.read_text())["base"]["origin"] == "registry"
