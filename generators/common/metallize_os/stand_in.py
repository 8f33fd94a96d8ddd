"""Signatures of a key on a token, which no container reaches: the host asks the token for them, and for nothing else.

The tools sign with a key that is made for it, of the same length, and by a certificate that is the real one but for the
modulus. What they leave has in it what was signed: the signature, raised to the public exponent, is that (RFC 8017,
8.2.2). The token signs the same, and modulus and signature of both are exchanged: the bytes are those that the tools
make with the token's key. Run once, the step leaves questions, NAME.digest; run again, it takes NAME.signature.
"""

from __future__ import annotations

import hashlib
import shutil
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from metallize_os import job

EXPONENT = 65537
"""Of every key that may be on a token; metallize looks before it builds."""
_LONG = 0x80
"""A DER element's size is that of its size's own field, from here on."""


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A key that the tools read themselves."""

    key: Path
    certificate: Path

    def finished(self, signed: bytes) -> bytes:
        """A signature as the tools made it."""
        return signed

    def ask(self) -> int:
        """Nobody has to be asked."""
        return 0

    def end(self) -> None:
        """There is nothing to remove."""


@dataclass(frozen=True, slots=True)
class StandIn:
    """A key in the place of the token's."""

    key: Path
    certificate: Path
    own: bytes
    """Its modulus, as long as the token's."""
    real: bytes
    asked: Path
    """The folder of questions and answers."""
    open: dict[str, bytes] = field(default_factory=dict)
    """What the token has yet to sign, by name."""

    @classmethod
    def made(cls, certificate: str, *, work: Path, asked: Path) -> StandIn:
        """One for the key of a certificate, in PEM."""
        public, key, own = work / "certificate.pem", work / "stand-in.key", work / "stand-in.pem"
        public.write_text(certificate)
        modulus = _modulus(job.tool("openssl", "x509", "-in", public, "-noout", "-modulus"))
        job.tool(
            "openssl", "genpkey", "-algorithm", "RSA", "-out", key,
            "-pkeyopt", f"rsa_keygen_bits:{int.from_bytes(modulus).bit_length()}",
            "-pkeyopt", f"rsa_keygen_pubexp:{EXPONENT}",
        )  # fmt: skip
        stands = _modulus(job.tool("openssl", "rsa", "-in", key, "-noout", "-modulus"))
        der = ssl.PEM_cert_to_DER_cert(certificate)
        if der.count(modulus) != 1 or len(stands) != len(modulus):
            job.fail("the certificate's key is not one that a token's signature can be had for")
        own.write_text(ssl.DER_cert_to_PEM_cert(der.replace(modulus, stands)))
        return cls(key=key, certificate=own, own=stands, real=modulus, asked=asked)

    def finished(self, signed: bytes) -> bytes:
        """SignedData of the tools, with whatever pads it, by the token's key; as it is where the token has yet to sign.

        Raises ValueError where it does not end with a signature of the key that stands in.
        """
        size, length = _size(signed), len(self.own)
        start = size - length
        padded = _raised(signed[start:size], self.own)
        told = _told(padded)
        name = hashlib.sha256(told).hexdigest()
        answer = self.asked / f"{name}.signature"
        if not self.asked.exists():
            self.open[name] = told
            return signed
        if not answer.exists():
            job.fail("the token has not signed all that it was asked for")
        signature = answer.read_bytes()
        if len(signature) != length or _raised(signature, self.real) != padded:
            job.fail("the token's signature is not one by the certificate's key")
        if signed.count(self.own) != 1:
            raise ValueError("the certificate is not in the signature once")
        return signed[:start].replace(self.own, self.real) + signature + signed[size:]

    def ask(self) -> int:
        """Write down what the token is to sign, and tell how much that is."""
        if self.open:
            self.asked.mkdir()
        for name, told in self.open.items():
            (self.asked / f"{name}.digest").write_bytes(told)
        return len(self.open)

    def end(self) -> None:
        """Remove questions and answers."""
        shutil.rmtree(self.asked)


def _modulus(text: bytes) -> bytes:
    """What openssl tells by -modulus."""
    return bytes.fromhex(text.decode("ascii").strip().partition("=")[2])


def _raised(signature: bytes, modulus: bytes) -> bytes:
    """What was signed, padded as it was."""
    return pow(int.from_bytes(signature), EXPONENT, int.from_bytes(modulus)).to_bytes(len(modulus))


def _told(padded: bytes) -> bytes:
    """The DigestInfo in it (EMSA-PKCS1-v1_5; RFC 8017, 9.2). Raises ValueError where there is none."""
    start, ones, told = padded[:2], *padded[2:].partition(b"\0")[::2]
    if start != b"\0\1" or len(ones) < 8 or set(ones) != {0xFF}:  # noqa: PLR2004 - RFC 8017: at least eight
        raise ValueError("it does not end with a signature by RSA with PKCS #1 v1.5")
    return told


def _size(content: bytes) -> int:
    """Of the DER element that begins there. Raises ValueError for one that is cut short."""
    length, count = content[1], content[1] & ~_LONG
    size = 2 + (count + int.from_bytes(content[2 : 2 + count]) if length & _LONG else length)
    if size > len(content):
        raise ValueError("the signature is cut short")
    return size
