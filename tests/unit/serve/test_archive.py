"""Network boot archives that attack whoever unpacks them: nothing outside changes, and nothing but files is made."""

from __future__ import annotations

import io
import os
import stat
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metallize.errors import UsageError
from metallize.serve import archive, opened
from tests.laws import cases

SECRET = "what was there before"


def member(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", link: str = "", mode: int = 0o644) -> bytes:
    """One header and its content, as tar itself writes them."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.size = kind, link, mode, len(content)
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def tar(path: Path, *members: bytes) -> Path:
    path.write_bytes(b"".join(members) + bytes(1024))
    return path


def unpacked(source: Path, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    with source.open("rb", buffering=0) as file:
        archive.unpack(file, folder)
    for path in folder.rglob("*"):
        state = path.lstat()
        assert stat.S_ISDIR(state.st_mode) or (stat.S_ISREG(state.st_mode) and state.st_nlink == 1)
        assert path.is_dir() or stat.S_IMODE(state.st_mode) & 0o7133 == 0
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "attack",
    [
        lambda victim: [member("server.ipxe", tarfile.SYMTYPE, link=str(victim))],
        lambda victim: [member("server.ipxe", tarfile.SYMTYPE, link="../victim")],
        lambda victim: [
            member("inside", tarfile.SYMTYPE, link=str(victim)),
            member("server.ipxe", tarfile.LNKTYPE, link="inside"),
        ],
        lambda victim: [member("server.ipxe", tarfile.LNKTYPE, link=str(victim))],
        lambda victim: [
            member("grub", tarfile.SYMTYPE, link=str(victim.parent)),
            member("grub/victim", content=b"overwritten"),
        ],
        lambda _: [member("../victim", content=b"overwritten")],
        lambda _: [member("a/../../victim", content=b"overwritten")],
        lambda victim: [member(str(victim), content=b"overwritten")],
        lambda _: [member("pipe", tarfile.FIFOTYPE), member("disk", tarfile.BLKTYPE), member("null", tarfile.CHRTYPE)],
        lambda _: [member("boot.ipxe", content=b"run me", mode=0o6777)],
        lambda _: [member("nul\x1b]52;c;aGk=\x07", content=b"x")],
    ],
)
def test_nothing_of_the_host_is_touched(tmp_path: Path, attack: object) -> None:
    victim = tmp_path / "victim"
    victim.write_text(SECRET)
    assert callable(attack)
    source = tar(tmp_path / "net.tar", member("boot.ipxe", content=b"#!ipxe\n"), *attack(victim))
    files = unpacked(source, tmp_path / "unpacked")
    assert victim.read_text() == SECRET
    assert victim.stat().st_nlink == 1
    assert set(files) <= {"boot.ipxe", "grub/victim"}
    with opened(source) as served:
        assert set(served.names) == set(files), "what is unpacked is what is served"


def test_two_thousand_folders_in_each_other(tmp_path: Path) -> None:
    deep = "/".join(["d"] * 2000)
    source = tar(tmp_path / "net.tar", member("boot.ipxe", content=b"x"), member(f"{deep}/file", content=b"x"))
    assert set(unpacked(source, tmp_path / "unpacked")) == {"boot.ipxe"}


def test_a_file_that_is_a_folder_too_is_refused(tmp_path: Path) -> None:
    source = tar(tmp_path / "net.tar", member("boot.ipxe", content=b"x"), member("boot.ipxe/more", content=b"x"))
    with pytest.raises(UsageError, match=r"boot\.ipxe is a file and a folder"), opened(source):
        pass


@pytest.mark.parametrize("size", [-512, -1, 1 << 62, 1 << 40])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, b"Z"])
def test_a_size_that_leads_back_or_far_away_has_an_end(tmp_path: Path, size: int, kind: bytes) -> None:
    header = bytearray(member("big", kind))
    header[124:136] = (b"\xff" if size < 0 else b"\x80") + (size & ((1 << 88) - 1)).to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    source = tar(tmp_path / "net.tar", member("boot.ipxe", content=b"x"), bytes(header))
    with pytest.raises(UsageError, match=r"damaged or cut short"), opened(source):
        pass


@pytest.mark.slow
def test_more_files_than_anybody_serves(tmp_path: Path) -> None:
    one = member("d", tarfile.DIRTYPE)
    source = tar(tmp_path / "net.tar", *[one] * (archive.MAX_MEMBERS + 1))
    with pytest.raises(UsageError, match="more than 20000 members"), opened(source):
        pass


def test_it_unpacks_by_itself_as_repro_sh_has_it_do(tmp_path: Path) -> None:
    source = tar(tmp_path / "net.tar", member("a/b", content=b"x"), member("l", tarfile.SYMTYPE, link="/etc/passwd"))
    (tmp_path / "to").mkdir()
    subprocess.run([sys.executable, "-I", "-S", archive.__file__, source, tmp_path / "to"], check=True)
    assert [path.name for path in sorted((tmp_path / "to").rglob("*"))] == ["a", "b"]


WHOLE = member("boot.ipxe", content=b"#!ipxe\n" * 100) + member("n" * 300, content=b"x") + bytes(1024)


@settings(max_examples=cases(300), deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=12)), max_size=6))
def test_any_bytes_are_files_or_refused(changes: list[tuple[int, bytes]]) -> None:
    content = bytearray(WHOLE)
    for at, new in changes:
        content[at : at + len(new)] = new
    if changes and changes[0][0] % 2:  # a header that is whole again is read further
        content[148:156] = b" " * 8
        content[148:156] = struct.pack("8s", b"%06o\0 " % sum(content[:512]))
    file = io.BytesIO(content)
    try:
        found = archive.contents(file)
    except archive.ArchiveError:
        return
    for each in found.members:
        assert 0 <= each.offset <= each.offset + each.size_bytes <= len(content)
        assert not os.path.isabs(each.name)  # noqa: PTH117 - a name, not yet a path
        assert ".." not in each.name.split("/")
