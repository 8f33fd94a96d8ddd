"""Who signs for Secure Boot by a key on a token (SoftHSM): the bytes are those that the key makes as a file."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from metallize_os import signing
from metallize_os.stand_in import KeyFile, StandIn

from metallize.build.generator import sha256_of
from metallize.build.signing import Signing, require_key, signing_of
from metallize.build.step import ASKED, DIGEST, SIGNATURE, filled
from metallize.build.steps.assembly import token_step
from metallize.command import run
from metallize.errors import HostError, MetallizeError, ProfileError, UsageError
from metallize.files.token_uri import PIN
from metallize.host.token import Token
from metallize.model.loaded import Profile
from tests import softhsm
from tests.conftest import ROOT, Cli
from tests.signers import pair, written
from tests.softhsm import LABEL, MODULE, TOKEN_PIN
from tests.unit.build.conftest import profile

pytestmark = pytest.mark.slow

URI = f"pkcs11:token={LABEL.replace(' ', '%20')};id=%05?module-path={MODULE}"
EPOCH = 1767322984


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    """A token that has the key `mine`, number 5."""
    folder = tmp_path_factory.mktemp("token")
    with softhsm.token(folder) as patch:
        softhsm.take_in(written(folder, "mine")[0], "05")
        yield patch


def asking(folder: Path, uri: str = URI, name: str = "mine") -> Profile:
    _, certificate = written(folder, name)
    return profile(output={"secure_boot": {"key": uri, "certificate": str(certificate)}})


def found(asked: Profile) -> Signing:
    signer = signing_of(asked)
    assert signer is not None
    return signer


def program() -> bytes:
    """An EFI program for x86-64 of one section (PE Format)."""
    section = struct.pack("<8sIIIIIIHHI", b".text", 512, 0x1000, 512, 512, 0, 0, 0, 0, 0x60000020)
    optional = struct.pack("<HBBIIIII", 0x20B, 0, 0, 512, 0, 0, 0x1000, 0x1000)
    optional += struct.pack("<QIIHHHHHHIIIIHH", 0, 4096, 512, 0, 0, 0, 0, 0, 0, 0, 0x2000, 512, 0, 10, 0)
    optional += struct.pack("<QQQQII", 0, 0, 0, 0, 0, 16) + bytes(128)
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664, 1, 0, 0, 0, len(optional), 0x22)
    head = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40) + coff + optional + section
    return head.ljust(512, b"\0") + b"\xc3".ljust(512, b"\x90")


def signed(signer: KeyFile | StandIn, folder: Path) -> bytes:
    [made] = signing.sign_all({"/a.efi": program()}, signer, work=folder, epoch=EPOCH)
    return made.after


def test_a_program_signed_by_the_token_is_the_one_that_the_key_signs_as_a_file(
    token: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = asking(tmp_path)
    mine = found(asked)
    require_key(asked, mine)
    assert isinstance(mine.key, Token)
    folder = tmp_path / ASKED
    standing = StandIn.made(mine.certificate, work=tmp_path, asked=folder)
    assert signed(standing, tmp_path) != signed(StandIn.made(mine.certificate, work=tmp_path, asked=folder), tmp_path)
    assert standing.ask() == 1
    [digest] = folder.iterdir()
    argv = filled(token_step(mine.key).argv, {DIGEST: str(digest), SIGNATURE: str(digest.with_suffix(f".{SIGNATURE}"))})
    mine.key.sign(argv)
    assert TOKEN_PIN not in " ".join(argv)
    made = signed(StandIn.made(mine.certificate, work=tmp_path, asked=folder), tmp_path)
    assert made == signed(KeyFile(tmp_path / "mine.key", tmp_path / "mine.pem"), tmp_path)
    (tmp_path / "a.efi").write_bytes(made)
    assert verified(tmp_path / "a.efi", tmp_path / "mine.pem") == 0
    assert verified(tmp_path / "a.efi", written(tmp_path, "yours")[1]) != 0
    (tmp_path / "a.efi").write_bytes(made.replace(b"\xc3\x90", b"\xc3\x91", 1))
    assert verified(tmp_path / "a.efi", tmp_path / "mine.pem") != 0


def verified(file: Path, certificate: Path) -> int:
    """By sbverify: 0 where the certificate's key signed it."""
    return run(["sbverify", "--cert", certificate, file], check=False).status


