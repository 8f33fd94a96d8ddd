"""`build --check`: two builds from nothing, with an engine that only remembers and a generator that we are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from metallize import pipeline
from metallize.build.engines.engine import Assembly
from metallize.build.steps.assembly import GENERATOR
from metallize.build.twice.twice import PROGRAM
from metallize.catalog import Catalog
from metallize.config import load_profile
from metallize.errors import DifferentBytesError
from metallize.events import Note
from tests.unit.build.conftest import FakeEngine, Recorder, image
from tests.unit.build.test_tarstream import archive, member
from tests.unit.cli.conftest import GOOD

ISO = bytes(0x8001) + b"CD001"
PACKAGES = "time 1700000000.9\npackage installed bash 5 amd64\n"
BASH = {"name": "bash", "version": "5", "architecture": "amd64"}


@dataclass
class Generator:
    """Makes an image, or the archive of a rootfs, from what it is told that each build has in it."""

    images: Iterator[bytes]
    roots: Iterator[list[Any]]
    packages: Iterator[list[dict[str, str]]]
    labels: set[str] = field(default_factory=set)
    epochs: set[str] = field(default_factory=set)

    def __call__(self, assembly: Assembly) -> None:
        words = list(assembly.generate)
        self.labels.add(assembly.label)
        self.epochs |= {word for word in words if word.startswith("SOURCE_DATE_EPOCH=")}
        assert f'type=bind,target=/out,"source={assembly.out.absolute()}"' in words
        if PROGRAM in words:
            assert GENERATOR not in words
            (assembly.out / "image").write_bytes(archive(*next(self.roots)))
            return
        (assembly.out / "image").write_bytes(next(self.images))
        facts = {"firmware": ["bios"], "packages": next(self.packages)}
        (assembly.out / "result.json").write_text(json.dumps(facts))


def checked(folder: Path, *, images: list[bytes], roots: list[list[Any]], packages: list[Any]) -> tuple[Any, Recorder]:
    """`build --check` of a profile whose two builds have these."""
    catalog, events = Catalog(), Recorder()
    (folder / "web.yaml").write_text(GOOD)
    profile = load_profile(folder / "web.yaml", vocabulary=catalog.vocabulary())
    options = pipeline.Options(build_dir=folder / "build", check=True)
    plan = pipeline.plan_of(profile, catalog, options)
    generator = Generator(images=iter(images), roots=iter(roots), packages=iter(packages))
    base = replace(image("debian:trixie"), reference="debian:trixie")
    engine = FakeEngine(images={"debian:trixie": base}, assembled=generator, packages=PACKAGES)
    built = pipeline.build(plan, profile, catalog, engine, events, options, verified=False)
    assert generator.epochs == {"SOURCE_DATE_EPOCH=1700000000"}
    assert all(re.fullmatch(r"web\.iso\.work-.+", label) for label in generator.labels)
    return built, events


@pytest.fixture(autouse=True)
def no_time_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)


def test_the_same_bytes_are_told_and_the_image_is_in_its_place(tmp_path: Path) -> None:
    built, events = checked(tmp_path, images=[ISO, ISO], roots=[[member("a", b"x")]], packages=[[BASH]] * 2)
    assert built.image.read_bytes() == ISO
    assert any(built.sha256 in event.text for event in events.events if isinstance(event, Note))
    manifest = json.loads((tmp_path / "build/web.iso.manifest.json").read_text())
    assert manifest["package_snapshot"]["newest"] == "2023-11-14T22:13:20+00:00"
    assert sorted(path.name for path in (tmp_path / "build").iterdir() if path.is_file()) == [
        "web.iso", "web.iso.manifest.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("roots", "packages", "told"),
    [
        ([[member("srv/a", b"1")], [member("srv/a", b"2", mode=0o600)]], [[BASH]] * 2, "/srv/a: contents, mode"),
        ([[member("a", b"1")]] * 2, [[BASH], [{**BASH, "version": "6"}]], r"bash \(amd64\): 5 and 6"),
        ([[member("a", b"1")]] * 2, [[BASH]] * 2, r"generator livecd does not make the same .* is 32774\)"),
    ],
)
def test_what_differs_is_told_and_no_image_is_in_its_place(
    tmp_path: Path, roots: list[list[Any]], packages: list[Any], told: str
) -> None:
    with pytest.raises(DifferentBytesError, match=told):
        checked(tmp_path, images=[ISO + b"1", ISO + b"2"], roots=roots, packages=packages)
    assert [path for path in (tmp_path / "build").rglob("*") if path.is_file() and path.suffix != ".lock"] == []
