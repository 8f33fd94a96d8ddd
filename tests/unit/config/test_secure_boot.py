"""output.secure_boot and the keys of a machine: where their files are, what is read of them, and what is refused."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from metallize.config import Vocabulary, profile_schema
from tests.signers import pair, written
from tests.unit.config.conftest import Load, Problems

AB = """\
images: [debian:trixie, debian-disk.dockerfile, debian-ab.dockerfile]
output:
  generator: ab
  file: my.img
  version: "1"
  secure_boot: {key: mine.key, certificate: mine.pem}
boot:
  machines:
    own: {machine: ovmf-secureboot, keys: mine.pem}
"""


def test_the_files_are_beside_the_profile_and_a_machine_has_the_certificates_themselves(
    load: Load, tmp_path: Path
) -> None:
    key, certificate = written(tmp_path, "mine")
    profile = load(AB)
    asked = profile.output.secure_boot
    assert asked is not None
    assert (asked.key, asked.certificate) == (str(key), str(certificate))
    assert profile.boot is not None
    assert profile.boot.machines["own"].keys == pair("mine")[1]


def test_a_machine_may_begin_without_keys_where_the_image_brings_them(load: Load, tmp_path: Path) -> None:
    written(tmp_path, "mine")
    own = AB.replace("keys: mine.pem", "setup_mode: true").replace("mine.pem}", "mine.pem, enroll: true}")
    profile = load(own)
    assert profile.boot is not None
    assert profile.boot.machines["own"].own_keys
    assert profile.output.secure_boot is not None
    assert profile.output.secure_boot.enroll


def test_a_key_may_be_anywhere_else(load: Load, tmp_path: Path) -> None:
    written(tmp_path, "mine")
    asked = load(AB, overrides={"output.secure_boot.key": "/run/keys/db.key"}).output.secure_boot
    assert asked is not None
    assert asked.key == "/run/keys/db.key"


def test_a_key_on_a_token_is_no_file(load: Load, tmp_path: Path) -> None:
    written(tmp_path, "mine")
    uri = "pkcs11:token=mine;id=%02?module-path=/usr/lib/x.so"
    asked = load(AB.replace("key: mine.key", f'key: "{uri}"')).output.secure_boot
    assert asked is not None
    assert asked.key == uri


def test_more_than_a_certificate_in_the_file_is_left_there(load: Load, tmp_path: Path) -> None:
    written(tmp_path, "mine")
    private, mine = pair("mine")
    (tmp_path / "mine.pem").write_text(f"of mine\n{private}{mine}and{pair('yours')[1]}")
    boot = load(AB).boot
    assert boot is not None
    assert boot.machines["own"].keys == mine + pair("yours")[1]


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ("keys: mine.pem", "keys: none.pem", "`keys`: `none.pem` cannot be read: No such file or directory"),
        ("keys: mine.pem", "keys: mine.key", "`keys`: `mine.key` cannot be read: there is no certificate in PEM in it"),
        ("keys: mine.pem", "keys: [mine.pem]", "`keys` is a file of certificates in PEM, not a list: `[mine.pem]`"),
        ("ovmf-secureboot", "ovmf", "`keys`: machine `ovmf` has no Secure Boot, so nobody asks for a key"),
        ("keys: mine.pem", "keys: mine.pem, setup_mode: true", "`setup_mode`: its firmware holds `keys`"),
        (
            "ovmf-secureboot, keys: mine.pem",
            "ovmf, setup_mode: true",
            "`setup_mode`: machine `ovmf` has no Secure Boot, so nobody asks for a key",
        ),
        ("certificate: mine.pem}", "certificate: mine.pem, enroll: 1}", "`enroll`"),
        ("{key: mine.key, certificate: mine.pem}", "{key: mine.key}", "the key `certificate` is missing"),
        ("{key: mine.key, certificate: mine.pem}", "mine.key", "`secure_boot`"),
    ],
)
def test_what_is_no_key_is_told_at_its_place(
    one: str, other: str, words: str, problems: Problems, tmp_path: Path
) -> None:
    written(tmp_path, "mine")
    found = problems(AB.replace(one, other, 1))
    assert any(words in problem.message for problem in found), found
    assert all(problem.location.line > 1 for problem in found)


BROKEN = "  update: {from: old.img, engine: sysupdate, broken: [kernel]}\n  ssh: {user: admin, password: admin}\n"


def test_broken_releases_want_a_machine_whose_keys_are_ours(load: Load, problems: Problems, tmp_path: Path) -> None:
    written(tmp_path, "mine")
    assert load(AB + BROKEN).boot is not None
    for machine in ("setup_mode: true", "memory: 2G"):
        [found] = problems((AB + BROKEN).replace("keys: mine.pem", machine))
        assert "machine `own` starts what its firmware's own keys have signed" in found.message
        assert found.location.line == 9
    refused = "expect: {refused: [secure-boot-refused]}"
    assert load((AB + BROKEN).replace("keys: mine.pem", refused)).boot is not None, "it comes to no update there"


def test_a_generator_that_signs_nothing_says_which_do(problems: Problems, tmp_path: Path) -> None:
    written(tmp_path, "mine")
    text = "images: [debian:trixie, debian-disk.dockerfile]\noutput: {generator: ext4, file: my.img, secure_boot: {}}\n"
    found = problems(text)
    assert ("`secure_boot`: generator `ext4` signs nothing", "these do: ab") in [(p.message, p.hint) for p in found]


def test_the_schema_knows_them(vocabulary: Vocabulary) -> None:
    import yaml

    jsonschema.validate(yaml.safe_load(AB), profile_schema(vocabulary))
