"""Parts of an image that its release has as files of their own: the bytes that were booted, and nothing else."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from metallize.errors import HostError, VerificationFailed
from metallize.events import Silent
from metallize.files.parts import parts_of
from metallize.release.curating import Terms, promote
from metallize.release.destinations import destination_at
from tests.unit.release.wares import CONTENT, released, tree, ware

ROOT = "_2826597e3dbf0fa1e4405ff72346e785.root"


def part(suffix: str, start: int, length: int, **changes: object) -> dict[str, object]:
    """As a manifest tells of one."""
    digest = hashlib.sha256(CONTENT[start : start + length]).hexdigest()
    return {"suffix": suffix, "offset": start, "size": length, "sha256": digest, **changes}


PARTS = [part(ROOT, 4096, 5 << 18), part(".efi", 1000, 5000), part(".grub", 1, 3)]


def test_a_release_has_the_parts_as_files_that_its_list_vouches_for(tmp_path: Path) -> None:
    done = released(tmp_path / "to", ware(tmp_path / "b", version="1", parts=PARTS))
    files = tree(tmp_path / "to" / "stable")
    sums = files["SHA256SUMS"].decode()
    for suffix, offset, size in ((ROOT, 4096, 5 << 18), (".efi", 1000, 5000), (".grub", 1, 3)):
        name = f"web_1_x86-64{suffix}"
        assert files[name] == CONTENT[offset : offset + size]
        assert f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" in sums
    [image] = done.release.images
    assert image.payload.name == "web_1_x86-64.raw.xz"
    assert {file.name for file in image.files} <= set(files)


def test_parts_go_with_their_release(tmp_path: Path) -> None:
    released(tmp_path / "to", ware(tmp_path / "b", version="1", parts=PARTS))
    promote(destination_at(str(tmp_path / "to")), "1", Silent(), Terms(), channel="slow")
    assert tree(tmp_path / "to" / "slow")[f"web_1_x86-64{ROOT}"] == CONTENT[4096 : 4096 + (5 << 18)]


def test_an_image_without_parts_has_no_more_files_than_before(tmp_path: Path) -> None:
    released(tmp_path / "to", ware(tmp_path / "b", version="1"))
    assert not [name for name in tree(tmp_path / "to" / "stable") if name.endswith((".root", ".efi"))]


def test_a_part_that_is_another_is_not_released(tmp_path: Path) -> None:
    other = ware(tmp_path / "b", version="1", parts=[part(ROOT, 4096, 8192, sha256="0" * 64)])
    with pytest.raises(VerificationFailed, match="does not read back as that part of the image"):
        released(tmp_path / "to", other)
    assert not (tmp_path / "to" / "stable").exists()
    right = ware(tmp_path / "c", version="1", parts=[part(ROOT, 4096, 8192)])
    released(tmp_path / "to", right)
    assert tree(tmp_path / "to" / "stable")[f"web_1_x86-64{ROOT}"] == CONTENT[4096 : 4096 + 8192]


@pytest.mark.parametrize(
    "wrong",
    [
        part("/../x", 0, 10),
        part(".x", 0, 10, sha256="short"),
        part(".x", 0, 10, offset=-1),
        part(".x", 0, 10, size=0),
        part(".x", 0, 10, size="much"),
        {"suffix": ".x"},
        "text",
    ],
)
def test_a_manifest_that_tells_nonsense_is_refused(wrong: object) -> None:
    with pytest.raises(HostError, match="does not tell where the image's parts are"):
        parts_of({"parts": [wrong]}, Path("web.raw.manifest.json"))


def test_two_parts_of_one_name_are_refused() -> None:
    with pytest.raises(HostError, match="two parts of one name"):
        parts_of({"parts": [part(".x", 0, 10), part(".x", 10, 10)]}, Path("web.raw.manifest.json"))


def test_a_part_beyond_the_end_is_refused(tmp_path: Path) -> None:
    beyond = ware(tmp_path / "b", version="1", parts=[part(ROOT, len(CONTENT) - 10, 10, size=11)])
    with pytest.raises(HostError, match="ends before its part"):
        released(tmp_path / "to", beyond)


def test_the_catalogue_counts_their_bytes(tmp_path: Path) -> None:
    done = released(tmp_path / "to", ware(tmp_path / "b", version="1", parts=PARTS))
    sizes = {file.name: file.size_bytes for file in done.release.files}
    assert sizes[f"web_1_x86-64{ROOT}"] == 5 << 18
    assert done.release.size_bytes == sum(sizes.values())
