"""How images and evidence travel: by content, to whoever has the token and the key, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import pytest

from metallize.errors import HostError, UsageError
from metallize.night.fleet import fetching
from metallize.night.fleet.cache import FullError, ImageCache
from metallize.night.fleet.depot import Depot, serving
from metallize.night.fleet.fetching import FromDepot
from metallize.night.fleet.keys import keys_in, make_keys, require_keys
from metallize.night.fleet.scratch import own_folder

IMAGE = b"an image\n" * 1000 + bytes(3 << 20) + b"its end"
EMPTY: Mapping[str, str] = MappingProxyType({})
DIGEST = hashlib.sha256(IMAGE).hexdigest()


@pytest.fixture
def depot(tmp_path: Path) -> Iterator[Depot]:
    path = tmp_path / "web.iso"
    path.write_bytes(IMAGE)
    with serving("127.0.0.1", None, tmp_path / "fleet") as found:
        found.images[DIGEST] = lambda: path
        yield found


@pytest.fixture
def cache(tmp_path: Path) -> ImageCache:
    return ImageCache(folder=tmp_path / "images", most_bytes=10 << 20)


def fetch(depot: Depot, sink: BinaryIO) -> None:
    FromDepot(address=depot.address, keys=None).image(DIGEST, sink)


def test_an_image_is_fetched_once(depot: Depot, cache: ImageCache) -> None:
    for _ in range(2):
        with cache.image(DIGEST, len(IMAGE), lambda sink: fetch(depot, sink)) as stored:
            assert stored.path.read_bytes() == IMAGE
            assert stored.is_untouched
            assert stored.path.stat().st_blocks * 512 < len(IMAGE) - (1 << 20), "a hole stays one"
        depot.images.clear()
    assert cache.has(DIGEST)


def test_several_that_want_one_image_fetch_it_once(depot: Depot, cache: ImageCache) -> None:
    fetched: list[int] = []
    inside = threading.Barrier(4, timeout=30)

    def slowly(sink: BinaryIO) -> None:
        fetched.append(1)
        fetch(depot, sink)

    def one() -> None:
        with cache.image(DIGEST, len(IMAGE), slowly):
            inside.wait()  # all of them at once

    threads = [threading.Thread(target=one) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not inside.broken
    assert fetched == [1]


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (IMAGE[:-1], "bytes came"),
        (b"", "0 of"),
        (IMAGE + b"x", "more than the"),
        (b"X" + IMAGE[1:], "is not that image"),
    ],
)
def test_a_lying_peer_is_not_believed(cache: ImageCache, sent: bytes, why: str) -> None:
    with pytest.raises(HostError, match=why), cache.image(DIGEST, len(IMAGE), lambda sink: sink.write(sent)):
        pytest.fail("it is taken")
    assert not cache.has(DIGEST)
    assert not list(cache.folder.glob("*.part"))
    with cache.image(DIGEST, len(IMAGE), lambda sink: sink.write(IMAGE)) as stored:
        assert stored.path.read_bytes() == IMAGE, "and the next one is"


def test_an_image_that_nobody_wants_any_more_is_not_fetched_on(depot: Depot, cache: ImageCache) -> None:
    there = FromDepot(address=depot.address, keys=None)
    with (
        pytest.raises(HostError, match="nobody waits"),
        cache.image(DIGEST, len(IMAGE), lambda sink: there.image(DIGEST, sink, lambda: "nobody waits")),
    ):
        pytest.fail("it is taken")
    assert [path.suffix for path in cache.folder.iterdir()] == [".lock"]


def test_what_was_changed_on_the_disk_is_fetched_again(cache: ImageCache) -> None:
    good = lambda sink: sink.write(IMAGE)  # noqa: E731 - twice the same
    with cache.image(DIGEST, len(IMAGE), good) as stored:
        path = stored.path
    path.write_bytes(b"another")
    with cache.image(DIGEST, len(IMAGE), good):
        assert path.read_bytes() == IMAGE
    os.utime(path)  # another stamp, and the same bytes
    with cache.image(DIGEST, len(IMAGE), lambda _sink: pytest.fail("it is there")):
        pass


def content(number: int) -> bytes:
    return bytes([number + 1]) * (3 << 20)


def put(cache: ImageCache, number: int) -> str:
    data = content(number)
    digest = hashlib.sha256(data).hexdigest()
    with cache.image(digest, len(data), lambda sink: sink.write(data)):
        os.utime(cache.folder / f"{digest}.lock", (number, number))
    return digest


def test_the_cache_keeps_what_was_of_use_last(cache: ImageCache) -> None:
    digests = [put(cache, number) for number in range(5)]
    assert [cache.has(each) for each in digests] == [False, False, True, True, True]


def test_what_is_in_use_is_never_removed(cache: ImageCache) -> None:
    data = content(0)
    digest = hashlib.sha256(data).hexdigest()
    with cache.image(digest, len(data), lambda sink: sink.write(data)) as stored:
        os.utime(cache.folder / f"{digest}.lock", (0, 0))
        for number in range(1, 6):
            put(cache, number)
        assert stored.is_untouched
        whole = ImageCache(folder=cache.folder, most_bytes=4 << 20)
        with pytest.raises(FullError, match="in use"):
            put(whole, 9)
    with pytest.raises(FullError, match="more than the cache may hold"):
        put(ImageCache(folder=cache.folder, most_bytes=1 << 20), 9)


@pytest.mark.parametrize("name", ["", "..", "../../etc/passwd", "A" * 64, "a" * 63, f"{'a' * 64}\n"])
def test_what_is_no_digest_names_no_file(cache: ImageCache, name: str) -> None:
    with pytest.raises(HostError, match="no digest"), cache.image(name, 1, lambda _sink: None):
        pytest.fail("it is taken")


def ask(depot: Depot, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] = EMPTY) -> int:
    connection = HTTPConnection(depot.address.host, depot.address.port, timeout=10)
    with closing(connection):
        connection.request(method, path, body, {"Authorization": f"Bearer {depot.address.token}", **headers})
        return connection.getresponse().status


def test_without_the_token_nothing_is_there(depot: Depot) -> None:
    assert ask(depot, "GET", f"/images/{DIGEST}") == 200
    for given in (
        "",
        "Bearer ",
        f"Bearer {depot.address.token[:-1]}",
        f"Bearer {depot.address.token}x",
        "Bearer \u00e4",
    ):
        headers = {"Authorization": given.encode("latin-1").decode("latin-1")}
        assert ask(depot, "GET", f"/images/{DIGEST}", headers=headers) == 404
        assert ask(depot, "PUT", f"/evidence/{DIGEST}", b"x", headers) == 404
    assert depot.evidence(DIGEST) is None


@pytest.mark.parametrize(
    "path",
    ["/", "/images/../evidence", "/images/" + "b" * 64, "/images//etc/passwd", "/awaits/..", "/evidence/" + DIGEST],
)
def test_what_was_not_put_there_is_not_handed_out(depot: Depot, path: str) -> None:
    assert ask(depot, "GET", path) == 404


def test_evidence_is_taken_whole_and_by_its_digest(depot: Depot, tmp_path: Path) -> None:
    assert ask(depot, "PUT", f"/evidence/{'0' * 64}", IMAGE) == 422
    assert ask(depot, "PUT", "/evidence/abc", b"x") == 404
    assert ask(depot, "PUT", f"/evidence/{DIGEST}", b"", {"Content-Length": str(1 << 50)}) == 413
    with socket.create_connection((depot.address.host, depot.address.port)) as half:
        head = f"PUT /evidence/{DIGEST} HTTP/1.1\r\nAuthorization: Bearer {depot.address.token}\r\n"
        half.sendall(f"{head}Content-Length: {len(IMAGE)}\r\n\r\n".encode() + IMAGE[:100])
        half.shutdown(socket.SHUT_WR)
        assert b" 422 " in half.recv(100)
    assert [path.name for path in depot.folder.iterdir()] == [".lock"]
    path = tmp_path / "it"
    path.write_bytes(IMAGE)
    for _ in range(2):  # a second time changes nothing
        FromDepot(address=depot.address, keys=None).evidence(DIGEST, path)
    found = depot.evidence(DIGEST)
    assert found is not None
    assert found.read_bytes() == IMAGE


def test_a_worker_hears_whether_somebody_waits(depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    there = FromDepot(address=depot.address, keys=None)
    assert there.awaits("ab-01") is False
    depot.awaited.add("ab-01")
    assert there.awaits("ab-01") is True
    monkeypatch.setattr(fetching, "ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        from dataclasses import replace

        address = replace(depot.address, port=silent.getsockname()[1])
        assert FromDepot(address=address, keys=None).awaits("ab-01") is None


def test_a_depot_that_went_in_the_middle_is_a_reason(tmp_path: Path, cache: ImageCache) -> None:
    with serving("127.0.0.1", None, tmp_path / "fleet") as depot:
        pass
    with pytest.raises(HostError, match="does not answer"), cache.image(DIGEST, 1, lambda sink: fetch(depot, sink)):
        pytest.fail("it is there")


@pytest.mark.slow
def test_with_keys_it_speaks_to_whoever_has_them_alone(tmp_path: Path) -> None:
    keys, others = make_keys(tmp_path / "keys"), make_keys(tmp_path / "others")
    with serving("127.0.0.1", keys, tmp_path / "fleet") as depot:
        depot.awaited.add("ab")
        assert FromDepot(address=depot.address, keys=keys).awaits("ab") is True
        assert FromDepot(address=depot.address, keys=others).awaits("ab") is None
        without = FromDepot(address=depot.address, keys=None)
        with pytest.raises(HostError, match="this worker has no keys"):
            without.evidence(DIGEST, keys.key)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection((depot.address.host, depot.address.port)) as plain:
            said = b""
            with suppress(OSError), context.wrap_socket(plain) as wrapped:
                wrapped.sendall(b"GET / HTTP/1.1\r\n\r\n")
                said = wrapped.recv(100)
            assert said == b"", "nothing is said to one that shows no certificate"


def test_keys_are_made_once_and_for_their_owner_alone(tmp_path: Path) -> None:
    keys = make_keys(tmp_path / "a b")
    assert keys.key.stat().st_mode & 0o077 == 0
    assert keys_in(tmp_path / "a b") == keys
    with pytest.raises(UsageError, match="there are keys already"):
        make_keys(tmp_path / "a b")
    keys.key.chmod(0o644)
    with pytest.raises(UsageError, match="can be read by others"):
        keys_in(tmp_path / "a b")
    keys.key.chmod(0o600)
    keys.certificate.write_text("none")
    with pytest.raises(UsageError, match="--keys"):
        keys_in(tmp_path / "a b")
    with pytest.raises(UsageError, match=r"there is no fleet\.crt"):
        keys_in(tmp_path)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "localhost", "::1"])
def test_the_loopback_needs_no_keys(host: str) -> None:
    require_keys(host, None)


@pytest.mark.parametrize("host", ["192.0.2.1", "0.0.0.0", "2001:db8::1", "::"])  # noqa: S104 - it is refused
def test_any_other_host_does(host: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="without keys") as caught:
        require_keys(host, None)
    assert "--make-keys" in str(caught.value.hint)
    with pytest.raises(UsageError, match="without keys"), serving(host, None, tmp_path):
        pytest.fail("it serves")


def test_a_folder_of_ones_own_outlives_nobody(tmp_path: Path) -> None:
    with own_folder(tmp_path) as first:
        with own_folder(tmp_path) as second:
            assert first != second
            assert first.is_dir(), "whoever is alive keeps his"
        child = os.fork()
        if child == 0:
            with own_folder(tmp_path):
                os._exit(0)  # as a kill ends it
        os.waitpid(child, 0)
        assert len(list(tmp_path.iterdir())) == 3
        with own_folder(tmp_path):
            assert len(list(tmp_path.iterdir())) == 3, "what the dead one left has gone"
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
