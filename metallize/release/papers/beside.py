"""The papers of one image, as files with their names: what is known before its payload is written, and after."""

from __future__ import annotations

from collections.abc import Iterator

from metallize.errors import HostError
from metallize.proof import RECORD
from metallize.release import packing
from metallize.release.channel.streams import METADATA
from metallize.release.packing import Content
from metallize.release.papers.lxd import is_for_lxd, metadata_tar
from metallize.release.papers.sbom import sbom_text
from metallize.release.wares import Papers, Ware


def lxd_metadata(ware: Ware, papers: Papers, version: str) -> bytes:
    """What LXD and Incus have beside the disk; empty where the image is none of theirs."""
    return metadata_tar(ware, papers, version) if is_for_lxd(ware, papers) else b""


def papers_beside(
    base: str, ware: Ware, papers: Papers, version: str, content: Content, metadata: bytes
) -> Iterator[tuple[str, bytes]]:
    """Name and content of each but the statements, in the order in which they are written.

    `base` is what their names begin with. Raises HostError where the manifest does not tell enough.
    """
    if ware.format in packing.WRITTEN_AS_IS:
        yield f"{base}.bmap", content.block_map.encode()
    yield f"{base}.cdx.json", _sbom(ware, papers, version)
    if papers.files is not None:
        yield f"{base}.files.mtree", papers.files
    if metadata:
        yield f"{base}{METADATA}", metadata
    yield f"{base}.manifest.json", papers.manifest_bytes
    yield f"{base}{RECORD}", papers.record


def _sbom(ware: Ware, papers: Papers, version: str) -> bytes:
    try:
        return sbom_text(ware.name, version, papers.manifest).encode()
    except (ValueError, LookupError, TypeError, AttributeError) as exc:
        raise HostError(
            f"{ware.image.papers[0]} does not tell what the image is made of: {exc!r}", hint="build it again"
        ) from exc
