"""Why a live system's initrd has no root filesystem, where that should have come over the network.

live-boot shows what its tools print a second late, and has given up by then: its own log tells.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from metallize.model.report import Finding
from metallize.verify.why.rescue import INITRD

RULE = "initrd-no-live-medium"
_COMPLAINT = re.compile(r"^wget: (?P<why>.+)$", re.MULTILINE)


def with_download(failure: Finding, folder: Path) -> Finding:
    """The failure, with what the download ended with where the initrd's prompt has told it."""
    file = folder / INITRD.file
    if failure.rule != RULE or not file.exists():
        return failure
    complaints = list(_COMPLAINT.finditer(file.read_text(encoding="utf-8", errors="replace")))
    if not complaints:
        return failure
    return replace(
        failure,
        cause=f"the initrd could not fetch the root filesystem: {complaints[-1]['why'].strip()}",
        remedy="the server lacks the file, or has stopped; `metallize serve` says who asked for what",
        line=complaints[-1][0].strip(),
    )
