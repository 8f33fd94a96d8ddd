"""lxd.tar.xz: the metadata that LXD and Incus want beside a disk, in a tar that is the same on every host.

A virtual machine's image of theirs is a qcow2 that boots by UEFI (LXD's and Incus' documentation, "Image format"): for
one that was not booted so there is none.
"""

from __future__ import annotations

import io
import json
import lzma
import tarfile
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from metallize.model.machine import Firmware
from metallize.model.profile import ImageFormat, Platform
from metallize.release.wares import Papers, Ware

_ARCHITECTURES = {Platform.AMD64: "x86_64", Platform.ARM64: "aarch64"}
_LEVEL = 0
"""There is next to nothing to be packed."""


def is_for_lxd(ware: Ware, papers: Papers) -> bool:
    """Whether it is a disk of their kind, and passed under UEFI."""
    firmware = {papers.proof.boots[name].firmware for name in papers.proof.required}
    others = {str(each) for each in Firmware if each is not Firmware.UEFI}
    return ware.format is ImageFormat.QCOW2 and bool(firmware - others)


def metadata_tar(ware: Ware, papers: Papers, version: str) -> bytes:
    """metadata.yaml alone, written as JSON, which is YAML too."""
    made = _made(papers.manifest)
    told = {
        "architecture": _ARCHITECTURES[ware.platform],
        "creation_date": made,
        "properties": {
            "architecture": _ARCHITECTURES[ware.platform],
            "description": f"{ware.name} {version}",
            "name": ware.name,
            "os": papers.system or ware.name,
            "serial": version,
        },
        "templates": {},
    }
    content = (json.dumps(told, indent=1, sort_keys=True) + "\n").encode()
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        entry = tarfile.TarInfo("metadata.yaml")
        entry.size, entry.mtime, entry.mode = len(content), made, 0o644
        tar.addfile(entry, io.BytesIO(content))
    return lzma.compress(plain.getvalue(), lzma.FORMAT_XZ, check=lzma.CHECK_CRC64, preset=_LEVEL)


def _made(manifest: Mapping[str, Any]) -> int:
    """Seconds since 1970, of the image and not of this moment; never 0, which stands for no time at all."""
    epoch = manifest.get("source_date_epoch")
    if isinstance(epoch, int) and epoch > 0:
        return epoch
    made = datetime.fromisoformat(str(manifest["made"])) if "made" in manifest else datetime(1970, 1, 2, tzinfo=UTC)
    return max(1, int(made.timestamp()))
