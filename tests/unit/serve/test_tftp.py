"""Files over TFTP, asked for by a client that can lose, repeat and misunderstand packets; real sockets throughout."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from metallize.serve import Fetch, Running
from tests.unit.serve.conftest import FILES, LOOPBACK, Serve, some_bytes

SQUASHFS = "filesystem.squashfs"


def request(name: str, options: Mapping[str, str] | None = None, *, opcode: int = 1, mode: str = "octet") -> bytes:
    words = [name, mode, *(word for pair in (options or {}).items() for word in pair)]
    return struct.pack("!H", opcode) + b"".join(word.encode() + b"\0" for word in words)


@dataclass(kw_only=True)
class Got:
    content: bytes = b""
    confirmed: dict[str, str] = field(default_factory=dict)
    error: tuple[int, str] | None = None
    repeats: int = 0


def fetch(
    port: int,
    name: str,
    options: Mapping[str, str] | None = None,
    *,
    deaf_to: Callable[[int], bool] = lambda _: False,
    twice: bool = False,
) -> Got:
    """A client as RFC 1350 describes it; it is `deaf_to` some packets, and may confirm all of them twice."""
    got, heard, expected = Got(), 0, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(10)
        line.bind((LOOPBACK, 0))
        line.sendto(request(name, options), (LOOPBACK, port))
        while True:
            packet, peer = line.recvfrom(65536)
            heard += 1
            if deaf_to(heard):
                continue
            opcode, number = struct.unpack_from("!HH", packet)
            if opcode == 5:
                got.error = (number, packet[4:-1].decode())
                return got
            if opcode == 6:
                words = packet[2:-1].decode().split("\0")
                got.confirmed = dict(zip(words[::2], words[1::2], strict=True))
                number = 0
            elif number == expected & 0xFFFF:
                got.content += packet[4:]
                expected += 1
            else:
                got.repeats += 1
            for _ in range(2 if twice else 1):
                line.sendto(struct.pack("!HH", 4, number), peer)
            if opcode == 3 and len(packet) - 4 < int(got.confirmed.get("blksize", 512)):
                return got


def logged(running: Running, count: int = 1) -> tuple[Fetch, ...]:
    until = time.monotonic() + 15
    while len(running.log.fetches) < count:
        assert time.monotonic() < until
        time.sleep(0.01)
    return running.log.fetches


def port_of(running: Running) -> int:
    assert running.tftp is not None
    return running.tftp.port


@pytest.mark.parametrize("name", ["boot.ipxe", "vmlinuz", "even", "empty", "/boot.ipxe", "//vmlinuz"])
def test_a_file_comes_whole_in_blocks_of_512(running: Running, name: str) -> None:
    assert fetch(port_of(running), name).content == FILES[name.lstrip("/")]
    [fetched] = logged(running)
    expected = (LOOPBACK, name.lstrip("/"), len(FILES[name.lstrip("/")]), "")
    assert (fetched.address, fetched.file, fetched.bytes_sent, fetched.problem) == expected


def test_options_are_agreed_on(running: Running) -> None:
    got = fetch(port_of(running), "vmlinuz", {"blksize": "1432", "tsize": "0", "timeout": "3", "windowsize": "16"})
    assert got.confirmed == {"blksize": "1432", "tsize": "300001", "timeout": "3"}
    assert got.content == FILES["vmlinuz"]


@pytest.mark.parametrize(
    ("asked", "confirmed"),
    [({"blksize": "65464"}, {"blksize": "1468"}), ({"BLKSIZE": "8"}, {"blksize": "8"}), ({"blksize": "7"}, {}),
     ({"blksize": "-1"}, {}), ({"timeout": "0"}, {}), ({"timeout": "256"}, {}), ({"tsize": "x"}, {}),
     ({"new": "1"}, {})],
)  # fmt: skip
def test_an_option_that_makes_no_sense_is_as_if_it_were_not_there(
    running: Running, asked: dict[str, str], confirmed: dict[str, str]
) -> None:
    got = fetch(port_of(running), "even", asked)
    assert got.confirmed == confirmed
    assert got.content == FILES["even"]


@pytest.mark.parametrize("options", [{}, {"blksize": "1000", "tsize": "0"}])
@pytest.mark.parametrize("lost", [{1}, {2}, pytest.param({1, 2, 3}, marks=pytest.mark.slow), {5, 7}])
def test_what_is_lost_is_sent_again(running: Running, options: dict[str, str], lost: set[int]) -> None:
    got = fetch(port_of(running), "even", {**options, "timeout": "1"}, deaf_to=lambda number: number in lost)
    assert got.content == FILES["even"]
    assert logged(running)[0].problem == ""


def test_a_confirmation_that_comes_twice_doubles_nothing(running: Running) -> None:
    got = fetch(port_of(running), "vmlinuz", twice=True)
    assert got.content == FILES["vmlinuz"]
    assert got.repeats == 0


def test_a_request_that_is_repeated_is_one_transfer(running: Running) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(10)
        for _ in range(3):
            line.sendto(request("boot.ipxe"), (LOOPBACK, port_of(running)))
        packet, peer = line.recvfrom(65536)
        assert packet[4:] == FILES["boot.ipxe"]
        line.sendto(struct.pack("!HH", 4, 1), peer)
        assert len(logged(running)) == 1


@pytest.mark.slow
def test_block_numbers_start_again_after_65535(serve: Serve, tmp_path: Path) -> None:
    content = some_bytes(8 * 65_600 + 3)
    (tmp_path / "long").write_bytes(content)
    with serve(tmp_path) as running:
        assert fetch(port_of(running), "long", {"blksize": "8"}).content == content


@pytest.mark.parametrize("name", ["none", "../net.tar", "grub/../../net.tar", "/etc/passwd", "grub"])
def test_what_is_not_served_is_not_found(running: Running, name: str) -> None:
    assert fetch(port_of(running), name).error == (1, "no such file")
    assert logged(running)[0].problem == "no such file"


def test_nothing_can_be_written(running: Running) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(10)
        line.sendto(request("new", opcode=2), (LOOPBACK, port_of(running)))
        assert line.recv(1000)[:4] == b"\0\5\0\2"
    assert logged(running)[0].problem == "nothing can be written here"


def test_text_mode_is_refused(running: Running) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(10)
        line.sendto(request("even", mode="netascii"), (LOOPBACK, port_of(running)))
        assert line.recv(1000)[:4] == b"\0\5\0\4"


@pytest.mark.parametrize(
    "packet", [b"", b"\0", b"\0\1", b"\0\1\0\0", b"\0\1x", b"\0\1x\0", b"\0\7x\0octet\0", b"\xff" * 99]
)
def test_what_is_no_request_is_not_answered(running: Running, packet: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(0.2)
        line.sendto(packet, (LOOPBACK, port_of(running)))
        with pytest.raises(TimeoutError):
            line.recv(1000)
    assert fetch(port_of(running), "even").content == FILES["even"]


def test_one_who_only_wants_the_size_is_said_to(running: Running) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(10)
        line.sendto(request("vmlinuz", {"tsize": "0"}), (LOOPBACK, port_of(running)))
        packet, peer = line.recvfrom(1000)
        assert packet == b"\0\6tsize\x00300001\0"
        line.sendto(b"\0\5\0\0User aborted\0", peer)
        assert logged(running)[0].problem == "only its size was asked for"


def test_one_who_goes_away_is_given_up(running: Running) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(10)
        line.sendto(request("vmlinuz"), (LOOPBACK, port_of(running)))
        line.recv(1000)
    [fetched] = logged(running)
    assert fetched.problem == "nobody listens there any more"
    assert fetched.bytes_sent == 0


def test_where_http_is_stands_in_what_the_boot_loaders_read(running: Running) -> None:
    url = f"http://{LOOPBACK}:{running.http.port}"
    assert fetch(port_of(running), "server.ipxe").content.decode() == f"#!ipxe\nset base {url}\n"


def test_twenty_clients_at_once_and_some_packets_are_lost(running: Running) -> None:
    def one(number: int) -> bytes:
        options = {"blksize": "1468", "timeout": "1"}
        return fetch(port_of(running), "vmlinuz", options, deaf_to=lambda heard: heard == 10 + number).content

    with ThreadPoolExecutor(20) as pool:
        got = list(pool.map(one, range(20)))
    assert all(content == FILES["vmlinuz"] for content in got)
    assert len(logged(running, 20)) == 20


def test_stopping_ends_what_is_under_way(running: Running) -> None:
    port = port_of(running)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(10)
        line.sendto(request("vmlinuz", {"timeout": "60"}), (LOOPBACK, port))
        line.recv(1000)
        running.stop()
        assert line.recv(1000)[:2] == b"\0\5"
    assert running.log.fetches[0].problem == "the server was stopped"
