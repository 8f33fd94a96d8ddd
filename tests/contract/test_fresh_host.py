"""The set-up on a machine that has nothing: a new Debian container, a user with sudo, a path with a space."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from metallize import planning
from metallize.build.base import bases
from metallize.build.engines.docker import DockerEngine
from metallize.build.plan import BaseImage
from metallize.catalog import Catalog
from metallize.command import Finished, run
from metallize.events import Silent
from metallize.model.profile import Platform

ROOT = Path(__file__).resolve().parents[2]
CHECKOUT = "/home/ann/my checkout"
LIMIT = timedelta(minutes=4)

pytestmark = [
    pytest.mark.docker,
    pytest.mark.nightly,  # every day the set-up runs on the machine that runs the tests
]


def pack_checkout(archive: Path) -> None:
    """What git tracks or would, as a clone would have it."""
    listed = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT).stdout
    with tarfile.open(archive, "w") as tar:
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                tar.add(ROOT / name, name)


class FreshHost:
    """A running container: `root` and `ann` run bash in it as that user."""

    def __init__(self, container: str) -> None:
        self.container = container

    def root(self, script: str) -> Finished:
        argv = ["docker", "exec", self.container, "bash", "-euc", script]
        return run(argv, check=False, timeout=LIMIT)

    def ann(self, script: str) -> Finished:
        argv = ["docker", "exec", "--user", "ann", "--workdir", "/", self.container, "bash", "-uc", script]
        return run(argv, check=False, timeout=LIMIT)


@pytest.fixture(params=["trixie", "bookworm"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FreshHost]:
    archive = tmp_path / "checkout.tar"
    pack_checkout(archive)
    passed_on = [name for name in ("PIP_INDEX_URL", "HTTPS_PROXY", "https_proxy") if name in os.environ]
    argv = ["docker", "run", "--detach", "--rm", "--volume", f"{archive}:/checkout.tar:ro"]
    for name in passed_on:
        argv += ["--env", name]
    # This host's own trust, for one that reaches the package index through a proxy of its own.
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    if certificates.exists():
        argv += ["--volume", f"{certificates}:/host-ca.crt:ro", "--env", "PIP_CERT=/host-ca.crt"]
    suite = planning.base_of(BaseImage(reference=f"debian:{request.param}", platform=Platform.AMD64), Catalog())
    base = bases.resolve(DockerEngine(), suite, Silent()).image.reference
    container = run([*argv, base, "sleep", "infinity"]).stdout.strip()
    try:
        host = FreshHost(container)
        made = host.root(
            "apt-get update -q && apt-get install -y -q --no-install-recommends sudo ca-certificates\n"
            "rm -rf /var/lib/apt/lists/*\n"
            "useradd --create-home --shell /bin/bash ann\n"
            "echo 'ann ALL=(ALL:ALL) NOPASSWD: ALL' >/etc/sudoers.d/ann\n"
            f"mkdir '{CHECKOUT}' && tar -C '{CHECKOUT}' -xf /checkout.tar && chown -R ann: /home/ann\n"
        )
        assert made.status == 0, made.stderr
        yield host
    finally:
        run(["docker", "rm", "--force", container], check=False)


def test_one_command_installs_all_that_a_fresh_host_lacks(host: FreshHost) -> None:
    before = host.ann(f"'{CHECKOUT}/scripts/test' --fast")
    assert before.status == 3, "without Python there is nothing that it could do without root"
    assert "python3-venv" in before.stderr

    # An unprivileged container cannot run an engine, so this comes as far as starting one.
    first = host.ann(f"'{CHECKOUT}/scripts/quickstart'")
    assert first.status == 3, first.stdout + first.stderr
    assert "==> Installing what is missing: " in first.stderr
    assert "==> Starting the Docker engine" in first.stderr
    assert "error: the Docker engine did not come up" in first.stderr
    assert "the last lines of /var/log/metallize-dockerd.log" in first.stderr
    assert "failed to start daemon" in first.stderr
    assert "next: inside a container, use the host's engine" in first.stderr

    there = host.ann(
        f"set -e; . '{CHECKOUT}/scripts/lib/setup.sh'; missing_packages; setup_packages; docker_can_build\n"
        "for tool in qemu-system-x86_64 qemu-img swtpm mmdebstrap dockerd; do $tool --version >/dev/null; done"
    )
    assert there.status == 0, there.stderr
    assert there.stdout == "", "nothing is missing any more"
    assert there.stderr == "", "and nothing is installed again"

    fast = host.ann(f"'{CHECKOUT}/scripts/test' --fast tests/unit/scripts/test_setup.py")
    assert fast.status == 0, fast.stdout + fast.stderr
    assert "Making the virtual environment" in fast.stderr
    assert " passed" in fast.stdout.splitlines()[-1]
    again = host.ann(f"'{CHECKOUT}/scripts/test' --fast --collect-only -q tests/unit/scripts/test_setup.py")
    assert again.status == 0
    assert again.stderr == "", "the environment is there"
