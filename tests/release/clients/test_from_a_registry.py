"""`metallize flash oci://` and `metallize attest verify oci://`: what a registry has, judged and written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from metallize.errors import HostError, MetallizeError, UsageError, VerificationFailed
from metallize.events import Silent
from metallize.release import curating
from metallize.release.attest import Attested, Policy
from metallize.release.curating import Terms
from metallize.release.destinations import destination_at
from metallize.release.fetching import origin, web
from metallize.release.fetching.attested import attested_at
from metallize.release.fetching.writing import fetch
from metallize.release.gpg import gpg_signer
from metallize.release.keys import KeyFiles, load_public, load_signer, make_key
from metallize.release.statement import statements
from tests.conftest import Cli
from tests.registry import Registry
from tests.release.clients.serving import IMAGE, served
from tests.release.kinds import OciKind, oci_document, oci_get
from tests.release.stores import Answer, Between, Cut, Forward, Request, between
from tests.unit.release.wares import NOW, released, ware

pytestmark = pytest.mark.slow
KEY = "web_20261130.1"
FILE = f"{KEY}_x86-64.raw.xz"
BEFORE = b"what was on the card before" * 1000


@dataclass(frozen=True)
class There:
    """A signed release in a registry, which nobody changes."""

    place: str
    keys: KeyFiles

    @property
    def policy(self) -> Policy:
        return Policy(keys=(load_public(self.keys.public),))

    def verify(self, reference: str, policy: Policy | None = None, **more: Path) -> dict[str, Attested]:
        return dict(attested_at(f"{self.place}{reference}", Silent(), policy or self.policy, **more))


@pytest.fixture(scope="module")
def broken_line(quick: None, docker_registry: Registry) -> Iterator[Between]:
    """The line to it, whose rule is the test's."""
    with between(f"http://{docker_registry.host}") as made:
        yield made


@pytest.fixture(scope="module")
def there(line: Between, docker_registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> There:
    folder = tmp_path_factory.mktemp("there")
    keys, place = make_key(folder / "release"), OciKind(line, docker_registry).make("to")
    line.rule = None
    released(destination_at(place), ware(folder / "build", IMAGE), attest=statements(load_signer(keys.private)))
    return There(place, keys)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (web, origin):
        monkeypatch.setattr(module, "FETCH_SLOW", 0.5)
    monkeypatch.setattr(web, "FETCH_AGAIN", 0.01)


@pytest.fixture
def card(tmp_path: Path) -> Path:
    path = tmp_path / "card.img"
    path.write_bytes(BEFORE)
    return path


@pytest.mark.parametrize("reference", [":stable", f":stable/{FILE}"])
def test_it_is_written_and_read_back(there: There, card: Path, reference: str) -> None:
    card.unlink()
    done = fetch(f"{there.place}{reference}", card, Silent(), keys=(there.keys.public,), require=("ovmf",))
    assert card.read_bytes() == IMAGE
    assert done.sha256 == hashlib.sha256(IMAGE).hexdigest()


def test_a_channel_a_file_a_release_and_a_digest_are_judged(there: There, oci: OciKind) -> None:
    digest = hashlib.sha256(oci_bytes(oci, there.place, KEY)).hexdigest()
    payload = next(
        each["digest"].removeprefix("sha256:")
        for each in oci_document(oci.registry, there.place, KEY)["layers"]
        if each["annotations"]["org.opencontainers.image.title"] == FILE
    )
    for reference in (":stable", f":stable/{FILE}", f":{KEY}", f":{KEY}/{FILE}", ":web_stable", f"@sha256:{digest}"):
        [(where, found)] = there.verify(reference).items()
        assert where == f"{there.place}{reference.removesuffix(f'/{FILE}')}/{FILE}"
        assert [each.machine for each in found.statements] == ["ovmf", "seabios"]
        assert found.sha256 == payload


def oci_bytes(oci: OciKind, place: str, reference: str) -> bytes:
    return oci_get(oci.registry, place, f"manifests/{reference}") or b""


def test_what_is_wanted_and_not_proven(there: There, tmp_path: Path, card: Path, gnupg: None) -> None:
    other = load_public(make_key(tmp_path / "other").public)
    ring = tmp_path / "ring.gpg"
    ring.write_bytes(gpg_signer("release@example.com")(b"")["import-pubring.gpg"])
    for policy, told in (
        (Policy(keys=(other,)), "no statement that is signed with this key"),
        (Policy(keys=there.policy.keys, require=("raspi3b",)), "no statement says that it passed on raspi3b"),
        (Policy(keys=there.policy.keys, profile_digest="0" * 64), "another profile was asked for"),
    ):
        for reference in (":stable", f":{KEY}"):
            with pytest.raises(VerificationFailed, match=told):
                there.verify(reference, policy)
    with pytest.raises(VerificationFailed, match="its list is not signed"):
        there.verify(":stable", keyring=ring)
    with pytest.raises(UsageError, match="which has no list that is signed"):
        there.verify(f":{KEY}", keyring=ring)
    with pytest.raises(VerificationFailed, match="its list is not signed"):
        fetch(f"{there.place}:stable", card, Silent(), keyring=ring)
    assert card.read_bytes() == BEFORE


def test_a_release_without_statements_and_one_that_is_retracted(
    oci: OciKind, tmp_path: Path, card: Path, there: There
) -> None:
    place = oci.make("to")
    released(destination_at(place), ware(tmp_path / "one", IMAGE))
    fetch(f"{place}:stable", card, Silent())
    assert card.read_bytes() == IMAGE
    for reference in (":stable", f":{KEY}"):
        with pytest.raises(VerificationFailed, match=r"has no .*\.intoto\.jsonl, beside"):
            dict(attested_at(f"{place}{reference}", Silent(), there.policy))
    curating.retract(destination_at(place), KEY, Silent(), Terms(now=NOW), why="it eats disks")
    with pytest.raises(UsageError, match=r"does not offer .* any more: it eats disks"):
        fetch(f"{place}:stable/{FILE}", card, Silent())


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("", "names no channel of a repository"),
        (":", "names no channel"),
        ("@sha256:abc", "names no channel"),
        (":testing", r"has no testing"),
        (f"@sha256:{'0' * 64}", "has no sha256:000"),
        (":_lock", "is no release that metallize made"),
        ("/more:stable", "has no stable"),
        (":stable/other.raw.xz", "does not offer|has no other.raw.xz"),
        (":stable/../../etc/passwd", "does not offer|has no"),
    ],
)
def test_addresses_of_nothing(there: There, card: Path, reference: str, told: str) -> None:
    for ask in (lambda: there.verify(reference), lambda: fetch(f"{there.place}{reference}", card, Silent())):
        with pytest.raises(UsageError, match=told):
            ask()
    assert card.read_bytes() == BEFORE


