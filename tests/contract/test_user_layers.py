"""The layers that make users, and the packages that make up an identity, built by the real engine."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, cast
from uuid import uuid4

import pytest
from metallize_os.convert import Conversion
from metallize_os.identities import IDENTITIES

from metallize.build.arguments import without_passwords
from metallize.build.base import bases
from metallize.build.engines.buildkit import ENVIRONMENT, find_cli
from metallize.build.engines.docker import DockerEngine
from metallize.build.plan import BaseImage
from metallize.build.sources import read_layer
from metallize.catalog import Catalog
from metallize.command import Finished, run
from metallize.events import Silent
from metallize.model.profile import Platform
from metallize.planning import base_of
from tests.conftest import ROOT

pytestmark = pytest.mark.docker
KEYS = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6XyQX6k8nUqU4m7q1pU0sM1yF3rW0mX3yq2r8s9t0u ann@desk of hers",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB6XyQX6k8nUqU4m7q1pU0sM1yF3rW0mX3yq2r8s9t0u",
)
IDENTITY_LAYER = ROOT / "tests/boot/identities/identities.dockerfile"


@pytest.fixture(scope="module")
def base() -> str:
    """debian:trixie, as a build finds or makes it."""
    wanted = BaseImage(reference="debian:trixie", platform=Platform.AMD64)
    return bases.resolve(DockerEngine(), base_of(wanted, Catalog()), Silent()).image.reference


class Images:
    """Images that are made and removed again."""

    def __init__(self) -> None:
        self.tags: list[str] = []

    def build(
        self, layer: Path, source: str, arguments: Mapping[str, str], *, check: bool = True
    ) -> tuple[str, Finished]:
        tag = f"metallize-test/{uuid4().hex[:12]}"
        self.tags.append(tag)
        given = {"METALLIZE_SRC_IMG": source, **arguments}
        words = [word for name, value in given.items() for word in ("--build-arg", f"{name}={value}")]
        argv: list[str | Path] = [find_cli().path, "build", "--tag", tag, "--file", layer, *words, layer.parent]
        return tag, run(argv, env=ENVIRONMENT, check=check)

    @staticmethod
    def shell(image: str, script: str) -> str:
        return run([find_cli().path, "run", "--rm", "--network", "none", image, "sh", "-ec", script]).stdout


@pytest.fixture(scope="module")
def images() -> Iterator[Images]:
    made = Images()
    yield made
    run([find_cli().path, "rmi", "--force", *made.tags], check=False)


def layer(name: str) -> Path:
    return Catalog().layers[f"{name}.dockerfile"].path


def test_a_password_reaches_shadow_as_its_hash_and_nothing_else(base: str, images: Images) -> None:
    source = read_layer(Catalog().layers["admin-user.dockerfile"])
    wished = {"METALLIZE_ADMIN_USER": "ops", "METALLIZE_ADMIN_PASSWORD": "s3cret-word"}
    arguments = without_passwords(wished, [base, source], "my")
    tag, done = images.build(source.layer.path, base, arguments)
    shadow = images.shell(tag, "getent shadow ops").split(":")
    assert shadow[1] == arguments["METALLIZE_ADMIN_PASSWORD_HASH"]
    history = run([find_cli().path, "history", "--no-trunc", "--format", "{{.CreatedBy}}", tag]).stdout
    assert "METALLIZE_ADMIN_PASSWORD_HASH=$6$" in history
    inspected = run([find_cli().path, "inspect", tag]).stdout
    assert "s3cret-word" not in history + inspected + done.stdout + done.stderr
    plain, _ = images.build(source.layer.path, base, {"METALLIZE_ADMIN_USER": "ops"})
    assert images.shell(plain, "getent shadow ops").split(":")[1].startswith("$")


def test_keys_go_to_the_user_that_is_there(base: str, images: Images) -> None:
    below, _ = images.build(layer("admin-user"), base, {"METALLIZE_ADMIN_USER": "ops"})
    arguments = {"METALLIZE_ADMIN_USER": "ops", "METALLIZE_AUTHORIZED_KEYS": " ".join(KEYS)}
    tag, _ = images.build(layer("authorized-keys"), below, arguments)
    shown = images.shell(
        tag, "cd ~ops/.ssh; stat -c '%n %a %U' . authorized_keys; cat authorized_keys; ls /etc/sudoers.d"
    )
    assert shown.splitlines()[:4] == [". 700 ops", "authorized_keys 600 ops", *KEYS]
    assert "90-authorized-keys" not in shown  # this user has a password


def test_a_user_that_is_not_there_is_made_with_no_password(base: str, images: Images) -> None:
    arguments = {"METALLIZE_ADMIN_USER": "ops", "METALLIZE_AUTHORIZED_KEYS": KEYS[0]}
    tag, _ = images.build(layer("authorized-keys"), base, arguments)
    shown = images.shell(
        tag, "getent shadow ops | cut -d : -f 2; su ops -c 'sudo -n id -u'; cat ~ops/.ssh/authorized_keys"
    )
    assert shown.splitlines() == ["!", "0", KEYS[0]]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("", "authorized-keys: args.authorized_keys names no key"),
        ("ops@desk", "authorized-keys: args.authorized_keys names no key"),
        ("ssh-ed25519 AAAAnonsense", "authorized-keys: this is no public key: ssh-ed25519 AAAAnonsense"),
    ],
)
def test_what_is_no_key_fails_the_build(base: str, images: Images, keys: str, said: str) -> None:
    _, done = images.build(layer("authorized-keys"), base, {"METALLIZE_AUTHORIZED_KEYS": keys}, check=False)
    assert done.status != 0
    assert said in done.stdout + done.stderr


@pytest.fixture(scope="module")
def packaged(base: str, images: Images) -> str:
    """An image with the real packages, and with systemd, without which nothing boots."""
    return images.build(IDENTITY_LAYER, base, {})[0]


def test_what_the_real_packages_make_up_is_left_out(packaged: str) -> None:
    there = Images.shell(packaged, "cd /; ls " + " ".join(file for each in IDENTITIES for file in each.files))
    assert len(there.split()) == sum(len(each.files) for each in IDENTITIES)
    name = run([find_cli().path, "create", packaged]).stdout.strip()
    conversion = Conversion(epoch=1_700_000_000, hostname="web1")
    try:
        with (
            subprocess.Popen([find_cli().path, "export", name], stdout=subprocess.PIPE) as export,
            Path("/dev/null").open("wb") as nowhere,
        ):
            assert export.stdout is not None
            conversion.run(cast("BinaryIO", export.stdout), nowhere)
    finally:
        run([find_cli().path, "rm", name])
    for each in IDENTITIES:
        assert not conversion.has(*each.files)
        assert conversion.has(f"etc/systemd/system/{each.unit}")
    assert not conversion.has("var/lib/NetworkManager/secret_key", "var/lib/systemd/credential.secret")
    [note] = conversion.notes
    assert all(each.what in note for each in IDENTITIES)


@pytest.mark.parametrize("name", [identity.name for identity in IDENTITIES])
def test_the_real_tools_make_another_one_each_time(packaged: str, name: str) -> None:
    identity = next(each for each in IDENTITIES if each.name == name)
    files = " ".join(f"/{file}" for file in identity.files)
    states = "; ".join(f"stat -c '%n %a %U %G' /{file}" for file in identity.files)
    before = Images.shell(packaged, states)
    script = (
        f"rm -f {files}; ( {identity.script} ) >/dev/null 2>&1; {states}; sha256sum {files}; ls -A $(dirname {files})"
    )
    first, second = Images.shell(packaged, script), Images.shell(packaged, script)
    assert first.startswith(before)  # owner and mode are the package's
    sums = [word for word in first.split() if re.fullmatch("[0-9a-f]{64}", word)]
    assert len(sums) == len(identity.files)
    assert not [each for each in sums if each in second]
    again = Images.shell(packaged, f"( {identity.script} ) >/dev/null 2>&1; ls -A $(dirname {files})")
    assert ".hostnqn" not in again
    assert ".rndc.key" not in again


def test_open_iscsi_makes_up_a_name_where_the_seal_left_none(packaged: str) -> None:
    assert "InitiatorName=iqn.1993-08.org.debian:01:" in Images.shell(packaged, "cat /etc/iscsi/initiatorname.iscsi")
    script = (
        "echo GenerateName=yes >/etc/iscsi/initiatorname.iscsi; /usr/lib/open-iscsi/startup-checks.sh; "
        "grep ^InitiatorName= /etc/iscsi/initiatorname.iscsi"
    )
    assert Images.shell(packaged, script) != Images.shell(packaged, script)
