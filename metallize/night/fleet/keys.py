"""The key of a fleet: whoever has it is in, and without it nothing is said to or by another host.

FOLDER/fleet.crt   a certificate that all hosts of the fleet show each other, and accept no other
FOLDER/fleet.key   its private key: who has it can have programs run on every worker

On the loopback of one host there need be none.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from metallize.errors import HostError, UsageError

CERTIFICATE, KEY = "fleet.crt", "fleet.key"
_VALID = timedelta(days=3650)
MAKE = "metallize worker --make-keys FOLDER makes them; copy that folder to each host of the fleet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Those of one folder."""

    certificate: Path
    key: Path

    def of_server(self) -> ssl.SSLContext:
        """For one who is connected to."""
        return self._context(ssl.PROTOCOL_TLS_SERVER)

    def of_client(self) -> ssl.SSLContext:
        """For one who connects."""
        return self._context(ssl.PROTOCOL_TLS_CLIENT)

    def _context(self, side: int) -> ssl.SSLContext:
        """Both sides show the certificate; names are not looked at, since nobody else has it."""
        context = ssl.SSLContext(side)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(self.certificate)
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as exc:
            raise UsageError(f"--keys {self.certificate.parent}: {exc}", hint=MAKE) from exc
        return context


def keys_in(folder: Path) -> Keys:
    """Raises UsageError where there are none, or where others than their owner can read the private one."""
    keys = Keys(certificate=folder / CERTIFICATE, key=folder / KEY)
    for path in (keys.certificate, keys.key):
        if not path.is_file():
            raise UsageError(f"--keys {folder}: there is no {path.name}", hint=MAKE)
    if keys.key.stat().st_mode & 0o077:
        raise UsageError(f"{keys.key} can be read by others than its owner", hint=f"chmod 600 {keys.key}")
    keys.of_server()
    return keys


def make_keys(folder: Path) -> Keys:
    """Raises UsageError where some are there already, and HostError where they cannot be written."""
    from cryptography import x509  # noqa: PLC0415 - seldom needed
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    keys = Keys(certificate=folder / CERTIFICATE, key=folder / KEY)
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a fleet of metallize")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # a host's clock may be behind
        .not_valid_after(now + _VALID)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    secret = private.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, mode, data in (
            (keys.key, 0o600, secret),
            (keys.certificate, 0o644, certificate.public_bytes(encoding)),
        ):
            number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            with os.fdopen(number, "wb") as file:
                file.write(data)
    except FileExistsError as exc:
        raise UsageError(f"--make-keys {folder}: there are keys already", hint="name another folder") from exc
    except OSError as exc:
        raise HostError(f"--make-keys {folder}: {exc.strerror or exc}", hint="see its owner and rights") from exc
    return keys


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this host's own, by all that it stands for.

    Raises HostError where it stands for nothing.
    """
    try:
        found = {item[4][0] for item in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError) as exc:
        raise HostError(f"there is no host {host}: {exc}", hint="name an address, or see /etc/hosts") from exc
    return all(ipaddress.ip_address(str(each).partition("%")[0]).is_loopback for each in found)


def require_keys(host: str, keys: Keys | None) -> None:
    """Raises UsageError where a host that is not this one would be spoken to without keys."""
    if keys is None and not is_loopback(host):
        raise UsageError(f"{host} is not this host's loopback, and without keys nobody is spoken to there",
                         hint=f"--keys FOLDER; {MAKE}")  # fmt: skip
