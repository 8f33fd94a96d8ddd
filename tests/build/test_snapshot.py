"""base.snapshot with a mirror that keeps states: the base, its layers and the generator's tools are of the date."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator

import pytest

from metallize.build.base import bases
from metallize.build.engines.docker import DockerEngine
from metallize.build.generator import sha256_of
from metallize.build.plan import PARENT_LABEL
from metallize.build.steps import BASE as BASE_STEP
from metallize.build.steps import steps_of
from metallize.catalog import Catalog
from metallize.config import load_profile
from metallize.events import Silent
from metallize.planning import plan_of
from tests import registry
from tests.conftest import Cli
from tests.snapshots import PACKAGE, ROOT, states
from tests.ubuntu import bridge, served

from .conftest import BASE, HEADER, SYSTEM, Site

pytestmark = [pytest.mark.docker, pytest.mark.nightly]
FIRST, SECOND = "20260203T000000Z", "20260304T050607Z"
INSTALLS = f"{HEADER}RUN apt-get update && apt-get install -y {PACKAGE}\n"


@pytest.fixture
def mirror(engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The setting for it; the images of its states are removed in the end."""
    docker = engine.cli.path
    here = registry.resolved(engine, BASE).image.reference
    made = states("trixie", (FIRST, SECOND), docker, here, tmp_path_factory.mktemp("states"))
    with served(made, bridge(docker), ROOT):
        yield f"deb [trusted=yes] {made.address}/{{date}}/ {{suite}} main"
    forget(engine)


def forget(engine: DockerEngine) -> None:
    """Remove the bases of the dates, and all that was built on them: the mirror has another port each time."""
    there = {str(image.id): image for image in engine._client.images.list()}
    gone = {name for name, image in there.items() if any(FIRST in tag or SECOND in tag for tag in image.tags)}
    while more := {name for name, image in there.items() if image.labels.get(PARENT_LABEL) in gone} - gone:
        gone |= more
    for name in gone:
        engine._client.images.remove(name, force=True)


def said(engine: DockerEngine, image: str, *words: str) -> str:
    """What a command prints in a container of the image."""
    return subprocess.run(
        [engine.cli.path, "run", "--rm", image, *words], capture_output=True, text=True, check=True
    ).stdout


def test_an_image_is_of_the_packages_of_a_day(
    site: Site, cli: Cli, engine: DockerEngine, mirror: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.layer("system.dockerfile", SYSTEM)
    profile = site.profile("pinned.iso", "system.dockerfile", site.layer("installs.dockerfile", INSTALLS))
    profile.write_text(f"base: {{snapshot: 2026-02-03}}\n{profile.read_text()}")
    refused = cli("build", profile, cwd=site.folder)
    assert refused.status == 2
    assert f"pinned.yaml:1:18: nothing says which mirror has debian trixie as it was at {FIRST}" in refused.stderr

    monkeypatch.setenv("METALLIZE_DEBIAN_SNAPSHOT", mirror)
    done = cli("build", profile, cwd=site.folder)
    assert done.status == 0, done.stderr
    assert "fetch" not in done.stderr
    manifest = json.loads((site.build / "pinned.iso.manifest.json").read_text())
    assert {row["name"]: row["version"] for row in manifest["packages"]}[PACKAGE] == FIRST
    assert manifest["package_snapshot"]["archive"] == FIRST
    assert manifest["base"]["origin"] == "bootstrap"
    top = manifest["layers"][-1]["tag"]
    listed = said(engine, top, "cat", "/etc/apt/sources.list")
    assert re.fullmatch(rf"deb \[check-valid-until=no trusted=yes\] \S+/{FIRST}/ trixie main\n*", listed)
    assert '"built": false' in cli("build", profile, "--json", cwd=site.folder).stdout

    script = cli("plan", profile, "--set", "output.file=printed.iso", cwd=site.folder).stdout
    planned = subprocess.run(["sh"], input=script, cwd=site.folder, capture_output=True, text=True, check=False)
    assert planned.returncode == 0, planned.stderr
    assert sha256_of(site.build / "printed.iso") == manifest["sha256"]

    catalog = Catalog()
    other = load_profile(profile, vocabulary=catalog.vocabulary(), overrides={"base.snapshot": "2026-03-04T05:06:07Z"})
    step = next(each for each in steps_of(plan_of(other, catalog)) if each.id == BASE_STEP)
    later = bases.resolve(engine, step, Silent()).image.reference
    ask = f"apt-get update -qq && apt-cache policy {PACKAGE}"
    assert f"Candidate: {SECOND}\n" in said(engine, later, "sh", "-c", ask)

    none = cli("build", profile, "--set", "base.snapshot=2026-01-01", cwd=site.folder)
    assert none.status == 3
    assert "the mirror has nothing there" in none.stderr
    assert "METALLIZE_DEBIAN_SNAPSHOT" in none.stderr
