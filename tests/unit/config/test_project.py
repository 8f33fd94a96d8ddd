"""The project file, shared folders, keys of one's own, and a build context that a profile names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from metallize.catalog import Catalog
from metallize.catalog.schemas import modeline, schemas, write_schemas
from metallize.config import PROJECT_FILE, Vocabulary, load_profile
from metallize.config.project import KEYS
from metallize.errors import ProfileError
from metallize.model.loaded import Profile
from metallize.pipeline import Options, plan_of
from tests.conftest import ROOT

LAYER = "ARG METALLIZE_SRC_IMG\nFROM ${METALLIZE_SRC_IMG}\n"
OUTPUT = "output: {generator: ext4, file: web.img}\n"
PROFILE = f"images: [debian:trixie, debian-disk.dockerfile, web.dockerfile]\n{OUTPUT}"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout: profiles/, common/ beside it, and a project file above both."""
    (tmp_path / ".git").mkdir()
    for folder in ("profiles", "common"):
        (tmp_path / folder).mkdir()
    (tmp_path / "common/web.dockerfile").write_text(LAYER)
    project(tmp_path, "shared: [common]\n")
    (tmp_path / "profiles/web.yaml").write_text(PROFILE)
    return tmp_path


def project(tree: Path, text: str) -> None:
    (tree / PROJECT_FILE).write_text(text)


def load(tree: Path, vocabulary: Vocabulary, **overrides: str) -> Profile:
    given = {key.replace("__", "."): value for key, value in overrides.items()}
    return load_profile(tree / "profiles/web.yaml", vocabulary=vocabulary, overrides=given)


def wrong(tree: Path, vocabulary: Vocabulary, **overrides: str) -> str:
    with pytest.raises(ProfileError) as caught:
        load(tree, vocabulary, **overrides)
    return "\n".join(str(problem) for problem in caught.value.problems)


def test_layers_suites_and_profiles_are_found_in_shared_folders(tree: Path, vocabulary: Vocabulary) -> None:
    (tree / "common/web-checks.yaml").write_text("file: {/etc/web: {exists: true}}\n")
    (tree / "common/stack.yaml").write_text(
        f"{PROFILE}boot: {{login: {{user: a, password: b}}, suites: [web-checks.yaml]}}\n"
    )
    (tree / "profiles/web.yaml").write_text("extends: stack.yaml\n")
    loaded = load(tree, vocabulary)
    assert [each.resource for each in loaded.assertions] == ["/etc/web"]
    plan = plan_of(loaded, Catalog(), Options())
    assert plan.rootfs.layers[-1].dockerfile == tree / "common/web.dockerfile"


def test_what_is_beside_the_profile_comes_first(tree: Path, vocabulary: Vocabulary) -> None:
    (tree / "profiles/web.dockerfile").write_text(LAYER)
    plan = plan_of(load(tree, vocabulary), Catalog(), Options())
    assert plan.rootfs.layers[-1].dockerfile == tree / "profiles/web.dockerfile"


def test_a_profile_is_laid_over_the_projects_defaults(tree: Path, vocabulary: Vocabulary) -> None:
    project(
        tree,
        "shared: [common]\nx-mine: &p console=ttyS0\nargs: {a: 1, b: 1}\nplatform: linux/amd64\n"
        "output: {kernel_boot_params: *p}\nmetallize: {build_dir: images}\nboot: {memory: 2G, machines: [ovmf]}\n",
    )
    (tree / "profiles/web.yaml").write_text(f"{PROFILE}args: {{b: 2}}\nboot: {{machines: [seabios]}}\n")
    loaded = load(tree, vocabulary)
    assert loaded.args == {"a": "1", "b": "2"}
    assert loaded.output.kernel_boot_params == "console=ttyS0"
    assert loaded.settings.build_dir == "images"
    assert loaded.boot is not None
    assert (list(loaded.boot.machines), loaded.boot.memory) == (["seabios"], 2 << 30)
    assert load(tree, vocabulary, args__a="3").args["a"] == "3"


