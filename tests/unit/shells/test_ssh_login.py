"""A login over SSH is one when a shell has added two numbers; whatever else happens ends the wait, and is named."""

from __future__ import annotations

import resource
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import paramiko
import pytest
from paramiko import common

from metallize.deadline import Deadline
from metallize.guest import ShellError
from metallize.model.boot import Ssh
from metallize.shells import openssh, ssh, ssh_banner, ssh_errors
from metallize.shells.challenge import Challenge
from metallize.shells.ssh_access import SshAccess, ssh_access
from metallize.shells.ssh_connection import LOGIN_BYTES, SshConnection
from metallize.shells.ssh_errors import (
    BadServerError,
    ForcedCommandError,
    NoClientError,
    NoCommonAlgorithmError,
    NoServerError,
    NoShellError,
    ServerClosedError,
    SessionRefusedError,
    SilentShellError,
    SshError,
    SshRefusedError,
    StalledError,
)
from tests.unit.shells.ssh_servers import (
    ACCESS,
    BANNER,
    Idle,
    Sshd,
    Up,
    cat,
    cuts,
    prints,
    says,
    server,
    sleeps,
    without_end,
    yes,
)

LIMIT = 60.0
"""Nothing here waits for its deadline."""
NOLOGIN = b"This account is currently not available.\n"
OTHER_CIPHER = {"ciphers": ["aes256-ctr"]}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says nothing is given up soon."""
    for module in (ssh, openssh):
        monkeypatch.setattr(module, "SHELL_SECONDS", 1.0)
    monkeypatch.setattr(ssh, "_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(ssh_banner, "_OTHER_SECONDS", 1.0)
    monkeypatch.setattr(ssh_banner, "_LINE_SECONDS", 1.0)


@pytest.fixture
def quick_handshake(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that never gets to a login is given up soon as well."""
    monkeypatch.setattr(ssh, "HANDSHAKE_SECONDS", 1.0)


def failure(
    answer: Callable[[socket.socket], None], access: SshAccess = ACCESS, seconds: float = 20, watch: Up | None = None
) -> SshError:
    """How the attempt to log in ended, within so long."""
    begun = time.monotonic()
    with server(answer) as port, pytest.raises(SshError) as caught:
        ssh.connect(port, access, watch or Idle(), Deadline.after(LIMIT, "a test"))
    assert time.monotonic() - begun < seconds
    return caught.value


def test_the_answer_is_nowhere_in_what_is_sent_and_is_another_each_time() -> None:
    challenges = [Challenge() for _ in range(50)]
    assert len({each.answer for each in challenges}) == len(challenges)
    for each in challenges:
        assert not each.is_answered(each.script)
        assert not each.is_answered(each.line)
        assert each.is_answered(f"motd\n{each.answer}\n$ ")
        assert not each.is_answered(f"{each.answer}0")


def test_every_shell_of_this_host_can_add() -> None:
    challenge = Challenge()
    for name in ("sh", "dash", "bash", "busybox", "zsh", "fish", "tcsh"):
        if shutil.which(name):
            argv = ["busybox", "sh"] if name == "busybox" else [name]
            for text in (challenge.line, *([challenge.script] if name not in ("fish", "tcsh") else [])):
                done = subprocess.run([*argv, "-c", text], check=True, capture_output=True, text=True)
                assert done.stdout == f"{challenge.answer}\n", (name, text)


