"""What an export loses of a rootfs and puts in, made good by the seal's word."""

from __future__ import annotations

import io
import tarfile

import pytest
from metallize_os import exported, tarstream
from metallize_os.convert import Conversion
from metallize_os.exported import ATTRIBUTES, FOLDER, PLACES, REPLACED, attributes
from metallize_os.tarstream import END, TarError

from .test_tarstream import CAPABILITY, archive, member, told

ACL = bytes.fromhex("0200000001000600ffffffff")
DUMP = f"""\
# file: etc/hosts
user.note=0x41

# file: .
user.root=0x00

# file: ./p/note
user.empty=0x
user.note=0x613d6220630a

# file: ./p/\\303\\274 \\134x
system.posix_acl_access=0x{ACL.hex()}

""".encode()
ENGINES = [
    member("etc/hostname", b"", mode=0o755),
    member("etc/hosts", b"", mode=0o755),
    member("etc/mtab", type=tarfile.SYMTYPE, linkname="/proc/mounts"),
    member("etc/resolv.conf", b"", mode=0o755),
]


def word(*replaced: tuple[tarfile.TarInfo, bytes], dump: bytes = DUMP) -> list[tuple[tarfile.TarInfo, bytes]]:
    """What the seal leaves."""
    folder = member(FOLDER, type=tarfile.DIRTYPE)
    own = [member(REPLACED, archive(*replaced))] if replaced else []
    return [folder, member(ATTRIBUTES, dump), *own]


def good(*members: tuple[tarfile.TarInfo, bytes]) -> dict[str, tarfile.TarInfo]:
    """The members of an export, made good."""
    sink = io.BytesIO()
    for entry, stream in exported.made_good(tarstream.read_entries(io.BytesIO(archive(*members)))):
        sink.write(entry.raw)
        tarstream.copy_data(stream, entry, sink)
    return {info.name: info for info in told(sink.getvalue() + END)}


def test_what_getfattr_says() -> None:
    assert attributes(DUMP) == {
        "etc/hosts": {"user.note": b"A"},
        ".": {"user.root": b"\0"},
        "p/note": {"user.empty": b"", "user.note": b"a=b c\n"},
        "p/ü \\x": {"system.posix_acl_access": ACL},
    }
    assert attributes(b"") == {}
    with pytest.raises(TarError, match="the attributes of a cannot be read"):
        attributes(b"# file: a\nuser.x=0xno\n")


def test_attributes_come_back_beside_those_that_were_kept() -> None:
    dump = DUMP + f"# file: ./bin/ping\nsecurity.capability=0x{CAPABILITY.hex()}\nuser.x=0x31\n".encode()
    kept = {"SCHILY.xattr.security.capability": CAPABILITY.decode("latin1"), "comment": "kept"}
    found = good(
        *word(dump=dump),
        member("bin/ping", b"elf", pax_headers={"comment": "kept"}, mode=0o755, uid=1 << 30),
        member("p/" + "n" * 120, b"x"),
        member("p/note", b"x", mode=0o640),
        member("p/other", type=tarfile.LNKTYPE, linkname="p/note"),
        member("p/ü \\x", b"x"),
    )
    assert list(found) == ["bin/ping", "p/" + "n" * 120, "p/note", "p/other", "p/ü \\x"]
    assert found["p/note"].pax_headers == {"SCHILY.xattr.user.empty": "", "SCHILY.xattr.user.note": "a=b c\n"}
    assert (found["p/note"].mode, found["p/other"].linkname) == (0o640, "p/note")
    assert "SCHILY.xattr.user.note" not in found["p/other"].pax_headers
    ping = found["bin/ping"]
    assert ping.pax_headers["comment"] == kept["comment"]
    assert list(ping.pax_headers) == sorted(ping.pax_headers)
    assert (ping.uid, ping.pax_headers["SCHILY.xattr.user.x"]) == (1 << 30, "1")


def test_the_rootfs_own_files_take_the_places_of_the_engines() -> None:
    own = [
        member("etc/hostname", b"web1\n", mode=0o640, uid=3),
        member("etc/hosts", b"h" * 1000),
        member("etc/resolv.conf", type=tarfile.SYMTYPE, linkname="../run/resolv.conf"),
    ]
    found = good(*word(*own), member("etc", type=tarfile.DIRTYPE), *ENGINES, member("etc/zoo", b"z"))
    assert list(found) == ["etc", "etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/zoo"]
    assert (found["etc/hostname"].mode, found["etc/hostname"].uid, found["etc/hostname"].size) == (0o640, 3, 5)
    assert found["etc/hosts"].pax_headers["SCHILY.xattr.user.note"] == "A"
    assert found["etc/hosts"].size == 1000
    assert found["etc/resolv.conf"].linkname == "../run/resolv.conf"


def test_what_the_rootfs_has_not_is_not_there() -> None:
    assert {info.name for info, _ in ENGINES} == PLACES
    assert list(good(*word(), *ENGINES, member("etc/x", b"x"))) == ["etc/x"]


def test_a_mode_says_nothing_of_the_kind() -> None:
    """Docker writes st_mode whole: mke2fs would make a file of its own of a hard link that has it."""
    found = good(
        *word(), member("a", b"x", mode=0o104755), member("b", type=tarfile.LNKTYPE, linkname="a", mode=0o104755)
    )
    assert [info.mode for info in found.values()] == [0o4755, 0o4755]


def test_an_archive_of_whoever_else_passes_as_it_is() -> None:
    source = archive(*ENGINES, member("x", b"x", pax_headers={"SCHILY.xattr.user.a": "1"}))
    sink = io.BytesIO()
    for entry, stream in exported.made_good(tarstream.read_entries(io.BytesIO(source))):
        sink.write(entry.raw)
        tarstream.copy_data(stream, entry, sink)
    assert sink.getvalue().rstrip(b"\0") == source.rstrip(b"\0")


@pytest.mark.parametrize("early", [member("p/note", b"x"), ENGINES[0]])
def test_a_word_that_comes_too_late_is_an_error(early: tuple[tarfile.TarInfo, bytes]) -> None:
    with pytest.raises(TarError, match=rf"/{early[0].name} came before the word"):
        good(early, *word())


def test_the_conversion_has_them() -> None:
    source = archive(
        *word(member("etc/hostname", b"own\n")),
        *ENGINES,
        member("p/note", b"x"),
        member("usr/lib/systemd/systemd", b"elf", mode=0o755),
    )
    sink = io.BytesIO()
    conversion = Conversion(epoch=1, hostname="x")
    conversion.run(io.BytesIO(source), sink)
    names = {info.name: info for info in told(sink.getvalue())}
    assert conversion.xattrs == [("p/note", "user.empty", b""), ("p/note", "user.note", b"a=b c\n")]
    assert not [name for name in names if name.startswith(FOLDER)]
    assert names["etc/mtab"].linkname == "../proc/self/mounts"
    assert names["etc/hostname"].size == 4
