"""Keys that a firmware without any takes from the ESP: systemd-boot enrols them at an image's first boot.

Each of PK, KEK and db is a list of one certificate, in an update that the certificate's own key has signed (UEFI
Specification, 8.2.2, EFI_VARIABLE_AUTHENTICATION_2, and 32.4.1, EFI_SIGNATURE_LIST; systemd-boot(7), loader/keys/auto).
The same key and time give the same bytes.
"""

from __future__ import annotations

import ssl
import struct
import uuid
from datetime import UTC, datetime

from metallize_os import job
from metallize_os.stand_in import KeyFile, StandIn

FOLDER = "/loader/keys/auto"
CONFIG, ENROLS = "/loader/loader.conf", b"secure-boot-enroll force\n"
"""On a machine that is none of QEMU's, too: whoever asks for it has put its firmware into setup mode."""
_GLOBAL = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
_DATABASE = uuid.UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
VARIABLES = {"PK": _GLOBAL, "KEK": _GLOBAL, "db": _DATABASE}
_X509 = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
_PKCS7 = uuid.UUID("4aafd29d-68df-49ee-8aa9-347d375665a7")
_OWNER = uuid.UUID("6d657461-6c6c-5a69-8a65-000000000002")
"""Who has put them there: the same as metallize.qemu.enrolment says."""
_ATTRIBUTES = 0x27
"""Kept, for boot and runtime services, with a time and a signature (UEFI Specification, 8.2.1)."""
_REVISION, _KIND = 0x0200, 0x0EF1
"""Of a WIN_CERTIFICATE_UEFI_GUID."""


def key_files(certificate: str, signer: KeyFile | StandIn, *, epoch: int) -> dict[str, bytes]:
    """The files of `FOLDER` by their whole names; the certificate is in PEM."""
    listed = signature_list(ssl.PEM_cert_to_DER_cert(certificate))
    when, found = efi_time(epoch), {}
    for name, vendor in VARIABLES.items():
        signature = _signed(signed_content(name, vendor, when, listed), signer)
        found[f"{FOLDER}/{name}.auth"] = when + _certificate(signature) + listed
    return found


def signature_list(certificate: bytes) -> bytes:
    """An EFI_SIGNATURE_LIST of one certificate, in DER."""
    size = 16 + len(certificate)
    return _X509.bytes_le + struct.pack("<III", 28 + size, 0, size) + _OWNER.bytes_le + certificate


def efi_time(epoch: int) -> bytes:
    """EFI_TIME of an authenticated variable: whole seconds of UTC, all else zero."""
    when = datetime.fromtimestamp(epoch, UTC)
    return struct.pack("<HBBBBBxIhBx", when.year, when.month, when.day, when.hour, when.minute, when.second, 0, 0, 0)


def signed_content(name: str, vendor: uuid.UUID, when: bytes, content: bytes) -> bytes:
    """What the signature of an update is of."""
    return name.encode("utf-16-le") + vendor.bytes_le + struct.pack("<I", _ATTRIBUTES) + when + content


def _certificate(signature: bytes) -> bytes:
    """WIN_CERTIFICATE_UEFI_GUID around a signature."""
    return struct.pack("<IHH", 24 + len(signature), _REVISION, _KIND) + _PKCS7.bytes_le + signature


def _signed(content: bytes, signer: KeyFile | StandIn) -> bytes:
    """SignedData in DER: EDK II before 2023 takes none with a ContentInfo around it."""
    wrapped = job.tool(
        "openssl", "cms", "-sign", "-binary", "-noattr", "-md", "sha256", "-outform", "DER",
        "-signer", signer.certificate, "-inkey", signer.key,
        stdin=content,
    )  # fmt: skip
    return signer.finished(inner(wrapped))


def inner(wrapped: bytes) -> bytes:
    """The SignedData of a ContentInfo (RFC 5652, 3). Raises ValueError for something else."""
    kind = bytes.fromhex("06092a864886f70d010702")  # 1.2.840.113549.1.7.2, signedData
    sequence, start = _element(wrapped, 0)
    if sequence != 0x30 or not wrapped[start:].startswith(kind):  # noqa: PLR2004 - a SEQUENCE's tag
        raise ValueError("it is no signature in CMS")
    _, start = _element(wrapped, start + len(kind))
    return wrapped[start:]


def _element(content: bytes, at: int) -> tuple[int, int]:
    """The tag of a DER element, and where its content begins."""
    tag, length = content[at], content[at + 1]
    return tag, at + 2 + (length & 0x7F if length & 0x80 else 0)