@pytest.mark.parametrize(
    ("uri", "kind", "words"),
    [
        (URI.replace("the%20release", "another"), HostError, f"another is not there to be asked: there are {LABEL}"),
        (URI.replace("%05", "%09"), HostError, "the token has no private key whose id is 09"),
        (URI.replace("token=the%20release;", ""), ProfileError, "does not say which token"),
        (URI.replace(MODULE, "/nowhere.so"), ProfileError, "there is no library /nowhere.so"),
        (f"{URI}&pin-value={TOKEN_PIN}", ProfileError, "seen by everybody"),
        (f"{URI}&pin-source=/nowhere", UsageError, "/nowhere holds no PIN that can be read"),
        ("pkcs11:object=x", ProfileError, "`object` is not understood"),
    ],
)
def test_a_key_that_cannot_be_had_is_told_at_its_place_with_what_to_do(
    token: pytest.MonkeyPatch, tmp_path: Path, uri: str, kind: type[MetallizeError], words: str
) -> None:
    asked = asking(tmp_path, uri)
    with pytest.raises(kind) as caught:
        require_key(asked, found(asked))
    assert words in str(caught.value)
    assert "`secure_boot.key`: " in str(caught.value)
    assert caught.value.hint or (isinstance(caught.value, ProfileError) and caught.value.problems[0].hint)
    assert TOKEN_PIN not in f"{caught.value} {caught.value.hint}"


def test_a_wrong_pin_is_told_and_tried_once(token: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = asking(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PIN, "8765")
        with pytest.raises(HostError, match="lets nobody in by this PIN") as caught:
            require_key(asked, found(asked))
        assert "8765" not in f"{caught.value} {caught.value.hint}"
        assert PIN in (caught.value.hint or "")
        patch.delenv(PIN)
        with pytest.raises(UsageError, match="nobody is there to be asked"):
            require_key(asked, found(asked))


def test_the_key_of_another_certificate_is_told(token: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = asking(tmp_path, name="yours")
    with pytest.raises(ProfileError, match=r"`secure_boot.key`: pkcs11:.* is not the key of the certificate"):
        require_key(asked, found(asked))


def test_a_small_key_is_told_before_the_token_is_asked(token: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = asking(tmp_path, URI.replace("the%20release", "none"))
    small = replace(found(asked), certificate=pair("small", 1024)[1])
    with pytest.raises(ProfileError, match=r"`secure_boot.certificate`: its key is an RSA key of 1024 bits"):
        require_key(asked, small)


def test_without_the_tool_its_package_is_named(
    token: pytest.MonkeyPatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asking(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="`pkcs11-tool` is not installed") as caught:
        require_key(asked, found(asked))
    assert "opensc" in (caught.value.hint or "")


def small_disk(folder: Path, key: str) -> Path:
    """The shipped profile without what is not asked about here."""
    folder.mkdir()
    written(folder, "mine")
    content: dict[str, Any] = yaml.safe_load((ROOT / "profiles" / "debian13-ab.yaml").read_text())
    content["images"] = ["debian:trixie", "debian-disk.dockerfile", "debian-ab.dockerfile"]
    content["output"]["secure_boot"] = {"key": key, "certificate": "mine.pem", "enroll": True}
    content["output"]["options"] = {"slot": "512M"}
    content["boot"] = {"machines": ["ovmf"]}
    file = folder / "my.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


@pytest.mark.docker
@pytest.mark.nightly
def test_an_image_signed_by_a_token_is_that_of_the_key_as_a_file_and_its_plans(
    token: pytest.MonkeyPatch, cli: Cli, tmp_path: Path
) -> None:
    made = []
    for name, key in (("file", "mine.key"), ("token", URI)):
        done = cli("build", small_disk(tmp_path / name, key), "--build-dir", tmp_path / name / "build")
        assert done.status == 0, done.stderr
        assert TOKEN_PIN not in done.stderr + done.stdout
        made.append(sha256_of(tmp_path / name / "build" / "debian13-ab.img"))
        manifest = json.loads((tmp_path / name / "build" / "debian13-ab.img.manifest.json").read_text())
        assert len(manifest["signed"]) == 3
    assert made[0] == made[1]
    script = cli("plan", tmp_path / "token" / "my.yaml", "--build-dir", tmp_path / "plan").stdout
    assert TOKEN_PIN not in script
    done_by_sh = subprocess.run(["sh"], check=False, input=script, capture_output=True, text=True, env=os.environ)
    assert done_by_sh.returncode == 0, done_by_sh.stderr
    assert sha256_of(tmp_path / "plan" / "debian13-ab.img") == made[0]
