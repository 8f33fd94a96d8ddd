"""A registry as a destination: lines that break, registries that lie, forbid or are full, and what is left behind."""

from __future__ import annotations

import io
import json
import random
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from metallize.errors import HostError, UsageError, VerificationFailed
from metallize.events import Silent
from metallize.release import curating
from metallize.release.destinations import destination_at
from metallize.release.registry import uploading
from metallize.release.wares import Ware
from tests import registry
from tests.conftest import Cli
from tests.release.kinds import OciKind, oci_document, oci_get, seen_by_clients
from tests.release.stores import Answer, Cut, Forward, Request
from tests.unit.release.wares import NOW, released, ware

IMAGE = "web_20261130.2_x86-64.raw.xz"
pytestmark = pytest.mark.slow


@pytest.fixture
def second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ware:
    """An image that is uploaded in nine pieces."""
    monkeypatch.setattr(uploading, "PIECE_BYTES", 50_000)
    return ware(tmp_path / "second", random.Random(2).randbytes(400_000))  # noqa: S311 - bytes that do not pack


def require_as_before(oci: OciKind, oci_place: str, second: Ware) -> None:
    """Nothing is seen of the second release, and the next attempt completes it."""
    oci.line.rule = None
    assert seen_by_clients(oci, oci_place) == ("20261130.1",)
    assert oci_document(oci.registry, oci_place, "web_20261130.2") == {}
    assert released(destination_at(oci_place), second).release.version == "20261130.2"
    assert seen_by_clients(oci, oci_place) == ("20261130.2", "20261130.1")
    assert oci_document(oci.registry, oci_place, "web_20261130.2")["annotations"]


def answering(status: int, is_time: Callable[[Request], bool]) -> Callable[[Request, Forward], Answer]:
    def rule(request: Request, forward: Forward) -> Answer:
        if is_time(request):
            body = json.dumps({"errors": [{"code": "SAID", "message": "as it says"}]}).encode()
            return Answer(status=status, headers={"Content-Type": "application/json"}, body=body)
        return forward(request)

    return rule


# --- what a registry answers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "method", "step"),
    [
        (403, "POST", "the rights to pull, push and delete"),
        (403, "GET", "the rights to pull, push and delete"),
        (413, "PATCH", "takes no bodies of 16 MiB"),
        (429, "PATCH", "busy"),
        (500, "PATCH", "make room in the registry"),
        (507, "PATCH", "make room in the registry"),
        (503, "GET", "run it again"),
        (418, "PUT", "the registry's log"),
    ],
)
def test_what_is_refused_has_a_place_a_cause_and_a_next_step(
    oci: OciKind, oci_place: str, second: Ware, status: int, method: str, step: str
) -> None:
    oci.line.rule = answering(status, lambda request: request.method == method)
    with pytest.raises(HostError, match=rf"{oci_place}.*{method} was refused \({status}: SAID: as it says\)") as caught:
        released(destination_at(oci_place), second)
    assert step in str(caught.value.hint)
    require_as_before(oci, oci_place, second)


@pytest.mark.parametrize("times", [2, 3])
def test_a_blob_that_somebody_else_sends_meanwhile_is_waited_for(
    oci: OciKind, oci_place: str, second: Ware, times: int
) -> None:
    said: list[str] = []

    def rule(request: Request, forward: Forward) -> Answer:
        if request.method != "PUT" or "/manifests/" not in request.path or len(said) == times:
            return forward(request)
        said.append(request.path)
        body = json.dumps({"errors": [{"code": "DIGEST_INVALID", "message": "half of it"}]}).encode()
        return Answer(status=400, headers={"Content-Type": "application/json"}, body=body)

    oci.line.rule = rule
    if times == 2:
        assert released(destination_at(oci_place), second).release.version == "20261130.2"
        assert seen_by_clients(oci, oci_place) == ("20261130.2", "20261130.1")
        return
    with pytest.raises(HostError, match=r"PUT was refused \(400: DIGEST_INVALID: half of it\)"):
        released(destination_at(oci_place), second)
    require_as_before(oci, oci_place, second)


def test_a_registry_that_is_not_there() -> None:
    with pytest.raises(HostError, match=r"oci://127.0.0.1:1/own/web.*cannot be reached.*refused") as caught:
        destination_at("oci://127.0.0.1:1/own/web").channels()
    assert "run it again" in str(caught.value.hint)


def test_a_tag_of_somebody_else_is_left_alone(oci: OciKind, second: Ware) -> None:
    made = oci.make("to")
    image = registry.OciImage(platform=second.platform, archive=registry.rootfs({"a": b"a"}))
    before = oci.registry.push(made.split("/", 3)[3], "stable", [image])
    with pytest.raises(HostError, match="is no channel that metallize made"):
        released(destination_at(made), second)
    assert released(destination_at(made), second, channel="beta").new
    assert destination_at(made).channels() == ("beta",)
    assert registry._digest(oci_get(oci.registry, made, "manifests/stable") or b"") == before