def test_a_shell_that_answers_is_a_login_and_says_who_spoke_to_it() -> None:
    with server(Sshd()) as port:
        shell = ssh.connect(port, ACCESS, Up(), Deadline.after(LIMIT, "a test"))
        assert shell.client.startswith("paramiko ")
        assert shell.server.startswith("SSH-2.0-paramiko")
        answer = shell.run("echo out; echo err >&2; exit 7", Deadline.after(LIMIT, "a test"))
        assert (answer.status, answer.stdout, answer.stderr) == (7, b"out\n", b"err\n")
        shell.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("behaviour", "kind", "words"),
    [
        (Sshd(prints(b"", 1)), NoShellError, ("status 1", "false or nologin", "/etc/passwd")),
        (Sshd(prints(NOLOGIN, 1)), NoShellError, ("This account is currently not available", "usermod -s")),
        (Sshd(prints(b"Backups only.\n")), ForcedCommandError, ("'Backups only.'", "ForceCommand", "command=")),
        (Sshd(prints(b"mz-alive-1")), ForcedCommandError, ("'mz-alive-1'",)),
        (Sshd(cat), ForcedCommandError, ("no shell", "it printed 'shecho mz-alive-")),
        (Sshd(yes), ForcedCommandError, ("it printed 'y\\ny",)),
        (Sshd(sleeps), SilentShellError, ("no shell answered", "start-up file")),
        (Sshd(cuts), ServerClosedError, ("hung up before a shell answered",)),
        (
            Sshd(session=common.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED),
            SessionRefusedError,
            ("opens no session", "Administratively prohibited", "MaxSessions"),
        ),
        (Sshd(after=4), SilentShellError, ("no shell answered",)),
        (Sshd(runs=False), SessionRefusedError, ("opens no session", "runs no command")),
    ],
    ids=[
        "false",
        "nologin",
        "forced",
        "guess",
        "cat",
        "yes",
        "silent",
        "cut",
        "MaxSessions 0",
        "hangs after auth",
        "no exec",
    ],
)
@pytest.mark.usefixtures("quick")
def test_a_login_without_a_shell_is_none(behaviour: Sshd, kind: type[SshError], words: tuple[str, ...]) -> None:
    found = failure(behaviour)
    assert type(found) is kind
    for word in words:
        assert word in str(found)
    assert kind is ServerClosedError or str(found).startswith("the SSH server lets admin in, but")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (says(BANNER), StalledError, "it said nothing more"),
        (lambda client: client.sendall(BANNER), ServerClosedError, "the handshake failed: the server hung up"),
        (says(BANNER, b"\x00" * 64), SshError, "the handshake failed"),
        (says(BANNER, b"\x7f\xff\xff\xfc" * 3), SshError, "the handshake failed"),
        (without_end(BANNER, b"\x00" * 65_536), SshError, "the handshake failed"),
        (says(b"SSH-1.5-OpenSSH_3.0\r\n"), BadServerError, "another version of SSH"),
        (says(b"SSH-1.99-OpenSSH_3.0\r\n"), StalledError, "it said nothing more"),
        (without_end(b"SSH-2.0-", b"x" * 1000), NoServerError, "no SSH server: it said 'SSH-2.0-xxx"),
        (says(b"SSH-2.0-half of a li"), NoServerError, "no SSH server: it said 'SSH-2.0-half of a li'"),
        (without_end(b"", b"welcome\r\n" * 1000), NoServerError, "no SSH server: it said 'welcome"),
    ],
    ids=[
        *("stalls", "hangs up", "garbage", "a packet of 2 GiB", "zeros without end", "SSH 1.5", "SSH 1.99"),
        *("a line without end", "half a line", "lines without end"),
    ],
)
@pytest.mark.usefixtures("quick_handshake")
def test_a_server_that_never_gets_to_a_login_is_left(
    answer: Callable[[socket.socket], None], kind: type[SshError], words: str
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = failure(answer)
    assert isinstance(found, kind)
    assert words in str(found)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_a_server_without_end_is_cut_at_its_bytes() -> None:
    packet = b"\x00\x00\x7f\xfc\x04\x02" + bytes(0x7FFA)  # SSH_MSG_IGNORE, as long as it may be
    with server(without_end(BANNER, packet)) as port:
        client = socket.create_connection(("127.0.0.1", port))
        connection = SshConnection(client, Deadline.after(LIMIT, "a test"))
        with pytest.raises((paramiko.SSHException, EOFError)):
            connection.start_client(timeout=10)
        left = connection._bounded.left
        connection.close()
    assert left is not None
    assert -65_536 <= left < LOGIN_BYTES


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_guest_that_works_is_given_the_time_that_a_slow_host_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Up, "slowness", 4.0)
    with server(Sshd(after=2.5)) as port:
        ssh.connect(port, ACCESS, Up(), Deadline.after(LIMIT, "a test")).close()
    assert isinstance(failure(Sshd(after=4), watch=Idle()), SilentShellError)


@pytest.mark.usefixtures("quick")
def test_what_passes_while_a_system_settles_is_tried_again() -> None:
    healthy, count = Sshd(), []

    def starting(client: socket.socket) -> None:
        count.append(1)
        if len(count) > 3:
            healthy(client)
        else:
            client.sendall(BANNER)

    with server(starting) as port:
        ssh.connect(port, ACCESS, Up(), Deadline.after(LIMIT, "a test")).close()
    assert len(count) == 4


def test_each_end_has_a_reason_of_its_own() -> None:
    kinds = [each for each in vars(ssh_errors).values() if isinstance(each, type) and issubclass(each, SshError)]
    reasons = {each.reason for each in kinds}
    assert len(reasons) == len(kinds) >= 11
    assert ShellError.reason in reasons  # of SshError itself


