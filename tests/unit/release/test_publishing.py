"""A release folder: what is in it, under which names, and what is refused."""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from metallize.errors import HostError, UsageError, VerificationFailed
from metallize.release.destinations import destination_at
from metallize.release.retention import Retention
from metallize.release.sums import read_sums, sums_text
from tests.unit.release.wares import CONTENT, NOW, catalogue, released, tree, ware

BASE = "web_20261130.1_x86-64.raw"
PAPERS = [f"{BASE}{end}" for end in (".bmap", ".cdx.json", ".manifest.json", ".verification.json", ".xz")]
POINTERS = ["SHA256SUMS", "feed.atom", "index.html", "releases.json"]


def test_what_is_in_a_release(tmp_path: Path) -> None:
    done = released(tmp_path / "to", ware(tmp_path / "build"))
    stable = tmp_path / "to" / "stable"
    assert done.new
    assert sorted(tree(stable)) == sorted([*PAPERS, *POINTERS])
    assert lzma.decompress((stable / f"{BASE}.xz").read_bytes()) == CONTENT
    told = json.loads((stable / f"{BASE}.manifest.json").read_text())
    assert told["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert "file" not in told, "the time of a file in the build folder is nobody else's"
    assert (stable / f"{BASE}.verification.json").read_bytes() == (
        tmp_path / "build" / "web.raw.verification.json"
    ).read_bytes()
    assert all((stable / name).stat().st_mode & 0o777 == 0o644 for name in PAPERS)
    assert [path.name for path in (tmp_path / "to").iterdir() if not path.name.startswith(".")] == ["stable"]


def test_sha256sum_finds_every_file_as_it_is_listed(tmp_path: Path) -> None:
    released(tmp_path / "to", ware(tmp_path / "build"))
    stable = tmp_path / "to" / "stable"
    listed = read_sums((stable / "SHA256SUMS").read_text())
    assert sorted(listed) == sorted(PAPERS)
    subprocess.run(["sha256sum", "--strict", "--check", "SHA256SUMS"], cwd=stable, check=True, capture_output=True)


@pytest.mark.parametrize("name", ["a b", "a/b", "a\\nb", "", "é", "-a"])
def test_a_name_that_clients_misread_is_never_listed(name: str) -> None:
    with pytest.raises(ValueError, match="no client reads"):
        sums_text([(name, "0" * 64)])


@pytest.mark.parametrize("text", ["0" * 64 + "  a", "0" * 64 + "  a/b\n", "0" * 63 + "  a\n", f"{'0' * 64}  a\n" * 2])
def test_what_systemd_would_refuse_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="line"):
        read_sums(text)


def test_the_same_image_published_on_two_hosts_is_the_same_bytes(tmp_path: Path) -> None:
    """In different folders, with files of different times; the record of the boots comes along, as from one CI."""
    first = ware(tmp_path / "one")
    second = ware(tmp_path / "two")
    second.image.papers[1].write_bytes(first.image.papers[1].read_bytes())
    os.utime(second.image.papers[0].with_name("web.raw"), (1, 1))
    trees = []
    for each, where in ((first, "a"), (second, "b")):
        released(tmp_path / where, each)
        trees.append(tree(tmp_path / where / "stable"))
    assert trees[0] == trees[1]


def test_the_same_images_again_are_no_new_release(tmp_path: Path) -> None:
    made = ware(tmp_path / "build")
    released(tmp_path / "to", made)
    before = tree(tmp_path / "to" / "stable")
    again = released(tmp_path / "to", made, now=NOW + timedelta(days=9))
    assert (again.new, again.release.version) == (False, "20261130.1")
    assert tree(tmp_path / "to" / "stable") == before


def test_versions_of_a_day_are_counted_and_the_newest_comes_first(tmp_path: Path) -> None:
    for number in range(1, 12):
        done = released(tmp_path / "to", ware(tmp_path / f"b{number}", f"image {number}".encode()))
        assert done.release.version == f"20261130.{number}"
    told = catalogue(tmp_path / "to" / "stable")
    versions = [release["version"] for release in told["releases"]]  # type: ignore[attr-defined]  # JSON
    assert versions == [f"20261130.{number}" for number in range(11, 0, -1)]


