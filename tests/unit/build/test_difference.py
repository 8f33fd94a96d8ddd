"""Two archives of a root filesystem, compared file by file."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest

from metallize.build.twice.difference import Aspect, Difference, differences, first_byte, told
from tests.unit.build.test_tarstream import archive, member


@pytest.fixture
def compared(tmp_path: Path) -> Any:
    def compare(first: list[Any], second: list[Any]) -> dict[str, tuple[Aspect, ...]]:
        paths = []
        for name, members in (("first.tar", first), ("second.tar", second)):
            paths.append(tmp_path / name)
            paths[-1].write_bytes(archive(*members))
        return {each.path: each.aspects for each in differences(*paths)}

    return compare


def with_xattr(name: str, value: str) -> Any:
    made = member(name, b"x")
    made[0].pax_headers = {"SCHILY.xattr.user.note": value}
    return made


def test_the_same_is_no_difference(compared: Any) -> None:
    members = [member("./", type=tarfile.DIRTYPE), member("etc/a", b"x"), with_xattr("b", "1")]
    assert compared(members, members) == {}


@pytest.mark.parametrize(
    ("first", "second", "aspects"),
    [
        (member("f", b"one"), member("f", b"two"), (Aspect.CONTENTS,)),
        (member("f", b"x", mode=0o600), member("f", b"x", mode=0o644), (Aspect.MODE,)),
        (member("f", b"x", uid=1), member("f", b"x", uid=2), (Aspect.OWNER,)),
        (member("f", b"x", gid=1), member("f", b"x", gid=2), (Aspect.OWNER,)),
        (member("f", b"x", mtime=1), member("f", b"x", mtime=2), (Aspect.MTIME,)),
        (with_xattr("f", "1"), with_xattr("f", "2"), (Aspect.XATTRS,)),
        (
            member("f", type=tarfile.SYMTYPE, linkname="a"),
            member("f", type=tarfile.SYMTYPE, linkname="b"),
            (Aspect.LINK,),
        ),
        (
            member("f", b"x", mtime=1),
            member("f", b"y", mtime=2, mode=0o600),
            (Aspect.CONTENTS, Aspect.MODE, Aspect.MTIME),
        ),
        (member("f", type=tarfile.DIRTYPE), member("f", type=tarfile.FIFOTYPE), (Aspect.KIND,)),
    ],
)
def test_what_differs_is_named(compared: Any, first: Any, second: Any, aspects: tuple[Aspect, ...]) -> None:
    assert compared([first, member("g", b"x")], [second, member("g", b"x")]) == {"/f": aspects}


def test_a_file_that_only_one_has(compared: Any) -> None:
    both = member("etc/both", b"x")
    assert compared([both, member("a b,\n", b"x")], [both, member("é", b"x")]) == {
        "/a b,\n": (Aspect.ONLY_FIRST,),
        "/é": (Aspect.ONLY_SECOND,),
    }


def test_the_order_of_the_archive_alone(compared: Any) -> None:
    a, b = member("a", b"x"), member("b", b"x")
    assert compared([a, b], [b, a]) == {"/a": (Aspect.PLACE,)}


def test_a_number_of_a_device(compared: Any) -> None:
    devices = []
    for minor in (1, 2):
        made = member("dev/x", type=tarfile.CHRTYPE)
        made[0].devmajor, made[0].devminor = 1, minor
        devices.append(made)
    assert compared([devices[0]], [devices[1]]) == {"/dev/x": (Aspect.CONTENTS,)}


@pytest.mark.parametrize(("first", "second", "offset"), [(b"abc", b"abd", 2), (b"abc", b"ab", 2), (b"ab", b"ab", None)])
def test_the_first_byte_that_differs(tmp_path: Path, first: bytes, second: bytes, offset: int | None) -> None:
    far = bytes(3 << 20)
    (tmp_path / "1").write_bytes(far + first)
    (tmp_path / "2").write_bytes(far + second)
    assert first_byte(tmp_path / "1", tmp_path / "2") == (None if offset is None else len(far) + offset)


def test_of_very_many_the_first_are_told() -> None:
    many = [Difference(path=f"/{number}", aspects=(Aspect.MTIME, Aspect.MODE)) for number in range(60)]
    lines = told(many)
    assert lines[0] == "/0: mtime, mode"
    assert lines[-1] == "and 10 more files"
    assert len(lines) == 51
    assert len(told(many[:50])) == 50
