"""What README.md, CONTRIBUTING.md and docs/ tell people to type is there, and what they show loads."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from metallize.catalog import Catalog
from metallize.commands.line import parse, parser
from metallize.config import load_profile
from metallize.pipeline import Options, plan_of
from tests.conftest import ROOT
from tests.documents import blocks, commands, files, section

PAGES = tuple(f"docs/{name}.md" for name in ("commands", "profiles", "targets", "machines"))
"""What README.md sends people to; the others have tests of their own."""
DOCUMENTS = ("README.md", "CONTRIBUTING.md", *PAGES)
MOST_LINES = 165
"""Of README.md: three screens."""


def simple_commands(document: str) -> list[list[str]]:
    """The words of each simple command: without comments, pipes and what follows them."""
    found = []
    for line in commands(document):
        for part in re.split(r"\s(?:\||&&|;)\s", line):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:  # a regular expression or a piece of YAML
                continue
            while words and re.fullmatch(r"sudo|[A-Z_]+=\S*", words[0]):
                words.pop(0)
            if words:
                found.append(words)
    return found


@pytest.mark.parametrize("document", [*DOCUMENTS, "docs/release.md"])
def test_every_metallize_command_is_one(document: str) -> None:
    calls = [words[1:] for words in simple_commands(document) if Path(words[0]).name == "metallize" and words[1:]]
    assert calls
    for words in calls:
        if words[0].startswith("-"):
            continue
        options = parse(words)
        assert options.verb == words[0]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_script_and_its_options_are_there(document: str) -> None:
    calls = [words for words in simple_commands(document) if words[0].startswith(("scripts/", ".ci/"))]
    assert calls or document in PAGES
    for name, *words in calls:
        path = ROOT / name
        assert path.is_file(), f"{name} is not there"
        assert os.access(path, os.X_OK), f"{name} cannot be run"
        for option in (word for word in words if word.startswith("--")):
            assert option in path.read_text(), f"{name} does not know {option}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_is_named_is_there(document: str) -> None:
    text = (ROOT / document).read_text()
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    shown = files(text)
    named = [code for code in re.findall(r"`([\w.-]+/[\w./-]+)`", text) if code not in shown]
    folders = ("metallize/", "tests/", "generators/", "layers/", "scripts/", "docs/", "requirements/", "boot-tests/")
    for name in (code for code in named if code.startswith(folders) and "NAME" not in code):
        assert (ROOT / name).exists(), f"{document} names {name}, which is not there"
    for name in links:
        assert name.startswith("http") or (ROOT / document).parent.joinpath(name).exists(), f"{document} links {name}"


def test_the_readme_fits_on_three_screens_and_sends_to_every_page() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= MOST_LINES
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    for page in (ROOT / "docs").glob("*.md"):
        if page.name != "mutation.md":  # of the project's own tests: CONTRIBUTING.md has it
            assert f"docs/{page.name}" in links, f"README.md does not send to {page.name}"
    block = blocks(section("README.md", "Two commands"), "sh")[0]
    assert [line.split()[0] for line in block.splitlines()] == ["scripts/quickstart", "scripts/test"]


@pytest.mark.parametrize(
    ("pattern", "schema"),
    [
        ("profiles/*.yaml", "profile"),
        ("boot-tests/*.yaml", "suite"),
        ("generators/*/generator.yaml", "generator"),
    ],
)
def test_an_editor_finds_the_schema_of_every_shipped_file(pattern: str, schema: str) -> None:
    """`metallize schema --write` in the checkout puts it there; tests/unit/cli/test_init.py has what it writes."""
    for path in sorted(ROOT.glob(pattern)):
        first = path.read_text().splitlines()[0]
        place = first.removeprefix("# yaml-language-server: $schema=")
        assert place != first, path
        assert (path.parent / place).resolve() == ROOT / ".metallize" / f"{schema}.schema.json"


def test_every_command_is_told_of() -> None:
    pages = ("commands", "profiles", "by-hand", "release", "init", "passwords")
    text = "".join(page.read_text() for name in pages if (page := ROOT / "docs" / f"{name}.md").exists())
    text += (ROOT / "README.md").read_text()
    for name in parser().commands:
        assert f"metallize {name}" in text, f"no page tells of metallize {name}"


def test_the_example_of_a_profile_loads_and_plans(tmp_path: Path) -> None:
    [text] = blocks(section("README.md", "How a profile works"), "yaml")
    plans(tmp_path, {"example.yaml": text}, "example.yaml")


def test_your_own_layer_loads_and_plans(tmp_path: Path) -> None:
    own = files(section("README.md", "Your own layer, in your own folder"))
    assert set(own) == {"motd.dockerfile", "hello.yaml"}
    plans(tmp_path, own, "hello.yaml", "motd.dockerfile")


def test_your_own_server_loads_and_plans(tmp_path: Path) -> None:
    own = files(section("docs/targets.md", "On a bare-metal server"))
    assert set(own) == {"kernel.dockerfile", "my-server.yaml"}
    booted = (ROOT / "tests/boot/server/kernel.dockerfile").read_text()
    assert own["kernel.dockerfile"].splitlines()[1:] == booted.splitlines()[1:]
    (tmp_path / "linux-image-6.12.0-mine.deb").write_text("")
    plans(tmp_path, own, "my-server.yaml", "kernel.dockerfile", "kernel-debs.dockerfile", "netplan-bond.dockerfile")


def plans(folder: Path, written: dict[str, str], profile: str, *layers: str) -> None:
    """The files as a user writes them, read and planned; the layers are among those that are stacked."""
    for name, content in written.items():
        (folder / name).write_text(content)
    catalog = Catalog()
    loaded = load_profile(folder / profile, vocabulary=catalog.vocabulary())
    plan = plan_of(loaded, catalog, Options())
    assert plan.rootfs.base is not None
    assert {layer.name for layer in plan.rootfs.layers} >= set(layers)
    assert loaded.assertions


def test_the_shipped_profiles_are_all_told_of() -> None:
    text = section("README.md", "Shipped profiles")
    for name in Catalog().profiles:
        assert re.search(rf"\b{re.escape(name)}\b", text), f"README.md does not tell of {name}"


@pytest.mark.parametrize("block", blocks((ROOT / "docs/booting.md").read_text(), "yaml"))
def test_what_a_boot_can_be_asked_loads(block: str, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    head = "images: [debian:trixie, debian-disk.dockerfile]\noutput: {generator: ext4, file: x.img}\n"
    path.write_text(head + block)
    assert load_profile(path, vocabulary=Catalog().vocabulary()).boot is not None


@pytest.mark.parametrize("block", blocks((ROOT / "docs/passwords.md").read_text(), "yaml"))
def test_a_profile_without_passwords_loads_and_plans(block: str, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/test").write_text("")
    plans(tmp_path, {"keys.yaml": block}, "keys.yaml", "authorized-keys.dockerfile")
