"""The host's view of a guest's ports, judged from recorded attempts and tried on servers of this host."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import cast

import pytest

from metallize.console.rules import Scanner
from metallize.console.watch import BootWatch
from metallize.guest import Guest
from metallize.model.boot import ConsoleRules, PasswordLogin, Reach
from metallize.verify.phases.reach import check_reach
from tests.unit.shells.ssh_servers import server
from tests.unit.shells.test_password_login import RIGHT, offering
from tests.unit.verify.entries import entry

PATIENT = timedelta(seconds=40)
"""At the slowness of these tests, two seconds."""


class FakeGuest:
    """Its port N is port `ports[N]` of this host."""

    def __init__(self, ports: dict[int, int]) -> None:
        self._ports = ports
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


def test_an_idle_guest_is_given_no_more_time_for_a_slow_host(banner: int) -> None:
    guest = FakeGuest({22: banner})
    guest.watch.switched_on(busy=lambda: 0.0)
    guest.watch.slowness = 100.0
    wanted = Reach(banner="never said", timeout=timedelta(seconds=1))
    begun = time.monotonic()
    assert not check_reach(cast("Guest", guest), entry("reach tcp:22", "reach"), "tcp:22", wanted).holds
    assert 1 <= time.monotonic() - begun < 5
