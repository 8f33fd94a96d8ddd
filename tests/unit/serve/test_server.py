"""Opening what is served, taking the ports, and what the log adds up to."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from metallize.errors import HostError, UsageError
from metallize.qemu import netboot
from metallize.serve import Fetch, FetchLog, Protocol, Running, opened, serving
from tests.unit.serve.conftest import FILES, LOOPBACK, write_archive


def test_a_disk_is_not_served(tmp_path: Path) -> None:
    (tmp_path / "disk.img").write_bytes(bytes(1 << 16))
    with pytest.raises(UsageError, match="is raw, and no network boot archive"), opened(tmp_path / "disk.img"):
        pass


def test_an_archive_of_anything_else_is_not_served(tmp_path: Path) -> None:
    other = write_archive(tmp_path / "other.tar", {"readme": b"x"})
    with pytest.raises(UsageError, match=r"nothing that firmware asks for first: boot\.ipxe"), opened(other):
        pass


def test_what_is_not_there_is_not_served(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"), opened(tmp_path / "none.tar"):
        pass


@pytest.mark.parametrize("kept", [1024, 1100, 300_000, 2_000_000])
def test_an_archive_that_is_cut_short_is_not_served(archive: Path, kept: int) -> None:
    archive.write_bytes(archive.read_bytes()[:kept])
    with pytest.raises(UsageError, match="cut short"), opened(archive):
        pass


def test_links_of_an_archive_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "boot.ipxe").write_text("#!ipxe\n")
    (folder / "out").symlink_to("/etc/passwd")
    with opened(folder) as files:
        assert files.names == ("boot.ipxe",)
        assert files.left_out == ("out",)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_that_is_taken_is_named(archive: Path, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as taken, opened(archive) as files:
        taken.bind((LOOPBACK, 0))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        ports = (port, 0) if kind is socket.SOCK_STREAM else (0, port)
        with (
            pytest.raises(HostError, match=f"port {port} is taken by another program") as caught,
            serving(files, FetchLog(), address=LOOPBACK, http_port=ports[0], tftp_port=ports[1]),
        ):
            pass
        assert "ss -ln" in str(caught.value.hint)


def test_an_address_of_another_host_is_named(archive: Path) -> None:
    with (
        opened(archive) as files,
        pytest.raises(HostError, match=r"192\.0\.2\.1 is no address of this host"),
        serving(files, FetchLog(), address="192.0.2.1", http_port=0),
    ):
        pass


def test_nothing_is_left_of_servers_that_were_stopped(archive: Path) -> None:
    before = set(threading.enumerate())  # one of an earlier test may still be about to end
    for _ in range(3):
        with (
            opened(archive) as files,
            serving(files, FetchLog(), address=LOOPBACK, http_port=0, tftp_port=0) as servers,
        ):
            assert isinstance(servers, Running)
            ports = servers.http.port, servers.tftp.port if servers.tftp else 0
    assert set(threading.enumerate()) <= before
    with socket.socket() as stream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stream.bind((LOOPBACK, ports[0]))
        datagram.bind((LOOPBACK, ports[1]))


def test_the_summary_tells_of_each_machine_what_it_has() -> None:
    log = FetchLog()
    for address, file, sent, problem in (
        ("10.0.0.7", "boot.ipxe", 391, ""),
        ("10.0.0.8", "vmlinuz", 5_000_000, "the connection was closed"),
        ("10.0.0.7", "vmlinuz", 12_000_000, ""),
        ("10.0.0.9", "none", 0, "no such file"),
    ):
        log.add(Fetch(address=address, protocol=Protocol.HTTP, file=file, bytes_sent=sent, problem=problem))
    assert log.summary() == (
        "10.0.0.7  12.0 MB: boot.ipxe, vmlinuz",
        "10.0.0.8  5.0 MB: nothing whole; not: vmlinuz",
        "10.0.0.9  0 B: nothing whole; not: none",
    )
    assert str(log.fetches[0]) == "10.0.0.7  boot.ipxe over HTTP: 391 B in 0.0 s"
    assert str(log.fetches[1]) == "10.0.0.8  vmlinuz over HTTP after 5.0 MB: the connection was closed"


def test_a_name_that_is_no_files_forges_no_line_and_has_an_end() -> None:
    log = FetchLog()
    for name in ("x\n10.0.0.9  vmlinuz over HTTP: 1 B in 0.0 s", "\x1b]52;c;x\x07", "y" * 60_000):
        log.add(Fetch(address="10.0.0.7", protocol=Protocol.HTTP, file=name, problem="no such file"))
    lines = [str(each) for each in log.fetches]
    assert all(line.isprintable() and len(line) < 400 for line in lines)
    assert lines[0].startswith("10.0.0.7  'x\\n10.0.0.9")
    assert all(line.isprintable() for line in log.summary())


def test_who_asks_for_ever_takes_no_more_memory_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Fetch] = []
    monkeypatch.setattr("metallize.serve.log.MOST_FETCHES", 3)
    log = FetchLog(told.append)
    for number in range(5):
        log.add(Fetch(address="10.0.0.7", protocol=Protocol.HTTP, file=f"file-{number}"))
    assert [each.file for each in log.fetches] == ["file-0", "file-1", "file-2"]
    assert (log.more, len(told)) == (2, 5)
    assert log.summary()[-1] == "and 2 more that are not told apart"


def test_a_guest_that_asks_for_ever_fills_neither_disk_nor_report(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netboot, "MOST_FETCHES", 4)
    monkeypatch.setattr(netboot, "MOST_TOLD", 2)
    log_file = tmp_path / netboot.LOG_NAME
    with netboot.web_server(archive, log_file) as web:
        for number in range(6):
            web.log.add(Fetch(address=LOOPBACK, protocol=Protocol.HTTP, file=f"file-{number}"))
        assert len(log_file.read_text().splitlines()) == 4
        told = netboot.fetched(web)
    assert len(told) == 3
    assert told[-1] == "the guest asked our server 4 times more: see fetched.txt"
    assert netboot.fetched(None) == ()


def test_there_is_room_for_so_many_connections_and_it_comes_back(archive: Path) -> None:
    """A guest whose network is closed costs the host a program for each."""

    def ask(connection: socket.socket) -> bytes:
        connection.sendall(b"GET /empty HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        with suppress(ConnectionError):
            return connection.recv(4096)
        return b""

    with (
        opened(archive, bootable=False) as files,
        serving(files, FetchLog(), address=LOOPBACK, http_port=0, most=2) as running,
        ExitStack() as stack,
    ):
        where = (LOOPBACK, running.http.port)
        idle = [stack.enter_context(socket.create_connection(where, timeout=10)) for _ in range(2)]
        beyond = stack.enter_context(socket.create_connection(where, timeout=10))
        assert beyond.recv(4096) == b"", "it is closed at once"
        assert ask(idle[0]).startswith(b"HTTP/1.1 200")
        until = time.monotonic() + 10
        answer = b""
        while not answer and time.monotonic() < until:
            with socket.create_connection(where, timeout=10) as again:
                answer = ask(again)
        assert answer.startswith(b"HTTP/1.1 200")


def test_every_file_can_be_read_at_any_place(archive: Path) -> None:
    with opened(archive) as files, files.content("vmlinuz", "http://x") as content:
        assert content is not None
        assert content.read(299_990, 100) == FILES["vmlinuz"][299_990:]
        assert content.read(400_000, 100) == b""
