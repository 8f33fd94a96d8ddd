"""The plan is pure: the same profile and files make the same plan, and its id follows what it means."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metallize.build.planner import fat_id, fill, hostname_of
from metallize.build.script import shell_script
from metallize.catalog import Catalog
from metallize.config import load_profile
from metallize.errors import Location, ProfileError
from metallize.model.boot import Boot
from metallize.model.loaded import Profile
from metallize.model.profile import Platform
from metallize.planning import plan_of

from .conftest import GENERATOR, ON_SOURCE, Layers, MakePlan, profile

BOTH = dataclasses.replace(GENERATOR, platforms=(Platform.AMD64, Platform.ARM64))

MEANINGFUL: dict[str, Callable[[], Profile]] = {
    "name": lambda: profile(name="other"),
    "platform": lambda: profile(platform=Platform.ARM64),
    "an argument that a layer declares": lambda: profile(args={"hostname": "web2"}),
    "an argument less": lambda: profile(args={}),
    "kernel command line": lambda: profile(output={"kernel_boot_params": "quiet"}),
    "a generator's option": lambda: profile(output={"options": {"level": 3}}),
    "compression among the arguments": lambda: profile(args={"hostname": "web1", "compression": "xz"}),
    "format": lambda: profile(output={"file": "my.img"}),
}
MEANINGLESS: dict[str, Callable[[], Profile]] = {
    "nothing": profile,
    "the file's name": lambda: profile(output={"file": "other.iso"}),
    "the profile's place": lambda: profile(path=Path("elsewhere/my.yaml")),
    "how it boots": lambda: profile(boot=Boot()),
    "the default of an option": lambda: profile(output={"options": {"level": 9}}),
}


@pytest.mark.parametrize("change", MEANINGFUL)
def test_the_id_changes_with(make_plan: MakePlan, change: str) -> None:
    assert make_plan(MEANINGFUL[change](), generator=BOTH).id != make_plan(generator=BOTH).id


@pytest.mark.parametrize("change", MEANINGLESS)
def test_the_id_does_not_change_with(make_plan: MakePlan, change: str) -> None:
    assert make_plan(MEANINGLESS[change](), generator=BOTH).id == make_plan(generator=BOTH).id


def test_the_id_changes_with_the_files_of_every_stack(make_plan: MakePlan, layers: Layers) -> None:
    other = layers.read("b.dockerfile", f"{ON_SOURCE}RUN true\n")
    base = "debian:trixie"
    plans = [
        make_plan(),
        make_plan(rootfs=[base, other]),
        make_plan(rootfs=["debian:bookworm", other]),
        make_plan(rootfs=[base, other, other]),
        make_plan(rootfs=[base]),
        make_plan(rootfs=["debian:bookworm"]),
        make_plan(rootfs=[base], generator=BOTH, given=profile(platform=Platform.ARM64, args={})),
        make_plan(tools=[other]),
        make_plan(seal=other),
        make_plan(generator=dataclasses.replace(GENERATOR, fstab="")),
        make_plan(generator=dataclasses.replace(GENERATOR, kernel_boot_params="")),
    ]
    assert len({each.id for each in plans}) == len(plans)


@given(pairs=st.lists(st.tuples(st.text(max_size=5), st.integers(1, 22)), min_size=2, max_size=2, unique=True))
def test_two_wishes_never_share_an_id(pairs: list[tuple[str, int]]) -> None:
    source = Layers(Path("unused"))
    assert source.folder == Path("unused")
    from metallize.build.dockerfile import parse
    from metallize.build.planner import plan
    from metallize.build.sources import LayerSource
    from metallize.model.catalogue import Layer

    part = LayerSource(
        layer=Layer(name="a.dockerfile", path=Path("a.dockerfile"), context=Path(), summary="a"),
        dockerfile=parse(f"{ON_SOURCE}ARG METALLIZE_HOSTNAME\n"),
        digest="0",
    )
    ids = [
        plan(
            profile(args={"hostname": name}, output={"options": {"level": level}}),
            generator=GENERATOR,
            rootfs=["debian:trixie", part],
            tools=[part],
            seal=part,
            native=part,
            base_recipe=Path("Dockerfile"),
            host_platform=Platform.AMD64,
            build_dir=Path("build"),
            mirrors={},
        ).id
        for name, level in pairs
    ]
    assert ids[0] != ids[1]


def test_a_plan_is_the_same_twice(make_plan: MakePlan) -> None:
    assert make_plan() == make_plan()


def test_layers_get_the_arguments_that_they_declare(make_plan: MakePlan, layers: Layers) -> None:
    one = layers.read("one.dockerfile", f"{ON_SOURCE}ARG METALLIZE_HOSTNAME\n")
    other = layers.read("other.dockerfile", f"{ON_SOURCE}ARG METALLIZE_OTHER\n")
    made = make_plan(profile(args={"hostname": "a b;$(c)", "other": "x"}), rootfs=["debian:trixie", one, other])
    assert [layer.build_args for layer in made.rootfs.layers] == [
        {"METALLIZE_HOSTNAME": "a b;$(c)"},
        {"METALLIZE_OTHER": "x"},
    ]


def test_an_argument_that_no_layer_declares_is_refused_at_its_place(make_plan: MakePlan) -> None:
    place = Location(path=Path("profiles/my.yaml"), line=7, column=3)
    with pytest.raises(ProfileError) as caught:
        make_plan(profile(args={"hostnam": "x"}, locations={("args", "hostnam"): place}))
    assert str(caught.value).startswith("profiles/my.yaml:7:3: argument `hostnam`: no layer of the profile declares")


def test_a_plan_holds_the_hash_of_a_password(make_plan: MakePlan, layers: Layers) -> None:
    text = f"{ON_SOURCE}ARG METALLIZE_ADMIN_PASSWORD=admin\nARG METALLIZE_ADMIN_PASSWORD_HASH=\n"
    rootfs = ["debian:trixie", layers.read("user.dockerfile", text)]
    made = make_plan(profile(args={"admin_password": "s3cret"}), rootfs=rootfs)
    [(name, value)] = made.rootfs.layers[0].build_args.items()
    assert name == "METALLIZE_ADMIN_PASSWORD_HASH"
    assert value.startswith("$6$")
    script = shell_script(made)
    assert f"METALLIZE_ADMIN_PASSWORD_HASH={value}" in script.replace("'", "")
    assert "s3cret" not in script
    other = make_plan(profile(args={"admin_password": "s3cret2"}), rootfs=rootfs)
    assert other.id != made.id


def test_a_layer_that_stands_on_nothing_is_refused_at_its_place(make_plan: MakePlan, layers: Layers) -> None:
    with pytest.raises(ProfileError) as caught:
        make_plan(rootfs=["debian:trixie", layers.read("lost.dockerfile", "FROM debian\n")])
    (problem,) = caught.value.problems
    assert str(problem.location) == "profiles/my.yaml:4:5"
    assert "lost.dockerfile does not stand on the layers below it" in problem.message
    assert problem.hint is not None
    assert "FROM ${METALLIZE_SRC_IMG}" in problem.hint


def test_the_first_image_may_be_a_dockerfile_with_its_own_from(make_plan: MakePlan, layers: Layers) -> None:
    made = make_plan(rootfs=[layers.read("own.dockerfile", "FROM debian\n")])
    assert made.rootfs.base is None


def test_a_first_layer_with_nothing_below_it_is_refused_at_its_place(make_plan: MakePlan, layers: Layers) -> None:
    text = "ARG METALLIZE_SRC_IMG{}\nFROM ${{METALLIZE_SRC_IMG}}\n"
    with pytest.raises(ProfileError) as caught:
        make_plan(rootfs=[layers.read("floating.dockerfile", text.format(""))])
    (problem,) = caught.value.problems
    assert problem.message == "floating.dockerfile stands on the image below it, and there is none"
    assert make_plan(rootfs=[layers.read("own.dockerfile", text.format("=debian:trixie"))]).rootfs.base is None
    spelled = "ARG METALLIZE_SRC_IMG\nFROM ${METALLIZE_SRC_IMG:-debian:trixie}\n"
    assert make_plan(rootfs=[layers.read("spelled.dockerfile", spelled)]).rootfs.base is None


def test_a_platform_that_the_generator_cannot_make(make_plan: MakePlan) -> None:
    with pytest.raises(ProfileError, match="generator livecd makes no image for linux/arm64"):
        make_plan(profile(platform=Platform.ARM64))


def test_an_image_that_holds_its_version_needs_one(make_plan: MakePlan) -> None:
    versioned = dataclasses.replace(GENERATOR, versioned=True)
    with pytest.raises(ProfileError, match=r"set output\.version"):
        make_plan(generator=versioned)
    job = make_plan(profile(output={"version": "20261130.1"}), generator=versioned).job
    assert (job.as_json()["release"], job.as_json()["version"]) == ("my", "20261130.1")
    plain = make_plan(profile(output={"version": "20261130.1"}))
    assert plain.id == make_plan().id, "the version of a release changes no image that does not hold it"


def test_ids_are_filled_into_fstab_and_command_line(make_plan: MakePlan) -> None:
    made = make_plan()
    root, esp = made.job.ids["root"], made.job.ids["esp"]
    assert made.job.kernel_boot_params == f"root=UUID={root} console=ttyS0"
    assert made.seal.fstab.splitlines() == [
        f"UUID={root} / ext4 defaults 0 1",
        f"UUID={fat_id(esp)} /boot/efi vfat nofail 0 2",
    ]
    assert re.fullmatch(r"[0-9A-F]{4}-[0-9A-F]{4}", fat_id(esp))
    assert fill("{other_uuid}", made.job.ids) == "{other_uuid}"


@given(st.text())
def test_every_name_becomes_a_hostname(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", hostname_of(name))


@pytest.mark.parametrize(
    ("base", "supports", "fits"),
    [
        ("debian:trixie", "debian:13", True),
        ("debian:13-slim", "debian:12 debian:13", True),
        ("debian:bookworm", "debian:13", False),
        ("ubuntu:24.04", "debian:12 debian:13", False),
        ("ubuntu:noble", "ubuntu", True),
        ("debian:trixie", "ubuntu", False),
        ("registry.example/our/base:1", "debian:13", True),
        ("debian:stable", "debian:13", True),
        ("debian:trixie", "", True),
    ],
)
def test_a_layer_that_is_made_for_another_distribution(
    make_plan: MakePlan, layers: Layers, base: str, supports: str, fits: bool
) -> None:
    source = layers.read("a.dockerfile")
    layer = dataclasses.replace(source.layer, supports=tuple(supports.split()))
    rootfs = [base, dataclasses.replace(source, layer=layer)]
    if fits:
        make_plan(rootfs=rootfs)
        return
    with pytest.raises(ProfileError) as caught:
        make_plan(rootfs=rootfs)
    [problem] = caught.value.problems
    assert str(problem.location) == "profiles/my.yaml:4:5"
    assert problem.message.endswith(f"and the stack stands on {base}")


def test_every_dockerfile_that_buildkit_would_refuse_is_told_of_at_once(tmp_path: Path) -> None:
    """Each with its line; nothing is said that may follow from their faults alone."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.dockerfile").write_text(f"{ON_SOURCE}BOGUS x\n")
    path = tmp_path / "both.yaml"
    path.write_text(
        "platform: linux/amd64\nimages: [debian:trixie, one.dockerfile, two.dockerfile]\nargs: {nobody_declares: x}\n"
        "output: {generator: livecd, file: x.iso}\n"
    )
    catalog = Catalog()
    with pytest.raises(ProfileError) as caught:
        plan_of(load_profile(path, vocabulary=catalog.vocabulary()), catalog)
    found = [(problem.location.path.name, problem.location.line) for problem in caught.value.problems]
    assert found == [("one.dockerfile", 3), ("two.dockerfile", 3)]