# --- the line --------------------------------------------------------------------------------------------------------


def test_the_answer_to_every_request_is_lost_once(oci: OciKind, oci_place: str, second: Ware) -> None:
    """But to a piece: Debian's registry has lost count of an upload then, and it would begin anew for ever."""
    lost = oci.line.lose_once(lambda request: request.method != "PATCH")
    assert released(destination_at(oci_place), second).new
    assert len(lost) > 50
    oci.line.rule = None
    assert seen_by_clients(oci, oci_place) == ("20261130.2", "20261130.1")


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "uploads"), ("PATCH", "uploads"), ("PUT", "digest="), ("PUT", "_staging"), ("PUT", "manifests/stable")],
)
def test_the_line_breaks_before_it_is_decided(
    oci: OciKind, oci_place: str, second: Ware, method: str, path: str
) -> None:
    oci.line.cut_when(lambda request: request.method == method and path in request.path)
    with pytest.raises(HostError, match="cannot be reached, or broke off") as caught:
        released(destination_at(oci_place), second)
    assert "run it again" in str(caught.value.hint)
    require_as_before(oci, oci_place, second)


@pytest.mark.parametrize("tag", ["web_20261130.2", "web_stable", "_settled.stable"])
def test_the_line_breaks_after_it_is_decided(oci: OciKind, oci_place: str, second: Ware, tag: str) -> None:
    """Whoever comes next puts the rest in place, whatever they want."""
    oci.line.cut_when(lambda request: request.method == "PUT" and request.path.endswith(f"manifests/{tag}"))
    with pytest.raises(HostError, match="cannot be reached, or broke off"):
        released(destination_at(oci_place), second)
    oci.line.rule = None
    assert seen_by_clients(oci, oci_place) == ("20261130.2", "20261130.1")
    with pytest.raises(UsageError, match="no release 9"):
        curating.promote(destination_at(oci_place), "9", Silent(), curating.Terms(now=NOW), channel="beta")
    assert oci_document(oci.registry, oci_place, "web_20261130.2")["annotations"]
    newest = oci_document(oci.registry, oci_place, "web_stable")["annotations"]["org.opencontainers.image.version"]
    assert newest == "20261130.2"


def test_the_line_breaks_before_what_is_shown_waits_no_longer(oci: OciKind, oci_place: str, second: Ware) -> None:
    """The next session says so, though it finds all that it wants to publish there already."""

    def is_time(request: Request) -> bool:
        settled = any(
            each.method == "PUT" and each.path.endswith("manifests/_settled.stable") for each in oci.line.seen
        )
        return settled and request.method == "PUT" and request.path.endswith("manifests/_staging.stable")

    oci.line.seen.clear()
    oci.line.cut_when(is_time)
    with pytest.raises(HostError, match="cannot be reached, or broke off"):
        released(destination_at(oci_place), second)
    oci.line.rule = None
    assert len(oci_document(oci.registry, oci_place, "_staging.stable")["layers"]) > 1
    released(destination_at(oci_place), second)
    oci.require_nothing_left(oci_place)


@pytest.mark.nightly
@pytest.mark.parametrize("number", range(0, 120, 3))
def test_the_line_breaks_anywhere(oci: OciKind, oci_place: str, second: Ware, number: int) -> None:
    oci.line.seen.clear()
    oci.line.cut_when(lambda _: len(oci.line.seen) > number)
    with pytest.raises(HostError):
        released(destination_at(oci_place), second)
    oci.line.rule = None
    assert seen_by_clients(oci, oci_place) in (("20261130.1",), ("20261130.2", "20261130.1"))
    assert released(destination_at(oci_place), second).release.version == "20261130.2"
    assert seen_by_clients(oci, oci_place) == ("20261130.2", "20261130.1")


def pieces(oci: OciKind) -> list[Request]:
    return [each for each in oci.line.seen if each.method == "PATCH"]


def test_an_upload_goes_on_where_it_was_interrupted(oci: OciKind, oci_place: str, second: Ware) -> None:
    oci.line.cut_when(lambda request: request.method == "PATCH" and len(pieces(oci)) > 5)
    with pytest.raises(HostError, match="broke off"):
        released(destination_at(oci_place), second)
    oci.line.rule = None
    oci.line.seen.clear()
    released(destination_at(oci_place), second)
    assert 1 <= len(pieces(oci)) <= 4, "five of nine pieces were there"
    assert seen_by_clients(oci, oci_place) == ("20261130.2", "20261130.1")


