"""What a profile may say, and what becomes of it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from metallize.catalog import Catalog
from metallize.config import Vocabulary, load_profile
from metallize.model.boot import Boot, Media
from metallize.model.profile import Platform
from metallize.model.rules import Judgement, ReleaseRules
from tests.unit.config.conftest import GOOD, Load

HERE = Path(__file__).parent
ROOT = HERE.parents[2]

ORIGINAL = """\
---
# args are passed to every docker build command
args:
  compression: lzma
images:
- ubuntu:20.04
- ubuntu-livecd.dockerfile
- ubuntu-netplan.dockerfile
- admin-user.dockerfile
output:
  generator: GENERATOR
  FILE
"""


def test_the_documented_profile_loads_whole(vocabulary: Vocabulary) -> None:
    path = HERE / "fixtures/profile-of-the-docs.yaml"
    profile = load_profile(path, vocabulary=vocabulary)
    assert profile.name == "profile-of-the-docs"
    assert profile.platform is Platform.AMD64
    assert profile.args == {"compression": "zstd"}
    assert profile.images[0] == "debian:trixie"
    assert profile.output.file == "debian13-livecd.iso"
    assert profile.boot is not None
    assert list(profile.boot.machines) == ["seabios", "ovmf"]
    assert profile.boot.memory == 1 << 30
    assert profile.boot.disk == 8 << 30
    assert profile.boot.timeout == timedelta(minutes=5)
    assert profile.boot.time.ready == timedelta(seconds=90)
    assert profile.boot.reach["tcp:22"].banner == r"/^SSH-2\.0/"
    assert profile.boot.reach["http://:8080/health"].status == 200
    assert profile.boot.reboot is True
    assert [(item.kind, item.resource) for item in profile.assertions[-4:]] == [
        ("service", "ssh"),
        ("port", "tcp:22"),
        ("mount", "/"),
        ("command", "uname -r"),
    ]
    assert profile.assertions[0].location.path.name == "base.yaml"
    assert profile.settings.dockerfile_dir == "layers"
    assert str(profile.location("images", 2)) == f"{path}:8:5"
    assert str(profile.location("boot", "login", "password")) == f"{path}:21:34"
    assert str(profile.assertions[-1].location) == f"{path}:34:15"


@pytest.mark.parametrize("path", sorted((ROOT / "profiles").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_profile_loads(path: Path, vocabulary: Vocabulary) -> None:
    assert load_profile(path, vocabulary=vocabulary).name == path.stem


@pytest.mark.parametrize(
    ("generator", "file", "name"),
    [
        ("livecd", "file: livecd.iso", "livecd.iso"),
        ("ext4", "file: image.ext4", "image.ext4"),
        ("squashfs-and-syslinux.dockerfile", "output-file: live.iso", "live.iso"),
    ],
)
def test_the_original_format_loads(load: Load, generator: str, file: str, name: str) -> None:
    profile = load(ORIGINAL.replace("GENERATOR", generator).replace("FILE", file))
    assert profile.output.file == name
    assert profile.args == {"compression": "lzma"}
    assert profile.boot is None
    assert profile.assertions == ()


def test_machines_are_those_of_the_generator_when_none_is_named(load: Load) -> None:
    boot = load("  machines: [seabios, ovmf]\n", "").boot
    assert boot is not None
    assert list(boot.machines) == ["seabios", "ovmf"]


def test_machines_may_be_a_mapping_with_names_of_their_own(load: Load) -> None:
    swap = "machines: {seabios: , stick: {machine: ovmf, media: usb, memory: 512M}}"
    boot = load("machines: [seabios, ovmf]", swap).boot
    assert boot is not None
    assert boot.machines["stick"].machine == "ovmf"
    assert boot.machines["stick"].media is Media.USB
    assert boot.machines["stick"].memory == 512 << 20
    assert boot.machines["seabios"].machine is None


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("zstd", "zstd"),
        ("1.10", "1.10"),
        ("0644", "0644"),
        ("22:22", "22:22"),
        ("2024-01-02", "2024-01-02"),
        ("true", "true"),
        ("False", "false"),
        ('""', ""),
        ('"no"', "no"),
        ("a b-c_d.e,f:g/h+i=j@k%l^m[n]", "a b-c_d.e,f:g/h+i=j@k%l^m[n]"),
    ],
)
def test_an_argument_is_the_text_that_was_written(load: Load, written: str, read: str) -> None:
    assert load("zstd", written).args == {"compression": read}


def test_what_stops_a_release(load: Load) -> None:
    assert load().release == ReleaseRules()
    rules = "release: {size: +5%, packages: {removed: deny}, licences: {deny: [AGPL-3*, unknown]}}"
    release = load(f"{GOOD}{rules}\n").release
    assert release.size == "+5%"
    assert release.packages.removed is Judgement.DENY
    assert release.packages.new is Judgement.ALLOW
    assert release.licences.deny == ("AGPL-3*", "unknown")
    assert load(f"{GOOD}release:\n").release == ReleaseRules()
    serve = load(f"{GOOD}release: {{serve: {{url: https://example.com/os, best_before: 14d}}}}\n").release.serve
    assert (serve.url, serve.best_before, serve.icon) == ("https://example.com/os", "14d", None)


def test_a_number_where_text_is_wanted_is_its_text(load: Load) -> None:
    boot = load("password: admin", "password: 0123").boot
    assert boot is not None
    assert boot.login is not None
    assert boot.login.password == "0123"


def test_anchors_aliases_and_merge_keys_work(load: Load) -> None:
    text = GOOD.replace("{user: admin, password: admin}", "&who {user: admin, password: admin}")
    boot = load(f"{text}  ssh: {{<<: *who, password: other}}\n").boot
    assert boot is not None
    assert boot.ssh is not None
    assert (boot.ssh.user, boot.ssh.password) == ("admin", "other")


def test_generator_options_have_their_types(load: Load) -> None:
    text = GOOD.replace("livecd", "ext4").replace("my.iso", "my.qcow2\n  options: {margin: 1G, grow: false}")
    assert load(text).output.options == {"margin": 1 << 30, "grow": False}


def test_a_suite_beside_the_profile(load: Load, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/goss.yaml").write_text("file: {/etc/passwd: {exists: true, contents: []}}\n")
    profile = load("  assert:", "  suites: [mine/goss.yaml]\n  assert:")
    assert [item.kind for item in profile.assertions] == ["file", "service"]


@pytest.mark.parametrize(
    ("file", "name"),
    [("My Image!.yaml", "my-image"), ("ubuntu20-livecd.iso.yaml", "ubuntu20-livecd.iso"), ("ü.yaml", "profile")],
)
def test_the_name_is_safe_for_folders_and_tags(tmp_path: Path, vocabulary: Vocabulary, file: str, name: str) -> None:
    path = tmp_path / file
    path.write_text(GOOD)
    assert load_profile(path, vocabulary=vocabulary).name == name


def test_a_layer_is_looked_for_beside_the_profile_then_among_extensions(tmp_path: Path) -> None:
    extensions, beside = tmp_path / "ext", tmp_path / "beside"
    for folder in (extensions, beside):
        folder.mkdir()
        (folder / "admin-user.dockerfile").write_text("# Mine.\nARG METALLIZE_SRC_IMG\nFROM ${METALLIZE_SRC_IMG}\n")
    catalog = Catalog(extensions_dir=extensions)
    found = catalog.layer("admin-user", beside=beside)
    assert found is not None
    assert found.context == beside
    found = catalog.layer("admin-user.dockerfile", beside=tmp_path)
    assert found is not None
    assert found.context == extensions


@pytest.mark.parametrize(
    ("written", "enabled", "restart"),
    [
        ("false", False, "always"),
        ("true", True, "always"),
        ("{restart: no}", True, "no"),
        ("{restart: on-failure}", True, "on-failure"),
    ],
)
def test_the_app_is_tuned_or_left_out(load: Load, written: str, enabled: bool, restart: str) -> None:
    profile = load(GOOD.replace("output:\n", f"output:\n  app: {written}\n"))
    assert profile.output.app.enabled is enabled
    assert profile.output.app.restart == restart


@pytest.mark.parametrize(
    ("asked", "leads_out"),
    [
        ({}, False),
        ({"suites": ("network",)}, True),
        ({"suites": ("network",), "internet": False}, False),
        ({"internet": True}, True),
    ],
)
def test_a_network_leads_out_where_the_profile_says_so(asked: dict[str, object], leads_out: bool) -> None:
    assert Boot.model_validate(asked).leads_out is leads_out
