"""A key that stands in for a token's: the tools' signatures become the token's, and nothing else is asked of it."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from metallize_os import enrolment, uki
from metallize_os.stand_in import KeyFile, StandIn

from tests.signers import pair, written

EPOCH = 1767322984


def standing_in(folder: Path) -> StandIn:
    return StandIn.made(pair("mine")[1], work=folder, asked=folder / "asked")


def answer(asked: Path, name: str = "mine") -> None:
    """As a token does: RSA with PKCS #1 v1.5 of a DigestInfo that it is given."""
    key = load_pem_private_key(pair(name)[0].encode(), password=None)
    assert isinstance(key, RSAPrivateKey)
    for digest in asked.glob("*.digest"):
        signature = key.sign(digest.read_bytes()[-32:], PKCS1v15(), Prehashed(SHA256()))
        digest.with_suffix(".signature").write_bytes(signature)


def enrolled(signer: KeyFile | StandIn) -> dict[str, bytes]:
    return enrolment.key_files(pair("mine")[1], signer, epoch=EPOCH)


def test_what_the_token_signs_is_what_its_key_signs_as_a_file(tmp_path: Path) -> None:
    key, certificate = written(tmp_path, "mine")
    asking = standing_in(tmp_path)
    enrolled(asking)
    assert asking.ask() == 3
    for digest in (tmp_path / "asked").iterdir():
        told = digest.read_bytes()
        assert told[:-32].hex() == "3031300d060960864801650304020105000420"
        assert digest.name == f"{hashlib.sha256(told).hexdigest()}.digest"
    answer(tmp_path / "asked")
    taking = standing_in(tmp_path)
    assert taking.own != asking.own, "a key for each run"
    assert enrolled(taking) == enrolled(KeyFile(key, certificate))
    assert taking.ask() == 0
    taking.end()
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize(
    ("signer", "words"),
    [("yours", "not one by the certificate's key"), (None, "has not signed all that it was asked for")],
)
def test_what_another_key_signed_or_nobody_is_taken_by_nobody(
    signer: str | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asking = standing_in(tmp_path)
    enrolled(asking)
    asking.ask()
    if signer is not None:
        answer(tmp_path / "asked", signer)
    with pytest.raises(SystemExit):
        enrolled(standing_in(tmp_path))
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", [b"\x30\x82\x02\0" + bytes(508), b"\x30\x82\x02\0" + bytes(512), b"\x30\x10" + bytes(9)]
)
def test_what_ends_with_no_signature_of_the_key_is_told(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cut short|does not end with a signature"):
        standing_in(tmp_path).finished(content)


def test_a_certificate_without_an_rsa_key_is_told(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        StandIn.made("no certificate", work=tmp_path, asked=tmp_path / "asked")


def test_the_checksum_is_that_of_all_but_itself() -> None:
    image = bytearray(
        b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40) + b"PE\0\0".ljust(200, b"\7") + b"\xff\xff" * 9
    )
    once = uki.checksummed(bytes(image))
    words = struct.unpack(f"<{len(once) // 2}H", once)
    at = (0x40 + 24 + 64) // 2
    assert struct.unpack_from("<I", once, at * 2)[0] == (sum(words) - sum(words[at : at + 2]) - 1) % 0xFFFF + 1 + len(
        once
    )
    assert uki.checksummed(once) == once
