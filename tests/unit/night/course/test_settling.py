"""A night over the real way of an image: built aside, booted from what is kept of it, settled, and put in its place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from metallize import images
from metallize.build.generator import sha256_of
from metallize.build.making import Making
from metallize.errors import HostError, VerificationFailed
from metallize.host import accelerator
from metallize.model.report import BootReport
from metallize.night import keeping
from metallize.night.keeping import kept_folder
from metallize.night.matrix.making import Candidate, matrix_of
from metallize.night.run import run_nightly
from metallize.verify import VerifyRequest, beside
from metallize.verify import requests as verification
from tests.unit.build.conftest import FakeEngine
from tests.unit.build.conftest import image as base_image
from tests.unit.proof.test_building import CATALOG, House


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    house = House(tmp_path)
    monkeypatch.setattr("metallize.build.making.build_images", house.images)
    monkeypatch.setattr(Making, "image", lambda *given: house.image(*given))  # noqa: PLW0108 - it is to be bound anew
    monkeypatch.setattr(verification, "run_all", house.run_all)
    monkeypatch.setattr(accelerator, "choose", lambda *_args: None)
    monkeypatch.setattr(beside, "room_beside", lambda _need, running: not running)  # one after the other, in order
    monkeypatch.setattr("metallize.build.base.bases.resolve", lambda *_args: base_image("debian:trixie"))
    return house


def night(house: House, *, fresh: bool = False) -> list[str]:
    """The statuses of the night, by machine."""
    options = house.options(again=True, fresh=fresh)
    candidate = Candidate(name="web", load=lambda: (house.profile,), named=True)
    matrix = matrix_of([candidate], CATALOG, options, here=False)
    attempts = run_nightly(matrix, [candidate], CATALOG, FakeEngine(), house.events, options)
    return [f"{each.cell.machine} {each.status}" for each in attempts]


def test_an_image_that_passes_everywhere_is_in_its_place_and_can_be_published(house: House) -> None:
    assert night(house) == ["seabios PASS", "ovmf PASS"]
    assert house.store.image.read_bytes() == b"one"
    assert house.publish() == ["web.iso", "web.iso.manifest.json", "web.iso.verification.json"]
    kept = keeping.find(kept_folder(house.store.build_dir), sha256_of(house.store.image))
    assert kept is not None
    assert kept.path.stat().st_ino == house.store.image.stat().st_ino


def test_one_that_fails_stays_aside_and_does_not_replace_what_is_good(house: House) -> None:
    night(house)
    house.content, house.failing = b"two", {"ovmf"}
    assert night(house, fresh=True) == ["seabios PASS", "ovmf FAIL", "ovmf FAIL", "ovmf SKIP"]
    assert house.store.image.read_bytes() == b"one"
    aside = house.store.kept()
    assert aside is not None
    assert aside.path.read_bytes() == b"two"


def test_one_that_failed_is_no_verified_one_by_a_boot_for_diagnosis(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flaky(requests: Sequence[VerifyRequest], events: object) -> tuple[BootReport, ...]:
        house.failing = {"ovmf"} if "ovmf" not in house.booted else set()
        return house.run_all(requests, events)

    monkeypatch.setattr(verification, "run_all", flaky)
    assert night(house) == ["seabios PASS", "ovmf FAIL", "ovmf PASS"]
    assert not house.store.image.exists()
    with pytest.raises(VerificationFailed):
        house.publish()


@pytest.mark.parametrize("after", [0, 1])
def test_what_was_seen_before_an_interruption_counts_after_it(
    house: House, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    def interrupted(requests: Sequence[VerifyRequest], events: object) -> tuple[BootReport, ...]:
        if len(house.booted) == after:
            raise KeyboardInterrupt
        return house.run_all(requests, events)

    with monkeypatch.context() as patch:
        patch.setattr(verification, "run_all", interrupted)
        with pytest.raises(KeyboardInterrupt):
            night(house)
    assert not house.store.image.exists()
    monkeypatch.setattr(Making, "image", lambda *_given: pytest.fail("it was built already"))
    assert night(house) == ["seabios PASS", "ovmf PASS"]
    assert house.booted == ["seabios", "ovmf"]
    assert house.publish()


def test_an_image_that_is_built_anew_meanwhile_does_not_mislead_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is booted is what the night has made; what is in the build folder by then is another."""

    def rebuilt(requests: Sequence[VerifyRequest], events: object) -> tuple[BootReport, ...]:
        if not house.booted:
            with monkeypatch.context() as patch:
                patch.setattr(verification, "run_all", house.run_all)
                house.content = b"another"
                house.build(fresh=True)
        return house.run_all(requests, events)

    monkeypatch.setattr(verification, "run_all", rebuilt)
    assert night(house) == ["seabios PASS", "ovmf PASS"]
    assert house.store.image.read_bytes() == b"another"
    assert any("somebody has built it anew meanwhile" in told for told in house.told)


def test_a_boot_that_cannot_be_made_is_tried_again_and_keeps_no_other(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    def broken(requests: Sequence[VerifyRequest], events: object) -> tuple[BootReport, ...]:
        tries.append(requests[0].machine_entry)
        if tries == ["seabios"]:
            raise HostError("no memory left")
        if tries.count("ovmf") and requests[0].machine_entry == "ovmf" and tries.count("ovmf") == 1:
            raise ZeroDivisionError
        return house.run_all(requests, events)

    monkeypatch.setattr(verification, "run_all", broken)
    assert sorted(night(house)) == ["ovmf MISS", "ovmf PASS", "seabios MISS", "seabios PASS"]
    assert house.publish()
    assert images.verified(house.profile, CATALOG, house.options()).sha256 == sha256_of(house.store.image)
