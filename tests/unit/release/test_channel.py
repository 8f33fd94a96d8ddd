"""What a channel tells clients beside its list: until when it is fresh, where images are, and what they are."""

from __future__ import annotations

import configparser
import hashlib
import io
import json
import lzma
import os
import tarfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from metallize.errors import UsageError
from metallize.events import Silent
from metallize.model.profile import Platform
from metallize.release import curating
from metallize.release.catalogue import Release, ReleasedFile, ReleasedImage
from metallize.release.channel.serving import ServingChange, days_of, url_of
from metallize.release.channel.streams import serial
from metallize.release.destinations import destination_at
from metallize.release.sums import read_sums
from tests.unit.release.wares import CONTENT, NOW, released, tree, ware

URL = "https://example.com/os"
AT = ServingChange(url=URL)
MARK = "BEST-BEFORE-2026-12-14"
OS_LIST_RULE: dict[str, Any] = {
    # In our words, of raspberrypi/rpi-imager, doc/json-schema/os-list-schema.json: nothing beside os_list and imager,
    # and of an operating system these names with these types. The icon's address has to be one that Imager fetches.
    "type": "object",
    "required": ["os_list"],
    "additionalProperties": False,
    "properties": {
        "os_list": {
            "type": "array",
            "items": {
                "type": "object",
                "required": [
                    "name", "description", "icon", "url", "extract_size", "extract_sha256", "image_download_size",
                    "release_date", "devices",
                ],
                "properties": {
                    **{name: {"type": "string"} for name in ("name", "description", "website")},
                    **{name: {"type": "string", "pattern": "^https://"} for name in ("icon", "url", "bmap_url")},
                    **{name: {"type": "integer", "minimum": 1} for name in ("extract_size", "image_download_size")},
                    "extract_sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                    "release_date": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
                    "devices": {"type": "array", "items": {"type": "string"}},
                    "architecture": {"enum": ["armel", "armhf", "armv8"]},
                },
            },
        }
    },
}  # fmt: skip


def test_a_list_is_fresh_until_a_day_that_each_writing_renews(tmp_path: Path) -> None:
    made, to = ware(tmp_path / "build"), tmp_path / "to"
    released(to, made, serving=ServingChange(days=14))
    stable = tree(to / "stable")
    assert stable[MARK] == b""
    assert read_sums(stable["SHA256SUMS"].decode())[MARK] == hashlib.sha256(b"").hexdigest()
    again = released(to, made, now=NOW + timedelta(days=3))
    assert not again.new
    renewed = tree(to / "stable")
    assert [name for name in renewed if name.startswith("BEST")] == ["BEST-BEFORE-2026-12-17"]
    assert MARK not in renewed["SHA256SUMS"].decode()
    terms = curating.Terms(now=NOW + timedelta(days=9))
    curating.pin(destination_at(str(to)), "20261130.1", Silent(), terms, pinned=True)
    assert "BEST-BEFORE-2026-12-23" in tree(to / "stable")
    released(to, made, now=NOW + timedelta(days=9), serving=ServingChange(days=0))
    assert not [name for name in tree(to / "stable") if name.startswith("BEST")]


def test_the_same_again_on_the_same_day_changes_nothing(tmp_path: Path) -> None:
    made, to = ware(tmp_path / "build"), tmp_path / "to"
    released(to, made, serving=ServingChange(days=14, url=URL))
    generation = (to / "stable").readlink()
    released(to, made, now=NOW + timedelta(hours=3), serving=ServingChange(days=14, url=URL))
    assert (to / "stable").readlink() == generation


@pytest.mark.parametrize(("text", "days"), [("14d", 14), ("2w", 14), ("never", 0)])
def test_days(text: str, days: int) -> None:
    assert days_of(text) == days


@pytest.mark.parametrize("text", ["", "14", "0d", "-1d", "1h", "4000d", "d"])
def test_what_is_no_number_of_days(text: str) -> None:
    with pytest.raises(UsageError, match="no number of days"):
        days_of(text)