def test_an_upload_that_the_registry_has_lost_begins_anew(oci: OciKind, oci_place: str, second: Ware) -> None:
    """Debian's keeps count of no piece that broke off in its middle."""
    oci.line.cut_when(lambda request: request.method == "PATCH" and len(pieces(oci)) > 5)
    with pytest.raises(HostError, match="broke off"):
        released(destination_at(oci_place), second)
    oci.line.rule = None
    for left in oci.registry.folder.rglob(f"{oci_place.rpartition('/own/')[2]}/_uploads/*/data"):
        left.write_bytes(left.read_bytes() + b"half a piece")
    oci.line.seen.clear()
    released(destination_at(oci_place), second)
    assert len(pieces(oci)) >= 8
    assert seen_by_clients(oci, oci_place) == ("20261130.2", "20261130.1")


def test_what_is_there_is_not_sent_again(oci: OciKind, oci_place: str, second: Ware) -> None:
    released(destination_at(oci_place), second)
    oci.line.seen.clear()
    with destination_at(oci_place).session("beta", Silent()) as session:
        content = oci.fetch(oci_place, f"stable/{IMAGE}") or b""
        session.put("again", lambda file: shutil.copyfileobj(io.BytesIO(content), file))
        assert session.whole("again")
    assert pieces(oci) == []


def test_a_file_is_read_over_a_bad_line(oci: OciKind, oci_place: str) -> None:
    content = random.Random(3).randbytes(300_000)  # noqa: S311 - any bytes

    def rule(request: Request, forward: Forward) -> Answer:
        answer = forward(request)
        if request.method == "GET" and "/blobs/" in request.path and len(answer.body) > 60_000:
            raise Cut(answer, after_bytes=50_000)
        return answer

    with destination_at(oci_place).session("stable", Silent()) as session:
        session.put("large", lambda file: shutil.copyfileobj(io.BytesIO(content), file))
        oci.line.rule = rule
        with session.read("large") as file:
            assert (file.seek(0, io.SEEK_END), file.seek(0)) == (len(content), 0)
            assert file.read() == content
            file.seek(123_456)
            assert file.read(1000) == content[123_456:124_456]


def test_no_room_where_files_are_written_first(oci_place: str, second: Ware) -> None:
    """The kernel's limit of a file's size says the same as a disk without room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(HostError, match="File too large") as caught:
            released(destination_at(oci_place), second)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "TMPDIR" in str(caught.value.hint)
    assert released(destination_at(oci_place), second).new


# --- registries that lie ---------------------------------------------------------------------------------------------


def test_what_arrives_otherwise_is_refused_by_the_registry(oci: OciKind, oci_place: str, second: Ware) -> None:
    oci.line.rule = lambda request, forward: forward(
        Request(method="PATCH", path=request.path, headers=request.headers, body=request.body[:-1] + b"?")
        if request.method == "PATCH"
        else request
    )
    with pytest.raises(HostError, match="DIGEST_INVALID") as caught:
        released(destination_at(oci_place), second)
    assert "what has arrived is not what was sent" in str(caught.value.hint)
    require_as_before(oci, oci_place, second)


def lying(about: bytes) -> Callable[[Request, Forward], Answer]:
    """It gives a blob that holds that with another byte at the end."""

    def rule(request: Request, forward: Forward) -> Answer:
        answer = forward(request)
        if request.method == "GET" and "/blobs/sha256:" in request.path and about in answer.body:
            return Answer(status=answer.status, headers=answer.headers, body=answer.body[:-1] + b"?")
        return answer

    return rule


@pytest.mark.parametrize("about", [b"\xfd7zXZ", b'"CycloneDX"', b"  web_20261130.2_x86-64.raw.xz"])
def test_what_reads_otherwise_is_not_published(oci: OciKind, oci_place: str, second: Ware, about: bytes) -> None:
    decided = about.startswith(b"  ")
    oci.line.rule = lying(about)
    with pytest.raises((VerificationFailed, HostError), match="does not read"):
        released(destination_at(oci_place), second)
    if not decided:
        require_as_before(oci, oci_place, second)


def test_a_manifest_that_reads_otherwise(oci: OciKind, oci_place: str, second: Ware) -> None:
    def rule(request: Request, forward: Forward) -> Answer:
        answer = forward(request)
        if request.method == "GET" and "/manifests/sha256:" in request.path:
            return Answer(status=200, headers=answer.headers, body=answer.body + b" ")
        return answer

    oci.line.rule = rule
    with pytest.raises(HostError, match="reads as sha256:"):
        released(destination_at(oci_place), second)
    require_as_before(oci, oci_place, second)


# --- the commands -----------------------------------------------------------------------------------------------------


def test_the_commands_take_its_address(oci: OciKind, oci_place: str, cli: Cli) -> None:
    shown = cli("releases", oci_place)
    assert (shown.status, shown.stderr) == (0, "")
    assert "20261130.1" in shown.stdout
    done = cli("retract", oci_place, "20261130.1", "--why", "it overheats")
    assert (done.status, done.stderr) == (0, "")
    assert b"it overheats" in (oci.fetch(oci_place, "stable/index.html") or b"")
    wrong = cli("releases", "oci://Somewhere")
    assert (wrong.status, "oci://HOST[:PORT]/REPOSITORY" in wrong.stderr) == (2, True)