def test_a_mistake_in_the_project_file_is_told_where_it_is(tree: Path, vocabulary: Vocabulary) -> None:
    project(tree, "shared: [common]\nargs: {nobodys: 1}\n")
    plan_of(load(tree, vocabulary), Catalog(), Options())  # it is for the profiles whose layers take it
    project(tree, "shared: [comon, ../x]\narg: {a: 1}\nboot: {memory: 1X}\n")
    told = wrong(tree, vocabulary)
    assert f"{tree / PROJECT_FILE}:1:10: there is no folder `comon` (did you mean `common`?)" in told
    assert f"{PROJECT_FILE}:1:17: `../x`: it leaves its folder with `..`" in told
    assert f"{PROJECT_FILE}:2:1: unknown key `arg` (did you mean `args`?)" in told
    project(tree, "shared: [common]\nboot: {memory: 1X}\n")
    assert f"{PROJECT_FILE}:2:16: `memory`: a size is" in wrong(tree, vocabulary)
    project(tree, "[1]\n")
    assert "a project file is a mapping with the keys shared, platform" in wrong(tree, vocabulary)


def test_a_project_ends_where_the_checkout_does(tree: Path, vocabulary: Vocabulary) -> None:
    (tree / "profiles/.git").write_text("gitdir: elsewhere\n")
    assert "unknown layer `web.dockerfile`" in wrong(tree, vocabulary)


def test_a_project_file_of_somebody_else_is_not_taken(tree: Path, vocabulary: Vocabulary) -> None:
    if os.getuid() != 0:
        pytest.fail("this test gives a file away, which takes root")
    os.chown(tree / PROJECT_FILE, 12345, -1)
    assert "it belongs to another user" in wrong(tree, vocabulary)


def test_shipped_profiles_belong_to_no_project(tmp_path: Path) -> None:
    (tmp_path / PROJECT_FILE).write_text("args: {a: 1}\n")
    data = tmp_path / ".venv/data"
    data.mkdir(parents=True)
    for name in ("generators", "layers", "boot-tests", "profiles"):
        (data / name).symlink_to(ROOT / name)
    catalog = Catalog(data=data)
    assert "a" not in load_profile(catalog.profiles["debian13-ext4"], vocabulary=catalog.vocabulary()).args


def test_keys_of_ones_own_hold_anchors(tree: Path, vocabulary: Vocabulary) -> None:
    text = "x-images: &images [debian:trixie, debian-disk.dockerfile]\nimages: *images\n"
    (tree / "profiles/web.yaml").write_text(
        f"{text}{OUTPUT}boot: {{login: {{user: a, password: b}}, suites: [own.yaml]}}\n"
    )
    (tree / "profiles/own.yaml").write_text("x-there: &there {exists: true}\nfile: {/etc/a: *there, /etc/b: *there}\n")
    loaded = load(tree, vocabulary)
    assert loaded.images == ("debian:trixie", "debian-disk.dockerfile")
    assert len(loaded.assertions) == 2
    assert "unknown key `x-a`" in wrong(tree, vocabulary, **{"x-a": "1"})
    (tree / "profiles/own.yaml").write_text("x-there: {exists: true}\n")
    assert "no assertions" in wrong(tree, vocabulary)


CONTEXT = "{layer: web.dockerfile, context: ../app}"


def test_a_context_is_a_folder_that_the_profile_names(tree: Path, vocabulary: Vocabulary) -> None:
    app = tree / "app with, a name"
    app.mkdir()
    (app / "index.html").write_text("1")
    (tree / "common/web.dockerfile").write_text(f"{LAYER}COPY index.html /srv/\n")
    item = "{layer: web.dockerfile, context: '../app with, a name'}"
    (tree / "profiles/web.yaml").write_text(PROFILE.replace("web.dockerfile", item))
    loaded = load(tree, vocabulary)
    assert loaded.images[-1] == "web.dockerfile"
    before = plan_of(loaded, Catalog(), Options())
    assert before.rootfs.layers[-1].context.resolve() == app
    (app / "index.html").write_text("2")
    assert plan_of(loaded, Catalog(), Options()).id != before.id