@pytest.mark.parametrize(
    "text", ["", "example.com", "ftp://a/b", "https://a/b c", "https://a/?q", "https://a/#f", "/srv"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError, match="no address"):
        url_of(text)


def test_an_address_has_no_slash_behind() -> None:
    assert url_of("https://example.com/os/") == URL
    assert url_of("none") == ""


def test_the_line_wins_over_the_profile_and_both_over_nothing() -> None:
    line, profile = ServingChange(days=0), ServingChange(url=URL, days=14)
    assert line.over(profile) == ServingChange(url=URL, days=0)
    assert ServingChange().over(profile) == profile


def test_nothing_that_needs_an_address_is_there_without_one(tmp_path: Path) -> None:
    released(tmp_path / "to", card(tmp_path))
    assert not {"os_list.json", "icon.svg", "web.transfer"} & set(tree(tmp_path / "to" / "stable"))


@pytest.mark.parametrize(
    ("files", "source", "target"),
    [
        (["web.raw", "web.qcow2"], "web_@v_%a.raw.xz", "web_@v.raw"),
        (["web.qcow2"], "web_@v_%a.qcow2", "web_@v.qcow2"),
    ],
)
def test_a_transfer_names_what_is_there(tmp_path: Path, files: list[str], source: str, target: str) -> None:
    wares = [ware(tmp_path / "build", f"QFI\xfb {each}".encode("latin-1"), each) for each in files]
    released(tmp_path / "to", *wares, serving=AT)
    found = configparser.ConfigParser(interpolation=None)
    found.optionxform = str  # type: ignore[method-assign,assignment]  # keys as they stand
    found.read_string(tree(tmp_path / "to" / "stable")["web.transfer"].decode())
    assert found["Source"]["Path"] == f"{URL}/stable"
    assert found["Source"]["MatchPattern"] == source
    assert found["Target"]["MatchPattern"] == target
    assert found["Transfer"]["Verify"] == "no", "nothing is signed, and a client would wait for a signature"
    name = source.replace("@v", "20261130.1").replace("%a", "x86-64")
    assert name in read_sums(tree(tmp_path / "to" / "stable")["SHA256SUMS"].decode())


def card(tmp_path: Path) -> Any:
    made = ware(tmp_path / "build", firmware=["videocore"], os={"PRETTY_NAME": "Debian GNU/Linux 13 (trixie)"})
    return replace(made, platform=Platform.ARM64)


def test_raspberry_pi_imager_is_given_what_was_booted(tmp_path: Path) -> None:
    released(tmp_path / "to", card(tmp_path), serving=AT)
    stable = tree(tmp_path / "to" / "stable")
    content = json.loads(stable["os_list.json"])
    jsonschema.validate(content, OS_LIST_RULE)
    [entry] = content["os_list"]
    name = entry["url"].removeprefix(f"{URL}/stable/")
    assert entry["image_download_size"] == len(stable[name])
    assert lzma.decompress(stable[name]) == CONTENT
    assert (entry["extract_size"], entry["extract_sha256"]) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert entry["icon"].removeprefix(f"{URL}/stable/") in stable
    assert entry["bmap_url"].removeprefix(f"{URL}/stable/") in stable
    assert entry["description"].startswith("Debian GNU/Linux 13 (trixie): booted and passed on ")


def test_an_icon_of_ones_own_and_no_card_no_list(tmp_path: Path) -> None:
    released(tmp_path / "a", card(tmp_path), serving=ServingChange(url=URL, icon="https://example.com/me.png"))
    stable = tree(tmp_path / "a" / "stable")
    assert json.loads(stable["os_list.json"])["os_list"][0]["icon"] == "https://example.com/me.png"
    assert "icon.svg" not in stable
    released(tmp_path / "b", ware(tmp_path / "other", firmware=["bios", "uefi"]), serving=AT)
    assert "os_list.json" not in tree(tmp_path / "b" / "stable")


def test_lxd_and_incus_are_given_the_disk_and_the_same_metadata(tmp_path: Path) -> None:
    disk = b"QFI\xfb" + bytes(range(256)) * 64
    released(tmp_path / "to", ware(tmp_path / "build", disk, "web.qcow2", source_date_epoch=1_764_400_000))
    folder = tmp_path / "to" / "stable"
    index = json.loads((folder / "streams/v1/index.json").read_text())["index"]["images"]
    images = json.loads((folder / index["path"]).read_text())
    assert index["products"] == list(images["products"]) == ["web:stable:amd64:default"]
    [product] = images["products"].values()
    [(version, found)] = product["versions"].items()
    assert version == "20261130_000001"
    by_type = {each["ftype"]: each for each in found["items"].values()}
    assert set(by_type) == {"lxd.tar.xz", "incus.tar.xz", "disk-kvm.img"}
    metadata = (folder / by_type["lxd.tar.xz"]["path"]).read_bytes()
    assert by_type["lxd.tar.xz"]["path"] == by_type["incus.tar.xz"]["path"]
    combined = hashlib.sha256(metadata + disk).hexdigest()
    assert {by_type[kind]["combined_disk-kvm-img_sha256"] for kind in ("lxd.tar.xz", "incus.tar.xz")} == {combined}
    for each in by_type.values():
        content = (folder / each["path"]).read_bytes()
        assert (each["size"], each["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    with tarfile.open(fileobj=io.BytesIO(metadata)) as tar:
        told = json.load(tar.extractfile("metadata.yaml") or io.BytesIO())
    assert (told["architecture"], told["creation_date"]) == ("x86_64", 1_764_400_000)


def test_a_web_server_comes_through_every_folder_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        released(tmp_path / "to", ware(tmp_path / "build", b"QFI\xfb" + bytes(4096), "web.qcow2"))
    finally:
        os.umask(before)
    stable = tmp_path / "to" / "stable"
    modes = {name: (stable / name).stat().st_mode & 0o777 for name in (".", "streams", "streams/v1")}
    assert modes == dict.fromkeys(modes, 0o755)
    assert (stable / "streams/v1/index.json").stat().st_mode & 0o777 == 0o644


def test_a_disk_that_never_booted_by_uefi_is_not_offered_to_lxd(tmp_path: Path) -> None:
    from tests.unit.proof.proofs import SEABIOS, proven
    from tests.unit.release import wares

    made = ware(tmp_path / "build", b"QFI\xfb", "web.qcow2")
    made.image.papers[1].unlink()
    proven(made.image.path, SEABIOS)
    wares.released(tmp_path / "to", made)
    names = set(tree(tmp_path / "to" / "stable"))
    assert not {name for name in names if name.startswith("streams") or "lxd" in name}


def test_versions_sort_as_text_for_lxd_as_they_do_for_us() -> None:
    image = ReleasedImage(
        name="web", architecture="x86-64", format="qcow2", image_sha256="", image_bytes=0, machines=(), verified="",
        files=(ReleasedFile(name="f", size_bytes=0, sha256=""),),
    )  # fmt: skip
    versions = ["20261130.2", "20261130.10", "20261201.1", "1.0"]
    names = [
        serial(Release(name="web", version=each, published="2026-12-02T00:00:00+00:00", images=(image,)))
        for each in versions
    ]
    assert names == sorted(names) == ["20261130_000002", "20261130_000010", "20261201_000001", "20261202_1.0"]
