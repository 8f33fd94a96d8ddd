"""The keys of a firmware that was in setup mode: those that the image's first boot has enrolled, and no others.

A variable is four bytes of attributes and a list of signatures (efivarfs; UEFI Specification, 32.4.1): the certificate
begins 44 bytes into a list, and where it is the only one it reaches to the variable's end.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metallize.errors import Location
from metallize.files.json_file import as_mapping
from metallize.model.assertion import Assertion
from metallize.model.kind import Kind

TITLE = "the firmware holds the image's certificate alone"
_FOLDER = "/sys/firmware/efi/efivars"
_GLOBAL, _DATABASE = "8be4df61-93ca-11d2-aa0d-00e098032b8c", "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
VARIABLES = {"PK": _GLOBAL, "KEK": _GLOBAL, "db": _DATABASE}
_BEFORE_BYTES = 48


def enrolled_promises(manifest: Mapping[str, Any], kinds: Mapping[str, Kind]) -> tuple[Assertion, ...]:
    """That PK, KEK and db hold what the manifest says has signed; where nobody has, nothing is there to hold."""
    told = manifest.get("secure_boot")
    if not isinstance(told, dict):
        return ()
    digest = str(as_mapping(told).get("certificate_sha256", ""))
    options = kinds["command"].options.model_validate(
        {"title": TITLE, "exec": probe(), "exit-status": 0, "stdout": [f"{name} {digest}" for name in VARIABLES]}
    )
    place = Location(path=Path("the image's manifest"), line=1, column=1)
    return (Assertion(kind="command", resource=TITLE, options=options, location=place),)


def probe() -> str:
    """A snippet that prints each variable's name, and the SHA-256 of the certificate in it.

    A file of efivarfs is read from its beginning: tail(1) alone would begin in the middle, and gets nothing there.
    """
    lines = [f"cd {_FOLDER} || exit"]
    for name, vendor in VARIABLES.items():
        lines.append(f'[ -e {name}-{vendor} ] || echo "{name} is not there"')
        lines.append(f'echo "{name} $(cat {name}-{vendor} | tail -c +{_BEFORE_BYTES + 1} | sha256sum)"')
    return "\n".join(lines)
