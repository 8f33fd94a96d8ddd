"""What is read of a store: its errors, its lock, what a channel shows. tests/release has the real store."""

from __future__ import annotations

from dataclasses import replace

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, NoCredentialsError
from hypothesis import given
from hypothesis import strategies as st

from metallize.errors import HostError
from metallize.host.process import Process
from metallize.release.objects import channels
from metallize.release.objects.channels import Shown
from metallize.release.objects.errors import told
from metallize.release.objects.uploading import MOST_PARTS, PART_BYTES, part_bytes
from metallize.release.remote.lease import Held, is_free
from metallize.release.remote.media import kind_of


def answered(code: str, status: int, message: str = "") -> ClientError:
    error = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(error, "PutObject")  # type: ignore[arg-type]  # the rest of it is no matter


@pytest.mark.parametrize(
    ("cause", "said", "step"),
    [
        (answered("AccessDenied", 403, "Access Denied"), "AccessDenied: Access Denied", "PutObject"),
        (answered("403", 403, "Forbidden"), "403: Forbidden", "AbortMultipartUpload"),
        (answered("NoSuchBucket", 404), "(NoSuchBucket)", "make the bucket"),
        (answered("ExpiredToken", 400), "ExpiredToken", "AWS_PROFILE"),
        (answered("QuotaExceeded", 403), "QuotaExceeded", "make room"),
        (answered("Whatever", 507, "no space"), "Whatever: no space", "make room"),
        (answered("InternalError", 500), "InternalError", "run it again"),
        (answered("Whatever", 400), "Whatever", "log"),
        (answered("", 418), "status 418", "log"),
        (NoCredentialsError(), "Unable to locate credentials", "AWS_ACCESS_KEY_ID"),
        (EndpointConnectionError(endpoint_url="http://x"), "Could not connect", "run it again"),
        (ConnectionClosedError(endpoint_url="http://x"), "Connection was closed", "run it again"),
    ],
)
def test_what_goes_wrong_has_a_place_a_cause_and_a_next_step(cause: Exception, said: str, step: str) -> None:
    with pytest.raises(HostError) as caught, told("s3://bucket/stable/a"):
        raise cause
    assert str(caught.value).startswith("s3://bucket/stable/a: ")
    assert said in str(caught.value)
    assert step in str(caught.value.hint)


def test_what_a_channel_shows_is_read_as_it_was_written() -> None:
    shown = Shown(number=3, names=frozenset({"a", "ü"}), pointers={"SHA256SUMS": b"\0\xff"}, settled=False)
    assert channels.read_shown(shown.text()) == shown


@pytest.mark.parametrize("text", [b"", b"[]", b'{"schema": 2}', b'{"schema": 1}', b'{"schema": 1, "number": []}'])
def test_what_is_no_such_object_is_no_channel(text: bytes) -> None:
    with pytest.raises((ValueError, LookupError, TypeError)):
        channels.read_shown(text)


def test_a_lock_is_free_when_its_holder_has_left_it_or_has_ended() -> None:
    own = Process.this_process()
    for process, free in ((own, False), (replace(own, start=1), True), (replace(own, boot="another"), False)):
        assert is_free(Held(content=b'{"by": "x", "process": "%s"}' % str(process).encode(), etag="")) is free
    assert is_free(Held(content=b"{}\n", etag=""))


@given(st.binary())
def test_any_lock_can_be_read(content: bytes) -> None:
    assert isinstance(is_free(Held(content=content, etag="")), bool)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SHA256SUMS", "text/plain; charset=utf-8"),
        ("SHA256SUMS.gpg", "application/octet-stream"),
        ("index.html", "text/html; charset=utf-8"),
        ("web_20261130.1_x86-64.qcow2", "application/octet-stream"),
        ("web_20261130.1_x86-64.raw.cdx.json", "application/json"),
    ],
)
def test_files_are_served_as_what_they_are(name: str, kind: str) -> None:
    assert kind_of(name) == kind


@given(st.integers(min_value=0, max_value=5 << 40))
def test_the_largest_object_of_a_store_fits_into_its_parts(about_bytes: int) -> None:
    """5 TiB (Amazon S3 multipart upload limits), and a hundredth more than was foretold."""
    size = part_bytes(about_bytes)
    assert size >= PART_BYTES
    assert size * MOST_PARTS >= about_bytes * 1.01


def test_what_is_not_foretold_goes_up_in_small_parts() -> None:
    assert part_bytes(0) == part_bytes(64 << 30) == PART_BYTES
