"""Files over HTTP, asked for by real clients on real sockets."""

from __future__ import annotations

import http.client
import shutil
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metallize.serve import Running
from metallize.serve.http import byte_range
from tests.unit.serve.conftest import FILES, LOOPBACK, Serve

pytestmark = pytest.mark.slow  # real sockets, and limits of time to wait for

SQUASHFS = "filesystem.squashfs"


def ask(
    running: Running, path: str, method: str = "GET", headers: dict[str, str] | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(LOOPBACK, running.http.port, timeout=10)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_every_file_comes_as_it_is_in_the_archive(running: Running) -> None:
    for name in ("boot.ipxe", "vmlinuz", SQUASHFS, "empty"):
        answer, content = ask(running, f"/{name}")
        assert answer.status == 200
        assert content == FILES[name]
        assert answer.headers["Content-Length"] == str(len(content))


def test_the_log_says_who_fetched_what(running: Running) -> None:
    ask(running, "/vmlinuz")
    wait_for(lambda: len(running.log.fetches) == 1)  # it is told when the connection's thread has done, not before
    ask(running, "/none")
    wait_for(lambda: len(running.log.fetches) == 2)
    first, second = running.log.fetches
    assert (first.address, first.file, first.bytes_sent, first.problem) == (LOOPBACK, "vmlinuz", 300_001, "")
    assert 0 <= first.seconds < 5
    assert (second.file, second.bytes_sent, second.problem) == ("none", 0, "no such file")


def test_head_gives_the_size_and_nothing_else(running: Running) -> None:
    answer, content = ask(running, f"/{SQUASHFS}", "HEAD")
    assert (answer.status, content) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(FILES[SQUASHFS]))
    assert answer.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("bytes=0-0", 0, 1), ("bytes=5-", 5, None), ("bytes=-7", -7, None), ("bytes=100-299", 100, 300),
     ("bytes=2000000-9999999", 2_000_000, None)],
)  # fmt: skip
def test_a_range_is_a_part_of_the_file(running: Running, asked: str, start: int, end: int | None) -> None:
    answer, content = ask(running, f"/{SQUASHFS}", headers={"Range": asked})
    whole = FILES[SQUASHFS]
    assert answer.status == 206
    assert content == whole[start:end]
    first = start % len(whole)
    assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(content) - 1}/{len(whole)}"


@pytest.mark.parametrize("asked", ["bytes=9-3", "lines=1-2", "bytes=0-1,5-6", "bytes=-", "bytes=a-b"])
def test_what_is_no_single_range_gives_the_whole_file(running: Running, asked: str) -> None:
    answer, content = ask(running, "/even", headers={"Range": asked})
    assert (answer.status, content) == (200, FILES["even"])


def test_a_range_beyond_the_end_is_refused(running: Running) -> None:
    answer, _ = ask(running, "/even", headers={"Range": "bytes=1024-"})
    assert answer.status == 416
    assert answer.headers["Content-Range"] == "bytes */1024"


def test_a_range_of_another_version_gives_this_one_whole(running: Running) -> None:
    tag = ask(running, "/even", "HEAD")[0].headers["ETag"]
    same = ask(running, "/even", headers={"Range": "bytes=1-2", "If-Range": tag})
    other = ask(running, "/even", headers={"Range": "bytes=1-2", "If-Range": '"other"'})
    assert (same[0].status, other[0].status) == (206, 200)


@given(st.text(alphabet="bytes=0123456789-, ", max_size=20), st.integers(0, 10_000))
def test_no_header_makes_a_range_outside_of_the_file(header: str, size: int) -> None:
    try:
        found = byte_range(header, size)
    except ValueError:
        return
    if found is not None:
        start, length = found
        assert 0 <= start < start + length <= size


def test_several_requests_over_one_connection(running: Running) -> None:
    connection = http.client.HTTPConnection(LOOPBACK, running.http.port, timeout=10)
    for name in ("boot.ipxe", "even", "vmlinuz"):
        connection.request("GET", f"/{name}")
        assert connection.getresponse().read() == FILES[name]
    connection.close()


