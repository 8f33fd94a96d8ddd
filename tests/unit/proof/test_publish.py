"""From the build folder to another: only what is proven, whole, and never without its papers."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from metallize import publish as publishing
from metallize.build.generator import sha256_of
from metallize.build.store import Store
from metallize.errors import HostError, VerificationFailed
from metallize.events import Level
from metallize.model.update import Update
from metallize.proof import record_of
from metallize.publish import VerifiedImage, publish, standing, verified_image
from metallize.verify import VerifyRequest
from tests.unit.proof.proofs import OVMF, SEABIOS, booted, proven

NAMES = ["web.iso", "web.iso.manifest.json", "web.iso.verification.json"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """With an image in its place, which nobody has booted."""
    store = Store(build_dir=tmp_path / "build", file="web.iso")
    place(store, b"image")
    return store


def place(store: Store, content: bytes) -> None:
    with store.workspace() as work:
        image = work / "image"
        image.write_bytes(content)
        store.publish(image, {"inputs": "in", "sha256": sha256_of(image), "size": len(content), "format": "iso"})


def test_it_arrives_with_its_papers(store: Store, tmp_path: Path) -> None:
    proven(store.image, SEABIOS)
    target = tmp_path / "to" / "deep"
    paths = publish(verified_image(store, hint=""), target)
    assert [path.name for path in paths] == NAMES
    assert sorted(target.iterdir()) == sorted(paths)
    assert paths[0].read_bytes() == b"image"


def test_what_is_not_proven_is_refused_with_the_next_step(store: Store) -> None:
    for required, told in (
        (None, "has not been verified"),
        ((SEABIOS, OVMF), "has not been verified"),
    ):
        with pytest.raises(VerificationFailed, match=told) as caught:
            verified_image(store, required, hint="do this")
        assert caught.value.hint == "do this"
    proven(store.image, SEABIOS, required=(SEABIOS, OVMF))
    for required in (None, (SEABIOS, OVMF)):
        with pytest.raises(VerificationFailed, match="is not yet verified on ovmf"):
            verified_image(store, required, hint="")
    booted(store.image, OVMF, passed=False).asking((SEABIOS, OVMF), plan="", profile="").save(store.image)
    with pytest.raises(VerificationFailed, match="failed its verification on ovmf"):
        verified_image(store, hint="")
    store.image.unlink()
    with pytest.raises(VerificationFailed, match="there is no"):
        verified_image(store, hint="")


def test_an_image_that_was_changed_after_its_verification_is_refused(store: Store) -> None:
    proven(store.image, SEABIOS)
    info = store.image.stat()
    store.image.write_bytes(b"IMAGE")
    os.utime(store.image, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert store.any() is None, "size and time are the same, but not that of the last change of any kind"
    with pytest.raises(VerificationFailed, match="is not the file that was verified"):
        verified_image(store, hint="")


def updated(machine: VerifyRequest, old: Path, **more: object) -> VerifyRequest:
    """The same request of a profile that asks for an update from that image."""
    update = Update.model_validate({"from": str(old), "install": ["a"], "version": "b", **more})
    return replace(machine, boot=machine.boot.model_copy(update={"update": update}))


def test_nothing_is_published_without_the_update_that_its_profile_asks_for(store: Store, tmp_path: Path) -> None:
    one, other = tmp_path / "1.img", tmp_path / "2.img"
    one.write_bytes(b"1")
    other.write_bytes(b"2")
    asked = tuple(updated(each, one) for each in (SEABIOS, OVMF))
    proven(store.image, SEABIOS, OVMF)
    verified_image(store, (SEABIOS, OVMF), hint="")
    with pytest.raises(VerificationFailed, match=r"changed since it was verified: .*update"):
        verified_image(store, asked, hint="")
    proven(store.image, asked[0], required=asked)
    with pytest.raises(VerificationFailed, match=r"on ovmf has changed since it was verified: .*update"):
        verified_image(store, asked, hint="")
    proven(store.image, *asked)
    verified_image(store, asked, hint="")
    verified_image(store, None, hint="")
    for more in ({"from": str(other)}, {"keep": ["/srv"]}):
        wanted = tuple(updated(each, one, **more) for each in (SEABIOS, OVMF))
        with pytest.raises(VerificationFailed, match=r"changed since it was verified: .*update"):
            verified_image(store, wanted, hint="")


def test_an_update_that_failed_is_no_proof(store: Store, tmp_path: Path) -> None:
    asked = updated(SEABIOS, tmp_path / "old.img")
    booted(store.image, asked, passed=False).asking((asked,), plan="", profile="").save(store.image)
    for required in (None, (asked,)):
        with pytest.raises(VerificationFailed, match="failed its verification on seabios"):
            verified_image(store, required, hint="")


def test_nobody_else_says_that_an_image_is_verified(store: Store) -> None:
    with pytest.raises(TypeError, match="by its proof"):
        VerifiedImage(path=store.image, sha256="0", papers=(), key=None)


def swap(store: Store, what: str) -> None:
    """Another image, or another paper, comes between the look and the copy."""
    if what == "image":
        store.image.write_bytes(b"IMAGE")
    elif what == "manifest":
        store.manifest.write_text('{"sha256": "0"}')
    elif what == "broken manifest":
        store.manifest.write_text("{")
    elif what == "record":
        booted(store.image, SEABIOS, passed=False).asking((SEABIOS,), plan="", profile="").save(store.image)
    else:
        record_of(store.image).write_text("{}")


@pytest.mark.parametrize("what", ["image", "manifest", "broken manifest", "record", "broken record"])
def test_what_does_not_belong_together_does_not_arrive(store: Store, tmp_path: Path, what: str) -> None:
    proven(store.image, SEABIOS)
    image = verified_image(store, hint="")
    swap(store, what)
    with pytest.raises(VerificationFailed, match=r"does not tell of|is not the file"):
        publish(image, tmp_path / "to")
    assert list((tmp_path / "to").iterdir()) == []


def test_what_was_published_before_stays_where_the_next_does_not_arrive(store: Store, tmp_path: Path) -> None:
    proven(store.image, SEABIOS)
    publish(verified_image(store, hint=""), tmp_path / "to")
    before = {path.name: path.read_bytes() for path in (tmp_path / "to").iterdir()}
    image = verified_image(store, hint="")
    swap(store, "image")
    with pytest.raises(VerificationFailed):
        publish(image, tmp_path / "to")
    assert {path.name: path.read_bytes() for path in (tmp_path / "to").iterdir()} == before


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_an_image_is_never_there_without_its_papers(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    """Killed at any of the renames: an image that is there has the papers that tell of it."""
    target = tmp_path / "to"
    proven(store.image, SEABIOS)
    publish(verified_image(store, hint=""), target)
    place(store, b"the next")
    proven(store.image, SEABIOS)
    image, rename, calls = verified_image(store, hint=""), Path.replace, []

    def replace(self: Path, to: Path) -> Path:
        calls.append(to)
        if len(calls) == fails_at:
            raise OSError(5, "Input/output error")
        return rename(self, to)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(HostError, match="Input/output error"):
        publish(image, target)
    assert not (target / "web.iso").exists()
    monkeypatch.undo()
    assert publish(image, target)[0].read_bytes() == b"the next"
    assert sorted(path.name for path in target.iterdir()) == NAMES


def test_a_copy_that_differs_is_no_publication(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proven(store.image, SEABIOS)
    monkeypatch.setattr(shutil, "copyfile", lambda _source, target: target.write_bytes(b"rotten") and target)
    with pytest.raises(VerificationFailed, match="is not the file that was verified"):
        publish(verified_image(store, hint=""), tmp_path / "to")


def test_a_destination_that_cannot_be_written(store: Store, tmp_path: Path) -> None:
    proven(store.image, SEABIOS)
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match="File exists"):
        publish(verified_image(store, hint=""), tmp_path / "file")


def test_what_flash_says_of_an_image(store: Store) -> None:
    assert standing(store.image).text == f"{store.image} has not been verified: nothing proves that it boots"
    proven(store.image, SEABIOS, required=(SEABIOS, OVMF))
    note = publishing.standing(store.image)
    assert note.level is Level.WARNING
    assert "is not yet verified on ovmf; next: metallize build web.yaml --verify" in note.text
    proven(store.image, OVMF, required=(SEABIOS, OVMF))
    note = standing(store.image)
    assert (note.text, note.level) == (f"{store.image} was verified on ovmf, seabios", Level.INFO)
    store.image.write_bytes(b"IMAGE")
    assert "is not the file that was verified" in standing(store.image).text
