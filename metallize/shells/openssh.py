"""OpenSSH's own client, for a server that paramiko has no algorithm in common with; it speaks all that it can.

One process keeps the connection (ControlMaster), each script is another channel of it. Key and password are handed
over in memory (memfd_create(2)): they are in no argument, in no environment and on no disk.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO

from metallize.command import run, spawn
from metallize.deadline import Deadline
from metallize.errors import MetallizeError
from metallize.guest import ShellError, ShellOutput, Watch
from metallize.patience import OPENSSH_LOGIN as LOGIN_SECONDS
from metallize.patience import OPENSSH_LOOK as _LOOK_SECONDS
from metallize.patience import OPENSSH_SHELL as SHELL_SECONDS
from metallize.shells.challenge import Challenge
from metallize.shells.ssh_access import SshAccess
from metallize.shells.ssh_connection import Span
from metallize.shells.ssh_errors import (
    BadServerError,
    NoClientError,
    NoCommonAlgorithmError,
    ServerClosedError,
    SshRefusedError,
    StalledError,
    no_session,
    no_shell,
    no_word,
)

MOST_BYTES = 64 << 20
"""Of each output of a script."""
CHALLENGE_BYTES = 1 << 20
_LIMIT = timedelta(seconds=20)
_LISTS = {
    "Ciphers": "cipher",
    "KexAlgorithms": "kex",
    "MACs": "mac",
    "HostKeyAlgorithms": "HostKeyAlgorithms",
    "PubkeyAcceptedAlgorithms": "PubkeyAcceptedAlgorithms",
}
"""Options by what `ssh -Q` calls all that the client has; the preferred ones stay the first."""
_ALWAYS = (
    "UserKnownHostsFile=/dev/null",
    "GlobalKnownHostsFile=/dev/null",
    "StrictHostKeyChecking=no",
    "UpdateHostKeys=no",
    "ServerAliveInterval=15",
    "ClearAllForwardings=yes",
    "IdentityAgent=none",
    "IdentitiesOnly=yes",
    "NumberOfPasswordPrompts=1",
)
_STATUS = re.compile(rb"\nmz-status-(\d{1,3})\n?\Z")
_REMOTE = "sh -c 'sh; printf \"\\nmz-status-%s\\n\" $? >&2'"
"""The exit status comes as a word, for ssh(1) has 255 of its own; any login shell understands the quotes."""
_NO_SESSION = re.compile(r"session request failed: ([^\n]*)|^([^\n]*administratively prohibited[^\n]*)", re.MULTILINE)


class OpenSshShell:
    """A connection that ssh(1) keeps; it ends with the shell, and with this process at the latest."""

    name = "ssh"

    def __init__(self, argv: tuple[str, ...], connection: ExitStack, watch: Watch, *, client: str) -> None:
        self._argv = argv
        self._watch = watch
        self.client = client
        self.server = ""
        self._end = weakref.finalize(self, connection.close)

    def run(self, script: str, deadline: Deadline) -> ShellOutput:
        try:
            out, err = self.exchange(script, lambda: deadline.expired, most=MOST_BYTES)
        except TimeoutError as exc:
            raise ShellError(f"SSH was lost: the script did not end in the time for {deadline.purpose}") from exc
        status = _STATUS.search(err)
        if status is None:
            raise ShellError(f"SSH was lost: {_last_line(err) or 'it ended without the exit status of the script'}")
        return ShellOutput(status=int(status[1]), stdout=out, stderr=err[: status.start()])

    def close(self) -> None:
        self._end()

    def exchange(self, script: str, over: Callable[[], bool], *, most: int) -> tuple[bytes, bytes]:
        """Both outputs of a script on a channel of its own, ssh's own words among them.

        Raises TimeoutError when it is over before its end, ShellError when it prints too much, GuestFailed.
        """
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(script.encode())
            given.seek(0)
            with spawn(
                [*self._argv, _REMOTE], stdin=given, stdout=out, stderr=err, grace=timedelta(seconds=1)
            ) as process:
                while process.poll() is None:
                    self._watch.check()
                    if max(os.fstat(out.fileno()).st_size, os.fstat(err.fileno()).st_size) > most:
                        raise ShellError(f"SSH was left: the script printed more than {most} bytes")
                    if over():
                        raise TimeoutError
                    time.sleep(_LOOK_SECONDS)
            return _content(out, most), _content(err, most)


def log_in(port: int, access: SshAccess, watch: Watch, deadline: Deadline, *, because: str) -> OpenSshShell:
    """One attempt at a server of 127.0.0.1, up to a shell that answers; `because` says why not with paramiko.

    Raises SshError, GuestFailed.
    """
    client = _client(because)
    with ExitStack() as stack:
        # a socket's name must be short; nothing but the socket is in the folder
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="metallize-ssh-"))
        control = Path(folder) / "s"
        common = ("ssh", "-F", "none", "-T", "-S", str(control), "-l", access.user, *_options(*_ALWAYS))
        # why a connection ends is said at this level, and at no higher one
        begin = (*common, *_options("LogLevel=INFO"), "-M", "-N", "-p", str(port), *_every_algorithm())
        _master(stack, begin, control, access, watch, deadline, because=because, client=client)
        # without the connection there is to be none: ssh would make another, by whatever way it finds
        channel = (
            *common,
            *_options("LogLevel=ERROR", "ControlMaster=no", "BatchMode=yes", "ProxyCommand=false"),
            "127.0.0.1",
        )
        shell = OpenSshShell(channel, stack.pop_all(), watch, client=client)
    try:
        _challenge(shell, access.user, watch, deadline)
    except BaseException:
        shell.close()
        raise
    return shell


def _master(
    stack: ExitStack,
    begin: tuple[str, ...],
    control: Path,
    access: SshAccess,
    watch: Watch,
    deadline: Deadline,
    *,
    because: str,
    client: str,
) -> None:
    """Start the process that keeps the connection, and wait until it is logged in."""
    span = Span(watch, deadline, LOGIN_SECONDS, "the login of SSH")
    with tempfile.TemporaryFile() as said, _credentials(access) as (options, environment):
        process = stack.enter_context(
            spawn([*begin, *options, "127.0.0.1"], env=environment, stderr=said, grace=timedelta(seconds=1))
        )
        while not control.exists():
            watch.check()
            if process.poll() is not None:
                raise _failure(_content(said, CHALLENGE_BYTES).decode(errors="replace"), access, because, client)
            if os.fstat(said.fileno()).st_size > CHALLENGE_BYTES:
                raise BadServerError("what the SSH server says to a login has no end")
            if span.over:
                raise StalledError(
                    f"the SSH server answered, but the handshake failed: {client} came no further, although the guest "
                    f"had {span.seconds:.0f} s for it"
                )
            time.sleep(_LOOK_SECONDS)


def _failure(said: str, access: SshAccess, because: str, client: str) -> Exception:
    """What ssh(1) says of its end; pure."""
    line = _last_line(said.encode()) or "it ended without a word"
    if re.search(r"[Uu]nable to negotiate|no matching", said):
        return NoCommonAlgorithmError(
            f"the SSH server has no algorithm in common with either client: {line} ({client}); {because}"
        )
    if found := re.search(r"Permission denied \(([^)\n]{0,200})\)", said):
        how = "key" if access.key is not None else "password"
        return SshRefusedError(f"the SSH server refused the {how} of {access.user}: it allows {found[1]} ({client})")
    return ServerClosedError(f"the SSH server answered, but the handshake failed: {line} ({client})")


def _challenge(shell: OpenSshShell, user: str, watch: Watch, deadline: Deadline) -> None:
    challenge = Challenge()
    span = Span(watch, deadline, SHELL_SECONDS, "a shell over SSH")
    try:
        out, err = shell.exchange(challenge.script, lambda: span.over, most=CHALLENGE_BYTES)
    except TimeoutError as exc:
        watch.check()
        raise no_word(user, span.seconds) from exc
    except ShellError as exc:
        raise no_shell(user, None, str(exc)) from exc
    if challenge.is_answered(out.decode(errors="replace")):
        return
    words = err.decode(errors="replace")
    if found := _NO_SESSION.search(words):
        raise no_session(user, (found[1] or found[2]).strip())
    status = _STATUS.search(err)
    raise no_shell(
        user,
        int(status[1]) if status else None,
        f"{out.decode(errors='replace')}{_STATUS.sub(b'', err).decode(errors='replace')}",
    )


def _client(because: str) -> str:
    """Name and version of the client; raises NoClientError where this host has none."""
    if shutil.which("ssh") is None:
        raise NoClientError(
            f"{because}; OpenSSH's own client may speak to it, but this host has no ssh: install openssh-client"
        )
    words = run(["ssh", "-V"], check=False, timeout=_LIMIT).stderr.strip()
    return re.sub(r"[\s,].*", "", words, flags=re.DOTALL).replace("_", " ") or "OpenSSH"


def _every_algorithm() -> list[str]:
    """Options that add whatever the client has to what it prefers; those that it does not know are left out."""
    options = []
    for option, query in _LISTS.items():
        try:
            answer = run(["ssh", "-F", "none", "-Q", query], timeout=_LIMIT).stdout.split()
        except MetallizeError:
            continue
        if answer:
            options.append(f"{option}=+{','.join(answer)}")
    return _options(*options)


def _options(*options: str) -> list[str]:
    return [word for option in options for word in ("-o", option)]


@contextmanager
def _credentials(access: SshAccess) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Options and environment of the process that logs in; what they name is gone afterwards."""
    with ExitStack() as stack:
        if access.key is not None:
            key = stack.enter_context(_in_memory(access.key_text.encode(), 0o600))
            yield ["-i", key, *_options("BatchMode=yes", "PreferredAuthentications=publickey")], {}
            return
        secret = stack.enter_context(_in_memory(f"{access.password or ''}\n".encode(), 0o600))
        helper = stack.enter_context(_in_memory(f"#!/bin/sh\nexec cat {secret}\n".encode(), 0o700))
        environment = {"SSH_ASKPASS": helper, "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":metallize"}
        ways = "PreferredAuthentications=password,keyboard-interactive"
        yield _options(ways, "PubkeyAuthentication=no"), environment


@contextmanager
def _in_memory(content: bytes, mode: int) -> Iterator[str]:
    """The name of a file that is on no disk, for processes of the same user while this one runs."""
    writer = os.memfd_create("metallize", os.MFD_CLOEXEC)
    try:
        os.write(writer, content)
        os.fchmod(writer, mode)
        reader = os.open(f"/proc/self/fd/{writer}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(writer)  # what somebody may write to is not run
    try:
        yield f"/proc/{os.getpid()}/fd/{reader}"
    finally:
        os.close(reader)


def _content(file: IO[bytes], most: int) -> bytes:
    file.seek(0)
    return file.read(most)


def _last_line(said: bytes) -> str:
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""
