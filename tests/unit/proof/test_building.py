"""build, verify and publish of one profile with two machines, with boots that only say how they ended."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from metallize import images, pipeline
from metallize.build.generator import DiskImage, sha256_of
from metallize.build.making import Making
from metallize.build.packages.census import DEFAULT_EPOCH, Census, snapshot
from metallize.build.stacks import Images, manifest_of
from metallize.build.steps import Steps
from metallize.build.store import Store, Stored
from metallize.catalog import Catalog
from metallize.config import load_profile
from metallize.errors import ProfileError, VerificationFailed
from metallize.events import Note
from metallize.model.loaded import Profile
from metallize.model.profile import ImageFormat
from metallize.model.report import BootReport
from metallize.pipeline import Built, Options
from metallize.proof import Proof
from metallize.verify import VerifyRequest
from metallize.verify import requests as verification
from tests.unit.build.conftest import FakeEngine, Recorder
from tests.unit.build.conftest import image as base_image
from tests.unit.cli.conftest import GOOD
from tests.unit.proof.proofs import report_of

CATALOG = Catalog()


@dataclass
class House:
    """A profile, what its next build makes, and how its boots end."""

    folder: Path
    content: bytes = b"one"
    failing: set[str] = field(default_factory=set)
    booted: list[str] = field(default_factory=list)
    events: Recorder = field(default_factory=Recorder)
    text: str = GOOD.replace("[seabios]", "[seabios, ovmf]")

    @property
    def profile(self) -> Profile:
        path = self.folder / "web.yaml"
        path.write_text(self.text)
        return load_profile(path, vocabulary=CATALOG.vocabulary())

    @property
    def store(self) -> Store:
        return Store(build_dir=self.folder / "build", file="web.iso")

    def options(self, *machines: str, fresh: bool = False, again: bool = False) -> Options:
        return Options(build_dir=self.store.build_dir, machines=machines, fresh=fresh, again=again)

    def build(self, *machines: str, verified: bool = True, fresh: bool = False, again: bool = False) -> Built:
        self.booted.clear()
        options = self.options(*machines, fresh=fresh, again=again)
        plan = pipeline.plan_of(self.profile, CATALOG, options)
        return pipeline.build(plan, self.profile, CATALOG, FakeEngine(), self.events, options, verified=verified)

    def verify(self, *machines: str) -> tuple[BootReport, ...]:
        self.booted.clear()
        return images.verify_built(self.profile, CATALOG, self.events, self.options(*machines))

    def publish(self) -> list[str]:
        [(_, paths)] = images.publish((self.profile,), CATALOG, self.events, self.options(), self.folder / "out")
        return [path.name for path in paths]

    def refusal(self) -> VerificationFailed:
        with pytest.raises(VerificationFailed) as caught:
            self.publish()
        assert not (self.folder / "out").exists()
        return caught.value

    @property
    def told(self) -> list[str]:
        return [event.text for event in self.events.events if isinstance(event, Note)]

    def images(self, _plan: object, steps: Steps, *_args: object, **_more: object) -> Images:
        one = base_image("debian:trixie")
        return Images(made={each.id: one for each in (*steps.rootfs, *steps.tools)}, origin="")

    def image(self, making: Making, images: Images, work: Path) -> Stored:
        plan, steps = making.plan, making.steps
        path = work / "image"
        path.write_bytes(self.content)
        size = path.stat().st_size
        made = DiskImage(path=path, format=ImageFormat.ISO, size_bytes=size, sha256=sha256_of(path), facts={})
        epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or DEFAULT_EPOCH)
        manifest = manifest_of(plan, steps, images, made, epoch)
        return Stored(path=path, manifest={**manifest, "package_snapshot": snapshot(Census(), None)})

    def run_all(self, requests: Sequence[VerifyRequest], _events: object) -> tuple[BootReport, ...]:
        assert all(sha256_of(request.image) == request.sha256 for request in requests)
        self.booted += [request.machine_entry for request in requests]
        return tuple(report_of(each, passed=each.machine_entry not in self.failing) for each in requests)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    house = House(tmp_path)
    monkeypatch.setattr("metallize.build.making.build_images", house.images)
    monkeypatch.setattr(Making, "image", lambda *given: house.image(*given))  # noqa: PLW0108 - it is to be bound anew
    monkeypatch.setattr(verification, "run_all", house.run_all)
    return house


def test_one_machine_of_two_is_not_yet_enough_and_the_other_makes_it_whole(house: House) -> None:
    built = house.build("seabios")
    assert (built.verified, built.lacking) == (False, ("ovmf",))
    assert not house.store.image.exists()
    assert built.image.read_bytes() == b"one"
    [told] = house.told
    command = f"metallize build {house.profile.path} --verify --machine ovmf --build-dir {house.store.build_dir}"
    assert "web.iso was verified on seabios only, and is not yet verified on ovmf" in told
    assert command in told
    assert str(built.image) in told
    refusal = house.refusal()
    assert "is not yet verified on ovmf" in refusal.message
    assert str(house.profile.path) in str(refusal.hint)
    built = house.build("ovmf")
    assert house.booted == ["ovmf"]
    assert (built.verified, built.lacking, built.image) == (True, (), house.store.image)
    assert house.publish() == ["web.iso", "web.iso.manifest.json", "web.iso.verification.json"]
    assert not built.built
    assert house.build().verified
    assert house.booted == [], "and nothing is booted twice"


def test_all_at_once_is_whole_at_once(house: House) -> None:
    assert house.build().verified
    assert house.booted == ["seabios", "ovmf"]
    assert house.told == []
    assert house.publish()


def test_what_is_left_is_booted_where_all_are_asked_for(house: House) -> None:
    house.build("seabios")
    assert house.build().verified
    assert house.booted == ["ovmf"]
    assert house.build(again=True).verified
    assert house.booted == ["seabios", "ovmf"], "the nightly boots in any case"


def test_a_verified_image_stays_while_the_next_is_not_whole(house: House) -> None:
    house.build()
    house.content = b"two"
    house.text += "    file: {/a: {exists: true}}\n"
    built = house.build("seabios", fresh=True)
    assert not built.verified
    assert house.store.image.read_bytes() == b"one"
    assert built.image.read_bytes() == b"two"
    assert Proof.load(house.store.image).whole


def test_bytes_that_are_in_their_place_stay_there(house: House) -> None:
    house.build(verified=False)
    built = house.build("seabios")
    assert built.image == house.store.image
    assert not built.verified
    assert "is not yet verified on ovmf" in house.refusal().message
    built = house.build("ovmf", fresh=True)
    assert house.booted == ["ovmf"], "a new build of the same bytes begins with what is known of them"
    assert built.verified


def test_a_plain_build_never_puts_a_failed_image_in_the_place_of_a_verified_one(house: House) -> None:
    house.build()
    house.content, house.failing = b"two", {"ovmf"}
    with pytest.raises(VerificationFailed, match="failed its verification on ovmf"):
        house.build(fresh=True)
    kept = house.store.kept()
    assert kept is not None
    assert not Proof.load(kept.path).whole, "what failed is recorded beside the image that is kept"
    with pytest.raises(VerificationFailed, match="is verified and stays") as caught:
        house.build(verified=False, fresh=True)
    assert "on ovmf" in caught.value.message
    assert f"metallize build {house.profile.path} --verify" in str(caught.value.hint)
    assert house.store.image.read_bytes() == b"one"
    assert house.publish()


def test_a_failed_image_comes_into_a_place_that_nothing_verified_has_and_is_known_there(house: House) -> None:
    house.failing = {"ovmf"}
    with pytest.raises(VerificationFailed):
        house.build()
    assert house.build(verified=False).image.read_bytes() == b"one"
    assert "failed its verification on ovmf" in house.refusal().message
    house.failing = set()
    assert house.build().verified
    assert house.booted == ["ovmf"], "what failed is tried again, what passed holds"


def test_what_failed_something_that_is_no_longer_asked_is_not_known_to_fail(house: House) -> None:
    house.build()
    house.content, house.failing = b"two", {"ovmf"}
    with pytest.raises(VerificationFailed):
        house.build(fresh=True)
    house.text = house.text.replace("enabled: true", "running: true")
    house.build(verified=False, fresh=True)
    assert house.store.image.read_bytes() == b"two"
    assert "failed its verification on ovmf" in house.refusal().message


def test_a_new_image_takes_no_proof_of_the_old_one_with_it(house: House) -> None:
    house.build()
    house.content = b"two"
    house.build(verified=False, fresh=True)
    assert "has not been verified" in house.refusal().message


def test_a_machine_that_fails_later_takes_the_proof_away(house: House) -> None:
    house.build()
    house.failing = {"ovmf"}
    assert [report.passed for report in house.verify()] == [True, False]
    assert "failed its verification on ovmf" in house.refusal().message
    house.failing = set()
    house.verify("ovmf")
    assert house.publish()


def test_verify_on_one_machine_adds_to_what_is_known(house: House) -> None:
    house.build(verified=False)
    house.verify("seabios")
    [told] = house.told
    assert "is not yet verified on ovmf" in told
    refusal = house.refusal()
    assert "is not yet verified on ovmf" in refusal.message
    assert refusal.hint == f"metallize verify {house.profile.path} --machine ovmf --build-dir {house.store.build_dir}"
    house.verify("ovmf")
    house.verify("seabios")
    assert house.publish()


def test_what_the_profile_asks_on_top_is_named(house: House) -> None:
    house.build()
    house.text = house.text.replace("enabled: true", "running: true")
    refusal = house.refusal()
    assert f"service ssh at {house.profile.path}:" in refusal.message
    assert "has changed since it was verified" in refusal.message
    assert str(refusal.hint).startswith(f"metallize verify {house.profile.path}")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("  file: web.iso\n", "  file: web.iso\n  kernel_boot_params: quiet\n", "kernel_boot_params"),
        (
            "  file: web.iso\n",
            "  file: web.iso\n  options: {compression: gzip}\n",
            "the generator's options changed since",
        ),
        ("output:\n", "  - ssh-server.dockerfile\noutput:\n", "layer ssh-server.dockerfile"),
    ],
)
def test_a_plan_that_has_changed_is_named(house: House, old: str, new: str, told: str) -> None:
    house.build()
    house.text = house.text.replace(old, new)
    refusal = house.refusal()
    assert "is not what" in refusal.message
    assert told in refusal.message
    assert f"metallize build {house.profile.path} --verify" in str(refusal.hint)


def test_an_image_of_which_no_paper_tells_is_not_published(house: House) -> None:
    house.build()
    for text in ("{}", "{", '{"sha256": "0", "format": "iso"}', '{"sha256": [], "format": []}'):
        house.store.manifest.write_text(text)
        assert f"{house.store.manifest} does not tell of {house.store.image}" in house.refusal().message


def test_where_there_is_nothing_nothing_is_made(house: House) -> None:
    assert "there is no" in house.refusal().message
    assert not house.store.build_dir.exists()


def test_a_judge_that_was_mended_judges_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.build()
    monkeypatch.setattr("metallize.proof.judge", lambda: "another")
    assert "was judged by other rules" in house.refusal().message
    assert house.build().verified
    assert house.booted == ["seabios", "ovmf"]
    assert house.publish()


def test_a_profile_with_an_http_assertion_is_published_by_the_next_process(house: House) -> None:
    """Its matchers hold patterns, functions and sets; test_asked.py asks two processes."""
    matcher = "{gjson: {a: {semver-constraint: '>1.0.0'}}}"
    house.text += f"    http: {{'http://a/': {{status: 200, headers: [x], body: {matcher}}}}}\n"
    house.build()
    assert house.publish()
    assert replace(house.profile, path=Path("elsewhere")).assertions


def test_verify_says_of_an_image_that_the_profile_makes_no_longer_that_it_stays_not_verified(house: House) -> None:
    house.build()
    house.verify()
    assert house.told == []
    house.text = house.text.replace("file: web.iso", "file: web.iso\n  kernel_boot_params: quiet")
    house.verify()
    [told] = house.told
    assert "kernel_boot_params changed since" in told
    assert "metallize build" in told
    assert "kernel_boot_params changed since" in house.refusal().message


def test_another_time_of_the_image_is_another_image(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert house.build(verified=False).built
    assert not house.build(verified=False).built
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "5")
    assert house.build(verified=False).built
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert house.build(verified=False).built


def test_a_lock_is_asked_of_an_image_that_is_current_too(house: House) -> None:
    assert house.build(verified=False).built
    (house.folder / "web.lock").write_text("bash 5 amd64\n")
    with pytest.raises(ProfileError, match=r"web\.lock:1:1: bash 5 \(amd64\) is not installed"):
        house.build(verified=False)


def test_two_verify_one_image_side_by_side_and_what_both_have_seen_is_written_down(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.build(verified=False)
    meeting = threading.Barrier(2)

    def run_all(requests: Sequence[VerifyRequest], events: object) -> tuple[BootReport, ...]:
        meeting.wait(timeout=30)
        return house.run_all(requests, events)

    monkeypatch.setattr(verification, "run_all", run_all)
    profile, each = house.profile, [house.options("seabios"), house.options("ovmf")]
    with ThreadPoolExecutor() as pool:
        begun = [pool.submit(images.verify_built, profile, CATALOG, house.events, options) for options in each]
        assert all(report.passed for done in begun for report in done.result())
    assert "web.iso" in house.publish(), "each has added what it saw to what the other wrote down"
