"""What may be published, and what is told of what may not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from metallize import __version__
from metallize.build.store import Stored
from metallize.catalog import Catalog
from metallize.config import load_profile
from metallize.pipeline import Options, requests_of
from metallize.verify import requests as verification

from .conftest import GOOD, Call, write


def stored(verdict: str | None, booted: bytes = b"image", machines: tuple[str, ...] = (), good: str = GOOD) -> None:
    """An image in the build folder, and what was found of the bytes that were booted, on these machines or all."""
    image, sha256 = Path("build/web.iso"), hashlib.sha256(booted).hexdigest()
    image.parent.mkdir()
    image.write_bytes(b"image")
    Path(f"{image}.manifest.json").write_text(json.dumps({"sha256": sha256, "format": "iso"}))
    if verdict is None:
        return
    catalog = Catalog()
    profile = load_profile(write(good=good), vocabulary=catalog.vocabulary())
    stored = Stored(path=image, manifest={"sha256": sha256, "format": "iso"})
    requests = requests_of(profile, catalog, stored, Options(machines=machines), image.parent)
    record = {
        "metallize": __version__,
        "id": verification.identity(sha256, requests),
        "verdict": verdict,
        "sha256": sha256,
        "machines": [{"machine": request.machine_entry} for request in requests],
    }
    Path(f"{image}.verification.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("verdict", "booted", "told"),
    [
        (None, b"image", "build/web.iso has not been verified"),
        ("failed", b"image", "build/web.iso failed its verification"),
        ("passed", b"another", "build/web.iso is not the file that was verified"),
    ],
)
def test_what_is_not_verified_is_not_published(call: Call, verdict: str | None, booted: bytes, told: str) -> None:
    stored(verdict, booted)
    said = call("publish", write(), "--to", "out")
    assert said.status == 1
    assert told in said.err
    assert not Path("out").exists()


def test_what_is_verified_is_published_with_its_papers(call: Call) -> None:
    stored("passed")
    said = call("publish", write(), "--to", "out", "--json")
    assert said.status == 0
    [event] = said.events()
    assert event["event"] == "result"
    assert event["files"] == [f"out/web.iso{end}" for end in ("", ".manifest.json", ".verification.json")]
    assert Path("out/web.iso").read_bytes() == b"image"
    assert sorted(path.name for path in Path("out").iterdir()) == [Path(name).name for name in event["files"]]


@pytest.mark.parametrize(
    ("old", "new", "machines", "told"),
    [
        ("", "", ("seabios",), "was verified on seabios only, and its profile boots it on ovmf too"),
        (
            "enabled: true",
            "running: true",
            (),
            "what the profile asks of build/web.iso has changed since it was verified",
        ),
        ("boot:\n", "boot:\n  reboot: true\n", (), "what the profile asks of build/web.iso has changed"),
    ],
    ids=["a machine left out", "another assertion", "a reboot too"],
)
def test_less_than_the_profile_asks_is_not_enough(
    call: Call, old: str, new: str, machines: tuple[str, ...], told: str
) -> None:
    good = GOOD.replace("[seabios]", "[seabios, ovmf]")
    stored("passed", machines=machines, good=good)
    said = call("publish", write(old, new, good=good), "--to", "out")
    assert said.status == 1
    assert told in said.err
    assert "metallize verify" in said.err
    assert not Path("out").exists()


def test_an_image_of_which_no_paper_tells_is_not_published(call: Call) -> None:
    stored("passed")
    Path("build/web.iso.manifest.json").write_text("{}")
    said = call("publish", write(), "--to", "out")
    assert said.status == 1
    assert "build/web.iso.manifest.json does not tell of build/web.iso" in said.err
