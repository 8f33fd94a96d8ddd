"""What a TPM's register 11 will hold once a unified kernel image was started: predicted from its bytes.

systemd-stub measures the image's sections, each by its name and then by its content as it is in memory. Nothing else
measures into this register but systemd: a word for each phase of the boot that is reached (systemd-stub(7),
systemd-pcrphase.service(8), systemd-measure(1)).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from metallize_os.convert import Conversion
from metallize_os.uki import sections

BANK = "sha256"
MEASURED = (
    ".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat", ".pcrpkey", ".profile",
    ".dtbauto", ".hwids",
)  # fmt: skip
"""In the stub's order (src/fundamental/uki.h, UnifiedSection); .pcrsig is none of them."""
PHASES = ("sysinit", "ready")
"""That an initrd of initramfs-tools leaves: the two before are those of an initrd with systemd in it."""
_LIBRARIES = ("libtss2-esys.so.0", "libtss2-mu.so.0", "libtss2-rc.so.0", "libtss2-tcti-device.so.0")
"""Without one of them systemd talks to no TPM, and measures nothing (tpm2-util.c, dlopen_tpm2)."""
_FOLDERS = ("usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib")
_UNITS = tuple(f"usr/lib/systemd/system/sysinit.target.wants/systemd-pcrphase{end}.service" for end in ("-sysinit", ""))
_EMPTY = bytes(32)


def extended(register: bytes, content: bytes) -> bytes:
    """The register once this was measured (TPM 2.0 Library, Part 1, 17.2, PCR extend)."""
    return hashlib.sha256(register + hashlib.sha256(content).digest()).digest()


def after_stub(image: bytes) -> bytes:
    """The register as the kernel finds it. Raises ValueError for what is no PE file."""
    found, register = sections(image), _EMPTY
    for name in MEASURED:
        if name in found:
            register = extended(register, name.encode() + b"\0")
            register = extended(register, found[name].loaded(image))
    return register


def predicted(image: bytes, phases: Iterable[str]) -> dict[str, object]:
    """As result.json has it: the register's value at each point of the boot, from the kernel's start on."""
    register, seen = after_stub(image), list[str]()
    values: list[dict[str, object]] = [{"phases": [], "value": register.hex()}]
    for phase in phases:
        seen.append(phase)
        register = extended(register, phase.encode())
        values.append({"phases": list(seen), "value": register.hex()})
    return {"bank": BANK, "values": values}


def phases_of(conversion: Conversion) -> Sequence[str]:
    """Those that this rootfs measures; none where it cannot talk to a TPM."""
    talks = all(conversion.has(*(f"{folder}/{library}" for folder in _FOLDERS)) for library in _LIBRARIES)
    return PHASES if talks and all(conversion.has(unit) for unit in _UNITS) else ()
