"""Where a profile names no machine, its image is booted on those of its own architecture."""

from __future__ import annotations

from pathlib import Path

import pytest

from metallize.catalog import Catalog
from metallize.config import load_profile
from metallize.verify.requests import entries_of

STACK = """\
platform: {platform}
images: [debian:trixie, debian-disk.dockerfile]
output: {{generator: ext4, file: own.raw}}
"""


@pytest.mark.parametrize(("platform", "machines"), [("linux/amd64", ["seabios", "ovmf"]), ("linux/arm64", ["aavmf"])])
def test_a_disk_is_booted_by_what_its_architecture_has(tmp_path: Path, platform: str, machines: list[str]) -> None:
    profile = tmp_path / "own.yaml"
    profile.write_text(STACK.format(platform=platform))
    catalog = Catalog()
    assert list(entries_of(load_profile(profile, vocabulary=catalog.vocabulary()), catalog, [])) == machines
