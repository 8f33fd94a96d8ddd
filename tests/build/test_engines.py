"""Docker as its users have it: Debian 13's engine with its two image stores, and rootless, against the host's own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from metallize.build.generator import sha256_of
from tests import engines
from tests.conftest import ROOT, Cli
from tests.engines import Engine, Kind

from .conftest import soon

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.nightly]
PROFILE = "debian13-ext4"
BASE = "metallize/base-debian:trixie-amd64"


@pytest.fixture(scope="module")
def here(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build folder of an image that the host's engine made of today's packages."""
    folder = tmp_path_factory.mktemp("host")
    done = cli("build", PROFILE, "--no-cache", "--build-dir", folder / "build", cwd=folder)
    assert done.status == 0, done.stderr
    return folder / "build"


@pytest.fixture(scope="module", params=list(Kind))
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with engines.running(request.param) as made:
        yield made


def test_a_build_is_that_of_the_hosts_engine_and_so_is_the_script(engine: Engine, here: Path) -> None:
    if engine.kind is Kind.ROOTLESS:  # mmdebstrap takes ids of the host's for its user, and this one is the engine's
        saved = engine.site / "base.tar"
        subprocess.run(["docker", "save", "--output", saved, BASE], check=True)
        assert engine.run("docker", "load", "--input", saved).status == 0
    built = engine.metallize("build", PROFILE)
    assert built.status == 0, built.stderr
    image = engine.work / "build" / f"{PROFILE}.img"
    manifest, other = (
        json.loads((folder / f"{PROFILE}.img.manifest.json").read_text()) for folder in (image.parent, here)
    )
    assert manifest["packages"] == other["packages"], "the archive has changed meanwhile: start this again"
    assert manifest["sha256"] == sha256_of(image) == sha256_of(here / image.name)

    made = image.stat().st_mtime_ns
    again = engine.metallize("build", PROFILE)
    assert again.status == 0, again.stderr
    assert "(nothing has changed)" in again.stderr
    assert image.stat().st_mtime_ns == made

    plan = engine.metallize("plan", PROFILE, "--build-dir", "script")
    assert plan.status == 0, plan.stderr
    assert "[to build]" not in plan.stdout
    assert engine.run("sh", stdin=plan.stdout).status == 0
    assert sha256_of(engine.work / "script" / image.name) == manifest["sha256"]
    assert image.stat().st_uid == (engines.USER if engine.kind is Kind.ROOTLESS else 0)


def test_the_doctor_says_what_that_engine_is(engine: Engine) -> None:
    done = engine.metallize("doctor", "--json")
    findings = {each["subject"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert findings["Docker engine"]["fine"]
    assert findings["docker command"]["fine"]
    assert findings["docker command"]["detail"].startswith(str(engine.site / "bin/docker"))


def bridges() -> list[str]:
    """The bridges in the host's own network; the other ends of its containers' cards come and go."""
    return sorted(each.parent.name for each in Path("/sys/class/net").glob("*/bridge"))


def processes_in(site: Path) -> list[str]:
    """Programs that have the engine's folder open, or among their words."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            words = (each / "cmdline").read_bytes().decode(errors="replace").split("\0")
            links = [str(link.readlink()) for link in (each / "fd").iterdir()]
        except OSError:
            continue
        if int(each.name) != os.getpid() and any(str(site) in word for word in (*words, *links)):
            found.append(" ".join(words))
    return found


START = """\
import sys, time
from tests.engines import Kind, running
with running(Kind(sys.argv[1])) as engine:
    print(engine.site, flush=True)
    assert engine.run("docker", "network", "create", "another").status == 0
    print("ready", flush=True)
    time.sleep(600)
"""


@contextmanager
def started(kind: Kind) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that runs an engine, and the engine's folder."""
    with subprocess.Popen([sys.executable, "-c", START, kind], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            site = Path(process.stdout.readline().strip())
            assert "ready\n" in iter(process.stdout.readline, "")
            yield process, site
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("kind", [Kind.CLASSIC, Kind.ROOTLESS])
def test_nothing_of_an_engine_stays(kind: Kind, number: signal.Signals) -> None:
    before = bridges()
    with started(kind) as (process, site):
        assert processes_in(site)
        assert bridges() == before
        process.send_signal(number)
        process.wait(60)
    soon(lambda: not site.exists(), f"{site} is gone")
    soon(lambda: not processes_in(site), f"what ran in {site} has ended")
    soon(lambda: not engines.groups(site.name), "its control groups are gone")
    assert str(site) not in Path("/proc/mounts").read_text()
    assert bridges() == before


def test_what_a_killed_keeper_left_is_swept_by_the_next() -> None:
    with engines.running(Kind.CLASSIC) as engine:
        os.kill(keeper_of(engine.site), signal.SIGKILL)
        soon(lambda: not processes_in(engine.site), "the engine has ended with its keeper")
    assert engine.site.exists()

    def swept() -> bool:
        engines.sweep()
        return not engine.site.exists()

    soon(swept, "its folder is gone")
    assert not engines.groups(engine.site.name)


def keeper_of(site: Path) -> int:
    for each in Path("/proc").glob("[0-9]*"):
        try:
            words = (each / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"keep" in words and bytes(site) in words:
            return int(each.name)
    raise AssertionError(f"nobody keeps {site}")