# --- OpenSSH's own client ---------------------------------------------------------------------------------------------


def one_cipher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SshConnection, "_preferred_ciphers", ("aes128-ctr",))


def left_behind() -> set[str]:
    names = {str(each) for each in Path(tempfile.gettempdir()).glob("metallize-ssh-*")}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            argv = (folder / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if argv[0] == "ssh" and any("metallize-ssh-" in word for word in argv):
            names.add(" ".join(argv))
    return names


@pytest.mark.slow
@pytest.mark.parametrize("by_key", [False, True], ids=["password", "key"])
def test_a_server_that_paramiko_cannot_speak_to_is_left_to_openssh(
    by_key: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_cipher(monkeypatch)
    before = left_behind()
    access = ssh_access(Ssh(user="admin", key="ephemeral")) if by_key else ACCESS
    sshd = Sshd(options=OTHER_CIPHER, key=access.key)
    with server(sshd) as port:
        shell = ssh.connect(port, access, Up(), Deadline.after(LIMIT, "a test"))
        assert shell.client.startswith("OpenSSH ")
        assert shell.name == "ssh"
        answer = shell.run("echo out; echo err >&2; exit 255", Deadline.after(LIMIT, "a test"))
        assert (answer.status, answer.stdout, answer.stderr) == (255, b"out\n", b"err\n")
        big = shell.run("head -c 3000000 /dev/zero", Deadline.after(LIMIT, "a test"))
        assert len(big.stdout) == 3_000_000
        [process] = [each for each in left_behind() - before if each.startswith("ssh ")]
        assert "right" not in process.split()
        with pytest.raises(ShellError, match="did not end in the time for a test"):
            shell.run("sleep 5", Deadline.after(0.5, "a test"))
        shell.close()
        assert left_behind() == before
    assert sum("OpenSSH" in each for each in sshd.logins) == 1, "each script is a channel of one connection"
    assert not any("memfd:metallize" in str(each.resolve()) for each in Path("/proc/self/fd").iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("behaviour", "kind", "words"),
    [
        (Sshd(prints(b"", 1), options=OTHER_CIPHER), NoShellError, "false or nologin"),
        (Sshd(prints(b"Backups only.\n"), options=OTHER_CIPHER), ForcedCommandError, "'Backups only.'"),
        (Sshd(cat, options=OTHER_CIPHER), ForcedCommandError, "no shell"),
        (Sshd(sleeps, options=OTHER_CIPHER), SilentShellError, "no shell answered"),
        (
            Sshd(session=common.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED, options=OTHER_CIPHER),
            SessionRefusedError,
            "MaxSessions",
        ),
    ],
    ids=["false", "forced", "cat", "silent", "MaxSessions 0"],
)
def test_openssh_is_no_easier_to_please(
    behaviour: Sshd, kind: type[SshError], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_cipher(monkeypatch)
    before = left_behind()
    found = failure(behaviour)
    assert type(found) is kind
    assert words in str(found)
    assert left_behind() == before


@pytest.mark.usefixtures("quick")
def test_openssh_is_refused_as_paramiko_is(monkeypatch: pytest.MonkeyPatch) -> None:
    one_cipher(monkeypatch)
    wrong = SshAccess(user="admin", password="wrong", key=None)
    found = failure(Sshd(options=OTHER_CIPHER), wrong)
    assert isinstance(found, SshRefusedError)
    assert "refused the password of admin: it allows password (OpenSSH " in str(found)


def test_a_host_without_openssh_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    one_cipher(monkeypatch)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    found = failure(Sshd(options=OTHER_CIPHER), seconds=5)
    assert isinstance(found, NoClientError)
    assert "no acceptable ciphers" in str(found)
    assert "install openssh-client" in str(found)


def test_no_algorithm_with_either_client_is_final(monkeypatch: pytest.MonkeyPatch) -> None:
    one_cipher(monkeypatch)
    monkeypatch.setattr(openssh, "_every_algorithm", lambda: ["-o", "Ciphers=aes192-ctr"])
    found = failure(Sshd(options=OTHER_CIPHER), seconds=5)
    assert type(found) is NoCommonAlgorithmError
    assert "either client" in str(found)
    assert "no matching cipher" in str(found)


@pytest.mark.slow
def test_nothing_of_a_login_that_failed_runs_on() -> None:
    before = set(threading.enumerate())
    failure(Sshd(prints(b"", 1)))
    left = set(threading.enumerate()) - before
    for thread in left:
        thread.join(1)
    assert [thread for thread in left if thread.is_alive()] == []
