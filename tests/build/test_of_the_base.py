"""A base image's own name and name servers do not reach the image; what a layer brings does. By real builds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from metallize.build.engines.docker import DockerEngine
from metallize.build.generator import sha256_of
from metallize.command import run
from tests import registry
from tests.conftest import Cli

from .conftest import BASE, HEADER, Site
from .test_properties import in_tools

pytestmark = pytest.mark.docker

MakeBase = Callable[[str], str]
FILES = {"hostname": "debuerreotype\n", "resolv.conf": "nameserver 192.0.2.1\n", "hosts": "127.0.0.1 localhost\n"}
COPIES = "COPY hostname resolv.conf hosts /etc/\n"


@pytest.fixture
def make_base(engine: DockerEngine, tmp_path: Path) -> Iterator[MakeBase]:
    """Builds a base image with a name, name servers and hosts in it, and with these instructions; its tag."""
    debian = registry.resolved(engine, BASE).image.reference
    made: list[str] = []

    def make(instructions: str) -> str:
        folder = tmp_path / f"base{len(made)}"
        folder.mkdir()
        for name, text in FILES.items():
            (folder / name).write_text(text)
        (folder / "Dockerfile").write_text(f"FROM {debian}\n{COPIES}{instructions}")
        tag = f"metallize-test/base:{uuid4().hex}"
        made.append(tag)
        run([engine.cli.path, "build", "--tag", tag, folder], env=engine._environment, timeout=timedelta(minutes=5))
        return tag

    yield make
    for tag in made:
        engine._client.images.remove(tag, force=True)


def told(image: Path, *names: str) -> list[str]:
    """What is in these files of an ext4 image, by debugfs(8) from its third partition; a link says where it leads."""
    lines = "\n".join(
        f"debugfs -R 'cat {name}' '/image?offset=67108864' 2>/dev/null; echo ==; "
        f"debugfs -R 'stat {name}' '/image?offset=67108864' 2>/dev/null | sed -n 's/^Fast link dest: //p'; echo =="
        for name in names
    )
    parts = in_tools(image, lines).split("==\n")
    return [parts[index] or parts[index + 1] for index in range(0, 2 * len(names), 2)]


def test_what_no_layer_brought_is_not_kept(site: Site, cli: Cli, make_base: MakeBase) -> None:
    profile = site.profile("shop.img", generator="ext4", base=make_base(""))
    done = cli("build", profile, "--verbose", cwd=site.folder)
    assert done.status == 0
    hostname, resolver, hosts = told(site.build / "shop.img", "/etc/hostname", "/etc/resolv.conf", "/etc/hosts")
    assert (hostname, resolver) == ("shop\n", "")
    assert "127.0.1.1\tshop\n" in hosts
    assert "/etc/hostname of the base image (debuerreotype) is not kept" in done.stderr + done.stdout
    planned = cli("plan", profile, "--build-dir", "planned", cwd=site.folder)
    run(["sh"], stdin=planned.stdout, cwd=site.folder, timeout=timedelta(minutes=5))
    assert sha256_of(site.folder / "planned" / "shop.img") == sha256_of(site.build / "shop.img")


def test_nor_what_the_image_brings_that_the_lowest_dockerfile_names(site: Site, cli: Cli, make_base: MakeBase) -> None:
    lowest = site.layer("lowest.dockerfile", f"FROM {make_base('')} AS os\nFROM os\nRUN touch /lowest\n")
    profile = site.profile("shop.img", "system.dockerfile", generator="ext4", base=lowest)
    assert cli("build", profile, cwd=site.folder).status == 0
    assert told(site.build / "shop.img", "/etc/hostname") == ["shop\n"]


def test_the_same_words_from_a_layer_are_kept(site: Site, cli: Cli, make_base: MakeBase) -> None:
    for name, text in FILES.items():
        (site.folder / name).write_text(text)
    own = site.layer("own.dockerfile", f"{HEADER}{COPIES}")
    profile = site.profile("shop.img", "system.dockerfile", own, generator="ext4", base=make_base(""))
    assert cli("build", profile, cwd=site.folder).status == 0
    assert told(site.build / "shop.img", "/etc/hostname", "/etc/resolv.conf", "/etc/hosts") == list(FILES.values())


def test_a_base_with_triggers_runs_them_once(site: Site, cli: Cli, make_base: MakeBase) -> None:
    """In the layer that stands on it; the seal, whose comparison would run them, does not compare then."""
    triggers = "ONBUILD RUN test ! -e /triggered && touch /triggered && test ! -e /run/metallize-seal\n"
    profile = site.profile(
        "shop.img", generator="ext4", base=make_base(f"{triggers}ONBUILD COPY system.dockerfile /x\n")
    )
    assert cli("build", profile, cwd=site.folder).status == 0
    assert told(site.build / "shop.img", "/etc/hostname") == [FILES["hostname"]]
