"""Keys that stay where they are: on a PKCS#11 token (SoftHSM), and with a key service as AWS has it (moto)."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import boto3
import pytest

from metallize.command import run
from metallize.errors import HostError, UsageError
from metallize.files.token_uri import PIN
from metallize.release import attest
from metallize.release.attest import Policy
from metallize.release.keys import load_public, make_key, signer_of, write_public
from metallize.release.signing.kept import names_kept
from metallize.release.statement import statements
from tests import softhsm
from tests.softhsm import MODULE, TOKEN_PIN
from tests.unit.release.wares import CONTENT, released, ware

pytestmark = pytest.mark.slow

# moto hashes again what it is told is a digest already; AWS's API reference says that Sign does not.
SERVER = """
import sys
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from moto.kms.utils import ECDSAPrivateKey
from moto.server import main
if sys.argv.pop(1) == "as AWS does":
    ECDSAPrivateKey.sign = lambda self, message, _algorithm: self.private_key.sign(message, ECDSA(Prehashed(SHA256())))
main(sys.argv[1:])
"""
TOKEN = f"pkcs11:token=the%20release;id=%02?module-path={MODULE}"


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A token with two ECDSA keys and one of RSA; only its module can sign with them."""
    with softhsm.token(tmp_path_factory.mktemp("token")):
        tool = ["pkcs11-tool", "--module", MODULE, "--login", "--pin", TOKEN_PIN, "--keypairgen"]
        for number, kind in (("02", "EC:prime256v1"), ("03", "EC:secp384r1"), ("04", "rsa:2048")):
            run([*tool, "--key-type", kind, "--id", number])
        yield


@contextmanager
def key_service(folder: Path, how: str) -> Iterator[str]:
    """The URI of a key that a key service has, while it runs."""
    log = folder / "log"
    argv = [sys.executable, "-c", SERVER, how, "--host", "127.0.0.1", "--port", "0"]
    with log.open("w") as output:
        process = subprocess.Popen(argv, stdout=output, stderr=output)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{_port(process, log)}")
            for name, value in (("ACCESS_KEY_ID", "a"), ("SECRET_ACCESS_KEY", "b"), ("DEFAULT_REGION", "eu-central-1")):
                patch.setenv(f"AWS_{name}", value)
            kms = boto3.client("kms")
            key = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["KeyId"]
            kms.create_alias(AliasName="alias/release", TargetKeyId=key)
            yield "awskms:alias/release"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with key_service(tmp_path_factory.mktemp("service"), "as AWS does") as uri:
        yield uri


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        _, running, port = log.read_text().partition("Running on http://127.0.0.1:")
        if running and "\n" in port:
            return int(port.split("\n")[0])
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def signed_and_judged(uri: str, folder: Path) -> None:
    """A release that is signed with a kept key is accepted by its public half alone, and by no other."""
    public = write_public(uri, folder / "release")
    released(folder / "to", ware(folder / "build", CONTENT, "web.raw"), attest=statements(signer_of(uri)))
    image = folder / "to" / "stable" / "web_20261130.1_x86-64.raw.xz"
    policy = Policy(keys=(load_public(public),), decided=True)
    evidence = attest.statements_beside(image), attest.report_beside(image)
    assert attest.verify(image, *evidence, policy).statements
    with pytest.raises(Exception, match="statement"):
        attest.verify(image, *evidence, replace(policy, keys=(load_public(make_key(folder / "other").public),)))


@pytest.mark.parametrize("number", ["02", "03"])
def test_a_token_signs_a_release(token: None, tmp_path: Path, number: str) -> None:
    signed_and_judged(TOKEN.replace("%02", f"%{number}"), tmp_path)


def test_a_key_service_signs_a_release(service: str, tmp_path: Path) -> None:
    signed_and_judged(service, tmp_path)


def test_the_pin_may_be_in_a_file(token: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PIN)
    (tmp_path / "pin").write_text(f"{TOKEN_PIN}\n")
    assert signer_of(f"{TOKEN}&pin-source=file:{tmp_path}/pin").sign(b"x")
    with pytest.raises(UsageError, match="nobody is there to be asked"):
        signer_of(TOKEN)
    with pytest.raises(UsageError, match="holds no PIN"):
        signer_of(f"{TOKEN}&pin-source={tmp_path}/none")


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        (TOKEN.replace("%02", "%09"), "ECDSA key"),
        (TOKEN.replace("%02", "%04"), "ECDSA key"),
        (TOKEN.replace("the%20release", "another"), "No PKCS#11 token found"),
    ],
)
def test_a_key_that_is_not_there_is_told(token: None, tmp_path: Path, uri: str, told: str) -> None:
    with pytest.raises(HostError, match=told) as error:
        write_public(uri, tmp_path / "release")
    assert error.value.hint is not None
    assert "pkcs11-tool" in error.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_pin_is_told_before_anything_is_written(token: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PIN, "0000")
    with pytest.raises(HostError, match="PinIncorrect"):
        signer_of(TOKEN)


def test_a_service_without_the_key_is_told(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HostError, match="NotFound"):
        signer_of("awskms:alias/none")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(HostError, match="connect"):
        signer_of(service)


def test_a_service_that_signs_something_else_is_told(tmp_path: Path) -> None:
    with key_service(tmp_path, "as moto does") as uri, pytest.raises(HostError, match="Failed to verify signature"):
        signer_of(uri)


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("pkcs11:id=%02", "which library"),
        ("pkcs11:id=%02?module-path=/nowhere.so", "no library"),
        (f"{TOKEN}&pin-value=4321", "seen by everybody"),
        (f"pkcs11:object=x?module-path={MODULE}", "`object` is not understood"),
        (f"pkcs11:id=%00?module-path={MODULE}", "a number from 1"),
        (f"pkcs11:id=?module-path={MODULE}", "a number from 1"),
    ],
)
def test_a_uri_that_is_wrong_is_told(monkeypatch: pytest.MonkeyPatch, uri: str, told: str) -> None:
    monkeypatch.delenv("PYKCS11LIB", raising=False)
    with pytest.raises(UsageError, match=told) as error:
        signer_of(uri)
    assert "4321" not in str(error.value)


def test_a_file_of_such_a_name_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_key(Path("hv:x"))
    assert not names_kept("hv:x.key")
    assert signer_of("hv:x.key").sign(b"x")
    with pytest.raises(UsageError, match="kept elsewhere"):
        write_public("release.key", tmp_path / "release")
