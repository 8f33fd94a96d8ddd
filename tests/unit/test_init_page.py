"""What docs/init.md tells people to type is there, and what it shows loads."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import yaml

from metallize.catalog import Catalog
from metallize.commands.line import parse
from metallize.config import PROJECT_FILE, load_profile
from tests.conftest import ROOT
from tests.documents import blocks

PAGE = "docs/init.md"
PROFILE = "images: [debian:trixie, debian-disk.dockerfile, web.dockerfile]\noutput: {generator: ext4, file: x.img}\n"


def test_every_command_is_one() -> None:
    text = "\n".join(blocks((ROOT / PAGE).read_text(), "sh"))
    lines = [part.strip() for line in text.splitlines() for part in line.split(" && ")]
    calls = [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("metallize ")]
    assert len(calls) > 3
    for words in calls:
        assert parse(words).verb == words[0]


@pytest.mark.parametrize("block", blocks((ROOT / PAGE).read_text(), "yaml"))
def test_every_example_loads(block: str, tmp_path: Path) -> None:
    for folder in ("common", "teams/network", "web"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "common/web.dockerfile").write_text("ARG METALLIZE_SRC_IMG\nFROM ${METALLIZE_SRC_IMG}\n")
    shown = "images" in yaml.safe_load(block)
    (tmp_path / PROJECT_FILE).write_text("shared: [common]\n" if shown else block)
    profile = tmp_path / "web/web.yaml"
    profile.write_text(block if shown else PROFILE)
    loaded = load_profile(profile, vocabulary=Catalog().vocabulary())
    if not shown:
        assert loaded.output.kernel_boot_params == "console=ttyS1,115200"
        assert loaded.settings.build_dir == "images"
