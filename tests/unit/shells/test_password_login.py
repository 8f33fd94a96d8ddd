"""A password tried where none may be taken, on SSH servers of this host: the one that refuses and those that do not."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable

import paramiko
import pytest
from paramiko import common
from paramiko.server import InteractiveQuery

from metallize.deadline import Deadline
from metallize.guest import ShellError
from metallize.model.boot import Ssh
from metallize.shells.password_login import PasswordAttempt, try_password
from metallize.shells.ssh_access import ssh_access
from tests.unit.shells.ssh_servers import says, server, silent

RIGHT = "right"


class Server(paramiko.ServerInterface):
    """Takes the right password in the ways that it offers."""

    def __init__(self, *offered: str) -> None:
        self.offered = offered

    def get_allowed_auths(self, username: str) -> str:
        return ",".join(self.offered)

    def check_auth_none(self, username: str) -> int:
        return common.AUTH_SUCCESSFUL if "none" in self.offered else common.AUTH_FAILED

    def check_auth_password(self, username: str, password: str) -> int:
        if "thinking" in self.offered:
            time.sleep(3)
        right = "password" in self.offered and password == RIGHT
        return common.AUTH_SUCCESSFUL if right else common.AUTH_FAILED

    def check_auth_interactive(self, username: str, submethods: str) -> int | InteractiveQuery:
        if "keyboard-interactive" not in self.offered:
            return common.AUTH_FAILED
        query = InteractiveQuery("", "")
        query.add_prompt("Password: ", echo=False)
        return query

    def check_auth_interactive_response(self, responses: list[str]) -> int:
        return common.AUTH_SUCCESSFUL if responses == [RIGHT] else common.AUTH_FAILED


def offering(*offered: str) -> Callable[[socket.socket], None]:
    def answer(client: socket.socket) -> None:
        transport = paramiko.Transport(client)
        transport.set_log_channel("metallize.paramiko")
        key = ssh_access(Ssh(user="x", key="ephemeral")).key
        assert key is not None
        transport.add_server_key(key)
        with contextlib.suppress(paramiko.SSHException, EOFError):  # of a client that only looked at the banner
            transport.start_server(server=Server(*offered))
            transport.join(20)
        transport.close()

    return answer


def attempt(answer: Callable[[socket.socket], None], password: str = RIGHT, seconds: float = 20) -> PasswordAttempt:
    with server(answer) as port:
        return try_password(port, "ops", password, Deadline.after(seconds, "a test"))


def test_a_server_that_takes_keys_alone_refuses_even_the_right_password() -> None:
    tried = attempt(offering("publickey"))
    assert tried == PasswordAttempt(allowed=("publickey",), answer="refused")
    assert tried.refused
    assert not tried.asks


@pytest.mark.parametrize("method", ["password", "keyboard-interactive"])
def test_the_right_password_is_accepted_in_either_way(method: str) -> None:
    tried = attempt(offering("publickey", method))
    assert not tried.refused
    assert tried.answer == "accepted"
    assert tried.asks


@pytest.mark.parametrize("method", ["password", "keyboard-interactive"])
def test_a_wrong_password_is_refused_by_a_server_that_still_asks_for_one(method: str) -> None:
    tried = attempt(offering("publickey", method), password="wrong")
    assert tried.refused
    assert tried.asks


def test_a_server_that_lets_everybody_in() -> None:
    assert not attempt(offering("none", "publickey")).refused


@pytest.mark.slow
def test_a_server_that_is_still_thinking_has_refused_nothing() -> None:
    with pytest.raises(ShellError, match="did not say whether it takes a password"):
        attempt(offering("password", "thinking"), seconds=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "answer", [lambda _client: None, silent, says(b"SSH-2.0-OpenSSH_10.0\r\n"), says(b"220 mail ready\r\n")]
)
def test_a_server_that_does_not_answer_has_refused_nothing(
    answer: Callable[[socket.socket], None], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ShellError, match="did not say whether it takes a password"):
        attempt(answer, seconds=1)
    assert capfd.readouterr().err == ""
