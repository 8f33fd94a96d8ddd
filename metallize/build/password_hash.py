"""SHA-512 crypt, as /etc/shadow holds a password: what a layer is given in place of the password itself.

Source: U. Drepper, Unix crypt using SHA-256 and SHA-512 (SHA-crypt.txt, public domain). Python's own `crypt` is gone
with 3.13, and the host's libcrypt may lack the method.
"""

from __future__ import annotations

import hashlib
from functools import cache
from itertools import cycle, islice

_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ROUNDS = 5000
"""The method's default, which is not written down in the hash."""
_SALT_CHARACTERS = 16
_BYTES = 64


@cache
def hashed(password: str, seed: str) -> str:
    """The hash of a password, the same for the same seed, from which the salt follows.

    The seed must not depend on the password: who reads the salt could try passwords on it without the rounds.
    """
    return sha512_crypt(password.encode(), _encoded(hashlib.sha512(seed.encode()).digest())[:_SALT_CHARACTERS])


def sha512_crypt(password: bytes, salt: str) -> str:
    """`$6$salt$hash`, as crypt(3) makes it of a password and at most 16 characters of salt."""
    raw = salt[:_SALT_CHARACTERS].encode()
    inner = hashlib.sha512(password + raw + password).digest()
    start = hashlib.sha512(password + raw + _stretched(inner, len(password)))
    length = len(password)
    while length:
        start.update(inner if length & 1 else password)
        length >>= 1
    digest = start.digest()
    repeated = _stretched(hashlib.sha512(password * len(password)).digest(), len(password))
    salted = _stretched(hashlib.sha512(raw * (16 + digest[0])).digest(), len(raw))
    for number in range(_ROUNDS):
        step = repeated if number & 1 else digest
        step += salted if number % 3 else b""
        step += repeated if number % 7 else b""
        step += digest if number & 1 else repeated
        digest = hashlib.sha512(step).digest()
    return f"$6${raw.decode()}${_encoded(_permuted(digest))[:86]}"


def _stretched(block: bytes, length: int) -> bytes:
    return bytes(islice(cycle(block), length))


def _permuted(digest: bytes) -> bytes:
    """The digest's bytes in the order in which three at a time are written, the last one alone."""
    order = []
    first, second, third = 0, 21, 42
    for _ in range(_BYTES // 3):
        order += [third, second, first]
        first, second, third = second + 1, third + 1, first + 1
    return bytes(digest[index] for index in [*order, _BYTES - 1])


def _encoded(data: bytes) -> str:
    """Six bits a character, the lowest first."""
    text = ""
    for start in range(0, len(data), 3):
        number = int.from_bytes(data[start : start + 3], "little")
        for _ in range(4):
            text += _ALPHABET[number & 63]
            number >>= 6
    return text
