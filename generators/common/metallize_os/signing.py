"""Signatures for Secure Boot: what the firmware starts is signed when all else is done, and both forms are told of.

RSA with PKCS #1 v1.5 gives the same bytes each time, and the time in the signature is SOURCE_DATE_EPOCH: osslsigncode
takes it, where sbsign and systemd-sbsign of Debian 13 write the hour. The key is a file of the host's that this one
container sees, or on a token, which no container sees (metallize_os.stand_in).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from metallize_os import job, uki
from metallize_os.stand_in import KeyFile, StandIn

KEY = Path("/run/metallize/signing.key")
"""Where the container of this step has the private key, and no other has it."""
_CERTIFICATE = struct.Struct("<IHH")
"""What a signature in a PE file begins with: size, revision and kind (PE Format, WIN_CERTIFICATE)."""


@dataclass(frozen=True, slots=True)
class Signed:
    """One program before and after."""

    name: str
    before: bytes
    after: bytes

    def told(self) -> dict[str, object]:
        """As result.json has it."""
        return {"file": self.name, "unsigned": _told(self.before), "signed": _told(self.after)}


def signer_of(task: job.Job, *, work: Path) -> KeyFile | StandIn:
    """What signs: the key's file, or a key in the place of the one on a token."""
    if task.token:
        return StandIn.made(task.certificate, work=work, asked=job.OUT / "asked")
    public = work / "certificate.pem"
    public.write_text(task.certificate)
    return KeyFile(key=KEY, certificate=public)


def sign_all(files: Mapping[str, bytes], signer: KeyFile | StandIn, *, work: Path, epoch: int) -> tuple[Signed, ...]:
    """Every EFI program among the files, signed as of that time."""
    return tuple(
        Signed(name, content, _signed(name, content, signer, work, epoch))
        for name, content in files.items()
        if name.lower().endswith(".efi")
    )


def _signed(name: str, content: bytes, signer: KeyFile | StandIn, work: Path, epoch: int) -> bytes:
    source, target = work / "unsigned.efi", work / "signed.efi"
    source.write_bytes(content)
    job.tool(
        "osslsigncode", "sign", "-h", "sha256", "-time", str(epoch), "-certs", signer.certificate, "-key", signer.key,
        "-in", source, "-out", target,
    )  # fmt: skip
    made = target.read_bytes()
    try:
        table = uki.signature(made)
        if table is None or uki.sections(made) != uki.sections(content):
            job.fail(f"{name} has no signature once it is signed, or its sections stand elsewhere")
        start, end = table.offset + _CERTIFICATE.size, table.offset + table.size
        finished = signer.finished(made[start:end])
    except ValueError as exc:
        job.fail(f"{name} is no EFI program once it is signed: {exc}")
    if finished != made[start:end]:
        made = uki.checksummed(made[:start] + finished + made[end:])
    source.unlink()
    target.unlink()
    return made


def _told(content: bytes) -> dict[str, object]:
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
