"""What goes wrong with a store, and what becomes of a release then: a real server, and a line to it that breaks."""

from __future__ import annotations

import random
import sys
from datetime import timedelta
from pathlib import Path

import boto3
import pytest

from metallize.errors import HostError, UsageError, VerificationFailed
from metallize.events import Silent
from metallize.release import curating
from metallize.release.destinations import destination_at
from metallize.release.objects import bucket as buckets
from metallize.release.objects import sessions, uploading
from metallize.release.wares import Ware
from tests.conftest import Cli
from tests.release.kinds import S3Kind, each_pointer, seen_by_clients
from tests.release.stores import Answer, Cut, Forward, Request, refusal
from tests.unit.release.wares import NOW, released, ware

IMAGE = "web_20261130.2_x86-64.raw.xz"
pytestmark = pytest.mark.slow


@pytest.fixture
def second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ware:
    """An image that is uploaded in nine parts."""
    monkeypatch.setattr(uploading, "PART_BYTES", 50_000)
    return ware(tmp_path / "second", random.Random(2).randbytes(400_000))  # noqa: S311 - bytes that do not pack


def require_as_before(s3: S3Kind, s3_place: str, second: Ware) -> None:
    """Nothing is seen of the second release, and the next attempt completes it."""
    s3.proxy.rule = None
    assert seen_by_clients(s3, s3_place) == ("20261130.1",)
    assert released(destination_at(s3_place), second).release.version == "20261130.2"
    assert seen_by_clients(s3, s3_place) == ("20261130.2", "20261130.1")


def is_payload(request: Request) -> bool:
    return request.method == "PUT" and IMAGE in request.path


# --- addresses and credentials ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["s3://", "s3:///stable", "s3://a b/c"])
def test_what_is_no_place_in_a_bucket(address: str) -> None:
    with pytest.raises(UsageError, match="no place in a bucket") as caught:
        destination_at(address)
    assert caught.value.hint == "s3://BUCKET/PREFIX"


def test_without_boto3_it_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(HostError, match="boto3 is needed") as caught:
        destination_at("s3://bucket/prefix")
    assert "metallize[s3]" in str(caught.value.hint)


