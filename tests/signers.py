"""Keys of one's own for Secure Boot, and certificates that sign themselves: made in a moment, and nobody's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID


@cache
def _pair(name: str, bits: int) -> tuple[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form).decode(), certificate.public_bytes(serialization.Encoding.PEM).decode()


def pair(name: str, bits: int = 2048) -> tuple[str, str]:
    """A private key and its certificate, both PEM; of one name the same as long as the process lives."""
    return _pair(name, bits)


def written(folder: Path, name: str, bits: int = 2048) -> tuple[Path, Path]:
    """The same as two files: NAME.key, which its owner alone reads, and NAME.pem."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    private, public = pair(name, bits)
    key.touch(mode=0o600)
    key.write_text(private)
    certificate.write_text(public)
    return key, certificate
