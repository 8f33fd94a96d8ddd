"""What a build leaves of when it ran is taken out of the rootfs, and nothing else is."""

from __future__ import annotations

import hashlib
import py_compile
import re
import struct
import tarfile
from pathlib import Path

import pytest
from metallize_os import traces
from metallize_os.dating import LIST, Dating

from tests.unit.build.test_conversion import EPOCH, content, converted, opened
from tests.unit.build.test_tarstream import member

DAY = EPOCH // 86_400
DATING = Dating(epoch=EPOCH)
LOGS = (
    "var/log/alternatives.log",
    "var/log/bootstrap.log",
    "var/log/dpkg.log",
    "var/log/fontconfig.log",
    "var/log/apt/history.log",
    "var/log/apt/term.log",
    "var/log/apt/eipp.log.xz",
    "var/log/lastlog",
    "var/log/faillog",
    "var/log/wtmp",
    "var/log/btmp",
)
CACHES = (
    "var/cache/ldconfig/aux-cache",
    "var/cache/fontconfig/3830d5c3ddfd5cd38a049b759396e72e-le64.cache-9",
    "var/cache/man/index.db",
    "var/cache/man/de/index.db",
    "var/cache/debconf/config.dat-old",
    "var/lib/dpkg/status-old",
)
OF_LAYERS = (
    "var/log/app.log",
    "var/log/apt/mine.log",
    "var/log/dpkg.log.d/readme",
    "srv/var/log/dpkg.log",
    "var/cache/app/index.db",
    "var/cache/debconf/config.dat",
    "var/cache/man/CACHEDIR.TAG",
    "var/lib/dpkg/status-olden",
    "etc/shadow.bak",
)


@pytest.mark.parametrize("name", LOGS)
def test_a_log_of_the_build_stays_and_is_empty(name: str) -> None:
    _, result = converted(member(name, b"2026-11-29 startup\n" * 100, mode=0o640, uid=3, gid=4), member("after", b"x"))
    assert result[name].size == 0
    assert (result[name].mode, result[name].uid, result[name].gid) == (0o640, 3, 4)
    assert result["after"].size == 1


@pytest.mark.parametrize("name", CACHES)
def test_a_cache_that_is_made_anew_is_left_out(name: str) -> None:
    _, result = converted(member(name, b"x"))
    assert name not in result


@pytest.mark.parametrize("name", OF_LAYERS)
def test_what_a_layer_made_stays_as_it_is(name: str) -> None:
    own = b"root:!:99999:0:99999:7:::\n"
    assert content(member(name, own), name=name) == own.decode()


def test_every_row_of_the_tables_is_tested_and_has_its_reason() -> None:
    for rows, names in ((traces.LOGS, LOGS), (traces.CACHES, CACHES)):
        for pattern, reason in rows:
            assert any(re.fullmatch(pattern, name) for name in names), pattern
            assert reason


def test_a_link_with_a_logs_name_stays_one() -> None:
    link = member("var/log/dpkg.log", type=tarfile.SYMTYPE, linkname="/dev/null")
    assert converted(link)[1]["var/log/dpkg.log"].linkname == "/dev/null"


def test_a_log_whose_size_stands_in_a_pax_record() -> None:
    log = member("var/log/dpkg.log", b"x" * 700)
    log[0].pax_headers = {"size": "700", "comment": "kept"}
    _, result = converted(log, member("after", b"y"))
    assert (result["var/log/dpkg.log"].size, result["after"].size) == (0, 1)


@pytest.mark.parametrize("name", ["etc/shadow", "etc/shadow-"])
def test_no_password_was_set_on_a_later_day_than_the_images(name: str) -> None:
    text = f"root:*:{DAY + 30}:0:99999:7:::\nold:!:{DAY - 1}:0:99999:7:::\nnow:$y$j9T$a$b:0:0::::\nbare:x::::::\nodd\n"
    expected = text.replace(str(DAY + 30), str(DAY))
    assert content(member(name, text.encode(), mode=0o640), name=name) == expected


def test_a_day_of_thousands_of_digits_is_left_alone() -> None:
    text = f"root:*:{'9' * 5000}:0\n"
    assert content(member("etc/shadow", text.encode()), name="etc/shadow") == text


@pytest.mark.parametrize("name", ["etc/.updated", "var/.updated"])
def test_the_mark_of_an_update_is_what_the_time_of_usr_becomes(name: str) -> None:
    text = f"# made by systemd-update-done\nTIMESTAMP_NSEC={EPOCH + 7}123456789\n"
    expected = f"# made by systemd-update-done\nTIMESTAMP_NSEC={EPOCH}000000000\n"
    assert content(member(name, text.encode()), name=name) == expected
    assert content(member(name, expected.encode()), name=name) == expected


def test_bytecode_follows_its_source(tmp_path: Path) -> None:
    source = tmp_path / "a.py"
    source.write_text("print('a')\n")
    for mode, follows in (
        (py_compile.PycInvalidationMode.TIMESTAMP, True),
        (py_compile.PycInvalidationMode.CHECKED_HASH, False),
    ):
        compiled = Path(str(py_compile.compile(str(source), invalidation_mode=mode))).read_bytes()
        made = source.stat().st_mtime
        assert made > EPOCH
        name = "usr/lib/python3/dist-packages/__pycache__/a.cpython-313.pyc"
        _, tar = opened(member(name, compiled), member("usr/lib/python3/dist-packages/a.py", b"", mtime=int(made)))
        file = tar.extractfile(name)
        assert file is not None
        result = file.read()
        assert (result != compiled) is follows
        assert result[:8] + result[12:] == compiled[:8] + compiled[12:]
        if follows:
            source_time = tar.getmember("usr/lib/python3/dist-packages/a.py").mtime
            assert struct.unpack_from("<I", result, 8)[0] == source_time == EPOCH


