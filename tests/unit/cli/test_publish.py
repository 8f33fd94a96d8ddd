"""What may be published, and what is told of what may not: words and statuses of the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metallize import images
from metallize.build.generator import sha256_of
from metallize.build.store import Stored
from metallize.catalog import Catalog
from metallize.config import load_profile
from metallize.night.facts import ImageFacts, facts_folder, write_facts
from metallize.night.history import append, history_path
from metallize.pipeline import Options, plan_of, requests_of
from tests.unit.night.attempts import attempt
from tests.unit.proof.proofs import report_of

from .conftest import GOOD, Call, write

BOTH = GOOD.replace("[seabios]", "[seabios, ovmf]")


def stored(*, passed: bool | None, machines: tuple[str, ...] = (), good: str = GOOD) -> None:
    """An image in the build folder, and what was found where it was booted: on these machines, or all."""
    image = Path("build/web.iso")
    image.parent.mkdir()
    image.write_bytes(b"image")
    catalog = Catalog()
    profile = load_profile(write(good=good), vocabulary=catalog.vocabulary())
    plan = plan_of(profile, catalog, Options())
    manifest = {
        "sha256": sha256_of(image),
        "format": "iso",
        "plan": plan.id,
        "kernel_boot_params": plan.job.kernel_boot_params,
        "packages": [{"name": "base-files", "version": "13", "architecture": "amd64"}],
    }
    Path(f"{image}.manifest.json").write_text(json.dumps(manifest))
    if passed is None:
        return
    there = Stored(path=image, manifest=manifest)
    requests = requests_of(profile, catalog, there, Options(machines=machines), image.parent)
    reports = [report_of(request, passed=passed) for request in requests]
    images.record(profile, catalog, there, Options(), requests, reports)


@pytest.mark.parametrize(
    ("passed", "told"),
    [(None, "build/web.iso has not been verified"), (False, "build/web.iso failed its verification on seabios")],
)
def test_what_is_not_verified_is_not_published(call: Call, passed: bool | None, told: str) -> None:
    stored(passed=passed)
    said = call("publish", write(), "--to", "out")
    assert said.status == 1
    assert told in said.err
    assert "next: metallize verify web.yaml" in said.err
    assert not Path("out").exists()


def test_other_bytes_than_those_that_were_verified_are_not_published(call: Call) -> None:
    stored(passed=True)
    Path("build/web.iso").write_bytes(b"other")
    said = call("publish", write(), "--to", "out")
    assert said.status == 1
    assert "build/web.iso is not the file that was verified" in said.err


def test_what_is_verified_is_published_with_its_papers(call: Call) -> None:
    stored(passed=True)
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
        ("", "", ("seabios",), "was verified on seabios only, and is not yet verified on ovmf"),
        ("enabled: true", "running: true", (), "since it was verified: service ssh at web.yaml:"),
        ("boot:\n", "boot:\n  reboot: true\n", (), "since it was verified: boot.reboot"),
    ],
    ids=["a machine left out", "another assertion", "a reboot too"],
)
def test_less_than_the_profile_asks_is_not_enough(
    call: Call, old: str, new: str, machines: tuple[str, ...], told: str
) -> None:
    stored(passed=True, machines=machines, good=BOTH)
    said = call("publish", write(old, new, good=BOTH), "--to", "out")
    assert said.status == 1
    assert told in said.err
    assert "metallize verify web.yaml" in said.err
    assert not Path("out").exists()


def test_serve_says_the_same_of_a_profile_and_of_an_image(call: Call) -> None:
    stored(passed=True, machines=("seabios",), good=BOTH)
    for target in (write(good=BOTH), Path("build/web.iso")):
        said = call("serve", target)
        assert said.status == 1
        assert "was verified on seabios only, and is not yet verified on ovmf" in said.err
        assert "to serve it all the same: --unverified" in said.err


def test_what_a_night_saw_fail_is_not_published_unless_accepted(call: Call) -> None:
    stored(passed=True)
    digest = sha256_of(Path("build/web.iso"))
    append(history_path(Path("build")), [attempt(1, "FAIL", sha256=digest), attempt(1, sha256=digest, attempt=2)])
    for way in ((), ("--channel", "stable")):
        said = call("publish", write(), "--to", "out", *way)
        assert said.status == 1
        assert "web.iso is flaky on seabios: these bytes failed in 1 of 1" in said.err
        assert "--accept-flaky ISSUE" in said.err
    assert not list(Path("out").rglob("*.iso*"))
    assert call("publish", write(), "--to", "copies", "--accept-flaky", "#9").status == 0
    assert call("publish", write(), "--to", "out", "--channel", "stable", "--accept-flaky", "#9").status == 0
    [release] = json.loads(Path("out/stable/releases.json").read_text())["releases"]
    [told] = release["waived"]
    assert told.startswith("night.flaky: web.iso is flaky on seabios")
    assert told.endswith("accepted as #9")


def test_a_night_is_compared_with_the_release_too(call: Call) -> None:
    stored(passed=True)
    digest, other = sha256_of(Path("build/web.iso")), "e" * 64
    assert call("publish", write(), "--to", "out", "--channel", "stable").status == 0
    append(history_path(Path("build")), [attempt(1, sha256=digest), attempt(2, sha256=other), attempt(3, sha256=other)])
    for sha256, version in ((digest, "13"), (other, "14")):
        write_facts(facts_folder(Path("build")), ImageFacts(sha256=sha256, packages={"base-files": version}))
    assert call("regressions").out == ""
    said = call("regressions", "--release", "out", "--channel", "stable").out
    assert "CHANGED  web: 1 package is otherwise: base-files 13 to 14" in said
    assert "compared with the release web_" in said
    assert call("regressions", "--release", "out", "--channel", "beta").out == ""
    assert call("regressions", "--channel", "beta").status == 2