def test_a_context_is_from_the_file_that_names_it(tree: Path, vocabulary: Vocabulary) -> None:
    (tree / "profiles/below").mkdir()
    (tree / "profiles/below/app").mkdir()
    (tree / "profiles/below/own.dockerfile").write_text(LAYER)
    stack = PROFILE.replace("web.dockerfile", "{context: app, layer: own.dockerfile}")
    (tree / "profiles/below/stack.yaml").write_text(stack)
    (tree / "profiles/web.yaml").write_text("extends: below/stack.yaml\n")
    loaded = load(tree, vocabulary)
    assert loaded.images[-1] == "below/own.dockerfile"
    assert loaded.contexts[2] == tree / "profiles/below/app"


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ("{layer: web.dockerfile, context: ../ap}", "`context`: there is no such folder: `../ap`"),
        ("{layer: web.dockerfile, context: web.yaml}", "`context`: it is a file"),
        ("{layer: web.dockerfile, context: /srv}", "`context`: it is no relative path"),
        ("{layer: web.dockerfile, context: [a]}", "`context` is a folder, not a list"),
        ("{layer: web.dockerfile, contxt: a}", "unknown key `contxt` (did you mean `context`?)"),
        ("{context: ..}", "an image's name is wanted here"),
        ("{layer: wbe.dockerfile, context: ..}", "unknown layer `wbe.dockerfile` (did you mean `web.dockerfile`?)"),
    ],
)
def test_a_wrong_context_is_told(item: str, told: str, tree: Path, vocabulary: Vocabulary) -> None:
    (tree / "profiles/web.yaml").write_text(PROFILE.replace("web.dockerfile", item))
    assert told in wrong(tree, vocabulary)


def test_a_base_image_has_no_context(tree: Path, vocabulary: Vocabulary) -> None:
    text = PROFILE.replace("debian:trixie", "{layer: 'debian:trixie', context: ..}")
    (tree / "profiles/web.yaml").write_text(text)
    assert "`debian:trixie` is an image and has no build context" in wrong(tree, vocabulary)


# --- the schemas -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    return dict(schemas(Catalog()))


@pytest.mark.parametrize("kind", ["profile", "suite", "project", "generator"])
def test_every_schema_is_one(kind: str, written: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(written[kind])


def modelines() -> list[tuple[Path, str]]:
    shipped = [*ROOT.glob("profiles/*.yaml"), *ROOT.glob("boot-tests/*.yaml"), *ROOT.glob("generators/*/*.yaml")]
    return [(path, path.read_text().partition("\n")[0]) for path in sorted(shipped)]


@pytest.mark.slow
@pytest.mark.parametrize(("path", "line"), modelines(), ids=lambda value: getattr(value, "stem", ""))
def test_every_shipped_file_names_its_schema_and_holds_it(path: Path, line: str, written: dict[str, Any]) -> None:
    kind = {"profiles": "profile", "boot-tests": "suite"}.get(path.parent.name, "generator")
    assert line == modeline(kind, "../" * len(path.relative_to(ROOT).parent.parts))
    jsonschema.validate(yaml.safe_load(path.read_text()), written[kind])


def test_the_schemas_know_what_is_wrong(written: dict[str, Any]) -> None:
    def holds(kind: str, text: str) -> bool:
        return jsonschema.Draft202012Validator(written[kind]).is_valid(yaml.safe_load(text))

    assert holds("suite", "x-a: 1\nfile: {/a: {exists: true}}")
    assert not holds("suite", "fle: {/a: {exists: true}}")
    assert holds("project", "shared: [a]\noutput: {kernel_boot_params: a}\nboot: {memory: 1G}")
    assert not holds("project", "images: [a]")
    assert holds("profile", f"x-a: 1\nimages: [a, {CONTEXT}]\n{OUTPUT}")
    assert not holds("profile", f"images: [a, {{context: a}}]\n{OUTPUT}")
    assert not holds("generator", "summary: a")
    assert set(written["project"]["properties"]) == set(KEYS)


def test_they_are_written_whole(tmp_path: Path, written: dict[str, Any]) -> None:
    folder = tmp_path / "a b" / "c"
    paths = write_schemas(Catalog(), folder)
    assert sorted(folder.iterdir()) == sorted(paths)
    assert {path.name.partition(".")[0]: json.loads(path.read_text()) for path in paths} == written
