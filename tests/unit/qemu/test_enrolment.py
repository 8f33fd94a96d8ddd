"""Keys of one's own in a firmware's variables: those alone, read back by virt-firmware from what was written."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from virt.firmware.varstore.edk2 import Edk2VarStore

from metallize.errors import HostError
from metallize.qemu.enrolment import OWNER, enrol, enrol_argv
from tests.signers import pair

NV_DATA = bytes.fromhex("8d2bf1ff96768b4ca985 2747075b4f50")
AUTH_VARIABLES = bytes.fromhex("782cf3aa7b949a43a180 2e144ec37792")


def store(size: int = 1 << 16) -> bytes:
    """An empty variable store as EDK II formats one (MdeModulePkg/Include/Guid/VariableFormat.h)."""
    blocks = struct.pack("<IIII", size // 4096, 4096, 0, 0)
    head = bytes(16) + NV_DATA + struct.pack("<Q4sIHHHBB", size, b"_FVH", 0x4FEFF, 72, 0, 0, 0, 2) + blocks
    variables = AUTH_VARIABLES + struct.pack("<IBBHI", size - 72, 0x5A, 0xFE, 0, 0)
    return (head + variables).ljust(size, b"\xff")


def certificate(text: str) -> bytes:
    return x509.load_pem_x509_certificate(text.encode()).public_bytes(Encoding.DER)


def test_the_certificates_are_the_only_keys_and_secure_boot_is_on(tmp_path: Path) -> None:
    file = tmp_path / "vars.fd"
    file.write_bytes(store())
    mine, yours = pair("mine")[1], pair("yours")[1]
    enrol(file, mine + yours)
    found = Edk2VarStore(str(file)).get_varlist()
    held = {name: [sig["data"] for each in found[name].sigdb for sig in each] for name in ("PK", "KEK", "db")}
    assert held == {
        "PK": [certificate(mine)],
        "KEK": [certificate(mine)],
        "db": [certificate(mine), certificate(yours)],
    }
    assert found["SecureBootEnable"].data == b"\x01"
    assert file.stat().st_size == 1 << 16


def test_a_digest_is_in_db_beside_the_certificates_and_nowhere_else(tmp_path: Path) -> None:
    file = tmp_path / "vars.fd"
    file.write_bytes(store())
    enrol(file, pair("mine")[1], ["ab" * 32, "cd" * 32])
    found = Edk2VarStore(str(file)).get_varlist()
    held = {name: [sig["data"] for each in found[name].sigdb for sig in each] for name in ("PK", "KEK", "db")}
    mine = certificate(pair("mine")[1])
    assert held == {"PK": [mine], "KEK": [mine], "db": [mine, b"\xab" * 32, b"\xcd" * 32]}


@pytest.mark.parametrize("content", [bytes(1 << 16), store(1 << 9)], ids=["no store", "no room"])
def test_a_template_that_takes_no_keys_is_told(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "vars.fd"
    file.write_bytes(content)
    with pytest.raises(HostError, match="takes no keys"):
        enrol(file, pair("mine")[1])


def test_by_hand_it_is_one_command() -> None:
    argv = enrol_argv(Path("/t.fd"), Path("v.fd"), [Path("a.pem"), Path("b.pem")])
    assert argv[:5] == ("virt-fw-vars", "--input", "/t.fd", "--output", "v.fd")
    assert argv.count(OWNER) == 4
    assert argv[-1] == "--secure-boot"
