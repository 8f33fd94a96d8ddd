"""The recipes of CONTRIBUTING.md: what they tell people to write is written, loaded, built and booted."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from metallize.command import Finished, run
from tests.conftest import ROOT
from tests.documents import files, section

pytestmark = pytest.mark.slow

_LIMIT = timedelta(minutes=20)
_SQUASHFS_GZIP = 1


def recipes() -> dict[str, str]:
    """The files that CONTRIBUTING.md shows."""
    return files(section("CONTRIBUTING.md", "Recipes"))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree, of what git tracks or would, with the recipes' files in it."""
    copy = tmp_path_factory.mktemp("recipes") / "tree"
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in run(listing, cwd=ROOT).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    for name, content in recipes().items():
        assert not (copy / name).exists(), f"{name}: a recipe adds files, it changes none"
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text(content)
        (copy / name).chmod(0o755 if content.startswith("#!") else 0o644)
    return copy


def python(tree: Path, *words: str | Path) -> Finished:
    """Python in the copy: its `metallize` is the copy's, not the checkout's."""
    env = {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    done = run([sys.executable, *words], cwd=tree, env=env, check=False, timeout=_LIMIT)
    sys.stdout.write(done.stdout + done.stderr)
    return done


def metallize(tree: Path, *words: str | Path) -> Finished:
    return python(tree, "-m", "metallize", *words)


def test_there_is_a_recipe_for_each_of_the_four() -> None:
    folders = {str(Path(name).parent) for name in recipes()}
    assert {"layers", "generators/squashfs", "metallize/machines", "metallize/checks"} <= folders
    assert {"generator.yaml", "Dockerfile", "build"} <= {Path(name).name for name in recipes()}
    assert section("CONTRIBUTING.md", "Recipes").count("```") == 2 * len(recipes()), (
        "a block of code without the line that names its file"
    )


def test_the_catalogue_lists_and_explains_what_the_recipes_add(tree: Path) -> None:
    listed = metallize(tree, "list").stdout
    for name, told in {
        "load-modules.dockerfile": ["Kernel modules that are loaded", "modules", "(default loop)", "debian:13"],
        "squashfs": ["Bare squashfs", "compression", "one of zstd, xz, gzip", "nothing: it is no bootable disk"],
        "sata": ["on SATA (AHCI)", "linux/amd64", "ext4, livecd"],
        "kernel-module": ["a kernel module is loaded", "loaded", "required"],
    }.items():
        assert f"  {name} " in listed
        explained = metallize(tree, "explain", name)
        assert explained.status == 0
        for words in told:
            assert words in explained.stdout


@pytest.mark.parametrize("profile", ["try.yaml", "try-squashfs.yaml"])
def test_a_profile_that_uses_them_loads(tree: Path, profile: str) -> None:
    done = metallize(tree, "plan", profile)
    assert done.status == 0
    assert "generators/squashfs" in done.stdout or "load-modules" in done.stdout
    assert str(ROOT) not in done.stdout, "nothing of the checkout is used"


def test_a_machine_cannot_boot_what_is_no_disk(tree: Path) -> None:
    content = {**yaml.safe_load(recipes()["try-squashfs.yaml"]), "boot": {"machines": ["sata"]}}
    (tree / "wrong.yaml").write_text(yaml.safe_dump(content))
    done = metallize(tree, "plan", "wrong.yaml")
    assert done.status == 2
    assert "machine `sata` cannot boot what generator `squashfs` makes (nothing can)" in done.stderr
    done = metallize(tree, "build", "try-squashfs.yaml", "--verify")
    assert done.status == 2
    assert "there is nothing to verify" in done.stderr


def test_a_name_that_can_be_no_module_is_refused_with_its_place(tree: Path) -> None:
    (tree / "wrong.yaml").write_text(recipes()["try.yaml"].replace("loop: {loaded", "a/../b: {loaded"))
    done = metallize(tree, "plan", "wrong.yaml")
    assert done.status == 2
    assert re.search(r"wrong\.yaml:\d+:\d+: .*no name of a kernel module", done.stderr)


def test_the_recipes_pass_the_tests_and_checks_of_the_tree(tree: Path) -> None:
    tests = ["tests/contract/test_catalogue.py", "tests/unit/checks/test_kernel_module.py"]
    done = python(tree, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tree.parent / 'temp'}", *tests)
    assert done.status == 0
    sources = [name for name, content in recipes().items() if name.endswith(".py") or content.startswith("#!")]
    assert python(tree, "-m", "ruff", "check", "--no-cache", *sources).status == 0
    assert python(tree, "-m", "ruff", "format", "--no-cache", "--check", *sources).status == 0
    assert python(tree, "-m", "mypy", "--cache-dir", os.devnull, *(s for s in sources if s.endswith(".py"))).status == 0


@pytest.mark.docker
@pytest.mark.boot
@pytest.mark.nightly  # every day the recipes are checked and read
def test_the_kind_sees_the_layers_effect_on_the_machine(tree: Path) -> None:
    done = metallize(tree, "build", "try.yaml", "--verify")
    assert done.status == 0
    record = json.loads((tree / "build" / "try.qcow2.verification.json").read_text())
    assert record["verdict"] == "passed"
    [report] = record["machines"]
    assert report["machine"] == "sata"
    assert [each["kind"] for each in report["results"]].count("kernel-module") == 2
    [argv] = (tree / "build" / "runs").rglob("argv.txt")
    assert "ide-hd,drive=image0" in argv.read_text()


@pytest.mark.docker
@pytest.mark.nightly
def test_the_generator_makes_the_same_squashfs_twice(tree: Path) -> None:
    image = tree / "build" / "try.img"
    digests = set()
    for _ in range(2):
        done = metallize(tree, "build", "try-squashfs.yaml")
        assert done.status == 0
        manifest = json.loads(Path(f"{image}.manifest.json").read_text())
        digests.add(manifest["sha256"])
        with image.open("rb") as file:
            magic, entries, made, _block, _fragments, compression = struct.unpack("<4sIIIIH", file.read(22))
        assert magic == b"hsqs"
        assert entries > 1000
        assert 0 < made <= manifest["source_date_epoch"]
        assert compression == _SQUASHFS_GZIP
        listed = unsquashfs(image)
        assert re.search(r"^-r--r--r-- root/root +14 .* squashfs-root/etc/machine-id$", listed, re.MULTILINE)
        assert re.search(rf"squashfs-root/boot/vmlinuz-{re.escape(manifest['kernel'])}$", listed, re.MULTILINE)
        assert "squashfs-root/.dockerenv" not in listed
        image.unlink()
    assert len(digests) == 1


def unsquashfs(image: Path) -> str:
    """What is in the image, by the generator's own tools."""
    newest, *_ = run(["docker", "images", "--quiet", "metallize/generator-squashfs"]).stdout.split()
    limits = ["--rm", "--network", "none", "--read-only", "--volume", f"{image}:/image:ro"]
    return run(["docker", "run", *limits, newest, "unsquashfs", "-lls", "/image"], timeout=_LIMIT).stdout
