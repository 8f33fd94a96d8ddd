"""Who signs for Secure Boot: what fits is told beforehand, and the key is in nothing but the last step's words."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from metallize.build.currency import changes_since
from metallize.build.engines.engine import Assembly
from metallize.build.generator import DiskImage, make_image
from metallize.build.plan import BuildPlan
from metallize.build.script import shell_script
from metallize.build.signing import Signing, require_key, signing_of
from metallize.build.stacks import Images, manifest_of
from metallize.build.step import digest_of
from metallize.build.steps import image_key, steps_of
from metallize.errors import GeneratorError, ProfileError
from metallize.host.token import Token
from metallize.model.loaded import Profile
from metallize.model.profile import ImageFormat
from tests.signers import pair, written

from .conftest import GENERATOR, FakeEngine, MakePlan, image, profile

SIGNS = dataclasses.replace(GENERATOR, signs=True)


def asking(key: Path, certificate: Path) -> Profile:
    return profile(output={"secure_boot": {"key": str(key), "certificate": str(certificate)}})


def signing(folder: Path, name: str = "mine") -> Signing:
    found = signing_of(asking(*written(folder, name)))
    assert found is not None
    return found


def key_of(mine: Signing) -> Path:
    assert isinstance(mine.key, Path)
    return mine.key


def signed(make_plan: MakePlan, folder: Path, name: str = "mine") -> BuildPlan:
    return dataclasses.replace(make_plan(generator=SIGNS), signing=signing(folder, name))


def test_who_signs_is_told_by_the_certificates_fingerprint(tmp_path: Path) -> None:
    mine = signing(tmp_path)
    argv = ["openssl", "x509", "-in", str(tmp_path / "mine.pem"), "-noout", "-fingerprint", "-sha256"]
    shown = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    assert shown.partition("=")[2].strip().replace(":", "").lower() == mine.fingerprint
    require_key(asking(key_of(mine), tmp_path / "mine.pem"), mine)
    assert signing_of(profile()) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        ("", "no certificate in PEM"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
        (pair("mine")[1] + pair("yours")[1], "2 certificates"),
    ],
)
def test_a_certificate_that_is_none_is_told_at_its_place(content: str | None, words: str, tmp_path: Path) -> None:
    key, certificate = written(tmp_path, "mine")
    certificate.unlink()
    if content is not None:
        certificate.write_text(content)
    with pytest.raises(ProfileError) as caught:
        signing_of(asking(key, certificate))
    [problem] = caught.value.problems
    assert words in problem.message
    assert problem.hint


def locked(key: str) -> str:
    loaded = serialization.load_pem_private_key(key.encode(), password=None)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    return loaded.private_bytes(*form, serialization.BestAvailableEncryption(b"secret")).decode()


def elliptic() -> str:
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(*form).decode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file"),
        ("no key", "no private key in PEM"),
        (locked(pair("mine")[0]), "has a passphrase"),
        (elliptic(), "no RSA key"),
        (pair("small", 1024)[0], "an RSA key of 1024 bits"),
        (pair("yours")[0], "is not the key of the certificate"),
    ],
)
def test_a_key_that_does_not_fit_is_told_and_not_shown(content: str | None, words: str, tmp_path: Path) -> None:
    mine = signing(tmp_path)
    key = key_of(mine)
    key.unlink()
    if content is not None:
        key.write_text(content)
    with pytest.raises(ProfileError) as caught:
        require_key(asking(key, tmp_path / "mine.pem"), mine)
    [problem] = caught.value.problems
    assert words in problem.message
    assert problem.hint
    secret = [line for line in (content or "").splitlines() if len(line) > 20 and "-----" not in line]
    assert not any(line in f"{problem.message} {problem.hint}" for line in secret)


def test_a_certificate_makes_another_image_and_the_place_of_a_key_does_not(make_plan: MakePlan, tmp_path: Path) -> None:
    plain, mine = make_plan(generator=SIGNS), signed(make_plan, tmp_path)
    assert mine.signing is not None
    moved = dataclasses.replace(mine, signing=dataclasses.replace(mine.signing, key=Path("/elsewhere/mine.key")))
    yours = signed(make_plan, tmp_path, "yours")
    everywhere = {step.id: "sha256:1" for step in steps_of(mine)}
    keys = [image_key(steps_of(each), everywhere, 1) for each in (plain, mine, moved, yours)]
    assert keys[1] == keys[2]
    assert len(set(keys)) == 3
    with_mine = make_plan(generator=SIGNS, signing=mine.signing)
    assert with_mine.id != plain.id
    assert with_mine.id == make_plan(generator=SIGNS, signing=moved.signing).id


def test_the_key_is_mounted_by_the_last_container_alone_and_stands_nowhere(make_plan: MakePlan, tmp_path: Path) -> None:
    plan = signed(make_plan, tmp_path)
    assert plan.signing is not None
    steps = steps_of(plan)
    assert steps.sign is not None
    assert [step.id for step in steps][-1] == "sign"
    words = [word for word in steps.sign.argv if isinstance(word, str)]
    place = f'type=bind,readonly,target=/run/metallize/signing.key,"source={plan.signing.key}"'
    assert words.count(place) == 1
    assert json.loads(words[-1])["certificate"] == plan.signing.certificate
    assert tuple(words[words.index("--network") :][:2]) == ("--network", "none")
    others = [str(word) for step in steps if step.id != "sign" for word in step.argv]
    assert not any(str(plan.signing.key) in word for word in others)
    script = shell_script(plan)
    assert script.index(GENERATE) < script.index("/generator/sign") < script.index('mv "$work/image"')
    secret = [line for line in key_of(plan.signing).read_text().splitlines() if "-----" not in line]
    assert not any(line in script for line in secret)


GENERATE = "/generator/build"


def on_token(folder: Path, more: str = "") -> Signing:
    """As of a token whose library is there; nobody loads it."""
    library = folder / "library.so"
    library.touch()
    _, certificate = written(folder, "mine")
    uri = f"pkcs11:token=a%20b;id=%05?module-path={library}{more}"
    found = signing_of(profile(output={"secure_boot": {"key": uri, "certificate": str(certificate)}}))
    assert found is not None
    return found


def test_the_same_key_on_a_token_makes_the_same_image(make_plan: MakePlan, tmp_path: Path) -> None:
    file = signed(make_plan, tmp_path)
    token = dataclasses.replace(file, signing=on_token(tmp_path))
    everywhere = {step.id: "sha256:1" for step in steps_of(file)}
    assert image_key(steps_of(token), everywhere, 1) == image_key(steps_of(file), everywhere, 1)
    plans = [make_plan(generator=SIGNS, signing=each.signing) for each in (file, token)]
    assert plans[0].id == plans[1].id


def test_no_container_sees_a_token_and_no_command_its_pin(
    make_plan: MakePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METALLIZE_PIN", "98761234")
    plan = dataclasses.replace(signed(make_plan, tmp_path), signing=on_token(tmp_path))
    steps = steps_of(plan)
    assert steps.sign is not None
    assert steps.token is not None
    words = [word for word in steps.sign.argv if isinstance(word, str)]
    assert json.loads(words[-1])["token"] is True
    assert not any("library.so" in word or "signing.key" in word for word in words)
    assert [word for word in steps.token.argv if isinstance(word, str)] == [
        *("pkcs11-tool", "--module", str(tmp_path / "library.so"), "--token-label", "a b", "--login"),
        *("--pin", "env:METALLIZE_PIN", "--id", "05", "--sign", "--mechanism", "RSA-PKCS"),
        *("--input-file", "--output-file"),
    ]
    assert isinstance(plan.signing, Signing)
    assert isinstance(plan.signing.key, Token)
    assert plan.signing.key.pin() == "98761234"
    script = shell_script(plan)
    assert not any("98761234" in text for text in (script, repr(plan), repr(steps)))
    assert script.index("pin=${METALLIZE_PIN-}") < script.index("find_layer ", script.index("The rootfs:"))
    signs, asks = script.count("/generator/sign"), script.index("METALLIZE_PIN=$pin pkcs11-tool")
    assert signs == 2
    assert script.index("/generator/sign") < asks < script.rindex("/generator/sign") < script.index('mv "$work/image"')


def test_a_script_reads_the_pin_where_the_uri_says(make_plan: MakePlan, tmp_path: Path) -> None:
    found = on_token(tmp_path, f"&pin-source=file:{tmp_path}/my%20pin")
    script = shell_script(dataclasses.replace(signed(make_plan, tmp_path), signing=found))
    assert f"pin=$(cat '{tmp_path}/my pin') || exit 2" in script


def test_what_a_token_has_signed_is_put_in_by_another_run(tmp_path: Path) -> None:
    order: list[str] = []

    class Signer(FakeEngine):
        def run(self, argv: object, output: object) -> None:
            order.append("signed")
            (tmp_path / "image").write_bytes(b"signed".ljust(510, b"\0") + b"\x55\xaa")
            (tmp_path / "result.json").write_text('{"firmware": ["uefi"]}')

    def asked(folder: Path) -> None:
        order.append(f"asked of {folder.name}")

    given = dataclasses.replace(assembly(tmp_path), token=asked)
    make_image(Signer(), given, ImageFormat.RAW, lambda _line: None, rootfs_bytes=1)
    assert order == ["signed", "asked of asked", "signed"]


def test_an_image_by_another_certificate_is_not_current(make_plan: MakePlan, tmp_path: Path) -> None:
    plan = signed(make_plan, tmp_path)
    assert plan.signing is not None
    steps = steps_of(plan)
    last = {"packages", "seal", "hold", "export", "generate", "sign"}
    made = {step.id: image(step.id) for step in steps if step.id not in last}
    images = Images(made=made, origin="local")
    facts = {"signed": [{"file": "/a.efi"}]}
    disk = DiskImage(path=plan.image, format=ImageFormat.RAW, size_bytes=1, sha256="0", facts=facts)
    manifest = manifest_of(plan, steps, images, disk, 1)
    assert manifest["secure_boot"] == {"certificate_sha256": plan.signing.fingerprint}
    assert manifest["signed"] == facts["signed"]
    assert not changes_since(manifest, plan, steps, images.ids, 1)
    other = dataclasses.replace(signed(make_plan, tmp_path, "yours"), id=digest_of("other"))
    assert changes_since(manifest, other, steps_of(other), images.ids, 1).asked == ("output.secure_boot",)
    bare = dataclasses.replace(plan, signing=None, id=digest_of("bare"))
    assert changes_since(manifest, bare, steps_of(bare), images.ids, 1).asked == ("output.secure_boot",)


def assembly(out: Path) -> Assembly:
    sign = ("docker", "run", "sign")
    return Assembly(name="my", seal=(), hold=(), export=(), generate=(), sealed="1", out=out, label="mark", sign=sign)


def test_an_image_is_signed_once_it_is_made_and_before_it_is_read(tmp_path: Path) -> None:
    order: list[str] = []

    def assembled(given: Assembly) -> None:
        order.append("made")
        (given.out / "image").write_bytes(bytes(510) + b"\x55\xaa")

    class Signer(FakeEngine):
        def run(self, argv: object, output: object) -> None:
            order.append("signed")
            (tmp_path / "image").write_bytes(b"signed".ljust(510, b"\0") + b"\x55\xaa")
            (tmp_path / "result.json").write_text('{"firmware": ["uefi"]}')

    engine = Signer(assembled=assembled)
    disk = make_image(engine, assembly(tmp_path), ImageFormat.RAW, lambda _line: None, rootfs_bytes=1)
    assert order == ["made", "signed"]
    assert disk.path.read_bytes().startswith(b"signed")


def test_a_container_that_does_not_sign_is_told_with_its_words(tmp_path: Path) -> None:
    class Refuser(FakeEngine):
        def run(self, argv: object, output: object) -> list[str]:
            return ["metallize: signing", "metallize: ERROR: osslsigncode ended with status 1: no key"]

    with pytest.raises(GeneratorError, match="could not be signed: osslsigncode ended with status 1: no key") as caught:
        make_image(Refuser(), assembly(tmp_path), ImageFormat.RAW, lambda _line: None, rootfs_bytes=1)
    assert "output.secure_boot" in (caught.value.hint or "")
