"""What goes out of a registry: releases that are taken back, that newer ones replace, and what stays."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from metallize.events import Event, Note
from metallize.model.profile import Platform
from metallize.release import curating
from metallize.release.destinations import destination_at
from metallize.release.retention import Retention
from tests import registry
from tests.release.kinds import OciKind, oci_document, oci_get, seen_by_clients
from tests.release.stores import Between
from tests.unit.release.wares import NOW, released, ware

KEY = "web_20261130.1"
pytestmark = pytest.mark.slow


class Heard:
    """What is said meanwhile."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def emit(self, event: Event, /) -> None:
        if isinstance(event, Note):
            self.notes.append(event.text)


def test_what_is_taken_back_has_no_tag(oci: OciKind, oci_place: str) -> None:
    place, terms = destination_at(oci_place), curating.Terms(now=NOW)
    assert oci_document(oci.registry, oci_place, KEY)["layers"]
    curating.promote(place, KEY, Heard(), terms, channel="beta")
    assert curating.retract(place, KEY, Heard(), terms, why="it overheats", channel="stable") == ("stable",)
    assert oci_document(oci.registry, oci_place, KEY)["layers"], "another channel offers it"
    assert (oci_document(oci.registry, oci_place, "web_stable"), seen_by_clients(oci, oci_place)) == ({}, ())
    assert oci_document(oci.registry, oci_place, "web_beta")["manifests"]
    curating.retract(place, KEY, Heard(), terms, why="it overheats")
    assert oci_document(oci.registry, oci_place, KEY) == oci_document(oci.registry, oci_place, "web_beta") == {}
    assert oci.untagged(oci_place) == 0


def test_retention_and_pins(oci: OciKind, oci_place: str, tmp_path: Path) -> None:
    place = destination_at(oci_place)
    curating.pin(place, KEY, Heard(), curating.Terms(now=NOW), pinned=True)
    for number in (2, 3):
        image = ware(tmp_path / f"b{number}", b"image %d" % number)
        released(place, image, retention=Retention(number=1), now=NOW + timedelta(minutes=number))
    assert seen_by_clients(oci, oci_place) == ("20261130.3", "20261130.1")
    assert oci_document(oci.registry, oci_place, "web_20261130.2") == {}
    assert oci_document(oci.registry, oci_place, KEY)["layers"]
    assert oci.fetch(oci_place, "stable/web_20261130.2_x86-64.raw.xz"), "for whoever is just fetching it"
    assert oci.untagged(oci_place) == 0
    released(place, ware(tmp_path / "b4", b"image 4"), now=NOW + timedelta(days=2))
    assert oci.fetch(oci_place, "stable/web_20261130.2_x86-64.raw.xz") is None


def test_the_registrys_own_cleaning_leaves_what_is_offered(tmp_path: Path, line: Between) -> None:
    with registry.running(tmp_path / "registry") as made:
        place, kind = f"oci://{made.host}/own/web", OciKind(line, made)
        other = replace(ware(tmp_path / "arm64", b"x" * 1024), platform=Platform.ARM64)
        released(destination_at(place), ware(tmp_path / "amd64", b"y" * 1024), other)
        before = oci_document(made, place, f"{KEY}_disk")["manifests"]
        argv: list[str | Path] = [registry.PROGRAM, "garbage-collect", tmp_path / "registry" / "config.yml"]
        assert "eligible for deletion" in subprocess.run(argv, check=True, capture_output=True, text=True).stdout
        assert seen_by_clients(kind, place) == ("20261130.1",)
        for each in before:
            [layer] = oci_document(made, place, each["digest"])["layers"]
            assert len(oci_get(made, place, f"blobs/{layer['digest']}") or b"") == layer["size"]


def test_a_registry_that_deletes_nothing(tmp_path: Path, line: Between) -> None:
    """The tag tells that the release is gone, and whoever takes it back is told what stays."""
    with registry.running(tmp_path / "registry", deletes=False) as made:
        place, heard = f"oci://{made.host}/own/web", Heard()
        released(destination_at(place), ware(tmp_path / "one"))
        released(destination_at(place), ware(tmp_path / "two", b"other"))
        curating.retract(destination_at(place), KEY, heard, curating.Terms(now=NOW), why="it overheats")
        [said] = heard.notes
        assert "deletes nothing (405)" in said
        assert KEY in said
        assert "REGISTRY_STORAGE_DELETE_ENABLED" in said
        assert oci_document(made, place, KEY)["artifactType"] == "application/vnd.metallize.gone.v1"
        assert oci_document(made, place, "web_20261130.2")["artifactType"] == "application/vnd.metallize.release.v1"
        heard.notes.clear()
        curating.pin(destination_at(place), "20261130.2", heard, curating.Terms(now=NOW), pinned=True)
        assert heard.notes == [], "once is enough"
