"""What a boot leaves, on its way from a worker to the night's host."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from metallize.errors import HostError
from metallize.night.fleet import evidence


def test_a_run_folder_travels(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    (there / "20260101T020000Z" / "later").mkdir(parents=True)
    here.mkdir()
    names = ("console.txt", "later/n\u00e4me with blank", "later/-rf", "empty", "new\\slash")
    for name in names:
        (there / "20260101T020000Z" / name).write_bytes(name.encode())
    (there / "20260101T020000Z" / "link").symlink_to("/etc/passwd")
    evidence.pack(there, tmp_path / "it")
    evidence.unpack(tmp_path / "it", here)
    found = {path.relative_to(here / "20260101T020000Z").as_posix() for path in here.rglob("*") if path.is_file()}
    assert found == set(names), "a link is none of it"
    assert all((here / "20260101T020000Z" / name).read_bytes() == name.encode() for name in names)


def packed(path: Path, name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, link, 4 if kind == tarfile.REGTYPE else 0
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(member, io.BytesIO(b"evil"))


@pytest.mark.parametrize(
    ("name", "kind", "link"),
    [
        ("../out", tarfile.REGTYPE, ""),
        ("/out", tarfile.REGTYPE, ""),
        ("a/../../out", tarfile.REGTYPE, ""),
        ("a\x1b[2J", tarfile.REGTYPE, ""),
        ("link", tarfile.SYMTYPE, "/etc/passwd"),
        ("link", tarfile.LNKTYPE, "/etc/passwd"),
        ("fifo", tarfile.FIFOTYPE, ""),
        ("disk", tarfile.BLKTYPE, ""),
    ],
)
def test_what_no_boot_leaves_is_not_taken(tmp_path: Path, name: str, kind: bytes, link: str) -> None:
    packed(tmp_path / "it", name, kind, link)
    (tmp_path / "here").mkdir()
    with pytest.raises(HostError, match="what no boot leaves"):
        evidence.unpack(tmp_path / "it", tmp_path / "here")
    assert list((tmp_path / "here").iterdir()) == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("data", [b"", b"nothing", b"\x1f\x8b\x08" + b"\0" * 20])
def test_what_is_no_evidence_is_told(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "it").write_bytes(data)
    with pytest.raises(HostError, match="the evidence is none"):
        evidence.unpack(tmp_path / "it", tmp_path)


def test_evidence_that_was_cut_or_is_too_much_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "it").write_bytes(os.urandom(100_000))
    evidence.pack(tmp_path / "there", tmp_path / "whole")
    (tmp_path / "cut").write_bytes((tmp_path / "whole").read_bytes()[:50_000])
    (tmp_path / "here").mkdir()
    with pytest.raises(HostError, match="the evidence is none"):
        evidence.unpack(tmp_path / "cut", tmp_path / "here")
    monkeypatch.setattr(evidence, "MOST_BYTES", 99_999)
    (tmp_path / "more").mkdir()
    with pytest.raises(HostError, match="more than a boot can leave"):
        evidence.unpack(tmp_path / "whole", tmp_path / "more")
