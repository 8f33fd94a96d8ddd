"""Which boots of a test run count as verifications of the profile's image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from metallize import images
from metallize.build.generator import sha256_of
from metallize.catalog import Catalog
from metallize.config import load_profile
from metallize.events import Silent
from metallize.model.assertion import Assertion
from metallize.pipeline import Options, requests_of
from metallize.proof import Proof
from metallize.pytest_plugin.boots import Guests
from metallize.pytest_plugin.targets import Settings, Target, targets_of
from metallize.verify import VerifyRequest
from tests.unit.cli.conftest import GOOD
from tests.unit.proof.digests import asserted
from tests.unit.proof.proofs import report_of

CATALOG = Catalog()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "web.yaml").write_text(GOOD)
    return Settings(profiles=(tmp_path / "web.yaml",), images=(), machines=(), accel="auto", build_dir=tmp_path / "b")


@pytest.fixture
def request_(settings: Settings) -> VerifyRequest:
    """Of the profile's image, which is in its place."""
    profile = load_profile(settings.profiles[0], vocabulary=CATALOG.vocabulary())
    store = images.store_of(profile, Options(build_dir=settings.build_dir))
    with store.workspace() as work:
        image = work / "image"
        image.write_bytes(b"image")
        stored = store.publish(image, {"inputs": "in", "sha256": sha256_of(image), "format": "iso", "plan": "p"})
    [request] = requests_of(profile, CATALOG, stored, Options(build_dir=settings.build_dir), store.build_dir)
    return request


EXTRA = asserted(CATALOG, {"file": {"/extra": {"exists": True}}})


@pytest.mark.parametrize(
    ("asks", "passed", "verdict"),
    [
        ("all", True, "passed"),
        ("all", False, "failed"),
        ("more", True, "passed"),
        ("more", False, None),
        ("less", True, None),
        ("less", False, None),
    ],
)
def test_a_boot_counts_where_all_was_asked(
    settings: Settings, request_: VerifyRequest, asks: str, passed: bool, verdict: str | None
) -> None:
    [target] = targets_of(settings, CATALOG)
    asked: dict[str, tuple[Assertion, ...]] = {
        "all": target.assertions,
        "more": (*EXTRA, *target.assertions),
        "less": target.assertions[1:],
    }
    record(settings, target, request_, asked[asks], passed=passed)
    proof = Proof.load(request_.image)
    assert (proof.verdict if proof.sha256 else None) == verdict
    assert proof.covers(request_.sha256, (request_,)) is (verdict == "passed")


def test_an_image_that_was_built_anew_meanwhile_is_not_the_one(settings: Settings, request_: VerifyRequest) -> None:
    [target] = targets_of(settings, CATALOG)
    record(settings, target, replace(request_, sha256="0" * 64), target.assertions, passed=True)
    assert Proof.load(request_.image).trouble


def record(
    settings: Settings, target: Target, request: VerifyRequest, asked: tuple[Assertion, ...], *, passed: bool
) -> None:
    guests = Guests(settings, CATALOG, Silent())
    guests._requests[target.name] = request
    guests._record(target, asked, report_of(request, passed=passed))