def test_a_version_is_never_given_to_other_bytes(tmp_path: Path) -> None:
    released(tmp_path / "to", ware(tmp_path / "one", version="1.0"))
    other = ware(tmp_path / "two", b"other", version="1.0")
    for channel in ("stable", "beta"):
        with pytest.raises(UsageError, match=r"web_1\.0 is taken") as caught:
            released(tmp_path / "to", other, channel=channel)
        assert "output.version" in str(caught.value.hint)
    assert lzma.decompress((tmp_path / "to" / "stable" / "web_1.0_x86-64.raw.xz").read_bytes()) == CONTENT


def test_outputs_of_a_profile_are_one_release(tmp_path: Path) -> None:
    wares = (ware(tmp_path / "build"), ware(tmp_path / "build", b"QFI\xfb", "web.qcow2"))
    done = released(tmp_path / "to", *wares)
    names = [file.name for file in done.release.files]
    assert "web_20261130.1_x86-64.qcow2" in names
    assert f"{BASE}.xz" in names
    assert len(set(names)) == len(names) == 10
    assert (tmp_path / "to" / "stable" / "web_20261130.1_x86-64.qcow2").read_bytes() == b"QFI\xfb"


def test_two_outputs_of_one_name_are_refused(tmp_path: Path) -> None:
    wares = (ware(tmp_path / "b", name="x"), ware(tmp_path / "b", b"other", "other.raw", name="x"))
    with pytest.raises(UsageError, match=r"web.raw and other.raw would have one name"):
        released(tmp_path / "to", *wares)
    wares = (ware(tmp_path / "b", version="1"), ware(tmp_path / "b", b"other", "other.raw", version="2"))
    with pytest.raises(UsageError, match="one version"):
        released(tmp_path / "to", *wares)


def test_other_bytes_than_the_verified_ones_are_not_released(tmp_path: Path) -> None:
    made = ware(tmp_path / "build")
    made.image.path.write_bytes(CONTENT[:-1] + b"X")
    with pytest.raises(VerificationFailed, match="is not the file that was verified"):
        released(tmp_path / "to", made)
    assert not (tmp_path / "to" / "stable").exists()


@pytest.mark.parametrize(("paper", "text"), [(0, "{}"), (0, "{"), (1, "{}"), (1, "{"), (0, '{"sha256": "0"}')])
def test_papers_of_other_bytes_are_not_released(tmp_path: Path, paper: int, text: str) -> None:
    made = ware(tmp_path / "build")
    made.image.papers[paper].write_text(text)
    with pytest.raises(VerificationFailed, match="does not tell of"):
        released(tmp_path / "to", made)
    assert not (tmp_path / "to" / "stable").exists()


def test_what_an_interrupted_attempt_has_left_is_used_where_it_is_right(tmp_path: Path) -> None:
    made, to = ware(tmp_path / "build"), tmp_path / "to"
    staging = to / ".metallize" / "staging" / "stable"
    staging.mkdir(parents=True)
    right = lzma.compress(CONTENT, preset=9)
    (staging / f"{BASE}.xz").write_bytes(right)
    (staging / f"{BASE}.bmap").write_bytes(b"of something else")
    (staging / "other.part").write_bytes(b"half")
    released(to, made)
    assert (to / "stable" / f"{BASE}.xz").read_bytes() == right
    assert b"<bmap" in (to / "stable" / f"{BASE}.bmap").read_bytes()
    assert list(staging.iterdir()) == []


