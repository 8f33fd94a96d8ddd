"""An OpenPGP key of a moment's and what it signs, for whoever verifies with gpg(1): no keyring, no agent, no home.

RSA and SHA-256 in packets of version 4 (RFC 9580, 5.2.3 and 5.5.2.2), which every gpg reads that systemd may start.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

_PUBLIC_KEY, _USER, _SIGNATURE = 6, 13, 2
"""Kinds of packets (RFC 9580, 5)."""
_OF_A_FILE, _OF_A_USER = 0x00, 0x13
"""Types of signatures (RFC 9580, 5.2.1)."""
_RSA, _SHA256 = 1, 8
_MADE_AT, _FLAGS, _ISSUER, _FINGERPRINT = 2, 27, 16, 33
"""Subpackets (RFC 9580, 5.2.3.7)."""
_SIGNS = b"\x03"
"""It may certify and sign."""
_LONG_AGO = 1577836800
"""When all of it was made, in seconds since 1970: a guest whose clock is slow would take today's for tomorrow's."""
_BITS = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A private key that is kept nowhere."""

    key: rsa.RSAPrivateKey
    user: str

    @classmethod
    def make(cls, user: str) -> Signer:
        """A new one; `user` is what gpg calls it."""
        return cls(key=rsa.generate_private_key(public_exponent=65537, key_size=_BITS), user=user)

    @property
    def keyring(self) -> bytes:
        """Its public half, as `gpg --export` has it: what import-pubring.gpg is."""
        public, user = self._public(), self.user.encode()
        certified = _hashed_key(public) + b"\xb4" + struct.pack(">I", len(user)) + user
        flags = _subpacket(_FLAGS, _SIGNS)
        return b"".join(
            (_packet(_PUBLIC_KEY, public), _packet(_USER, user), self._signature(_OF_A_USER, certified, flags))
        )

    def signature(self, content: bytes) -> bytes:
        """A detached one, as `gpg --detach-sign` makes it."""
        return self._signature(_OF_A_FILE, content, b"")

    def _public(self) -> bytes:
        numbers = self.key.public_key().public_numbers()
        return struct.pack(">BIB", 4, _LONG_AGO, _RSA) + _number(numbers.n) + _number(numbers.e)

    def _signature(self, kind: int, content: bytes, more: bytes) -> bytes:
        fingerprint = hashlib.sha1(_hashed_key(self._public()), usedforsecurity=False).digest()
        made_at = _subpacket(_MADE_AT, struct.pack(">I", _LONG_AGO))
        held = made_at + _subpacket(_FINGERPRINT, b"\x04" + fingerprint) + more
        head = struct.pack(">BBBBH", 4, kind, _RSA, _SHA256, len(held)) + held
        signed = content + head + struct.pack(">BBI", 4, 0xFF, len(head))
        value = int.from_bytes(self.key.sign(signed, padding.PKCS1v15(), hashes.SHA256()))
        beside = _subpacket(_ISSUER, fingerprint[-8:])
        begin = hashlib.sha256(signed).digest()[:2]
        return _packet(_SIGNATURE, head + struct.pack(">H", len(beside)) + beside + begin + _number(value))


def _hashed_key(public: bytes) -> bytes:
    """As a fingerprint and a certification hash it (RFC 9580, 5.2.4)."""
    return b"\x99" + struct.pack(">H", len(public)) + public


def _packet(kind: int, body: bytes) -> bytes:
    return bytes([0xC0 | kind, 0xFF]) + struct.pack(">I", len(body)) + body


def _subpacket(kind: int, body: bytes) -> bytes:
    return bytes([len(body) + 1, kind]) + body


def _number(value: int) -> bytes:
    """A multiprecision integer (RFC 9580, 3.2)."""
    return struct.pack(">H", value.bit_length()) + value.to_bytes(-(-value.bit_length() // 8))
