"""Several images of one stack: the layers are built once, and the printed plan makes the same bytes of each."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from metallize.build.generator import sha256_of
from metallize.command import run
from tests.conftest import Cli

from .conftest import Site, leftovers

pytestmark = pytest.mark.docker
OUTPUTS = """\
platform: linux/amd64
images: [debian:trixie, system.dockerfile]
outputs:
  - {generator: livecd, file: two.iso}
  - {generator: ext4, file: two.img, options: {margin: 64M}}
"""


def test_two_outputs(site: Site, cli: Cli) -> None:
    profile = site.folder / "two.yaml"
    profile.write_text(OUTPUTS)
    done = cli("build", profile, "--json", cwd=site.folder)
    assert done.status == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    results = {event["image"]: event["sha256"] for event in events if event["event"] == "result"}
    assert set(results) == {"build/two.iso", "build/two.img"}
    finished = [event for event in events if event["event"] == "step-finished"]
    layers = [event["outcome"] for event in finished if event["title"] == "layer system.dockerfile"]
    assert len(layers) == 2
    assert layers[1] == "cached"
    planned = cli("plan", profile, "--build-dir", "planned", cwd=site.folder)
    run(["sh"], stdin=planned.stdout, cwd=site.folder, timeout=timedelta(minutes=5))
    for file in ("two.iso", "two.img"):
        assert sha256_of(site.folder / "planned" / file) == results[f"build/{file}"]


def test_one_of_two_outputs(site: Site, cli: Cli) -> None:
    profile = site.folder / "two.yaml"
    profile.write_text(OUTPUTS)
    wrong = cli("build", profile, "--output", "two.isp", cwd=site.folder)
    assert wrong.status == 2
    assert "did you mean `two.iso`?" in wrong.stderr
    done = cli("build", profile, "--output", "two.img", cwd=site.folder)
    assert done.status == 0, done.stderr
    assert leftovers(site.build) == ["two.img", "two.img.files.mtree", "two.img.manifest.json"]
