"""What is read and made for a registry: addresses, manifests, tags, errors. tests/release has the real registry."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from metallize.errors import UsageError
from metallize.release.registry import artifacts
from metallize.release.registry.address import address_of
from metallize.release.registry.artifacts import EMPTY, Descriptor, index, manifest, read_document
from metallize.release.registry.channels import Shown, Staged
from metallize.release.registry.errors import refused
from metallize.release.registry.releases import tag_of

FILE = Descriptor(media_type="application/json", digest=f"sha256:{'0' * 64}", size_bytes=3)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("oci://127.0.0.1:5000/own/web", "http://127.0.0.1:5000"),
        ("oci://localhost/own/web", "http://localhost"),
        ("oci://[::1]:5000/own/web", "http://[::1]:5000"),
        ("oci://registry.example.com/own/web", "https://registry.example.com"),
        ("oci://Registry.example.com:5000/own/web/", "https://registry.example.com:5000"),
        ("oci://127.example.com/own/web", "https://127.example.com"),
        ("oci+http://registry.example.com/own/web", "http://registry.example.com"),
        ("oci+https://localhost:5000/own/web", "https://localhost:5000"),
    ],
)
def test_loopback_alone_is_without_tls(text: str, origin: str) -> None:
    found = address_of(text)
    assert (found.origin, found.repository) == (origin, "own/web")
    assert found.place("stable") == f"{text.rstrip('/').replace('Registry', 'registry')}:stable"


@pytest.mark.parametrize(
    "text",
    [
        "oci://host",
        "oci://host/",
        "oci:///web",
        "oci://host/Web",
        "oci://host/web:1",
        "oci://host/web@sha256:0",
        "oci://user:secret@host/web",
        "oci://host/../web",
        "oci://host/a//b",
        "oci://host:port/a",
        "oci://host/a?b",
    ],
)
def test_what_is_no_repository(text: str) -> None:
    with pytest.raises(UsageError, match="no repository of a registry"):
        address_of(text)


def test_what_a_channel_shows_is_read_as_it_was_written() -> None:
    shown = Shown(files={"a": FILE, "ü": FILE}, pointers={"streams/v1/index.json": FILE}, number=3)
    document = read_document(shown.document().content)
    assert [each.title for each in document.layers] == ["a", "ü", "streams/v1/index.json"]
    assert shown.document() == document


def test_what_waits_longer_than_a_day_is_forgotten() -> None:
    staged = Staged(uploads={"b": "http://there"}).with_file("a", FILE, "2026-11-30T00:00:00+00:00")
    assert set(staged.since("2026-11-29T12:00:00+00:00").files) == {"a"}
    assert staged.since("2026-11-30T12:00:00+00:00") == Staged()
    assert set(staged.without("a").files) == set()
    assert staged.with_file("b", FILE, "").uploads == {}


def test_a_manifest_without_files_is_read_as_one() -> None:
    made = manifest(artifacts.LOCK, (), {"metallize.lock": "{}"})
    assert json.loads(made.content)["layers"] == [EMPTY.told()]
    assert made.layers == ()


def test_an_index_says_for_which_machines_each_is() -> None:
    part = manifest(artifacts.RELEASE, [FILE], {})
    made = index([part.described("amd64"), part.described("arm64")], {})
    assert [each.architecture for each in read_document(made.content).entries] == ["amd64", "arm64"]
    assert {each.digest for each in made.entries} == {part.digest}


@given(st.binary(max_size=60))
def test_any_content_is_read_or_refused(content: bytes) -> None:
    try:
        read_document(content)
    except (ValueError, LookupError, TypeError):
        return


@pytest.mark.parametrize(
    ("parts", "tag"),
    [
        (("web_20261130.1",), "web_20261130.1"),
        (("web_1.0~rc1", "disk"), "web_1.0_rc1_disk"),
        (("c++_1", "disk"), "c___1_disk"),
        (("x" * 200,), "x" * 128),
    ],
)
def test_tags_are_what_a_registry_takes(parts: tuple[str, ...], tag: str) -> None:
    assert tag_of(*parts) == tag


@pytest.mark.parametrize(
    ("status", "body", "said", "step"),
    [
        (
            401,
            {"errors": [{"code": "UNAUTHORIZED", "message": "no"}]},
            "(401: UNAUTHORIZED: no)",
            "docker login host:1",
        ),
        (405, {"errors": [{"code": "UNSUPPORTED"}]}, "(405: UNSUPPORTED)", "REGISTRY_STORAGE_DELETE_ENABLED"),
        (500, {"errors": []}, "(500: Because)", "make room"),
        (507, "<html>", "(507: Because)", "make room"),
        (404, None, "(404: Because)", "is the address right"),
        (400, {"errors": [{"code": "DIGEST_INVALID"}]}, "DIGEST_INVALID", "not what was sent"),
        (502, None, "(502: Because)", "run it again"),
        (418, [], "(418: Because)", "log"),
    ],
)
def test_an_answer_has_a_place_a_cause_and_a_next_step(status: int, body: object, said: str, step: str) -> None:
    answer = requests.Response()
    answer.status_code, answer.reason = status, "Because"
    answer._content = json.dumps(body).encode()
    answer._content_consumed = True  # type: ignore[attr-defined]  # as if it had been read
    answer.request = SimpleNamespace(method="PUT")  # type: ignore[assignment]  # all that is looked at
    found = refused("oci://host:1/web: a", "host:1", answer)
    assert str(found).startswith("oci://host:1/web: a: PUT was refused ")
    assert said in str(found)
    assert step in str(found.hint)
