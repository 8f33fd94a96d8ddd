"""Which of a rootfs's name, hosts and resolver its base image brought, and no layer of the profile."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from metallize.command import run
from tests.conftest import ROOT

SCRIPT = ROOT / "generators" / "common" / "seal" / "of-the-base"
DEBUERREOTYPE = {
    "hostname": "debuerreotype\n",
    "resolv.conf": "# a public name server\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n",
}
MADE = 1_700_000_000


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A base image's files as its makers leave them."""
    folder = tmp_path / "base image, a's"
    (folder / "etc").mkdir(parents=True)
    for name, text in DEBUERREOTYPE.items():
        (folder / "etc" / name).write_text(text)
        os.utime(folder / "etc" / name, (MADE, MADE))
    return folder


def named(base: Path, rootfs: Path) -> list[str]:
    return run(["sh", SCRIPT, base, rootfs]).stdout.splitlines()


def stacked(base: Path) -> Path:
    """The rootfs of layers that touch nothing of it."""
    return Path(shutil.copytree(base, base.with_name("rootfs"), symlinks=True, dirs_exist_ok=True))


def test_what_no_layer_touched_is_the_bases(base: Path) -> None:
    assert named(base, stacked(base)) == ["etc/hostname", "etc/resolv.conf"]


@pytest.mark.parametrize("name", DEBUERREOTYPE)
def test_what_a_layer_wrote_is_the_layers(base: Path, name: str) -> None:
    rootfs = stacked(base)
    (rootfs / "etc" / name).write_text("web1\n")
    assert f"etc/{name}" not in named(base, rootfs)


@pytest.mark.parametrize("name", DEBUERREOTYPE)
@pytest.mark.parametrize("seconds", [-1, 1])
def test_the_same_words_from_a_layer_are_the_layers(base: Path, name: str, seconds: int) -> None:
    rootfs = stacked(base)
    os.utime(rootfs / "etc" / name, (MADE, MADE + seconds))
    assert named(base, rootfs) == [f"etc/{each}" for each in DEBUERREOTYPE if each != name]


def test_the_same_length_at_the_same_time_is_not_the_same_file(base: Path) -> None:
    rootfs = stacked(base)
    (rootfs / "etc/hostname").write_text("debuerreotypo\n")
    os.utime(rootfs / "etc/hostname", (MADE, MADE))
    assert named(base, rootfs) == ["etc/resolv.conf"]


def test_what_a_layer_removed_or_emptied_is_nobodys(base: Path) -> None:
    rootfs = stacked(base)
    (rootfs / "etc/hostname").unlink()
    (rootfs / "etc/resolv.conf").write_text("")
    assert named(base, rootfs) == []


def test_a_base_that_has_none_of_them(tmp_path: Path, base: Path) -> None:
    rootfs = stacked(base)
    (tmp_path / "empty").mkdir()
    assert named(tmp_path / "empty", rootfs) == []
    for name in DEBUERREOTYPE:
        (base / "etc" / name).write_text("")
    assert named(base, stacked(base)) == []


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link_is_how_a_package_wants_it(base: Path, link: object) -> None:
    assert callable(link)
    for folder in (base, stacked(base)):
        (folder / "etc/other").write_text("nameserver 192.0.2.1\n")
        (folder / "etc/resolv.conf").unlink()
        link(folder / "etc/other", folder / "etc/resolv.conf")
    assert named(base, base.with_name("rootfs")) == ["etc/hostname"]


@pytest.mark.parametrize(
    ("text", "whose"),
    [
        ("127.0.0.1\tlocalhost\n# 192.0.2.7 nobody\n\n::1 localhost ip6-localhost\nff02::1 ip6-allnodes\n", True),
        ("127.0.0.1 localhost\n127.0.1.1 debuerreotype\n", True),
        ("127.0.0.1 localhost\n192.0.2.7 licences.example.org\n", False),
        ("fe80::1 router\n", False),
        ("1270.0.0.1 odd\n", False),
    ],
)
def test_hosts_of_the_base_stay_where_they_name_others(base: Path, text: str, whose: bool) -> None:
    (base / "etc/hosts").write_text(text)
    os.utime(base / "etc/hosts", (MADE, MADE))
    assert ("etc/hosts" in named(base, stacked(base))) is whose