@pytest.mark.parametrize("odd", [b"", b"short", b"\x03\xf3\r\n\xff\xff\xff\x7fold python's own header"])
def test_what_is_no_bytecode_of_today_stays(odd: bytes) -> None:
    assert traces.rewriter("__pycache__/a.cpython-313.pyc")(odd, DATING) == odd  # type: ignore[misc]  # there is one


def keystore(*entries: tuple[str, int, bytes], tag: int = 1, password: str = "changeit") -> bytes:  # noqa: S107 - Java's
    """A JKS of version 2 with trusted certificates (or, with tag 1 and 2 mixed, with others)."""
    kinds = 2 if tag == 1 else tag
    body = b"\xfe\xed\xfe\xed" + struct.pack(">II", 2, len(entries))
    for alias, made, certificate in entries:
        name = alias.encode()
        body += struct.pack(">IH", kinds, len(name)) + name + struct.pack(">Q", made)
        body += struct.pack(">H", 5) + b"X.509" + struct.pack(">I", len(certificate)) + certificate
    digest = hashlib.sha1(password.encode("utf-16-be") + b"Mighty Aphrodite" + body, usedforsecurity=False)
    return body + digest.digest()


def test_javas_certificates_lose_the_times_at_which_they_were_put_in() -> None:
    later = (EPOCH + 9) * 1000
    one = keystore(("debian:a.pem", later, b"A" * 900), ("debian:b.pem", later + 5, b"B" * 1200))
    two = keystore(("debian:b.pem", later + 77, b"B" * 1200), ("debian:a.pem", later + 78, b"A" * 900))
    rewrite = traces.rewriter("etc/ssl/certs/java/cacerts")
    assert rewrite is not None
    assert rewrite(one, DATING) == rewrite(two, DATING) != one
    expected = keystore(("debian:a.pem", EPOCH * 1000, b"A" * 900), ("debian:b.pem", EPOCH * 1000, b"B" * 1200))
    assert rewrite(one, DATING) == expected


@pytest.mark.parametrize(
    "own",
    [
        keystore(("a", 99 * EPOCH * 1000, b"A"), password="somebody's own"),
        keystore(("a", 99 * EPOCH * 1000, b"A"), tag=3),
        b"\xfe\xed\xfe\xed\0\0\0\2",
        b"0\x82PKCS#12",
        b"",
    ],
)
def test_a_keystore_of_somebodys_own_stays(own: bytes) -> None:
    assert traces.rewriter("etc/ssl/certs/java/cacerts")(own, DATING) == own  # type: ignore[misc]  # there is one


def test_a_keystore_that_says_more_entries_than_it_has_stays() -> None:
    whole = keystore(("a", 99 * EPOCH * 1000, b"A"))[:-20]
    body = whole[:8] + struct.pack(">I", 4_000_000) + whole[12:]
    digest = hashlib.sha1("changeit".encode("utf-16-be") + b"Mighty Aphrodite" + body, usedforsecurity=False).digest()
    assert traces.rewriter("etc/ssl/certs/java/cacerts")(body + digest, DATING) == body + digest  # type: ignore[misc]


def test_what_no_package_brought_has_the_images_time_and_its_bytecode_follows() -> None:
    stale = b"\xf3\r\r\n" + bytes(4) + struct.pack("<II", EPOCH - 500, 3) + b"code"
    members = [
        member(LIST, "srv/app.py\nsrv/ü\nsrv/__pycache__/app.cpython-313.pyc\n".encode()),
        member("etc/conf", b"x", mtime=5),
        member("srv", type=tarfile.DIRTYPE, mtime=5),
        member("srv/app.py", b"x", mtime=EPOCH - 500),
        member("srv/ü", type=tarfile.SYMTYPE, linkname="x", mtime=5),
        member("srv/__pycache__/app.cpython-313.pyc", stale),
        member("usr/lib/mod.py", b"x", mtime=EPOCH - 500),
        member("usr/lib/__pycache__/mod.cpython-313.pyc", stale),
    ]
    _, result = converted(*members)
    assert LIST not in result
    dated = {name: result[name].mtime for name in ("etc/conf", "srv", "srv/app.py", "srv/ü", "usr/lib/mod.py")}
    expected = {"etc/conf": EPOCH, "srv": EPOCH, "srv/app.py": EPOCH, "srv/ü": EPOCH, "usr/lib/mod.py": EPOCH - 500}
    assert dated == expected
    _, tar = opened(*members)
    for name, made in (
        ("srv/__pycache__/app.cpython-313.pyc", EPOCH),
        ("usr/lib/__pycache__/mod.cpython-313.pyc", EPOCH - 500),
    ):
        file = tar.extractfile(name)
        assert file is not None
        assert struct.unpack_from("<I", file.read(), 8) == (made,)


def test_a_fraction_of_the_last_second_is_no_trace_either() -> None:
    late = member("srv/a", b"x")
    late[0].mtime = EPOCH - 0.5
    assert converted(member(LIST, b"srv/a\n"), late)[1]["srv/a"].mtime == EPOCH


def test_the_page_names_every_trace_with_its_reason() -> None:
    page = (Path(__file__).parents[3] / "docs/same-bytes.md").read_text()
    for _, reason in (*traces.LOGS, *traces.CACHES, *traces.REWRITTEN):
        assert f"| {reason}" in page
