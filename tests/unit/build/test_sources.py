"""A layer's digest changes with what its build reads, and with nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from metallize.build.sources import read_layer
from metallize.errors import MetallizeError
from metallize.model.catalogue import Layer

TEXT = "FROM x\nCOPY conf/ one.txt /etc/\nCOPY link /etc/\n"


@pytest.fixture
def layer(tmp_path: Path) -> Layer:
    (tmp_path / "conf/sub").mkdir(parents=True)
    (tmp_path / "conf/a").write_text("a")
    (tmp_path / "one.txt").write_text("one")
    (tmp_path / "behind").write_text("linked")
    (tmp_path / "link").symlink_to("behind")
    (tmp_path / "unused").write_text("unused")
    (tmp_path / "my.dockerfile").write_text(TEXT)
    return Layer(name="my.dockerfile", path=tmp_path / "my.dockerfile", context=tmp_path, summary="x")


def change_link(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").symlink_to("unused")


MEANINGFUL: dict[str, Callable[[Path], object]] = {
    "the dockerfile": lambda root: (root / "my.dockerfile").write_text(TEXT + "RUN true\n"),
    "a file's content": lambda root: (root / "one.txt").write_text("two"),
    "a file in a folder": lambda root: (root / "conf/a").write_text("b"),
    "a new file in a folder": lambda root: (root / "conf/sub/new").write_text(""),
    "a new empty folder": lambda root: (root / "conf/empty").mkdir(),
    "a file's mode": lambda root: (root / "conf/a").chmod(0o755),
    "a folder's mode": lambda root: (root / "conf/sub").chmod(0o700),
    "a name": lambda root: (root / "conf/a").rename(root / "conf/b"),
    "a removed file": lambda root: (root / "one.txt").unlink(),
    "a link's target": change_link,
    "what a copied link leads to": lambda root: (root / "behind").write_text("other"),
    "an ignore file": lambda root: (root / ".dockerignore").write_text("conf"),
    "the dockerfile's own ignore file": lambda root: (root / "my.dockerfile.dockerignore").write_text("conf"),
    "a name that is no UTF-8": lambda root: (root / os.fsdecode(b"conf/\xff")).write_text(""),
}
MEANINGLESS: dict[str, Callable[[Path], object]] = {
    "nothing": lambda _root: None,
    "a file that is not copied": lambda root: (root / "unused").write_text("changed"),
    "another dockerfile": lambda root: (root / "other.dockerfile").write_text("FROM x"),
    "times": lambda root: os.utime(root / "conf/a", (1, 1)),
}


@pytest.mark.parametrize("change", MEANINGFUL)
def test_the_digest_changes_with(layer: Layer, change: str) -> None:
    before = read_layer(layer).digest
    MEANINGFUL[change](layer.context)
    assert read_layer(layer).digest != before


@pytest.mark.parametrize("change", MEANINGLESS)
def test_the_digest_does_not_change_with(layer: Layer, change: str) -> None:
    before = read_layer(layer).digest
    MEANINGLESS[change](layer.context)
    assert read_layer(layer).digest == before


def test_everything_counts_where_only_a_build_can_tell(layer: Layer) -> None:
    layer.path.write_text("FROM x\nARG F\nCOPY ${F} /etc/\n")
    before = read_layer(layer).digest
    (layer.context / "unused").write_text("changed")
    assert read_layer(layer).digest != before


@pytest.mark.parametrize("source", ["../secret", "conf/../../secret", "/../secret"])
def test_nothing_outside_of_the_context_is_read(layer: Layer, source: str) -> None:
    layer.path.write_text(f"FROM x\nCOPY {source} /etc/\n")
    outside = layer.context.parent / "secret"
    outside.write_text("a")
    before = read_layer(layer).digest
    outside.write_text("b")
    assert read_layer(layer).digest == before


def test_a_dockerfile_that_cannot_be_read(layer: Layer) -> None:
    layer.path.unlink()
    with pytest.raises(MetallizeError, match=r"my\.dockerfile: cannot be read: No such file"):
        read_layer(layer)
