"""files.mtree: what has gone to the filesystem's tool, by the programs that read such lists."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from metallize_os.listing import Listing

TIME = 1_700_000_000


def archive(tar_format: int = tarfile.PAX_FORMAT, *, root: bool = True) -> bytes:
    """Every kind of entry, names that are long or odd, and data that ends within a block."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tar_format) as tar:

        def add(name: str, kind: bytes, data: bytes = b"", **more: object) -> None:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.mtime, info.mode = kind, len(data), TIME, 0o755
            for key, value in more.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))

        if root:
            add(".", tarfile.DIRTYPE)
        add("bin", tarfile.DIRTYPE)
        add("bin/su", tarfile.REGTYPE, b"#!" * 1000, mode=0o4755)
        add("bin/su too", tarfile.LNKTYPE, linkname="bin/su", mode=0o4755)
        add("etc", tarfile.DIRTYPE)
        add("etc/empty#", tarfile.REGTYPE, b"", uid=1000, gid=3_000_000, mode=0o600)
        add("etc/shadow", tarfile.SYMTYPE, linkname="../run/a b", mode=0o777)
        add(f"etc/{'long-' * 40}ü", tarfile.REGTYPE, b"x" * 512)
        add("pipe", tarfile.FIFOTYPE)
    return content.getvalue()


def listed(content: bytes, cut: int = 1 << 20) -> str:
    sink = io.BytesIO()
    listing = Listing(sink)
    for start in range(0, len(content), cut):
        listing.write(content[start : start + cut])
    assert sink.getvalue() == content
    return listing.text()


def test_what_a_list_says() -> None:
    lines = dict(line.split(" ", 1) for line in listed(archive()).splitlines()[1:])
    same = f"size=2000 sha256digest={hashlib.sha256(b'#!' * 1000).hexdigest()}"
    assert lines["./bin/su"] == f"type=file uid=0 gid=0 mode=4755 time={TIME}.0 {same}"
    assert lines["./bin/su\\040too"] == lines["./bin/su"]
    assert lines["./etc/empty\\043"].startswith("type=file uid=1000 gid=3000000 mode=0600 ")
    assert lines["./etc/shadow"].endswith("link=../run/a\\040b")
    assert f"./etc/{'long-' * 40}\\303\\274" in lines
    assert lines["./pipe"].startswith("type=fifo ")
    assert len(lines) == 9


@pytest.mark.parametrize("tar_format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("cut", [1, 511, 512, 513, 4096])
def test_it_is_the_same_however_the_archive_is_cut(tar_format: int, cut: int) -> None:
    content = archive(tar_format)
    assert listed(content, cut) == listed(content)


@pytest.mark.slow
def test_mtree_finds_each_difference_of_a_tree_and_bsdtar_reads_it(tmp_path: Path) -> None:
    """The list of an archive, and what the same archive unpacks to."""
    root, spec = tmp_path / "root", tmp_path / "files.mtree"
    root.mkdir()
    unpack = ["tar", "--extract", "--preserve-permissions", "--numeric-owner", "--directory", str(root)]
    subprocess.run(unpack, input=archive(), check=True)
    spec.write_text(listed(archive(root=False)))
    names = subprocess.run(["bsdtar", "-tf", str(spec)], capture_output=True, text=True, check=True).stdout.splitlines()
    assert "./bin/su too" in names
    keys = "type,link,size,sha256" + (",uid,gid,mode,time" if os.geteuid() == 0 else "")
    check = ["mtree", "-p", str(root), "-f", str(spec), "-k", keys]
    assert shutil.which("mtree"), "the package mtree-netbsd is not installed"
    said = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout.strip()) == (0, "")
    (root / "bin/su").write_bytes(b"#?" * 1000)
    said = subprocess.run(check, capture_output=True, text=True, check=False)
    assert said.returncode != 0
    assert "sha256" in said.stdout
