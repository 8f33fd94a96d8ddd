"""One verified image goes to every kind of destination, is fetched by clients that know nothing of us, and boots."""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import shutil
import subprocess
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from metallize.release.keys import KeyFiles, make_key
from tests import registry
from tests.boot.test_shipped import verification
from tests.conftest import Cli
from tests.registry import Registry
from tests.release.clients.serving import served
from tests.release.stores import KEYS, store
from tests.tools import is_nowhere

pytestmark = [
    pytest.mark.docker,
    pytest.mark.boot,
    pytest.mark.nightly,
    pytest.mark.skipif(
        registry.is_nowhere() or is_nowhere("skopeo", "skopeo"),
        reason="this host's distribution has no docker-registry, or no skopeo",
    ),
]
NAME = "web_1_x86-64"
PROFILE = """\
extends: debian13-ext4
output: {file: web.img, name: web, version: "1"}
boot: {machines: [seabios]}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry.running(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A bucket that everybody may read, as an address of ours and as one of anybody's."""
    with pytest.MonkeyPatch.context() as patch, store(tmp_path_factory.mktemp("store")) as url:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": url}.items():
            patch.setenv(name, value)
        patch.delenv("AWS_PROFILE", raising=False)
        client = boto3.client("s3")
        client.create_bucket(Bucket="downloads")
        public = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::downloads/*"}
        client.put_bucket_policy(
            Bucket="downloads", Policy=json.dumps({"Version": "2012-10-17", "Statement": [public]})
        )
        yield "s3://downloads/releases", f"{url}/downloads/releases"


@pytest.fixture(scope="module")
def image(cli: Cli, build_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, KeyFiles]:
    """The profile, the image that was verified, and the key of whoever says so."""
    folder = tmp_path_factory.mktemp("web")
    profile = folder / "web.yaml"
    profile.write_text(PROFILE)
    assert cli("build", profile, "--verify", "--build-dir", build_dir).status == 0
    assert verification(build_dir, "web.img")["verdict"] == "passed"
    return profile, build_dir / "web.img", make_key(folder / "release")


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def publish(cli: Cli, image: tuple[Path, Path, KeyFiles], to: str | Path) -> None:
    profile, built, keys = image
    words = ("publish", profile, "--to", to, "--channel", "stable", "--sign-key", keys.private, "--xz-level", "0")
    done = cli(*words, "--build-dir", built.parent, env={"DOCKER_CONFIG": "/nonexistent"})
    assert done.status == 0, done.stderr


def require_boots(cli: Cli, fetched: Path, tmp_path: Path) -> None:
    words = ("--user", "admin", "--password", "admin", "--machine", "seabios", "--build-dir", tmp_path / "runs")
    done = cli("verify", "--image", fetched, *words)
    assert done.status == 0, done.stdout + done.stderr


def test_from_a_folder_by_flash(cli: Cli, image: tuple[Path, Path, KeyFiles], tmp_path: Path, build_dir: Path) -> None:
    publish(cli, image, tmp_path / "to")
    card = tmp_path / "card.img"
    with served(tmp_path / "to") as url:
        done = cli("flash", f"{url}/stable", card, "--key", image[2].public, "--require", "seabios")
    assert done.status == 0, done.stderr
    assert sha256(card) == sha256(image[1])
    require_boots(cli, card, tmp_path)


def test_from_a_bucket_by_its_list_of_checksums(
    cli: Cli, image: tuple[Path, Path, KeyFiles], tmp_path: Path, bucket: tuple[str, str]
) -> None:
    publish(cli, image, bucket[0])
    for name in ("SHA256SUMS", f"{NAME}.raw.xz"):
        with (
            urllib.request.urlopen(f"{bucket[1]}/stable/{name}", timeout=600) as answer,  # noqa: S310 - our own
            (tmp_path / name).open("wb") as file,
        ):
            shutil.copyfileobj(answer, file)
    subprocess.run(["sha256sum", "--check", "--strict", "--ignore-missing", "SHA256SUMS"], cwd=tmp_path, check=True)
    disk = tmp_path / "disk.img"
    with lzma.open(tmp_path / f"{NAME}.raw.xz") as packed, disk.open("wb") as file:
        shutil.copyfileobj(packed, file)
    assert sha256(disk) == sha256(image[1])
    require_boots(cli, disk, tmp_path)


def test_from_a_registry_as_kubevirt_takes_it(
    cli: Cli, image: tuple[Path, Path, KeyFiles], tmp_path: Path, made: Registry
) -> None:
    """The container disk, fetched by skopeo and unpacked as a runtime does; and the statements, where they are."""
    publish(cli, image, f"oci://{made.host}/own/web")
    key, env = image[2].public, {"DOCKER_CONFIG": "/nonexistent"}
    judged = cli("attest", "verify", f"oci://{made.host}/own/web:web_1", "--key", key, "--decided", env=env)
    assert judged.status == 0, judged.stderr
    argv = ["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false"]
    source, target = f"docker://{made.host}/own/web:web_1_disk", tmp_path / "fetched"
    subprocess.run([*argv, source, f"dir:{target}"], check=True, env={**os.environ, "TMPDIR": str(tmp_path)})
    [layer] = json.loads((target / "manifest.json").read_text())["layers"]
    with tarfile.open(target / layer["digest"].removeprefix("sha256:")) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    [disk] = (tmp_path / "unpacked" / "disk").iterdir()
    attested = cli("attest", "verify", disk, "--key", key, *statements(tmp_path, made))
    assert attested.status == 0, attested.stderr
    require_boots(cli, disk, tmp_path)


def statements(tmp_path: Path, made: Registry) -> tuple[str | Path, ...]:
    """The statements of the release, fetched as an artifact by skopeo."""
    target = tmp_path / "artifact"
    argv = ["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "--preserve-digests"]
    subprocess.run([*argv, f"docker://{made.host}/own/web:web_1", f"dir:{target}"], check=True)
    for each in json.loads((target / "manifest.json").read_text())["layers"]:
        if each["annotations"]["org.opencontainers.image.title"] == f"{NAME}.raw.intoto.jsonl":
            return "--statements", target / each["digest"].removeprefix("sha256:")
    raise AssertionError("the artifact has no statements")
