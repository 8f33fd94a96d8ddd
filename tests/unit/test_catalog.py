"""The catalogue over a data folder of its own, and what `list` and `explain` print of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from metallize.catalog import Catalog, data_folder, render_explain, render_list
from metallize.config import Escape
from metallize.errors import ProfileError, UsageError
from metallize.model.boot import Media
from metallize.model.catalogue import OptionType
from metallize.model.profile import ImageFormat, Platform

LAYER = """\
# syntax=docker/dockerfile:1
# A kernel and what goes with it,
# for tests.
#
# More that is no summary.
# supports: debian:12, debian:13
ARG METALLIZE_SRC_IMG
FROM ${METALLIZE_SRC_IMG}
# The kernel's package.
ARG METALLIZE_KERNEL=linux-image-amd64
ARG METALLIZE_PLAIN
RUN true
"""

GENERATOR = """\
summary: A disk
description: >
  Many
  words.
formats: [raw, qcow2]
firmware: [bios]
machines: [seabios]
platforms: [linux/amd64]
options:
  margin: {type: size, default: 256M, description: free space, minimum: 1M}
  grow: {type: boolean, default: true, description: grow}
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for folder in ("layers/folder", "generators/disk", "generators/common", "boot-tests", "profiles"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    data = tmp_path / "data"
    (data / "layers/kernel.dockerfile").write_text(LAYER)
    (data / "layers/folder/Dockerfile").write_text(LAYER)
    (data / "generators/disk/generator.yaml").write_text(GENERATOR)
    (data / "boot-tests/base.yaml").write_text("# What holds.\nfile: {/etc: {exists: true}}\n")
    (data / "profiles/one.yaml").write_text("---\n# A profile.\nimages: []\n")
    return data


def test_a_layer_tells_of_itself(data: Path) -> None:
    layer = Catalog(data=data).layers["kernel.dockerfile"]
    assert layer.summary == "A kernel and what goes with it, for tests."
    assert layer.supports == ("debian:12", "debian:13")
    assert [(item.key, item.default, item.description) for item in layer.arguments] == [
        ("kernel", "linux-image-amd64", "The kernel's package."),
        ("plain", None, ""),
    ]
    assert layer.context == data / "layers"


def test_a_layer_may_be_a_folder(data: Path, tmp_path: Path) -> None:
    catalog = Catalog(data=data)
    assert list(catalog.layers) == ["folder.dockerfile", "kernel.dockerfile"]
    found = catalog.layer("folder", beside=tmp_path)
    assert found is not None
    assert found.path == data / "layers/folder/Dockerfile"
    assert found.context == data / "layers/folder"
    assert found.name == "folder.dockerfile"


def test_a_generator_tells_of_itself(data: Path) -> None:
    catalog = Catalog(data=data)
    assert list(catalog.generators) == ["disk"]
    generator = catalog.generators["disk"]
    assert generator.formats == (ImageFormat.RAW, ImageFormat.QCOW2)
    assert generator.default_media is Media.DISK
    assert generator.platforms == (Platform.AMD64,)
    assert generator.description == "Many words."
    assert generator.options["margin"].type is OptionType.SIZE
    assert generator.options["margin"].default == 256 << 20
    assert generator.complete({"grow": False}) == {"margin": 256 << 20, "grow": False}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("formats:", "fromats:", "unknown key `fromats`"),
        ("256M", "much", "option `margin`: a size is"),
        ("default: true", "default: 7", "option `grow`: `7` is no boolean"),
        ("type: size", "type: length", "`length` is not one of"),
        ("[raw, qcow2]", "[]", "at least 1 item"),
    ],
)
def test_a_wrong_generator_is_refused_with_its_place(data: Path, old: str, new: str, said: str) -> None:
    path = data / "generators/disk/generator.yaml"
    path.write_text(GENERATOR.replace(old, new))
    with pytest.raises(ProfileError) as caught:
        _ = Catalog(data=data).generators
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_where_a_layer_is_looked_for(data: Path, tmp_path: Path) -> None:
    places = {"beside": "beside", "extensions": "ext", "working": "here/docker", "near": "beside/docker"}
    for text in reversed(places.values()):
        (tmp_path / text).mkdir(parents=True, exist_ok=True)
        (tmp_path / text / "kernel.dockerfile").write_text(LAYER)
    catalog = Catalog(data=data, extensions_dir=tmp_path / "ext", working_dir=tmp_path / "here")
    contexts = []
    for text in places.values():
        found = catalog.layer("kernel.dockerfile", beside=tmp_path / "beside", dockerfile_dir="docker")
        assert found is not None
        contexts.append(found.context)
        (tmp_path / text / "kernel.dockerfile").unlink()
    assert contexts == [tmp_path / text for text in places.values()]
    found = catalog.layer("kernel.dockerfile", beside=tmp_path / "beside", dockerfile_dir="docker")
    assert found is not None
    assert found.context == data / "layers"


