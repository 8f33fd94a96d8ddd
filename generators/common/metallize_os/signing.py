"""Signatures for Secure Boot: what the firmware starts is signed when all else is done, and both forms are told of.

RSA with PKCS #1 v1.5 gives the same bytes each time, and the time in the signature is SOURCE_DATE_EPOCH: osslsigncode
takes it, where sbsign and systemd-sbsign of Debian 13 write the hour. The key is a file of the host's that this one
container sees.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from metallize_os import job, uki

KEY = Path("/run/metallize/signing.key")
"""Where the container of this step has the private key, and no other has it."""


@dataclass(frozen=True, slots=True)
class Signed:
    """One program before and after."""

    name: str
    before: bytes
    after: bytes

    def told(self) -> dict[str, object]:
        """As result.json has it."""
        return {"file": self.name, "unsigned": _told(self.before), "signed": _told(self.after)}


def sign_all(files: Mapping[str, bytes], certificate: str, *, work: Path, epoch: int) -> tuple[Signed, ...]:
    """Every EFI program among the files, signed by the key of the certificate, which is in PEM, as of that time."""
    public = work / "certificate.pem"
    public.write_text(certificate)
    return tuple(
        Signed(name, content, _signed(name, content, public, work, epoch))
        for name, content in files.items()
        if name.lower().endswith(".efi")
    )


def _signed(name: str, content: bytes, certificate: Path, work: Path, epoch: int) -> bytes:
    source, target = work / "unsigned.efi", work / "signed.efi"
    source.write_bytes(content)
    job.tool(
        "osslsigncode", "sign", "-h", "sha256", "-time", str(epoch), "-certs", certificate, "-key", KEY,
        "-in", source, "-out", target,
    )  # fmt: skip
    made = target.read_bytes()
    try:
        kept = uki.sections(made) == uki.sections(content) and uki.signature(made) is not None
    except ValueError as exc:
        job.fail(f"{name} is no EFI program once it is signed: {exc}")
    if not kept:
        job.fail(f"{name} has no signature once it is signed, or its sections stand elsewhere")
    source.unlink()
    target.unlink()
    return made


def _told(content: bytes) -> dict[str, object]:
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
