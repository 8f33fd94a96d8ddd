"""The host's view of a guest's ports, judged from recorded attempts and tried on servers of this host."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import cast

import pytest

from metallize.console.rules import Scanner
from metallize.console.watch import BootWatch
from metallize.errors import HostError
from metallize.guest import Guest, GuestFailed
from metallize.model.boot import ConsoleRules, PasswordLogin, Reach
from metallize.qemu.network import connections
from metallize.verify.phases.reach import check_reach
from tests.unit.shells.ssh_servers import server
from tests.unit.shells.test_password_login import RIGHT, offering
from tests.unit.verify.entries import entry

pytestmark = pytest.mark.slow  # real sockets, and limits of time to wait for

PATIENT = timedelta(seconds=40)
"""At the slowness of these tests, two seconds."""


class Usernet:
    """QEMU's network, which has one connection more each time that it is asked; all of them are in one state."""

    def __init__(self, ports: Mapping[int, int], state: str = "ESTABLISHED") -> None:
        self._ports = ports
        self._state = state
        self._asked = 0

    def execute(self, command: str, **arguments: object) -> object:
        assert (command, arguments) == ("human-monitor-command", {"command-line": "info usernet"})
        self._asked += 1
        rows = [(f"TCP[{self._state}]", number) for number in range(20, 20 + self._asked)]
        rows = [("TCP[HOST_FORWARD]", 12), *rows[1:], ("UDP[236 sec]", 19)]
        return (
            "VLAN -1 (net0):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n"
            + "".join(
                f"  {state:<17} {number:3} {'127.0.0.1':>15} {host:5} {'10.0.2.15':>15} {guest:5} {0:5} {0:5}\r\n"
                for guest, host in self._ports.items()
                for state, number in rows
            )
        )


