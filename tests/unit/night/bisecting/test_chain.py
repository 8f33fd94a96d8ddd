"""What lies between two images: which changes there are, and of what the images at the cuts are made."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from metallize.build.engines.engine import ImageInfo, Output
from metallize.build.generator import DiskImage
from metallize.build.plan import BuildPlan
from metallize.build.stacks import build_images, manifest_of
from metallize.build.step import pin_of
from metallize.build.steps import steps_of
from metallize.errors import EngineError
from metallize.model.profile import ImageFormat
from metallize.night.bisecting.chain import Chain, Stack, chain_of, plan_at, stack_of
from tests.unit.build.conftest import (
    ON_SOURCE,
    FakeEngine,
    Layers,
    MakePlan,
    Recorder,
    image,
    layers,
    make_plan,
    profile,
)

__all__ = ["layers", "make_plan"]
EPOCH = 1_700_000_000


class Engine(FakeEngine):
    """Knows images by their ids, too, also those that have lost their name to another, as the real one does."""

    def inspect(self, reference: str) -> ImageInfo | None:
        return self.images.get(reference) or self.images.get(f"id {reference}")

    def run(self, argv: Sequence[str], output: Output) -> list[str] | None:
        said = super().run(argv, output)
        self.images |= {f"id {each.id}": each for each in self.images.values()}
        return said


class Site:
    """Makes stacks of little layers, and remembers what was made of them."""

    def __init__(self, make: MakePlan, layers: Layers) -> None:
        self.make, self.layers = make, layers
        self.engine = Engine(images={"debian:trixie": image("debian:trixie")})

    def plan(self, *names: str, **said: Any) -> BuildPlan:
        """`app 2` is another layer of the name of `app 1`."""
        texts = ((name.partition(" ")[0], name.partition(" ")[2] or "1") for name in names)
        read = [self.layers.read(f"{name}.dockerfile", f"{ON_SOURCE}RUN echo {text}\n") for name, text in texts]
        return self.make(profile(args={}, **said), rootfs=["debian:trixie", *read])

    def made(self, plan: BuildPlan, *, fresh: bool = False) -> Stack:
        steps = steps_of(plan)
        images = build_images(plan, steps, self.engine, Recorder(), fresh=fresh)
        disk = DiskImage(path=Path("x"), format=ImageFormat.ISO, size_bytes=1, sha256="a" * 64, facts={})
        found = stack_of(manifest_of(plan, steps, images, disk, EPOCH))
        assert found is not None
        return found

    def built(self, plan: BuildPlan) -> list[str]:
        """The layers that had to be built, and not only taken."""
        before = len(self.engine.commands)
        build_images(plan, steps_of(plan), self.engine, Recorder())
        given = [dict(itertools.pairwise(words)) for words in self.engine.commands[before:]]
        return [Path(each["--file"]).stem for each in given if "--file" in each]


@pytest.fixture
def site(make_plan: MakePlan, layers: Layers) -> Site:
    return Site(make_plan, layers)


def words(chain: Chain) -> list[str]:
    return [each.what for each in chain.changes]


def test_images_between_stand_on_what_the_last_good_one_was_made_of(site: Site) -> None:
    before = site.made(site.plan("kernel", "net", "login", "app"))
    plan = site.plan("kernel", "net 2", "extra", "login", "app 2")
    chain = chain_of(before, site.made(plan), plan)
    assert words(chain) == [
        "layer net.dockerfile, which is another",
        "layer extra.dockerfile, which is new",
        "layer app.dockerfile, which is another",
    ]
    assert not chain.anew
    digests = [each.digest for each in before.layers]
    first, second = plan_at(plan, chain, 1), plan_at(plan, chain, 2)
    assert [each.name for each in first.rootfs.layers] == [
        f"{name}.dockerfile" for name in ("kernel", "net", "extra", "login", "app")
    ]
    assert [each.taken for each in first.rootfs.layers] == [*digests[:2], "", "", ""]
    assert site.built(first) == ["extra", "login", "app"]
    assert [each.name for each in second.rootfs.layers] == [
        f"{name}.dockerfile" for name in ("kernel", "net", "login", "app")
    ]
    assert site.built(second) == ["app"], "login on the old net is there, and taken as it is"
    assert len({plan.id, first.id, second.id}) == 3
    assert steps_of(first).ground, "the seal compares the rootfs with the base"


def test_a_layer_that_is_gone_one_in_the_place_of_another_and_another_base(site: Site) -> None:
    before = site.made(site.plan("kernel", "net", "old", "app"))
    site.engine.images["debian:trixie"] = replace(image("debian:trixie"), id="sha256:" + "9" * 64)
    plan = site.plan("kernel", "wifi", "app")
    chain = chain_of(before, site.made(plan), plan)
    assert words(chain) == [
        "the base image: debian:trixie",
        "layer wifi.dockerfile, which is in the place of net.dockerfile",
        "layer old.dockerfile, which is gone",
        "no layer: the generator, its options, or the unit that a CMD makes, which are others",  # it stands there, too
    ]
    cut = plan_at(plan, chain, 1)
    assert cut.rootfs.base is not None
    assert cut.rootfs.base.reference == pin_of(before.base_digest), "the base as it was, whatever its name means now"
    assert site.built(cut) == ["wifi", "app"], "the kernel on the base as it was is there"


def test_layers_that_were_built_anew_say_what_they_said(site: Site) -> None:
    """The packages of another day: what stands above a cut is built anew, too."""
    plan = site.plan("kernel", "net", "app")
    before = site.made(plan)
    after = site.made(plan, fresh=True)
    chain = chain_of(before, after, plan)
    assert chain.anew
    assert [each.rpartition(", ")[2] for each in words(chain)[:3]] == ["which was built anew"] * 3
    assert words(chain)[3].startswith("no layer: the generator"), "its tools were built anew, too"
    cut = plan_at(plan, chain, 2)
    assert site.built(cut) == ["app"]
    assert site.built(cut) == ["app"], "each time"
    assert site.made(plan) == after, "what today's image was made of is what it was"


def test_what_is_in_no_layer_is_a_change_too(site: Site) -> None:
    before = site.made(site.plan("kernel", "app"))
    plan = site.plan("kernel", "app 2", output={"kernel_boot_params": "quiet"})
    chain = chain_of(before, site.made(plan), plan)
    assert words(chain)[0] == "layer app.dockerfile, which is another"
    assert words(chain)[1].startswith("no layer: the generator")
    assert [each.taken for each in plan_at(plan, chain, 1).rootfs.layers] == [each.digest for each in before.layers]


def test_what_is_the_same_is_no_change(site: Site) -> None:
    plan = site.plan("kernel", "app")
    before = site.made(plan)
    assert chain_of(before, before, plan).changes == ()


def test_a_layer_whose_image_was_removed_is_told(site: Site) -> None:
    before = site.made(site.plan("kernel", "net", "app"))
    plan = site.plan("kernel", "net 2", "app 2")
    chain = chain_of(before, site.made(plan), plan)
    gone = before.layers[1].digest
    site.engine.images = {name: each for name, each in site.engine.images.items() if each.id != gone}
    with pytest.raises(EngineError, match=r"the image of net\.dockerfile as it was .* is there no longer"):
        site.built(plan_at(plan, chain, 1))


def test_a_manifest_that_tells_of_no_stack() -> None:
    assert stack_of(MappingProxyType({"sha256": "a"})) is None
    assert stack_of({"layers": [{"name": "x"}], "base": {}, "generator": {}}) is None
