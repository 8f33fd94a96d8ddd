"""The tar stream: what nobody changes passes through byte by byte, and what is no tar archive is refused."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metallize_os import tarstream
from metallize_os.tarstream import BLOCK, END, TarError

from tests.laws import cases

Format = Literal[0, 1, 2]
FORMATS: dict[str, Format] = {
    "ustar": tarfile.USTAR_FORMAT,
    "gnu": tarfile.GNU_FORMAT,
    "pax": tarfile.PAX_FORMAT,
}
CAPABILITY = b"\x01\x00\x00\x02\x00\x20\x00\x00" + bytes(12)
"""security.capability of a ping: version 2, CAP_NET_RAW (linux/capability.h)."""


def member(name: str, data: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def archive(*members: tuple[tarfile.TarInfo, bytes], form: Format = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form, errors="surrogateescape") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def copied(source: bytes, change: Callable[[tarstream.Entry], None] = lambda _entry: None) -> bytes:
    """The archive after its way through the stream."""
    sink = io.BytesIO()
    for entry, stream in tarstream.read_entries(io.BytesIO(source)):
        change(entry)
        sink.write(entry.raw)
        tarstream.copy_data(stream, entry, sink)
    return sink.getvalue() + END


def told(source: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(source), errors="surrogateescape") as tar:
        return tar.getmembers()


def payload(source: bytes) -> bytes:
    """The archive without the zeros that fill its last record."""
    return source.rstrip(b"\0")


MEMBERS: dict[str, tuple[tarfile.TarInfo, bytes]] = {
    "file": member("usr/bin/x", b"data", mode=0o755),
    "empty file": member("etc/empty"),
    "block of data": member("a", b"x" * BLOCK),
    "setuid": member("usr/bin/sudo", b"x", mode=0o4755),
    "not ascii": member("usr/share/ünïcode/日本", b"x"),
    "not utf-8": member("usr/\udcff\udcfe", b"x"),
    "longer than a header's name": member("d/" + "n" * 120, b"x"),
    "longer than a header's prefix": member("p" * 90 + "/" + "q" * 200 + "/" + "n" * 250, b"x"),
    "long link": member("l", type=tarfile.SYMTYPE, linkname="../" * 60 + "t" * 200),
    "link not ascii": member("l", type=tarfile.SYMTYPE, linkname="ziel/ä"),
    "hard link": member("usr/bin/perl5", type=tarfile.LNKTYPE, linkname="usr/bin/perl"),
    "folder": member("var/lib/", type=tarfile.DIRTYPE, mode=0o1777),
    "character device": member("dev/tty0", type=tarfile.CHRTYPE, devmajor=4, devminor=300),
    "block device": member("dev/sda", type=tarfile.BLKTYPE, devmajor=8, devminor=0),
    "fifo": member("run/initctl", type=tarfile.FIFOTYPE, mode=0o600),
    "large owner": member("o", b"x", uid=1 << 30, gid=(1 << 21) + 1, uname="ü" * 40),
    "extended attributes": member(
        "x",
        b"x",
        pax_headers={
            "SCHILY.xattr.user.note": "a=b\nc",
            "SCHILY.xattr.security.capability": CAPABILITY.decode("latin1"),
        },
    ),
    "negative time": member("old", b"x", mtime=-86400),
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", MEMBERS)
def test_a_member_passes_unchanged(kind: str, form: str) -> None:
    try:
        source = archive(MEMBERS[kind], member("after", b"y"), form=FORMATS[form])
    except ValueError:  # USTAR has no room for it, so no archive has it
        assert form == "ustar"
        return
    assert payload(copied(source)) == payload(source)
    entries = [entry for entry, stream in _skipping(source) if entry.kind != tarstream.GLOBAL_RECORDS]
    info = MEMBERS[kind][0]
    assert [entry.name for entry in entries] == [info.name.rstrip("/"), "after"]
    assert (entries[0].link, entries[0].size, entries[0].mode) == (info.linkname, info.size, info.mode)
    assert entries[0].mtime == info.mtime


def _skipping(source: bytes) -> list[tuple[tarstream.Entry, None]]:
    found: list[tuple[tarstream.Entry, None]] = []
    for entry, stream in tarstream.read_entries(io.BytesIO(source)):
        tarstream.copy_data(stream, entry)
        found.append((entry, None))
    return found


NAMES = st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=150).filter(
    lambda name: name not in (".", "..")
)
ANY_MEMBER = st.builds(
    member,
    st.lists(NAMES, min_size=1, max_size=4).map("/".join),
    st.binary(max_size=1500),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 1 << 31),
    gid=st.integers(0, 1 << 31),
    mtime=st.integers(-(1 << 31), 1 << 33),
    uname=st.text("abü", max_size=8),
    pax_headers=st.dictionaries(st.sampled_from(["SCHILY.xattr.user.a", "comment"]), st.text("ab=\n ü"), max_size=2),
)


@settings(max_examples=cases(60))
@given(members=st.lists(ANY_MEMBER, max_size=5), form=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
def test_any_archive_passes_unchanged(members: list[tuple[tarfile.TarInfo, bytes]], form: Format) -> None:
    source = archive(*members, form=form)
    assert payload(copied(source)) == payload(source)


@settings(max_examples=cases(60))
@given(members=st.lists(ANY_MEMBER, min_size=1, max_size=4), latest=st.integers(0, 1 << 32))
def test_no_time_is_later_and_nothing_else_changes(members: list[tuple[tarfile.TarInfo, bytes]], latest: int) -> None:
    source = archive(*members)
    after = told(copied(source, lambda entry: entry.clamp_mtime(latest)))
    for old, new in zip(told(source), after, strict=True):
        assert new.mtime == min(old.mtime, latest)
        for key in ("name", "mode", "uid", "gid", "size", "type", "linkname", "uname"):
            assert getattr(new, key) == getattr(old, key)
        ignored = {"mtime"}
        assert {k: v for k, v in new.pax_headers.items() if k not in ignored} == {
            k: v for k, v in old.pax_headers.items() if k not in ignored
        }


@pytest.mark.parametrize("others", [{}, {"SCHILY.xattr.user.note": "kept"}])
def test_a_fractional_time_is_clamped_too(others: dict[str, str]) -> None:
    source = archive(member("x", b"data", mtime=2000.5, pax_headers=dict(others)))
    (info,) = told(copied(source, lambda entry: entry.clamp_mtime(1000)))
    assert info.mtime == 1000
    assert info.pax_headers == others
    (untouched,) = told(copied(source, lambda entry: entry.clamp_mtime(2001)))
    assert untouched.mtime == 2000.5
    (rounded,) = told(copied(source, lambda entry: entry.clamp_mtime(2000)))
    assert rounded.mtime == 2000


def test_a_mode_is_set_and_the_rest_stays() -> None:
    source = archive(member("tmp", type=tarfile.DIRTYPE, mode=0o755, uid=7))
    (info,) = told(copied(source, lambda entry: entry.set_mode(0o1777)))
    assert (info.mode, info.uid) == (0o1777, 7)


@pytest.mark.parametrize("form", ["gnu", "pax"])
def test_a_file_of_more_than_eight_gib_has_its_size(form: str) -> None:
    info = tarfile.TarInfo("big")
    info.size = 9 << 30
    header = info.tobuf(FORMATS[form])
    entry, _ = next(tarstream.read_entries(io.BytesIO(header)))
    assert entry.size == 9 << 30
    assert entry.raw == header


def test_records_for_all_members_pass_on_their_own() -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "all"}) as tar:
        tar.addfile(*_opened(member("a", b"x")))
    source = file.getvalue()
    entries = [entry for entry, _ in _skipping(source)]
    assert [entry.kind for entry in entries] == [b"g", b"0"]
    assert payload(copied(source)) == payload(source)


def _opened(pair: tuple[tarfile.TarInfo, bytes]) -> tuple[tarfile.TarInfo, io.BytesIO]:
    return pair[0], io.BytesIO(pair[1])


def test_a_directory_as_old_archives_write_it() -> None:
    header = bytearray(tarfile.TarInfo("usr/").tobuf(tarfile.USTAR_FORMAT))
    header[156:157] = b"\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:BLOCK])
    entry, _ = next(tarstream.read_entries(io.BytesIO(bytes(header))))
    assert (entry.name, entry.is_directory) == ("usr", True)


LONG = archive(member("a", b"x" * 3000), member("b" * 300, b"y", pax_headers={"comment": "x" * 700}))


@settings(max_examples=cases(100))
@given(cut=st.integers(0, len(payload(LONG)) // BLOCK * BLOCK + BLOCK - 1))
def test_an_archive_that_ends_early_is_an_error(cut: int) -> None:
    whole = payload(LONG)
    with pytest.raises(TarError, match="ended in the middle"):
        copied(whole[: min(cut, len(whole) - 1)])


@given(junk=st.binary(min_size=BLOCK, max_size=2 * BLOCK).filter(lambda data: data[:BLOCK].strip(b"\0") != b""))
def test_what_is_no_archive_is_an_error(junk: bytes) -> None:
    with pytest.raises(TarError):
        copied(junk)


def test_a_broken_record_is_an_error() -> None:
    source = bytearray(archive(member("x", b"data", pax_headers={"comment": "hello"})))
    at = source.index(b" comment=")
    source[at - 2 : at] = b"99"
    with pytest.raises(TarError, match="does not end where it says"):
        copied(bytes(source))


@pytest.mark.parametrize("key", ["GNU.sparse.major", "GNU.sparse.map"])
def test_sparse_members_are_refused_by_name(key: str) -> None:
    with pytest.raises(TarError, match="x: sparse members are not supported"):
        copied(archive(member("x", b"data", pax_headers={key: "1"})))


@given(data=st.one_of(st.none(), st.binary(max_size=1500)), mode=st.one_of(st.none(), st.integers(0, 0o7777)))
def test_a_new_member_is_one_that_tarfile_reads(data: bytes | None, mode: int | None) -> None:
    blocks = tarstream.new_entry("etc/ü", mtime=5, data=data, mode=mode)
    assert len(blocks) % BLOCK == 0
    (info,) = told(blocks + END)
    assert (info.name, info.mtime, info.uid, info.uname, info.size) == ("etc/ü", 5, 0, "root", len(data or b""))
    assert info.isdir() is (data is None)
    assert mode is None or info.mode == mode
