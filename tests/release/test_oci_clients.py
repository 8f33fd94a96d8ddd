"""What was published to a registry, as its clients take it: skopeo, and the rules of the standard."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from oras.client import OrasClient

from metallize.events import Silent
from metallize.model.profile import Platform
from metallize.release import attest, curating
from metallize.release.attest import Policy
from metallize.release.destinations import destination_at
from metallize.release.keys import load_public, load_signer, make_key
from metallize.release.statement import statements
from tests.release.kinds import OciKind, oci_document, oci_get
from tests.tools import is_nowhere
from tests.unit.release.wares import CONTENT, NOW, released, ware

KEY = "web_20261130.1"
TITLE = "org.opencontainers.image.title"
DISK = CONTENT[: len(CONTENT) // 512 * 512]
"""A whole number of sectors, as a disk has."""
pytestmark = pytest.mark.slow
needs_skopeo = pytest.mark.skipif(is_nowhere("skopeo", "skopeo"), reason="this host's distribution has no skopeo")


def skopeo(*words: str | Path) -> str:
    done = subprocess.run(["skopeo", "--insecure-policy", *words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def qemu_img(*words: str | Path) -> None:
    subprocess.run(["qemu-img", *words], check=True, capture_output=True)


def qcow2(folder: Path) -> bytes:
    folder.mkdir()
    (folder / "raw").write_bytes(DISK)
    qemu_img("convert", "-f", "raw", "-O", "qcow2", folder / "raw", folder / "disk")
    return (folder / "disk").read_bytes()


def unpacked(folder: Path, layer: bytes) -> tuple[list[tarfile.TarInfo], bytes]:
    """What is in a layer, and the disk that it holds, as a guest sees it."""
    folder.mkdir()
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        members = archive.getmembers()
        archive.extractall(folder, filter="data")
    [disk] = folder.rglob("*.qcow2")
    qemu_img("convert", "-f", "qcow2", "-O", "raw", disk, folder / "raw")
    return members, (folder / "raw").read_bytes()


def require_disk(members: Sequence[tarfile.TarInfo], name: str) -> None:
    assert [(each.name, each.isdir()) for each in members] == [("disk", True), (f"disk/{name}", False)]
    assert {(each.uid, each.gid, each.mtime) for each in members} == {(107, 107, 0)}


def blob(oci: OciKind, place: str, described: dict[str, Any]) -> bytes:
    content = oci_get(oci.registry, place, f"blobs/{described['digest']}") or b""
    assert len(content) == described["size"]
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == described["digest"]
    return content


def laid_out(folder: Path) -> dict[str, Any]:
    """The one manifest of an OCI image layout."""
    [entry] = json.loads((folder / "index.json").read_text())["manifests"]
    found: dict[str, Any] = json.loads((folder / "blobs" / entry["digest"].replace(":", "/")).read_text())
    return found


@needs_skopeo
@pytest.mark.parametrize("tag", [KEY, "stable"])
def test_skopeo_copies_what_was_released(oci: OciKind, tmp_path: Path, tag: str) -> None:
    place = oci.make("to")
    done = released(destination_at(place), ware(tmp_path / "one", DISK))
    source = f"docker://{place.removeprefix('oci://')}:{tag}"
    skopeo("copy", "--src-tls-verify=false", "--preserve-digests", source, f"oci:{tmp_path / 'copy'}:there")
    layers = {each["annotations"][TITLE]: each for each in laid_out(tmp_path / "copy")["layers"]}
    for file in done.release.files:
        content = (tmp_path / "copy" / "blobs" / layers[file.name]["digest"].replace(":", "/")).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file.sha256
    assert ("SHA256SUMS" in layers) == (tag == "stable")
    raw = json.loads(skopeo("inspect", "--tls-verify=false", "--raw", source))
    assert raw["artifactType"] == f"application/vnd.metallize.{'channel' if tag == 'stable' else 'release'}.v1"


@pytest.mark.parametrize("tag", [KEY, "stable"])
def test_oras_pulls_what_was_released(oci: OciKind, tmp_path: Path, tag: str) -> None:
    """The library for Python; its layers' names are the files'."""
    place, keys = oci.make("to"), make_key(tmp_path / "release")
    done = released(destination_at(place), ware(tmp_path / "one", DISK), attest=statements(load_signer(keys.private)))
    target = f"{oci.registry.host}/{place.split('/', 3)[3]}:{tag}"
    OrasClient(insecure=True).pull(target=target, outdir=str(tmp_path / "pulled"))
    for file in done.release.files:
        assert hashlib.sha256((tmp_path / "pulled" / file.name).read_bytes()).hexdigest() == file.sha256
    if tag == "stable":
        subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=tmp_path / "pulled", check=True)
    image = tmp_path / "pulled" / f"{KEY}_x86-64.raw.xz"
    policy = Policy(keys=(load_public(keys.public),))
    attest.verify(image, attest.statements_beside(image), attest.report_beside(image), policy)


@needs_skopeo
@pytest.mark.parametrize("tag", [f"{KEY}_disk", "web_stable_disk"])
def test_skopeo_takes_the_container_disk_for_an_image(oci: OciKind, tmp_path: Path, tag: str) -> None:
    place = oci.make("to")
    released(destination_at(place), ware(tmp_path / "one", DISK))
    source = f"docker://{place.removeprefix('oci://')}:{tag}"
    told = json.loads(skopeo("inspect", "--tls-verify=false", "--override-arch=amd64", source))
    assert (told["Architecture"], told["Os"], len(told["Layers"])) == ("amd64", "linux", 1)
    archive = tmp_path / "archive"
    skopeo("copy", "--src-tls-verify=false", "--override-arch=amd64", source, f"docker-archive:{archive}:web:1")
    with tarfile.open(archive) as outer:
        [image] = json.load(outer.extractfile("manifest.json") or io.BytesIO())
        [layer] = image["Layers"]
        content = (outer.extractfile(layer) or io.BytesIO()).read()
    members, disk = unpacked(tmp_path / "unpacked", content)
    require_disk(members, f"{KEY}_x86-64.qcow2")
    assert disk == DISK, "the bytes that were booted"


def test_a_qcow2_is_its_container_disk_as_it_is(oci: OciKind, tmp_path: Path) -> None:
    place, made = oci.make("to"), qcow2(tmp_path / "made")
    both = [ware(tmp_path / "raw", DISK), ware(tmp_path / "qcow2", made, "web.qcow2", name="web")]
    released(destination_at(place), *both)
    document = oci_document(oci.registry, place, f"{KEY}_disk")
    [layer] = document["layers"]
    content = blob(oci, place, layer)
    members, disk = unpacked(tmp_path / "unpacked", content)
    require_disk(members, f"{KEY}_x86-64.qcow2")
    assert (tmp_path / "unpacked" / "disk" / f"{KEY}_x86-64.qcow2").read_bytes() == made
    assert disk == DISK
    config = json.loads(blob(oci, place, document["config"]))
    assert (config["architecture"], config["os"]) == ("amd64", "linux")
    assert config["rootfs"] == {"type": "layers", "diff_ids": [layer["digest"]]}


def test_the_same_release_is_the_same_everywhere(oci: OciKind, tmp_path: Path) -> None:
    places = [oci.make("one"), oci.make("two")]
    for number, place in enumerate(places):
        released(destination_at(place), ware(tmp_path / str(number), DISK))
    for tag in (f"{KEY}_disk", "web_stable_disk"):
        there = {oci_get(oci.registry, place, f"manifests/{tag}") for place in places}
        assert len(there) == 1
        assert None not in there
    one, two = (oci_document(oci.registry, place, KEY) for place in places)
    assert [each["annotations"] for each in one["layers"]] == [each["annotations"] for each in two["layers"]]
    assert one["layers"][0] == two["layers"][0]


def test_a_promoted_release_has_the_same_disk_which_is_not_made_again(oci: OciKind, tmp_path: Path) -> None:
    place = oci.make("to")
    released(destination_at(place), ware(tmp_path / "one", DISK), channel="beta")
    before = oci_get(oci.registry, place, f"manifests/{KEY}_disk")
    oci.line.seen.clear()
    curating.promote(destination_at(place), KEY, Silent(), curating.Terms(now=NOW), channel="stable")
    assert oci_get(oci.registry, place, f"manifests/{KEY}_disk") == before
    sent = [each for each in oci.line.seen if each.method in {"PATCH", "PUT"} and "blobs/uploads" in each.path]
    assert max(len(each.body) for each in sent) < 20_000, "pointers alone"
    beta, stable = (oci_document(oci.registry, place, f"web_{channel}_disk") for channel in ("beta", "stable"))
    assert beta["manifests"] == stable["manifests"] != []
    assert beta["annotations"] != stable["annotations"]


@needs_skopeo
def test_a_release_of_two_architectures_is_an_index(oci: OciKind, tmp_path: Path) -> None:
    place = oci.make("to")
    other = replace(ware(tmp_path / "arm64", DISK[::-1]), platform=Platform.ARM64)
    released(destination_at(place), ware(tmp_path / "amd64", DISK), other)
    for tag in (KEY, f"{KEY}_disk", "web_stable", "web_stable_disk"):
        found = oci_document(oci.registry, place, tag)["manifests"]
        assert [each["platform"]["architecture"] for each in found] == ["amd64", "arm64"], tag
    for architecture, content in (("amd64", DISK), ("arm64", DISK[::-1])):
        source = f"docker://{place.removeprefix('oci://')}:{KEY}_disk"
        copied = tmp_path / f"copy-{architecture}"
        skopeo("copy", "--src-tls-verify=false", f"--override-arch={architecture}", "--preserve-digests", source,
               f"oci:{copied}:there")  # fmt: skip
        [layer] = laid_out(copied)["layers"]
        digest = layer["digest"].replace(":", "/")
        _, disk = unpacked(tmp_path / f"disk-{architecture}", (copied / "blobs" / digest).read_bytes())
        assert disk == content
    curating.retract(destination_at(place), KEY, Silent(), curating.Terms(now=NOW), why="no")
    assert oci.untagged(place) == 0


def test_statements_are_attached_where_the_registry_keeps_no_list_itself(oci: OciKind, tmp_path: Path) -> None:
    """The tag of the standard (OCI Distribution Specification 1.1, Referrers Tag Schema), of artifact and disk."""
    place, keys = oci.make("to"), make_key(tmp_path / "release")
    made = ware(tmp_path / "one", DISK)
    done = released(destination_at(place), made, attest=statements(load_signer(keys.private)))
    bundles = {each.name: each.sha256 for each in done.release.files if each.name.endswith(".sigstore.json")}
    assert len(bundles) == 3, "the gate's and two machines'"
    for tag in (KEY, f"{KEY}_disk"):
        subject = oci_get(oci.registry, place, f"manifests/{tag}") or b""
        digest = hashlib.sha256(subject).hexdigest()
        listed = oci_document(oci.registry, place, f"sha256-{digest}")
        assert listed["mediaType"] == "application/vnd.oci.image.index.v1+json"
        assert {each["artifactType"] for each in listed["manifests"]} == {
            "application/vnd.dev.sigstore.bundle.v0.3+json"
        }
        found = {}
        for entry in listed["manifests"]:
            referring = oci_document(oci.registry, place, entry["digest"])
            assert referring["subject"]["digest"] == f"sha256:{digest}"
            assert referring["subject"]["size"] == len(subject)
            assert referring["artifactType"] == entry["artifactType"]
            [layer] = referring["layers"]
            blob(oci, place, layer)
            found[layer["annotations"][TITLE]] = layer["digest"].removeprefix("sha256:")
        assert found == bundles
    layers = {each["annotations"][TITLE]: each for each in oci_document(oci.registry, place, KEY)["layers"]}
    for name, each in layers.items():
        (tmp_path / name).write_bytes(blob(oci, place, each))
    image = tmp_path / f"{KEY}_x86-64.raw.xz"
    policy = Policy(keys=(load_public(keys.public),))
    attest.verify(image, attest.statements_beside(image), attest.report_beside(image), policy)
    curating.retract(destination_at(place), KEY, Silent(), curating.Terms(now=NOW), why="no")
    assert oci.untagged(place) == 0
    tags = json.loads(oci_get(oci.registry, place, "tags/list") or b"")["tags"]
    assert sorted(tags) == ["_lock", "_settled.stable", "_staging.stable", "stable"]


def test_what_is_no_disk_has_no_container_disk(oci: OciKind, tmp_path: Path) -> None:
    place = oci.make("to")
    released(destination_at(place), ware(tmp_path / "one", DISK, "web.iso"))
    assert oci_document(oci.registry, place, KEY)["layers"]
    assert oci_document(oci.registry, place, f"{KEY}_disk") == {}