class FakeGuest:
    """Its port N is port `ports[N]` of this host."""

    def __init__(self, ports: dict[int, int], state: str = "ESTABLISHED") -> None:
        self._ports = ports
        self.monitor = Usernet(ports, state)
        self.watch = BootWatch(Scanner(ConsoleRules()), console_name="ttyS0")

    def host_port(self, guest_port: int) -> int:
        return self._ports[guest_port]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
        self.wfile.write(b"all is well\nversion 2\n")

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def web() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def banner() -> Iterator[int]:
    """A server that says its name, as often as it is asked."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    client.sendall(b"SSH-2.0-OpenSSH_10.0\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def check(target: str, wanted: Reach, port: int) -> dict[str, tuple[str, bool]]:
    guest_port = int(target.rsplit(":", maxsplit=1)[-1].split("/", maxsplit=1)[0])
    guest = FakeGuest({guest_port: port})
    guest.watch.slowness = 0.05
    result = check_reach(cast("Guest", guest), entry(f"reach {target}", "reach"), target, wanted)
    assert result.holds == all(claim.holds for claim in result.claims)
    return {claim.attribute: (claim.actual, claim.holds) for claim in result.claims}


def test_a_banner_that_matches(banner: int) -> None:
    seen = check("tcp:22", Reach(banner="/^SSH-2\\.0/"), banner)
    assert seen["banner"] == ("SSH-2.0-OpenSSH_10.0", True)


def test_a_banner_that_does_not(banner: int) -> None:
    assert check("tcp:22", Reach(banner="dropbear"), banner)["banner"][1] is False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("offered", "holds"), [(("publickey",), True), (("publickey", "password"), False), (("none",), False)]
)
def test_a_password_is_refused_where_none_is_asked_for(offered: tuple[str, ...], holds: bool) -> None:
    login = PasswordLogin(user="ops", password=RIGHT)
    wanted = Reach(banner="/^SSH-2/", refuses_password=login, timeout=PATIENT)
    with server(offering(*offered)) as port:
        seen = check("tcp:22", wanted, port)
    assert seen["logins that ops is offered"] == (", ".join(offered), offered != ("publickey", "password"))
    assert seen["password of ops"][1] is holds


@pytest.mark.slow
def test_a_wrong_password_that_is_refused_proves_nothing() -> None:
    wanted = Reach(refuses_password=PasswordLogin(user="ops", password="wrong"), timeout=PATIENT)
    with server(offering("publickey", "password")) as port:
        seen = check("tcp:22", wanted, port)
    assert seen["password of ops"] == ("refused", True)
    assert seen["logins that ops is offered"] == ("publickey, password", False)


def test_a_password_that_could_not_be_tried(banner: int) -> None:
    wanted = Reach(refuses_password=PasswordLogin(user="ops", password="right"))
    assert check("tcp:22", wanted, banner)["reached"][1] is False


def test_an_open_port(banner: int) -> None:
    assert check("tcp:22", Reach(), banner)["reached"][1] is True


def test_a_port_at_which_the_connection_is_cut() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    assert check("tcp:22", Reach(), closed)["reached"][1] is False


def test_an_http_answer(web: int) -> None:
    wanted = Reach(status=200, body=("all is well", "/version [0-9]/", "!error"))
    assert all(holds for _, holds in check("http://:8080/health", wanted, web).values())


def test_another_status(web: int) -> None:
    seen = check("http://:8080/other", Reach(status=200), web)
    assert seen["status"] == ("404", False)


@pytest.mark.slow
def test_an_idle_guest_is_given_no_more_time_for_a_slow_host(banner: int) -> None:
    guest = FakeGuest({22: banner})
    guest.watch.switched_on(busy=lambda: 0.0)
    guest.watch.slowness = 100.0
    wanted = Reach(banner="never said", timeout=timedelta(seconds=1))
    begun = time.monotonic()
    assert not check_reach(cast("Guest", guest), entry("reach tcp:22", "reach"), "tcp:22", wanted).holds
    assert 1 <= time.monotonic() - begun < 5


def rows(text: str) -> list[tuple[str, int, bool]]:
    return [(each.state, each.guest_port, each.taken) for each in connections(text)]


def test_the_rows_of_qemus_network() -> None:
    text = str(Usernet({22: 40022}).execute("human-monitor-command", **{"command-line": "info usernet"}))
    assert rows(text) == [("HOST_FORWARD", 22, False)]
    asked = "  TCP[SYN_SENT]      20       127.0.0.1 37001       10.0.2.15  9090     0     0\r\n"
    assert rows(asked + asked.replace("SYN_SENT]", "CLOSE_WAIT]")) == [
        ("SYN_SENT", 9090, False),
        ("CLOSE_WAIT", 9090, True),
    ]
    assert rows("  TCP[ESTABLISHED]   20       127.0.0.1\r\n nothing else") == []


@contextlib.contextmanager
def serving(serve: Callable[[socket.socket, threading.Event], None]) -> Iterator[int]:
    """A server that does what it likes with each client, until the test is over."""
    over = threading.Event()

    def each(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            serve(client, over)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threads.append(threading.Thread(target=each, args=(client,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads = [threading.Thread(target=accept)]
        threads[0].start()
        yield listener.getsockname()[1]
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(5)


def say(data: bytes, then: bytes = b"", pause: float = 0.0) -> Callable[[socket.socket, threading.Event], None]:
    """Say something to whoever asks, and then something else without end, or nothing."""

    def serve(client: socket.socket, over: threading.Event) -> None:
        client.recv(4096)
        client.sendall(data)
        while then and not over.wait(pause):
            client.sendall(then)

    return serve


def silent(client: socket.socket, over: threading.Event) -> None:
    over.wait(20)


HEAD = b"HTTP/1.1 200 OK\r\n"
ENDLESS = {
    "a body that drips": say(HEAD + b"\r\nall is well\n", b".", 0.02),
    "a body without end": say(HEAD + b"\r\n", b"all is well\n" * 5000),
    "events": say(HEAD + b"Content-Type: text/event-stream\r\n\r\n", b"data: well\n\n", 0.05),
    "chunks": say(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"4\r\nwell\r\n", 0.01),
    "a header that drips": say(HEAD + b"A: ", b"b", 0.02),
    "to be continued": say(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "too many headers": say(HEAD, b"A: b\r\n"),
    "a header line without end": say(HEAD + b"A: ", b"b" * 60_000),
    "bytes that were promised": say(HEAD + b"Content-Length: 100\r\n\r\nall is well\n"),
    "a chunk that breaks off": say(HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\nwell"),
    "a status in the middle of nothing": say(b"HTTP/1.1 2"),
    "no HTTP": say(b"\0\xff" * 50_000),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ENDLESS)
def test_an_answer_that_does_not_end_fails_in_its_time(kind: str) -> None:
    begun = time.monotonic()
    with serving(ENDLESS[kind]) as port:
        seen = check("http://:80/", Reach(status=200, timeout=timedelta(seconds=20)), port)
    actual, holds = seen["reached"]
    assert not holds
    assert actual
    assert "status" not in seen
    assert time.monotonic() - begun < 4


def test_an_answer_that_does_not_end_is_called_so() -> None:
    with serving(ENDLESS["events"]) as port:
        actual, _ = check("http://:80/", Reach(status=200, timeout=timedelta(seconds=20)), port)["reached"]
    assert re.fullmatch(r"the answer did not end within \d s", actual)


@pytest.mark.slow
def test_a_long_answer_costs_no_memory_and_is_judged_by_its_beginning() -> None:
    head = HEAD + b"Content-Length: %d\r\n\r\nall is well\n" % (12 + (8 << 20))
    with serving(say(head + b"\n" * (8 << 20))) as port:
        seen = check("http://:80/", Reach(status=200, body=("all is well",), timeout=PATIENT), port)
        assert all(holds for _, holds in seen.values())
        seen = check("http://:80/", Reach(body=("!error",), timeout=PATIENT), port)
    assert seen["body"] == ("longer than the 1 MiB looked at", False)


@pytest.mark.parametrize("kind", ["a body that drips", "a body without end"])
def test_a_guest_that_dies_in_the_middle_ends_the_look_at_once(kind: str) -> None:
    begun = time.monotonic()
    with serving(ENDLESS[kind]) as port:
        guest = FakeGuest({80: port})
        killer = threading.Timer(0.5, lambda: guest.watch.fail("qemu-died", "QEMU ended by signal 9"))
        killer.start()
        with pytest.raises(GuestFailed, match="signal 9"):
            check_reach(
                cast("Guest", guest),
                entry("reach http://:80/", "reach"),
                "http://:80/",
                Reach(status=200, timeout=timedelta(minutes=5)),
            )
        killer.join()
    assert time.monotonic() - begun < 4


@pytest.mark.slow
@pytest.mark.parametrize("target", ["https://:443/", "tcp:443"])
def test_a_server_that_never_says_a_word(target: str) -> None:
    with serving(silent) as port:
        seen = check(target, Reach(banner="x" if target == "tcp:443" else None, timeout=timedelta(seconds=20)), port)
    assert seen["reached"][1] is False


def test_a_silent_server_is_reached_where_the_guest_took_the_connection() -> None:
    with serving(silent) as port:
        assert check("tcp:9090", Reach(), port)["reached"] == ("an answer", True)


@pytest.mark.slow
@pytest.mark.parametrize("state", ["SYN_SENT", "NONE", "HOST_FORWARD"])
def test_a_port_that_only_the_hosts_forwarder_accepts_is_not_reached(state: str) -> None:
    with serving(silent) as port:
        guest = FakeGuest({9090: port}, state)
        guest.watch.slowness = 0.05
        result = check_reach(
            cast("Guest", guest), entry("reach tcp:9090", "reach"), "tcp:9090", Reach(timeout=timedelta(seconds=30))
        )
    assert not result.holds
    assert "the guest never answered" in result.claims[0].actual


def test_a_qemu_that_says_nothing_of_the_connection_proves_nothing() -> None:
    class Gone:
        def execute(self, command: str, **arguments: object) -> object:
            raise HostError("QEMU refused `human-monitor-command`: gone")

    with serving(silent) as port:
        guest = FakeGuest({9090: port})
        guest.watch.slowness = 0.05
        guest.monitor = Gone()  # type: ignore[assignment]  # a monitor as well
        result = check_reach(cast("Guest", guest), entry("reach tcp:9090", "reach"), "tcp:9090", Reach())
    assert not result.holds
    assert "gone" in result.claims[0].actual
