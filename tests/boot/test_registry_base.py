"""A system on a base from a registry, made the way official images are: its name and its name servers are its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from metallize.build.engines.docker import DockerEngine
from metallize.model.profile import Platform
from tests import makers, registry
from tests.conftest import Cli

pytestmark = [
    pytest.mark.docker,
    pytest.mark.boot,
    pytest.mark.skipif(registry.is_nowhere(), reason="this host's distribution has no docker-registry"),
]
PROFILE = """\
platform: linux/amd64
args: {kernel_package: linux-image-cloud-amd64}    # boots sooner
images:
  - REFERENCE
  - SYSTEM
  - networkd-dhcp.dockerfile
  - ssh-server.dockerfile
  - admin-user.dockerfile
output: {generator: GENERATOR, file: FILE}
boot:
  machines: [seabios]
  memory: 1G
  internet: true
  login: {user: admin, password: admin}
  ssh: {user: admin, password: admin}
  suites: [base, network]
  assert:
    file:
      /etc/hostname: {exists: true, contents: [/^shop$/, "!debuerreotype"]}
      /etc/resolv.conf: {exists: true, filetype: symlink, contents: ["!NAME_SERVER"]}
      /usr/sbin/policy-rc.d: {exists: false}
      /etc/apt/apt.conf.d/docker-clean: {exists: false}
      /etc/dpkg/dpkg.cfg.d/docker-apt-speedup: {exists: false}
      /etc/dpkg/dpkg.cfg.d/docker: {exists: false}
    command:
      the kernel knows the name: {exec: uname -n, exit-status: 0, stdout: [/^shop$/]}
      the name resolves: {exec: getent ahosts shop, exit-status: 0}
      the name servers are DHCP's:
        exec: cat /run/systemd/resolve/resolv.conf
        exit-status: 0
        stdout: [/^nameserver 10\\.0\\.2\\.3$/, "!NAME_SERVER"]
"""


@pytest.fixture(scope="module")
def bootstrapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root filesystem of a minimal Debian 13, as a tar archive."""
    engine = DockerEngine()
    base = registry.resolved(engine, "debian:trixie")
    docker = engine.cli.path
    engine.close()
    return makers.exported(docker, base.image.reference, tmp_path_factory.mktemp("rootfs") / "rootfs.tar")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[registry.Registry]:
    with registry.running(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("variant", "generator", "system"),
    [
        ("trixie", "ext4", "debian-disk.dockerfile"),
        ("trixie-slim", "livecd", "debian-live.dockerfile"),
    ],
)
def test_the_machine_has_its_own_name_and_dhcps_name_servers(
    variant: str, generator: str, system: str, bootstrapped: Path, here: registry.Registry, tmp_path: Path, cli: Cli
) -> None:
    archive = makers.debian(bootstrapped, slim=variant.endswith("-slim"))
    digest = here.push("library/debian", variant, [registry.OciImage(platform=Platform.AMD64, archive=archive)])
    reference = f"{here.host}/library/debian:{variant}@{digest}"
    file = "shop.iso" if generator == "livecd" else "shop.qcow2"
    profile = tmp_path / "shop.yaml"
    words = {"REFERENCE": reference, "GENERATOR": generator, "SYSTEM": system, "FILE": file}
    words["NAME_SERVER"] = makers.NAME_SERVER
    profile.write_text(re.sub("|".join(words), lambda match: words[match[0]], PROFILE))
    done = cli("build", profile, "--verify", cwd=tmp_path)
    engine = DockerEngine()
    engine._client.images.remove(f"{here.host}/library/debian@{digest}", force=True)
    engine.close()
    assert done.status == 0
    manifest = json.loads((tmp_path / "build" / f"{file}.manifest.json").read_text())
    assert (manifest["base"]["origin"], manifest["base"]["reference"]) == ("registry", reference)
