"""Who logs in over SSH and with what: a password, a key of the profile's, or one that is made for this boot alone."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from metallize.guest import ShellError
from metallize.model.boot import Ssh

EPHEMERAL = "ephemeral"


@dataclass(frozen=True, slots=True, kw_only=True)
class SshAccess:
    """How to log in: a user with a password, or with a key."""

    user: str
    password: str | None
    key: paramiko.PKey | None
    private_text: str = field(default="", repr=False)
    """An ephemeral key in OpenSSH's format, for a person who is handed the guest."""
    key_text: str = field(default="", repr=False)
    """The private key as its file holds it, wherever it comes from: for another client than paramiko."""


def ssh_access(ssh: Ssh) -> SshAccess:
    """The declared access with its key made or read. Raises ShellError for a key that cannot be read."""
    key: paramiko.PKey | None = None
    private_text = key_text = ""
    if ssh.key == EPHEMERAL:
        private_text = key_text = ephemeral_key()
        key = paramiko.Ed25519Key.from_private_key(io.StringIO(private_text))
    elif ssh.key is not None:
        try:
            path = Path(ssh.key).expanduser()
            key, key_text = paramiko.PKey.from_path(path), path.read_text()
        except (OSError, ValueError, paramiko.SSHException) as exc:
            raise ShellError(f"the SSH key {ssh.key} cannot be read: {exc}") from exc
    return SshAccess(user=ssh.user, password=ssh.password, key=key, private_text=private_text, key_text=key_text)


def ephemeral_key() -> str:
    """A fresh ed25519 key, in OpenSSH's format, that exists in this process alone."""
    private = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    return private.decode()


def key_credentials(access: SshAccess) -> tuple[str, ...]:
    """SMBIOS strings that hand a key to one boot of an unmodified image (systemd.system-credentials(7)).

    `tmpfiles.extra`, read by systemd-tmpfiles since 252, writes the user's authorized_keys; the home is root's or
    the one of the same name in /home.
    """
    if access.key is None:
        return ()
    user = access.user
    home = "/root" if user == "root" else f"/home/{user}"
    line = base64.b64encode(f"{public_key(access)}\n".encode()).decode()
    rules = f"d {home}/.ssh 0700 {user} {user} -\nf+~ {home}/.ssh/authorized_keys 0600 {user} {user} - {line}\n"
    encoded = base64.b64encode(rules.encode()).decode()
    return (f"io.systemd.credential.binary:tmpfiles.extra={encoded}",)


def public_key(access: SshAccess) -> str:
    """The public half as a line of authorized_keys; empty for a login by password."""
    return f"{access.key.get_name()} {access.key.get_base64()} metallize" if access.key is not None else ""