@pytest.mark.parametrize(
    "path", ["/../secret", "/%2e%2e/secret", "//etc/passwd", "/grub/../../secret", "/..%2fsecret", "/link", "/pipe"]
)
def test_nothing_outside_of_the_folder_is_ever_sent(serve: Serve, tmp_path: Path, path: str) -> None:
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "folder"
    (folder / "grub").mkdir(parents=True)
    (folder / "grub/grub.cfg").write_text("boot")
    (folder / "link").symlink_to("../secret")
    (folder / "inside").symlink_to("grub/grub.cfg")
    with serve(folder) as running:
        with socket.create_connection((LOOPBACK, running.http.port), timeout=10) as line:
            line.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            answer = b"".join(iter(lambda: line.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b"secret\r\n" not in answer.partition(b"\r\n\r\n")[2]
        assert ask(running, "/inside")[1] == b"boot"
        assert ask(running, "/grub//grub.cfg")[1] == b"boot"


def test_only_reading_is_possible(running: Running) -> None:
    for method in ("POST", "PUT", "DELETE"):
        assert ask(running, "/boot.ipxe", method)[0].status == 501


def test_where_http_is_stands_in_what_the_boot_loaders_read(running: Running) -> None:
    url = f"http://{LOOPBACK}:{running.http.port}"
    assert ask(running, "/server.ipxe")[1].decode() == f"#!ipxe\nset base {url}\n"
    named = ask(running, "/grub/server.cfg", headers={"Host": "10.0.2.2:8080"})[1].decode()
    assert named == "set base=(http,10.0.2.2:8080)\nset url=http://10.0.2.2:8080\n"
    assert ask(running, "/server.ipxe", headers={"Host": "a b;reboot"})[1].decode() == f"#!ipxe\nset base {url}\n"


def test_the_root_lists_what_there_is(running: Running) -> None:
    assert ask(running, "/")[1].decode().split() == list(FILES)


def test_twenty_clients_at_once(running: Running) -> None:
    with ThreadPoolExecutor(20) as pool:
        got = list(pool.map(lambda _: ask(running, f"/{SQUASHFS}")[1], range(20)))
    assert all(content == FILES[SQUASHFS] for content in got)
    wait_for(lambda: len(running.log.fetches) == 20)
    assert all(not each.problem for each in running.log.fetches)


def test_one_that_takes_nothing_holds_up_nobody(running: Running) -> None:
    with socket.create_connection((LOOPBACK, running.http.port), timeout=10) as idle:
        idle.sendall(f"GET /{SQUASHFS} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert ask(running, f"/{SQUASHFS}")[1] == FILES[SQUASHFS]


def test_a_client_that_goes_away_is_in_the_log(serve: Serve, tmp_path: Path) -> None:
    with (tmp_path / "big").open("wb") as file:
        file.truncate(64 << 20)
    with serve(tmp_path) as running:
        with socket.create_connection((LOOPBACK, running.http.port), timeout=10) as line:
            line.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
            line.recv(10)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wait_for(lambda: bool(running.log.fetches))
        [fetch] = running.log.fetches
    assert fetch.problem == "the connection was closed"
    assert fetch.bytes_sent < 64 << 20


def test_stopping_ends_what_is_under_way(serve: Serve, tmp_path: Path) -> None:
    with (tmp_path / "big").open("wb") as file:
        file.truncate(64 << 20)
    with serve(tmp_path) as running, socket.create_connection((LOOPBACK, running.http.port), timeout=10) as line:
        line.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        line.recv(10)
        running.stop()
        got = sum(len(piece) for piece in iter(lambda: line.recv(1 << 20), b""))
        assert got < 64 << 20
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((LOOPBACK, running.http.port), timeout=10).close()


def test_the_bytes_stay_those_of_the_archive_that_was_opened(serve: Serve, archive: Path) -> None:
    with serve(archive) as running:
        newer = archive.with_suffix(".new")
        shutil.copyfile(archive, newer)
        newer.write_bytes(b"\xff" * archive.stat().st_size)
        newer.rename(archive)
        assert ask(running, "/vmlinuz")[1] == FILES["vmlinuz"]
