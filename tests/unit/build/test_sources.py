"""A layer's digest changes with what its build reads, and with nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from metallize.build.dockerfile import parse
from metallize.build.sources import read_layer, swallowing
from metallize.errors import ExitCode, MetallizeError, ProfileError
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
    "an extended attribute": lambda root: os.setxattr(root / "conf/a", "user.colour", b"red"),
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


IGNORING: dict[str, tuple[str, str, str, bool]] = {
    "what is left out does not count": (".dockerignore", "build\n", "build/image.iso", False),
    "what is not left out counts": (".dockerignore", "other\n", "build/image.iso", True),
    "the dockerfile's own file has the word": ("my.dockerfile.dockerignore", "build\n", "build/image.iso", False),
    "what comes back counts": (".dockerignore", "build\n!build/keep\n", "build/keep", True),
    "its neighbours do not": (".dockerignore", "build\n!build/keep\n", "build/image.iso", False),
}


@pytest.mark.parametrize("case", IGNORING)
def test_ignore_files(layer: Layer, case: str) -> None:
    file, rules, changed, counts = IGNORING[case]
    (layer.context / "build").mkdir()
    (layer.context / "build/keep").write_text("kept")
    layer.path.write_text("FROM x\nCOPY . /srv\n")
    (layer.context / file).write_text(rules)
    before = read_layer(layer).digest
    (layer.context / changed).write_text("changed")
    assert (read_layer(layer).digest != before) is counts


def test_the_ignore_file_that_is_not_used_says_nothing(layer: Layer) -> None:
    layer.path.write_text("FROM x\nCOPY . /srv\n")
    (layer.context / "my.dockerfile.dockerignore").write_text("build\n.dockerignore\n")
    before = read_layer(layer).digest
    (layer.context / ".dockerignore").write_text("conf\n")
    assert read_layer(layer).digest == before


@pytest.mark.parametrize(
    ("copied", "changed", "counts"),
    [
        ("*.txt", "one.txt", True), ("*", "conf/a", True), ("c?nf/a", "conf/a", True), ("[^a-b]onf", "conf/a", True),
        ("*.txt", "conf/x.txt", False), ("**/a", "conf/a", True), ("/conf", "conf/a", True),
        ("--exclude=conf .", "conf/a", False),
        ("--exclude=**/*.txt .", "one.txt", False), ("--from=x conf", "conf/a", False),
        ('["conf", "x"] #', "conf/a", False),
    ],
)  # fmt: skip
def test_wildcards_and_flags(layer: Layer, copied: str, changed: str, counts: bool) -> None:
    layer.path.write_text(f"FROM x\nCOPY {copied} /srv/\n")
    before = read_layer(layer).digest
    (layer.context / changed).write_text("changed")
    assert (read_layer(layer).digest != before) is counts


def test_a_link_on_the_way_out_of_the_context_is_not_followed(
    layer: Layer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret").write_text("a")
    (layer.context / "way").symlink_to(outside)
    layer.path.write_text("FROM x\nCOPY way/secret /srv/\n")
    before = read_layer(layer).digest
    (outside / "secret").write_text("b")
    assert read_layer(layer).digest == before


@pytest.mark.parametrize(
    ("text", "rules", "line"),
    [
        ("COPY . /srv", "", 2), ("COPY build/x /srv", "", None), ("COPY conf /srv", "", None), ("COPY * /srv/", "", 2),
        ("COPY . /srv", "build", None), ("COPY . /srv", "build\n!build/x", 2),
        ("COPY --exclude=build . /srv", "", None),
        ("RUN --mount=target=/ctx x", "", 2), ("COPY $X /srv", "", 0), ("RUN true", "", None),
    ],
)  # fmt: skip
def test_a_build_folder_that_a_layer_takes_in_is_told(layer: Layer, text: str, rules: str, line: int | None) -> None:
    layer.path.write_text(f"FROM x\n{text}\n")
    (layer.context / ".dockerignore").write_text(rules)
    assert swallowing(read_layer(layer), layer.context / "build") == line
    assert swallowing(read_layer(layer), layer.context.parent / "elsewhere") is None


def test_faults_have_their_place(layer: Layer) -> None:
    layer.path.write_text("FROM a AS build\nFROM b\nCOPY --from=biuld /a /a\n")
    expected = f"{layer.path}:3:1: COPY --from=biuld: there is no stage `biuld` (did you mean `build`?"
    with pytest.raises(ProfileError) as caught:
        read_layer(layer)
    assert str(caught.value).startswith(expected)
    assert caught.value.exit_code is ExitCode.BAD_INPUT
    [fault] = read_layer(layer, refuse=False).faults
    assert str(fault).startswith(expected)


def test_what_the_layer_belows_triggers_take_counts(layer: Layer) -> None:
    triggers = parse("FROM x\nONBUILD COPY unused /srv/\n").triggers
    before = read_layer(layer, triggers=triggers).digest
    (layer.context / "unused").write_text("changed")
    assert read_layer(layer, triggers=triggers).digest != before


def test_a_link_that_leads_to_itself_is_a_link(layer: Layer) -> None:
    (layer.context / "round").symlink_to("round")
    layer.path.write_text("FROM x\nCOPY round* /srv/\n")
    assert read_layer(layer).digest


def test_the_value_of_an_attribute_counts(layer: Layer) -> None:
    digests = set()
    for value in (b"red", b"green", b""):
        os.setxattr(layer.context / "one.txt", "user.colour", value)
        digests.add(read_layer(layer).digest)
    assert len(digests) == 3


def test_attributes_that_no_image_keeps_are_known_by_their_file(layer: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only root may set and see them: tests/build/test_failures.py has real ones."""
    here = str(layer.context / "conf/a")
    monkeypatch.setattr(os, "listxattr", lambda path, **_: ["trusted.brick"] if str(path) == here else [])
    monkeypatch.setattr(os, "getxattr", lambda _path, _name, **_options: b"1")
    assert read_layer(layer).trusted == (layer.context / "conf/a",)


def test_a_hosts_own_labels_do_not_count(layer: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_layer(layer).digest
    monkeypatch.setattr(os, "listxattr", lambda _path, **_: ["security.selinux", "system.posix_acl_access"])
    assert read_layer(layer).digest == before
