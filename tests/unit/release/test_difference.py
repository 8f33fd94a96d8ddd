"""What differs between two images, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metallize.errors import UsageError
from metallize.release.destinations import destination_at
from metallize.release.difference import Side, difference
from metallize.release.sides import side_of_file, sides_of_release
from tests.unit.release.wares import released, ware

BEFORE: dict[str, Any] = {
    "sha256": "a",
    "size": 1_000_000,
    "kernel": "6.12.1",
    "base": {"reference": "debian:trixie", "digest": "sha256:1111111111111111"},
    "layers": [{"name": "ssh.dockerfile", "digest": "sha256:1"}, {"name": "web.dockerfile", "digest": "sha256:2"}],
    "packages": [
        {"name": "curl", "version": "8.1", "architecture": "amd64"},
        {"name": "bash", "version": "1:5.2", "architecture": "amd64"},
        {"name": "libc6", "version": "2.41", "architecture": "amd64"},
        {"name": "libc6", "version": "2.41", "architecture": "i386"},
    ],
}
AFTER: dict[str, Any] = {
    **BEFORE,
    "sha256": "b",
    "size": 2_500_000,
    "kernel": "6.12.2",
    "layers": [{"name": "ssh.dockerfile", "digest": "sha256:1"}, {"name": "db.dockerfile", "digest": "sha256:2"}],
    "packages": [
        {"name": "curl", "version": "8.0", "architecture": "amd64"},
        {"name": "bash", "version": "2:5.1", "architecture": "amd64"},
        {"name": "libc6", "version": "2.42", "architecture": "amd64"},
        {"name": "nginx", "version": "1.26", "architecture": "amd64"},
    ],
}


def test_what_differs() -> None:
    found = difference(Side(name="A", manifest=BEFORE), Side(name="B", manifest=AFTER))
    assert list(found.lines()) == [
        "from A to B",
        "facts: 2 changed",
        "  ~ kernel  6.12.1 -> 6.12.2",
        "  ~ size  1.0 MB (1000000) -> 2.5 MB (2500000)",
        "packages: 2 added, 2 removed, 2 changed",
        "  ~ bash  1:5.2 -> 2:5.1",
        "  ~ curl  8.1 -> 8.0  (older than before)",
        "  + libc6  2.42",
        "  - libc6:amd64  2.41",
        "  - libc6:i386  2.41",
        "  + nginx  1.26",
        "layers: 1 added, 1 removed",
        "  + db.dockerfile  sha256:2",
        "  - web.dockerfile  sha256:2",
    ]
    told = found.as_json()
    assert {"what": "nginx", "kind": "added", "before": "", "after": "1.26"} in told["packages"]
    assert json.loads(json.dumps(told)) == told


def test_nothing_differs() -> None:
    found = difference(Side(name="A", manifest=BEFORE), Side(name="B", manifest=BEFORE))
    assert found.same
    assert list(found.lines())[1:] == ["no difference in what they are made of"]


@pytest.mark.parametrize("wrong", [{"packages": {}}, {"packages": [1]}, {"packages": [{"name": "a"}]}, {"layers": "x"}])
def test_what_is_no_manifest(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"no list|lacks"):
        difference(Side(name="A", manifest=BEFORE), Side(name="B", manifest=wrong))


def test_two_images_and_two_releases(tmp_path: Path) -> None:
    to = tmp_path / "to"
    for name in ("one", "two"):
        made = ware(tmp_path / name, name.encode() * 1000)
        released(to, made)
    by_file = difference(side_of_file(tmp_path / "one" / "web.raw"), side_of_file(made.image.papers[0]))
    destination = destination_at(str(to))
    before, after = (sides_of_release(destination, f"20261130.{number}", None) for number in (1, 2))
    assert list(before) == list(after) == ["web x86-64 raw"]
    by_version = difference(*before.values(), *after.values())
    assert by_version.facts == by_file.facts
    stable = to / "stable"
    of_files = [side_of_file(stable / f"web_20261130.{number}_x86-64.raw.xz") for number in (1, 2)]
    assert difference(*of_files).packages == by_file.packages
    with pytest.raises(UsageError, match="there is no release 3"):
        sides_of_release(destination, "3", None)
    with pytest.raises(UsageError, match=r"there is no .*none\.raw\.manifest\.json"):
        side_of_file(tmp_path / "none.raw")
