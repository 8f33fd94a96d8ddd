"""Copies of a released image that others have packed or converted are judged by its statements."""

from __future__ import annotations

import gzip
import subprocess
from pathlib import Path

import pytest

from metallize.build.generator import sha256_of
from metallize.errors import VerificationFailed
from tests.unit.release.places import Place
from tests.unit.release.wares import CONTENT

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "pack",
    [
        ("xz", "--keep", "--stdout"),
        ("gzip", "--stdout"),
        ("bzip2", "--stdout"),
        ("zstd", "--stdout", "--quiet"),
    ],
    ids=lambda pack: pack[0],
)
def test_what_others_have_packed(place: Place, tmp_path: Path, pack: tuple[str, ...]) -> None:
    (tmp_path / "a disk, packed").write_bytes(CONTENT)
    packed = tmp_path / "-packed ü"
    with packed.open("wb") as file:
        subprocess.run([*pack, tmp_path / "a disk, packed"], stdout=file, check=True)
    assert place.verify(packed).sha256 == place.ware.image.sha256
    packed.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(VerificationFailed, match="is damaged"):
        place.verify(packed)


@pytest.mark.parametrize("form", ["qcow2", "vmdk", "vhdx"])
def test_a_disk_that_was_converted(tmp_path: Path, form: str) -> None:
    """Of whole MiB, because some formats know no smaller parts."""
    content = CONTENT[: 1 << 20].ljust(4 << 20, b"\0")
    place = Place(tmp_path, content)
    (tmp_path / "disk.raw").write_bytes(content)
    converted = tmp_path / f"my disk, converted.{form}"
    subprocess.run(["qemu-img", "convert", "-q", "-O", form, tmp_path / "disk.raw", converted], check=True)
    assert place.verify(converted).sha256 == place.ware.image.sha256
    packed = tmp_path / "packed.gz"
    packed.write_bytes(gzip.compress(converted.read_bytes()))
    assert place.verify(packed).sha256 == place.ware.image.sha256
    (tmp_path / "disk.raw").write_bytes(content[:-1] + b"?")
    subprocess.run(["qemu-img", "convert", "-q", "-O", form, tmp_path / "disk.raw", converted], check=True)
    with pytest.raises(VerificationFailed, match="tells of another image"):
        place.verify(converted)


def test_a_release_in_a_container_and_the_raw_disk_that_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "disk.raw").write_bytes(CONTENT[: 1 << 20].ljust(4 << 20, b"\0"))
    subprocess.run(
        ["qemu-img", "convert", "-q", "-O", "qcow2", tmp_path / "disk.raw", tmp_path / "disk.qcow2"], check=True
    )
    place = Place(tmp_path, (tmp_path / "disk.qcow2").read_bytes(), "web.qcow2")
    assert place.verify().sha256 == place.ware.image.sha256
    assert place.verify(tmp_path / "disk.raw").sha256 == sha256_of(tmp_path / "disk.raw")


def test_a_disk_that_stands_on_another_file_proves_nothing(place: Place, tmp_path: Path) -> None:
    """What is signed is below it today, and something else tomorrow."""
    (tmp_path / "disk.raw").write_bytes(CONTENT)
    overlay = tmp_path / "overlay.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "disk.raw", overlay], check=True)
    with pytest.raises(VerificationFailed, match="stands on other files"):
        place.verify(overlay)
