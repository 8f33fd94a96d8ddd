"""Keys that a firmware in setup mode takes: authenticated variables, signed by the certificate's own key."""

from __future__ import annotations

import ssl
import struct
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from metallize_os import enrolment, job
from metallize_os.stand_in import KeyFile
from virt.firmware.efi import guids, siglist

from metallize.qemu.enrolment import OWNER
from tests.signers import pair, written

EPOCH = 1767322984
"""2026-01-02 03:03:04 UTC."""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    key, certificate = written(tmp_path, "mine")
    return enrolment.key_files(certificate.read_text(), KeyFile(key, certificate), epoch=EPOCH)


def taken_apart(content: bytes) -> tuple[bytes, bytes, bytes]:
    """Time, signature and value of an EFI_VARIABLE_AUTHENTICATION_2."""
    length, revision, kind = struct.unpack_from("<IHH", content, 16)
    assert (revision, kind) == (0x0200, 0x0EF1)
    assert str(guids.parse_bin(content, 24)) == "4aafd29d-68df-49ee-8aa9-347d375665a7"
    return content[:16], content[40 : 16 + length], content[16 + length :]


def test_each_is_a_list_of_the_one_certificate(files: dict[str, bytes]) -> None:
    assert list(files) == [f"/loader/keys/auto/{name}.auth" for name in ("PK", "KEK", "db")]
    for content in files.values():
        when, _, value = taken_apart(content)
        told = datetime.fromtimestamp(EPOCH, UTC)
        assert struct.unpack("<HBBBBBBIhBB", when)[:6] == told.timetuple()[:6]
        assert when[7:] == bytes(9)
        listed = siglist.EfiSigList(data=value)
        assert str(listed.guid) == guids.EfiCertX509
        assert [str(each["guid"]) for each in listed] == [OWNER]
        assert value[44:] == ssl.PEM_cert_to_DER_cert(pair("mine")[1]), "as the guest is asked for it"


def test_the_signature_is_of_name_vendor_attributes_time_and_value(files: dict[str, bytes], tmp_path: Path) -> None:
    for path, content in files.items():
        name = Path(path).stem
        when, signature, value = taken_apart(content)
        signed = enrolment.signed_content(name, enrolment.VARIABLES[name], when, value)
        assert verified(signature, signed, tmp_path) == 0
        assert verified(signature, signed.replace(b"\x27", b"\x07", 1), tmp_path) != 0
        assert signed.startswith(name.encode("utf-16-le") + enrolment.VARIABLES[name].bytes_le + b"\x27\0\0\0")
        sha256 = bytes.fromhex("608648016503040201")
        assert signature[13:].startswith(sha256), "where EDK II looks for it (AuthServiceInternal)"


def verified(signature: bytes, content: bytes, folder: Path) -> int:
    """By openssl, which wants a ContentInfo around it again; status 0 where it is the certificate's."""

    def element(tag: int, body: bytes) -> bytes:
        return bytes([tag, 0x82]) + struct.pack(">H", len(body)) + body

    wrapped = element(0x30, bytes.fromhex("06092a864886f70d010702") + element(0xA0, signature))
    (folder / "signature").write_bytes(wrapped)
    (folder / "content").write_bytes(content)
    argv = [
        *("openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", str(folder / "signature")),
        *("-content", str(folder / "content"), "-CAfile", str(folder / "mine.pem"), "-purpose", "any"),
        *("-out", "/dev/null"),
    ]
    return subprocess.run(argv, check=False, capture_output=True).returncode


def test_the_same_key_gives_the_same_bytes(files: dict[str, bytes], tmp_path: Path) -> None:
    signer = KeyFile(tmp_path / "mine.key", tmp_path / "mine.pem")
    again = enrolment.key_files(pair("mine")[1], signer, epoch=EPOCH)
    assert again == files


def test_another_key_is_no_signer_of_this_certificate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, certificate = written(tmp_path, "mine")
    other, _ = written(tmp_path, "yours")
    with pytest.raises(SystemExit):
        enrolment.key_files(pair("mine")[1], KeyFile(other, certificate), epoch=EPOCH)
    assert "openssl ended with status" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"0\x82\0\x04abcd", b"\x02\x01\x01", b"0\0"])
def test_what_is_no_signature_is_told(content: bytes) -> None:
    with pytest.raises(ValueError, match="no signature in CMS"):
        enrolment.inner(content)


def test_the_job_is_told_of_it_by_sign_alone() -> None:
    assert job.Job.__dataclass_fields__["enroll"].default is False