def test_an_extension_in_a_folder_has_the_extensions_folder_as_context(data: Path, tmp_path: Path) -> None:
    (tmp_path / "ext/sub").mkdir(parents=True)
    (tmp_path / "ext/sub/x.dockerfile").write_text(LAYER)
    catalog = Catalog(data=data, extensions_dir=tmp_path / "ext")
    found = catalog.layer("sub/x.dockerfile", beside=tmp_path)
    assert found is not None
    assert found.context == tmp_path / "ext"


def test_names_of_layers_are_those_of_all_folders(data: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.dockerfile").write_text(LAYER)
    names = Catalog(data=data).layer_names(beside=tmp_path)
    assert set(names) == {"mine.dockerfile", "kernel.dockerfile", "folder.dockerfile"}


def test_a_plain_file_is_no_layer(data: Path, tmp_path: Path) -> None:
    (tmp_path / "debian").write_text("not a dockerfile")
    assert Catalog(data=data).layer("debian", beside=tmp_path) is None


def test_a_link_out_of_the_folder_is_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "beside").mkdir()
    (tmp_path / "outside.dockerfile").write_text(LAYER)
    (tmp_path / "beside/x.dockerfile").symlink_to(tmp_path / "outside.dockerfile")
    with pytest.raises(Escape):
        Catalog(data=data).layer("x.dockerfile", beside=tmp_path / "beside")


def test_suites_are_found_by_name_and_by_path(data: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("file: {/etc: {exists: true}}\n")
    catalog = Catalog(data=data)
    assert catalog.suite("base", beside=tmp_path) == data / "boot-tests/base.yaml"
    assert catalog.suite("mine.yaml", beside=tmp_path) == tmp_path / "mine.yaml"
    assert catalog.suite("none", beside=tmp_path) is None
    assert "mine.yaml" in catalog.suite_names(beside=tmp_path)


def test_list_names_everything_with_its_summary(data: Path) -> None:
    text = render_list(Catalog(data=data))
    for part in (
        "kernel.dockerfile  A kernel",
        "disk  A disk",
        "seabios",
        "base  What holds.",
        "one  A profile.",
        "file",
    ):
        assert part in text


def test_explain_says_what_each_thing_takes(data: Path) -> None:
    catalog = Catalog(data=data)
    assert "size: free space; at least 1M (default 256M)" in render_explain(catalog, "disk")
    assert "The kernel's package. (default linux-image-amd64)" in render_explain(catalog, "kernel")
    assert "made for  debian:12, debian:13" in render_explain(catalog, "kernel.dockerfile")
    assert "linked-to" in render_explain(catalog, "file")
    assert "required" in render_explain(catalog, "port")
    assert "disk" in render_explain(catalog, "seabios")
    assert "exists: true" in render_explain(catalog, "base")


def test_explain_of_nothing_suggests(data: Path) -> None:
    with pytest.raises(UsageError) as caught:
        render_explain(Catalog(data=data), "kernal")
    assert caught.value.hint == "did you mean `kernel.dockerfile`?"


def test_the_data_of_a_checkout_is_the_checkout() -> None:
    assert (data_folder() / "layers").is_dir()
