"""Files over TFTP, asked for by a client that can lose, repeat and misunderstand packets; real sockets throughout."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metallize.serve import Fetch, Running
from metallize.serve.tftp_packets import BadPacketError, negotiate, parse_request
from tests.unit.serve.conftest import FILES, LOOPBACK, Serve, some_bytes
from tests.unit.serve.tftp_client import fetch, request

pytestmark = pytest.mark.slow  # real sockets, and limits of time to wait for

SQUASHFS = "filesystem.squashfs"


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


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"blksize": "1000", "tsize": "0"}])
@pytest.mark.parametrize("lost", [{1}, {2}, {1, 2, 3}, {5, 7}])
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@dataclass
class Client:
    """One port of a client, which asks whenever it likes."""

    line: socket.socket
    port: int

    def ask(self, name: str, options: Mapping[str, str] | None = None) -> None:
        self.line.sendto(request(name, options), (LOOPBACK, self.port))

    def answer(self) -> tuple[bytes, tuple[str, int]]:
        packet, peer = self.line.recvfrom(65536)
        return packet, peer

    def confirm(self, number: int, peer: tuple[str, int]) -> None:
        self.line.sendto(struct.pack("!HH", 4, number), peer)

    def take(
        self, packet: bytes, peer: tuple[str, int], block: int = 512, between: Callable[[], None] = lambda: None
    ) -> bytes:
        """All that a transfer brings from its first block on; what others send is answered as RFC 1350 wants it."""
        content, number = b"", 1
        while True:
            assert struct.unpack_from("!HH", packet) == (3, number & 0xFFFF)
            content += packet[4:]
            between()
            self.confirm(number, peer)
            if len(packet) - 4 < block:
                return content
            number += 1
            while True:
                packet, other = self.answer()
                if other == peer:
                    break
                self.line.sendto(b"\0\5\0\5unknown transfer\0", other)


@pytest.fixture
def client(running: Running) -> Iterator[Client]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(10)
        line.bind((LOOPBACK, 0))
        yield Client(line, port_of(running))


@pytest.mark.slow
def test_one_port_that_asks_for_something_else_is_answered_at_once(running: Running, client: Client) -> None:
    client.ask("vmlinuz", {"timeout": "60"})
    assert client.answer()[0][:2] == b"\0\6"
    begun = time.monotonic()
    client.ask("boot.ipxe")
    packet, peer = client.answer()
    assert time.monotonic() - begun < 20
    assert client.take(packet, peer) == FILES["boot.ipxe"]
    assert {each.file: each.problem for each in logged(running, 2)} == {
        "vmlinuz": "the client asked for something else", "boot.ipxe": "",
    }  # fmt: skip


def test_firmware_that_asks_for_the_size_first_and_then_for_the_file(running: Running, client: Client) -> None:
    for options in ({"tsize": "0"}, {"tsize": "0", "blksize": "1024"}):
        client.ask("vmlinuz", options)
        packet, peer = client.answer()
        assert packet[:2] == b"\0\6"
        if "blksize" not in options:
            client.line.sendto(b"\0\5\0\0User aborted\0", peer)
    client.confirm(0, peer)
    assert client.take(*client.answer(), block=1024) == FILES["vmlinuz"]
    assert {each.problem for each in logged(running, 2)} == {"only its size was asked for", ""}


def test_the_same_request_right_after_it_was_given_up(running: Running, client: Client) -> None:
    for _ in range(20):
        client.ask("even", {"tsize": "0", "timeout": "60"})
        packet, peer = client.answer()
        assert packet == b"\0\6tsize\x001024\0timeout\x0060\0"
        client.line.sendto(b"\0\5\0\0User aborted\0", peer)
    client.ask("boot.ipxe")
    assert client.take(*client.answer()) == FILES["boot.ipxe"]


@pytest.mark.slow
def test_one_port_that_asks_again_from_the_beginning(running: Running, client: Client) -> None:
    """A machine that was reset in the middle of a transfer, and whose firmware always uses the same port."""
    client.ask("vmlinuz", {"timeout": "60"})
    _, peer = client.answer()
    client.confirm(0, peer)
    assert client.answer()[0][:4] == b"\0\3\0\1"
    time.sleep(1.3)
    client.ask("vmlinuz", {"timeout": "60"})
    packet, other = client.answer()
    assert (packet[:2], other != peer) == (b"\0\6", True)
    client.confirm(0, other)
    assert client.take(*client.answer()) == FILES["vmlinuz"]


def test_one_file_after_another_from_one_port(running: Running, client: Client) -> None:
    names = ["boot.ipxe", "even", "boot.ipxe", "boot.ipxe", "vmlinuz", "empty", "empty"] * 3
    for name in names:
        client.ask(name)
        assert client.take(*client.answer()) == FILES[name]
    found = Counter((each.file, each.problem) for each in logged(running, len(names)))
    assert found == Counter((name, "") for name in names)


def test_a_late_copy_of_a_request_ends_no_transfer(running: Running, client: Client) -> None:
    client.ask("vmlinuz")
    packet, peer = client.answer()
    assert client.take(packet, peer, between=lambda: client.ask("vmlinuz")) == FILES["vmlinuz"]


@pytest.mark.parametrize("name", ["blksize", "timeout", "tsize"])
@pytest.mark.parametrize("digits", [19, 21, 5000])
def test_an_option_of_a_great_many_digits(running: Running, name: str, digits: int) -> None:
    got = fetch(port_of(running), "even", {name: "1" * digits})
    assert got.content == FILES["even"]
    assert digits == 19 or got.confirmed == {}


@given(st.binary(max_size=400), st.sampled_from([b"", b"even\0octet\0", b"even\0octet\0tsize\0", b"even\0"]))
def test_no_request_ends_the_server(packet: bytes, head: bytes) -> None:
    """Whatever comes is a request with terms, or refused: nothing else is raised."""
    with contextlib.suppress(BadPacketError):
        asked = parse_request(b"\0\1" + head + packet + b"\0")
        assert negotiate(asked.options, 1024).block_bytes >= 8