@pytest.mark.parametrize(
    "left", [b"garbage", lzma.compress(b"another image"), lzma.compress(CONTENT)[:-9], b"\xfd7zXZ\0"]
)
def test_what_an_interrupted_attempt_has_left_wrong_is_made_again(tmp_path: Path, left: bytes) -> None:
    staging = tmp_path / "to" / ".metallize" / "staging" / "stable"
    staging.mkdir(parents=True)
    (staging / f"{BASE}.xz").write_bytes(left)
    released(tmp_path / "to", ware(tmp_path / "build"))
    assert lzma.decompress((tmp_path / "to" / "stable" / f"{BASE}.xz").read_bytes()) == CONTENT


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "to" / "stable").mkdir(parents=True)
    (tmp_path / "to" / "stable" / "precious").touch()
    with pytest.raises(HostError, match="is no channel that metallize made"):
        released(tmp_path / "to", ware(tmp_path / "build"))
    assert tree(tmp_path / "to" / "stable") == {"precious": b""}


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"schema": 2}', '{"schema": 1, "channel": "beta", "releases": [], "gone": []}']
)
def test_a_catalogue_that_cannot_be_read_is_not_written_over(tmp_path: Path, text: str) -> None:
    released(tmp_path / "to", ware(tmp_path / "one"))
    (tmp_path / "to" / "stable" / "releases.json").write_text(text)
    with pytest.raises(HostError, match=r"releases\.json is"):
        released(tmp_path / "to", ware(tmp_path / "two", b"other"))
    assert (tmp_path / "to" / "stable" / "releases.json").read_text() == text


@pytest.mark.parametrize("channel", ["", "Stable", "a/b", "..", ".metallize", "ä"])
def test_a_channel_is_a_plain_word(tmp_path: Path, channel: str) -> None:
    with pytest.raises(UsageError, match="no channel's name"):
        released(tmp_path / "to", ware(tmp_path / "build"), channel=channel)


def test_a_destination_of_no_kind() -> None:
    with pytest.raises(UsageError, match="no destination of the kind ftp"):
        destination_at("ftp://host/place")


def test_retention_keeps_what_is_latest_and_what_is_pinned(tmp_path: Path) -> None:
    to = tmp_path / "to"
    for number in range(4):
        at = NOW + timedelta(days=10 * number)
        released(to, ware(tmp_path / f"b{number}", b"%d" % number), now=at, retention=Retention(number=2))
    told = catalogue(to / "stable")
    assert [each["version"] for each in told["releases"]] == ["20261230.1", "20261220.1"]  # type: ignore[attr-defined]
    assert [(each["version"], bool(each["files"])) for each in told["gone"]] == [  # type: ignore[attr-defined]
        ("20261130.1", False),
        ("20261210.1", True),
    ]
    names = tree(to / "stable")
    assert "web_20261210.1_x86-64.raw.xz" in names, "somebody may be fetching it"
    assert "web_20261130.1_x86-64.raw.xz" not in names
    assert "20261210.1" not in names["SHA256SUMS"].decode()
    last = released(
        to, ware(tmp_path / "b9", b"9"), now=at + timedelta(days=99), retention=Retention(age=timedelta(days=1))
    )
    assert [each["version"] for each in catalogue(to / "stable")["releases"]] == [last.release.version]  # type: ignore[attr-defined]


def test_two_names_share_a_channel_and_keep_their_own_latest(tmp_path: Path) -> None:
    to = tmp_path / "to"
    released(to, ware(tmp_path / "a", b"a", "web.raw"))
    released(to, ware(tmp_path / "b", b"b", "db.raw"), retention=Retention(number=1), now=NOW + timedelta(days=1))
    assert [each["name"] for each in catalogue(to / "stable")["releases"]] == ["db", "web"]  # type: ignore[attr-defined]


def test_which_files_are_in_it_is_told_where_the_build_has_told(tmp_path: Path) -> None:
    listed = b"#mtree\n./etc type=dir\n"
    made = ware(tmp_path / "build", files={"entries": 1, "sha256": hashlib.sha256(listed).hexdigest()})
    with pytest.raises(VerificationFailed, match=r"web\.raw\.files\.mtree: No such file"):
        released(tmp_path / "to", made)
    beside = tmp_path / "build" / "web.raw.files.mtree"
    beside.write_bytes(b"of another image")
    with pytest.raises(VerificationFailed, match="does not tell of"):
        released(tmp_path / "to", made)
    beside.write_bytes(listed)
    done = released(tmp_path / "to", made)
    stable = tree(tmp_path / "to" / "stable")
    assert stable[f"{BASE}.files.mtree"] == listed
    assert f"{BASE}.files.mtree" in [file.name for file in done.release.files]
    assert f"{BASE}.files.mtree" in read_sums(stable["SHA256SUMS"].decode())
