"""An image that something of has been made again since is not called current, whoever made it again."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from metallize.build import generator
from metallize.cli import main
from metallize.command import run
from tests.conftest import Cli

from .conftest import HEADER, Site

pytestmark = pytest.mark.docker


def digest(cli: Cli, site: Site, profile: object) -> tuple[bool, str]:
    """Whether a build called the image current, and the image's digest."""
    done = cli("build", profile, "--build-dir", "one", cwd=site.folder)
    assert done.status == 0, done.stderr
    image = next((site.folder / "one").glob("*.iso"))
    return "nothing has changed" in done.stderr, run(["sha256sum", image]).stdout.split()[0]


def test_a_shared_layer_that_another_profile_builds_again(site: Site, cli: Cli) -> None:
    # What it makes is other at every build, as a package would be that its server has a newer one of.
    shared = site.layer("shared.dockerfile", f"{HEADER}RUN cat /proc/sys/kernel/random/uuid >/{uuid4().hex}\n")
    ours, theirs = (site.profile(f"{name}.iso", "system.dockerfile", shared) for name in ("ours", "theirs"))
    assert not digest(cli, site, ours)[0]
    current, before = digest(cli, site, ours)
    assert current
    done = cli("build", theirs, "--no-cache", "--build-dir", "two", cwd=site.folder)
    assert done.status == 0, done.stderr
    current, after = digest(cli, site, ours)
    assert not current
    assert after != before
    assert digest(cli, site, ours) == (True, after)


def test_a_layer_whose_name_another_build_takes_while_the_image_is_made_of_it(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = uuid4().hex
    layer = site.layer(f"{name}.dockerfile", f"{HEADER}RUN echo {name} >/word\n")
    ours = site.profile("ours.iso", "system.dockerfile", layer)
    make, made = generator.make_image, list[str]()

    def meanwhile(*given: Any, **named: Any) -> generator.DiskImage:
        image = make(*given, **named)
        if not made:
            [taken] = run(
                ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}", f"metallize/{name}"]
            ).stdout.split()
            other = run(["docker", "images", "--quiet", "metallize/system"]).stdout.split()[0]
            run(["docker", "tag", other, taken])
        made.append(image.sha256)
        return image

    monkeypatch.setattr("metallize.build.making.make_image", meanwhile)
    monkeypatch.chdir(site.folder)
    assert main(["build", str(ours), "--build-dir", "one"]) == 0
    told = capsys.readouterr().err
    assert "was built again while ours.iso was made of it; ours.iso is made again" in told
    assert made == [run(["sha256sum", site.folder / "one" / "ours.iso"]).stdout.split()[0]] * 2
    assert not list((site.folder / "one").glob("**/*.work-*"))


def test_a_layer_that_was_removed(site: Site, cli: Cli) -> None:
    name = uuid4().hex
    ours = site.profile(
        "ours.iso", "system.dockerfile", site.layer(f"{name}.dockerfile", f"{HEADER}RUN date +%N >/{name}\n")
    )
    digest(cli, site, ours)
    images = run(["docker", "images", "--quiet", f"metallize/{name}"]).stdout.split()
    assert len(images) == 1
    run(["docker", "rmi", "--force", *images])
    run(["docker", "builder", "prune", "--force", "--filter", f"description~={name}"], check=False)
    current, after = digest(cli, site, ours)
    again = run(["docker", "images", "--quiet", f"metallize/{name}"]).stdout.split()
    assert current == (again == images), "it is current where the engine made the very same of its cache"
    assert digest(cli, site, ours) == (True, after)


def test_an_image_that_a_dockerfile_takes_from_elsewhere_is_made_where_no_registry_gives_it(
    site: Site, cli: Cli
) -> None:
    name = uuid4().hex
    text = f"ARG METALLIZE_SRC_IMG\nFROM debian:13-slim AS tools\nRUN echo {name} >/word\n"
    layer = site.layer("taking.dockerfile", f"{text}FROM ${{METALLIZE_SRC_IMG}}\nCOPY --from=tools /word /word\n")
    ours = site.profile("ours.iso", "system.dockerfile", layer)
    assert digest(cli, site, ours)[0] is False
    assert digest(cli, site, ours)[0] is True
    planned = cli("plan", ours, "--build-dir", "planned", cwd=site.folder)
    assert "taking.dockerfile [cached]" in planned.stdout
    assert 'lend "$layer_from_1" debian:13-slim' in planned.stdout