def flipped(answer: Answer) -> Answer:
    return Answer(status=answer.status, headers=answer.headers, body=answer.body[:-9] + bytes(9))


def of_blobs(request: Request) -> bool:
    return request.method == "GET" and "/blobs/" in request.path


def test_a_registry_that_lies(there: There, broken_line: Between, card: Path, oci: OciKind) -> None:
    """Of any blob, and of a manifest that is named by its digest, other bytes are no answer."""
    place = f"oci://{broken_line.url.removeprefix('http://')}/{there.place.split('/', 3)[3]}"
    digest = f"@sha256:{hashlib.sha256(oci_bytes(oci, there.place, KEY)).hexdigest()}"

    def rule(request: Request, forward: Forward) -> Answer:
        answer = forward(request)
        return flipped(answer) if answer.status == 200 and lies(request) else answer

    broken_line.rule = rule
    lies = of_blobs
    for attempt in (
        lambda: fetch(f"{place}:stable", card, Silent()),
        lambda: dict(attested_at(f"{place}:{KEY}", Silent(), there.policy)),
    ):
        with pytest.raises(HostError, match="does not read as its digest"):
            attempt()
    size = max(each["size"] for each in oci_document(oci.registry, there.place, KEY)["layers"])
    big = next(each for each in oci_document(oci.registry, there.place, KEY)["layers"] if each["size"] == size)
    lies = lambda request: of_blobs(request) and big["digest"] in request.path  # noqa: E731 - the test's one rule
    with pytest.raises(MetallizeError, match=r"is damaged|is not the file that was released"):
        fetch(f"{place}:stable", card, Silent())
    assert card.read_bytes()[: len(IMAGE)] != IMAGE
    lies = lambda request: "/manifests/" in request.path  # noqa: E731
    with pytest.raises(HostError, match="reads as sha256:"):
        dict(attested_at(f"{place}{digest}", Silent(), there.policy))


def test_what_breaks_is_gone_on_with_where_it_broke(there: There, broken_line: Between, card: Path) -> None:
    place = f"oci://{broken_line.url.removeprefix('http://')}/{there.place.split('/', 3)[3]}"
    starts: list[str] = []

    def rule(request: Request, forward: Forward) -> Answer:
        answer = forward(request)
        if of_blobs(request) and len(answer.body) > 1 << 19:
            starts.append(request.headers.get("Range", ""))
            raise Cut(answer, 1 << 19)
        return answer

    broken_line.rule = rule
    card.unlink()
    fetch(f"{place}:stable", card, Silent())
    assert card.read_bytes() == IMAGE
    assert starts[0] == ""
    assert starts[1:] == [f"bytes={(at + 1) << 19}-" for at in range(len(starts) - 1)]


def test_as_people_type_it(cli: Cli, there: There, tmp_path: Path, to: Path) -> None:
    env = {"DOCKER_CONFIG": "/nonexistent"}
    done = cli("attest", "verify", f"{there.place}:stable", "--key", there.keys.public, env=env)
    assert (done.status, done.stdout.count(" tests on ")) == (0, 2)
    refused = cli("attest", "verify", f"{there.place}:stable", "--key", there.keys.public, "--report", "x", env=env)
    assert refused.status == 2
    assert "--report goes with a file" in refused.stderr
    card = tmp_path / "card.img"
    done = cli("flash", f"{there.place}:stable", card, "--key", there.keys.public, env=env)
    assert (done.status, card.read_bytes()) == (0, IMAGE)
    released(to, ware(tmp_path / "web", IMAGE), attest=statements(load_signer(there.keys.private)))
    with served(to) as url:
        done = cli("attest", "verify", f"{url}/stable", "--key", there.keys.public, env=env)
    assert (done.status, done.stdout.count(" tests on ")) == (0, 2)