def test_without_credentials(s3_place: str, second: Ware, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(HostError, match="Unable to locate credentials") as caught:
        released(destination_at(s3_place), second)
    assert s3_place in str(caught.value)
    assert "AWS_PROFILE" in str(caught.value.hint)


def test_with_a_profile_that_is_not_there(s3_place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(HostError, match="nobody"):
        destination_at(s3_place)


def test_a_bucket_that_is_not_there(s3: S3Kind, second: Ware) -> None:
    with pytest.raises(HostError, match=r"s3://no-such-one/to.*NoSuchBucket") as caught:
        released(destination_at("s3://no-such-one/to"), second)
    assert "make the bucket" in str(caught.value.hint)
    with pytest.raises(HostError, match="NoSuchBucket"):
        destination_at("s3://no-such-one/to").channels()


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_denied(s3: S3Kind, s3_place: str, second: Ware, method: str) -> None:
    def rule(request: Request, forward: Forward) -> Answer:
        if request.method == method and (method == "GET" or IMAGE in request.path):
            return refusal(403, "AccessDenied", "Access Denied")
        return forward(request)

    s3.proxy.rule = rule
    with pytest.raises(HostError, match=rf"{s3_place}/.*AccessDenied: Access Denied") as caught:
        released(destination_at(s3_place), second)
    assert "s3:ListBucket" in str(caught.value.hint)
    require_as_before(s3, s3_place, second)


# --- the line --------------------------------------------------------------------------------------------------------


def test_the_answer_to_every_write_is_lost_once(s3: S3Kind, s3_place: str, second: Ware) -> None:
    """boto3 asks again, and a write whose condition held does not find itself in the way."""
    lost = s3.proxy.lose_once(lambda request: request.method not in {"GET", "HEAD"})
    assert released(destination_at(s3_place), second).new
    assert len(lost) > 20
    s3.proxy.rule = None
    assert seen_by_clients(s3, s3_place) == ("20261130.2", "20261130.1")


def require_broken(s3_place: str, second: Ware) -> None:
    with pytest.raises(HostError, match=r"s3://.*(closed|[Cc]onnect)") as caught:
        released(destination_at(s3_place), second)
    assert "run it again" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("method", "part"),
    [
        ("PUT", "partNumber=4"),
        ("POST", "uploadId="),
        ("GET", IMAGE),
        ("PUT", ".manifest.json"),
        ("PUT", "channels/stable.json"),
    ],
)
def test_the_line_breaks_before_it_is_decided(s3: S3Kind, s3_place: str, second: Ware, method: str, part: str) -> None:
    s3.proxy.cut_when(lambda request: request.method == method and part in request.path)
    require_broken(s3_place, second)
    require_as_before(s3, s3_place, second)


@pytest.mark.parametrize("pointer", ["SHA256SUMS", "feed.atom", "releases.json"])
def test_the_line_breaks_after_it_is_decided(s3: S3Kind, s3_place: str, second: Ware, pointer: str) -> None:
    """Each pointer is whole by itself, and whoever comes next puts the others in place, whatever they want."""
    s3.proxy.cut_when(lambda request: request.method == "PUT" and request.path.endswith(f"/stable/{pointer}"))
    require_broken(s3_place, second)
    s3.proxy.rule = None
    assert each_pointer(s3, s3_place) <= {("20261130.1",), ("20261130.2", "20261130.1")}
    with pytest.raises(UsageError, match="no release 9"):
        curating.promote(destination_at(s3_place), "9", Silent(), curating.Terms(now=NOW), channel="beta")
    assert seen_by_clients(s3, s3_place) == ("20261130.2", "20261130.1")
    assert not released(destination_at(s3_place), second).new


@pytest.mark.nightly
@pytest.mark.parametrize("number", range(60))
def test_the_line_breaks_anywhere(s3: S3Kind, s3_place: str, second: Ware, number: int) -> None:
    """After so many requests, of some sixty: nothing half is seen by then, and the next attempt completes."""
    s3.proxy.seen.clear()
    s3.proxy.cut_when(lambda _: len(s3.proxy.seen) > number)
    require_broken(s3_place, second)
    s3.proxy.rule = None
    assert each_pointer(s3, s3_place) <= {("20261130.1",), ("20261130.2", "20261130.1")}
    assert released(destination_at(s3_place), second).release.version == "20261130.2"
    assert seen_by_clients(s3, s3_place) == ("20261130.2", "20261130.1")


def test_a_file_that_is_read_over_a_bad_line(s3: S3Kind, s3_place: str) -> None:
    """Each answer breaks off after some bytes; what is read is whole."""
    content = random.Random(3).randbytes(300_000)  # noqa: S311 - any bytes

    def rule(request: Request, forward: Forward) -> Answer:
        answer = forward(request)
        if request.method == "GET" and "/large" in request.path and len(answer.body) > 60_000:
            raise Cut(answer, after_bytes=50_000)
        return answer

    with destination_at(s3_place).session("stable", Silent()) as session:
        session.put("large", lambda file: [file.write(content)])  # type: ignore[arg-type]  # a list
        s3.proxy.rule = rule
        with session.read("large") as file:
            assert (file.seek(0, 2), file.seek(0)) == (len(content), 0)
            assert file.read(len(content)) == content
            assert file.seek(123_456) == file.tell()
            assert file.read(1000) == content[123_456:124_456]


def test_an_upload_goes_on_where_it_was_interrupted(s3: S3Kind, s3_place: str, second: Ware) -> None:
    sent = [0]

    def rule(request: Request, forward: Forward) -> Answer:
        if is_payload(request) and "partNumber" in request.path:
            sent[0] += 1
            if sent[0] > 5:
                raise Cut
        return forward(request)

    s3.proxy.rule = rule
    with pytest.raises(HostError, match=r"part \d"):
        released(destination_at(s3_place), second)
    [left] = boto3.client("s3").list_multipart_uploads(Bucket=s3_place.split("/")[2])["Uploads"]
    s3.proxy.rule = None
    s3.proxy.seen.clear()
    released(destination_at(s3_place), second)
    again = [each for each in s3.proxy.seen if is_payload(each) and "partNumber" in each.path]
    assert 3 <= len(again) <= 5, "four or so of nine parts were lacking"
    assert all(left["UploadId"] in each.path for each in again)
    assert seen_by_clients(s3, s3_place) == ("20261130.2", "20261130.1")


# --- the store -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dropped", [("if-none-match",), ("if-match",), ("if-none-match", "if-match")])
def test_a_store_without_conditional_writes(s3: S3Kind, s3_place: str, second: Ware, dropped: tuple[str, ...]) -> None:
    s3.proxy.rule = lambda request, forward: forward(request.without(*dropped))
    with pytest.raises(HostError, match=rf"(?i)does not keep the condition {dropped[0]}") as caught:
        released(destination_at(s3_place), second)
    assert "a folder" in str(caught.value.hint)
    require_as_before(s3, s3_place, second)


def test_a_store_that_knows_no_conditional_writes(s3: S3Kind, s3_place: str, second: Ware) -> None:
    s3.proxy.rule = lambda request, forward: (
        refusal(501, "NotImplemented", "A header you provided implies functionality that is not implemented")
        if any(name.lower().startswith("if-") for name in request.headers)
        else forward(request)
    )
    with pytest.raises(HostError, match="NotImplemented") as caught:
        released(destination_at(s3_place), second)
    assert "docs/release.md" in str(caught.value.hint)
    require_as_before(s3, s3_place, second)


@pytest.mark.parametrize("name", [IMAGE, IMAGE.replace(".xz", ".manifest.json"), "SHA256SUMS"])
def test_a_store_that_lies(s3: S3Kind, s3_place: str, second: Ware, name: str) -> None:
    """It says that it has stored what it was sent, and has another byte at the end."""

    def rule(request: Request, forward: Forward) -> Answer:
        if request.method == "PUT" and f"/stable/{name}" in request.path and request.body:
            false = Request(
                method=request.method, path=request.path, headers=request.headers, body=request.body[:-1] + b"?"
            )
            return forward(false.without("content-md5"))
        return forward(request)

    s3.proxy.rule = rule
    with pytest.raises((VerificationFailed, HostError), match="does not read"):
        released(destination_at(s3_place), second)
    if name != "SHA256SUMS":
        require_as_before(s3, s3_place, second)
        return
    s3.proxy.rule = None
    assert not released(destination_at(s3_place), second).new, "it was decided, and the next session puts it right"
    assert seen_by_clients(s3, s3_place) == ("20261130.2", "20261130.1")


def test_what_somebody_else_has_there_is_left_alone(s3: S3Kind, second: Ware) -> None:
    s3_place, client = s3.make("to"), boto3.client("s3")
    client.put_object(Bucket=s3_place.split("/")[2], Key="to/with space/stable/index.html", Body=b"mine")
    with pytest.raises(HostError, match="metallize did not make it"):
        released(destination_at(s3_place), second)
    released(destination_at(s3_place), second, channel="beta")
    client.put_object(Bucket=s3_place.split("/")[2], Key="to/with space/beta/favicon.ico", Body=b"mine")
    curating.retract(destination_at(s3_place), "20261130.1", Silent(), curating.Terms(now=NOW), why="no")
    for path in ("stable/index.html", "beta/favicon.ico"):
        assert s3.fetch(s3_place, path) == b"mine"


def test_what_nobody_comes_back_to_goes(
    s3: S3Kind, s3_place: str, second: Ware, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, bucket = boto3.client("s3"), s3_place.split("/")[2]
    with destination_at(s3_place).session("stable", Silent()) as session:
        session.put("left", lambda file: [file.write(b"of an attempt")])  # type: ignore[arg-type]  # a list
    client.create_multipart_upload(Bucket=bucket, Key="to/with space/stable/other")
    client.put_object(Bucket=bucket, Key="to/with space/stable/mine", Body=b"mine")
    released(destination_at(s3_place), second)
    assert s3.fetch(s3_place, "stable/left") == b"of an attempt", "somebody may come back to it for a day"
    monkeypatch.setattr(sessions, "_LEFT", timedelta(0))
    curating.pin(destination_at(s3_place), "20261130.1", Silent(), curating.Terms(now=NOW), pinned=True)
    assert s3.fetch(s3_place, "stable/left") is None
    assert s3.fetch(s3_place, "stable/mine") == b"mine"
    assert client.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []
    assert seen_by_clients(s3, s3_place) == ("20261130.2", "20261130.1")


def test_a_file_too_large_for_one_copy_is_copied_in_parts(
    s3: S3Kind, s3_place: str, second: Ware, monkeypatch: pytest.MonkeyPatch
) -> None:
    released(destination_at(s3_place), second)
    monkeypatch.setattr(buckets, "COPY_BYTES", 100_000)
    monkeypatch.setattr(buckets, "COPIED_PART_BYTES", 100_000)
    curating.promote(destination_at(s3_place), "20261130.2", Silent(), curating.Terms(now=NOW), channel="beta")
    assert seen_by_clients(s3, s3_place, "beta") == ("20261130.2",)


def test_how_it_is_served(s3: S3Kind, s3_place: str) -> None:
    """Browsers show the page, and no cache between keeps what changes."""
    client, bucket = boto3.client("s3"), s3_place.split("/")[2]
    for name, served, cached in (
        ("index.html", "text/html; charset=utf-8", "no-cache"),
        ("SHA256SUMS", "text/plain; charset=utf-8", "no-cache"),
        (IMAGE.replace(".2_", ".1_"), "application/x-xz", "public, max-age=31536000, immutable"),
    ):
        found = client.head_object(Bucket=bucket, Key=f"to/with space/stable/{name}")
        assert (found["ContentType"], found["CacheControl"]) == (served, cached)


def test_the_commands_take_its_address(s3: S3Kind, s3_place: str, cli: Cli) -> None:
    shown = cli("releases", s3_place)
    assert (shown.status, shown.stderr) == (0, "")
    assert "20261130.1" in shown.stdout
    done = cli("retract", s3_place, "20261130.1", "--why", "it overheats")
    assert (done.status, done.stderr) == (0, "")
    assert b"it overheats" in (s3.fetch(s3_place, "stable/index.html") or b"")
    lacking = cli("releases", "s3://no-such-one/x")
    assert (lacking.status, "make the bucket" in lacking.stderr) == (3, True)
