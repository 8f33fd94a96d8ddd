"""X.509 certificates in PEM: found in a text, checked, and written in one way (RFC 7468)."""

from __future__ import annotations

import re

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate

_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")


def certificates_in(text: str) -> tuple[str, ...]:
    """Each certificate of a text, without what stands around it. Raises ValueError where there is none, or no good one.

    A private key in the same file is passed over.
    """
    blocks = _BLOCK.findall(text)
    if not blocks:
        raise ValueError("there is no certificate in PEM in it")
    return tuple(load_pem_x509_certificate(block.encode()).public_bytes(Encoding.PEM).decode() for block in blocks)
