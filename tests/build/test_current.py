"""An image that something of has been made again since is not called current, whoever made it again."""

from __future__ import annotations

from uuid import uuid4

import pytest

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
