"""The bill of materials of an image: by its schema, and by what a manifest holds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from metallize.release.gate.licences import denied
from metallize.release.papers.sbom import sbom_text

MANIFEST: dict[str, Any] = {
    "sha256": "a" * 64,
    "made": "2026-11-28T19:08:11+00:00",
    "os": {"ID": "debian", "VERSION_ID": "13"},
    "base": {"reference": "debian:trixie", "digest": f"sha256:{'b' * 64}", "origin": "bootstrap"},
    "layers": [
        {"name": "ssh-server.dockerfile", "digest": f"sha256:{'c' * 64}", "tag": "t"},
        {"name": "ssh-server.dockerfile", "digest": f"sha256:{'c' * 64}", "tag": "t"},
    ],
    "packages": [
        {"name": "bsdutils", "version": "1:2.41.5-0+deb13u1", "architecture": "amd64"},
        {"name": "libstdc++6", "version": "14.2.0-19", "architecture": "amd64", "source": "gcc-14"},
        {"name": "libc6", "version": "2.41-12", "architecture": "amd64"},
        {"name": "libc6", "version": "2.41-12", "architecture": "i386"},
    ],
    "kernel": "6.12.118+deb13-amd64",
}


def made(**changes: Any) -> dict[str, Any]:
    """The document, which its schema must allow."""
    text = sbom_text("web", "20261130.1", {**MANIFEST, **changes})
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert error is None, error
    found: dict[str, Any] = json.loads(text)
    return found


def test_the_image_is_what_it_is_about() -> None:
    bom = made()
    component = bom["metadata"]["component"]
    assert (component["name"], component["version"], component["type"]) == ("web", "20261130.1", "operating-system")
    assert component["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert bom["metadata"]["timestamp"] == MANIFEST["made"]
    assert bom["compositions"] == [{"aggregate": "incomplete", "assemblies": ["image"]}]
    refs = {each["bom-ref"] for each in bom["components"]}
    [all_of_it] = [each for each in bom["dependencies"] if each["ref"] == "image"]
    assert set(all_of_it["dependsOn"]) == refs


def test_a_package_has_the_url_that_scanners_look_up() -> None:
    packages = [each for each in made()["components"] if each["type"] == "library"]
    urls = {each["purl"]: PackageURL.from_string(each["purl"]) for each in packages}
    assert len(urls) == 4
    found = {(url.name, url.version, url.qualifiers["arch"]): url for url in urls.values()}
    util = found["bsdutils", "1:2.41.5-0+deb13u1", "amd64"]
    assert (util.type, util.namespace, util.qualifiers["distro"]) == ("deb", "debian", "debian-13")
    cxx = found["libstdc++6", "14.2.0-19", "amd64"]
    assert cxx.qualifiers["upstream"] == "gcc-14"
    assert "pkg:deb/debian/libstdc%2B%2B6@14.2.0-19?" in cxx.to_string()


def test_sources_and_licences() -> None:
    rows: list[dict[str, Any]] = [
        {"name": "libc6", "version": "2.41-12+b1", "architecture": "amd64", "source": "glibc",
         "source_version": "2.41-12", "licences": ["Expat", "GPL-2+", "GPL-2+ or BSD-like", "LGPL-2.1"]},
        {"name": "bash", "version": "5.2", "architecture": "amd64", "source": "bash", "source_version": "5.2"},
        {"name": "mawk", "version": "1.3+b1", "architecture": "amd64", "source": "mawk", "source_version": "1.3"},
    ]  # fmt: skip
    libc, bash, mawk = (
        next(each for each in made(packages=rows)["components"] if each["name"] == row["name"]) for row in rows
    )
    assert PackageURL.from_string(libc["purl"]).qualifiers["upstream"] == "glibc@2.41-12"
    assert PackageURL.from_string(mawk["purl"]).qualifiers["upstream"] == "mawk@1.3"
    assert "upstream" not in bash["purl"]
    licences = [each["license"] for each in libc["licenses"]]
    assert sorted(each.get("id") or each["name"] for each in licences) == [
        "GPL-2+ or BSD-like", "GPL-2.0-or-later", "LGPL-2.1-only", "MIT",
    ]  # fmt: skip
    told = {each["name"]: each["value"] for each in libc["properties"]}
    assert told == {"metallize:source": "glibc", "metallize:source_version": "2.41-12"}
    assert {"name": "metallize:licences", "value": "unknown"} in bash["properties"]
    assert "licenses" not in bash


@pytest.mark.parametrize(
    ("licence", "patterns", "no"),
    [
        ("AGPL-3+", ["AGPL-3*"], True),
        ("AGPL-3", ["AGPL-3.0-only"], True),
        ("agpl-3", ["AGPL-3"], True),
        ("AGPL-3 or Expat", ["AGPL-3*"], False),
        ("AGPL-3 or GPL-3", ["*GPL-3*"], True),
        ("AGPL-3 and Expat", ["AGPL-3*"], True),
        ("Expat or AGPL-3 and BSD", ["AGPL-3*"], False),
        ("Expat or BSD, and AGPL-3", ["AGPL-3*"], True),
        ("Expat", ["MIT"], True),
        ("GPL-2+ with Autoconf exception", ["GPL-2+"], False),
        ("Expat", [], False),
    ],
)
def test_which_licences_a_rule_denies(licence: str, patterns: list[str], no: bool) -> None:
    assert denied(licence, patterns) is no


def test_base_and_layers_are_in_it() -> None:
    containers = {each["name"]: each for each in made()["components"] if each["type"] == "container"}
    assert set(containers) == {"debian:trixie", "ssh-server.dockerfile"}
    assert containers["debian:trixie"]["hashes"][0]["content"] == "b" * 64


def test_the_same_image_gives_the_same_bytes_and_another_one_another_number() -> None:
    assert sbom_text("web", "1", MANIFEST) == sbom_text("web", "1", json.loads(json.dumps(MANIFEST)))
    assert made()["serialNumber"] != made(sha256="d" * 64)["serialNumber"]


@pytest.mark.parametrize("changes", [{"os": {}}, {"os": None}, {"base": None, "layers": []}, {"packages": []}])
def test_a_manifest_that_knows_less(changes: dict[str, Any]) -> None:
    made(**changes)
