"""What a change touches, in real repositories of git."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from metallize.errors import ExitCode
from tests.conftest import Cli

LAYER = "# A layer of both.\nARG METALLIZE_SRC_IMG\nFROM ${METALLIZE_SRC_IMG}\nRUN echo one\n"
PROFILE = """images: [debian:trixie, debian-live.dockerfile, shared.dockerfile]
output: {{generator: livecd, file: {name}.iso}}
boot:
  machines: [seabios, ovmf]
  login: {{user: root, password: x}}
  assert:
    file:
      /etc/hostname: {{exists: true}}
"""

pytestmark = pytest.mark.slow


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two profiles that share a layer, and one of their own, committed; in a folder whose name needs quoting."""
    folder = tmp_path / "a repository's"
    (folder / "os").mkdir(parents=True)
    for name in ("web", "db"):
        (folder / "os" / f"{name}.yaml").write_text(PROFILE.format(name=name))
    (folder / "os" / "shared.dockerfile").write_text(LAYER)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "one")
    return folder


def touched(cli: Cli, folder: Path, *names: str, since: str = "HEAD") -> dict[str, str]:
    """The cells that are left, and why."""
    paths = [f"os/{name}.yaml" for name in names or ("web", "db")]
    before = (git(folder, "status", "--porcelain"), git(folder, "worktree", "list"), git(folder, "ls-files", "--stage"))
    done = cli("matrix", *paths, "--since", since, "--format", "json", cwd=folder)
    after = (git(folder, "status", "--porcelain"), git(folder, "worktree", "list"), git(folder, "ls-files", "--stage"))
    assert before == after, "neither the work tree nor the index is touched"
    assert done.status == ExitCode.DONE, done.stderr
    return {f"{each['profile']} on {each['machine']}": each["why"] for each in json.loads(done.stdout)["cells"]}


def test_what_has_not_changed_is_left_out(cli: Cli, repository: Path) -> None:
    assert touched(cli, repository) == {}
    (repository / "os" / "README").write_text("nothing of a profile's\n")
    (repository / "os" / "web.yaml").write_text("# a comment\n" + PROFILE.format(name="web"))
    assert touched(cli, repository) == {}


@pytest.mark.parametrize("committed", [False, True])
def test_a_shared_layer_touches_all_that_stand_on_it(cli: Cli, repository: Path, *, committed: bool) -> None:
    (repository / "os" / "shared.dockerfile").write_text(LAYER.replace("one", "two"))
    if committed:
        git(repository, "commit", "--quiet", "--all", "--message", "two")
    names = [f"{name} on {machine}" for name in ("web", "db") for machine in ("seabios", "ovmf")]
    assert touched(cli, repository, since="HEAD~1" if committed else "HEAD") == dict.fromkeys(names, "its image")
    if committed:
        assert touched(cli, repository) == {}


def test_what_is_asked_touches_too(cli: Cli, repository: Path) -> None:
    path = repository / "os" / "web.yaml"
    path.write_text(path.read_text().replace("/etc/hostname", "/etc/hosts"))
    asked = "what is asked"
    assert touched(cli, repository) == {"web on seabios": asked, "web on ovmf": asked}
    path.write_text(PROFILE.format(name="web").replace("[seabios, ovmf]", "{seabios: {}, ovmf: {memory: 2G}}"))
    assert touched(cli, repository) == {"web on ovmf": asked}


def test_new_profiles_and_machines_are_tried(cli: Cli, repository: Path) -> None:
    (repository / "os" / "new.yaml").write_text(PROFILE.format(name="new"))  # and not even added
    (repository / "os" / "web.yaml").write_text(PROFILE.format(name="web").replace(", ovmf]", ", ovmf-secureboot]"))
    assert touched(cli, repository, "web", "db", "new") == {
        "new on seabios": "new", "new on ovmf": "new", "web on ovmf-secureboot": "new",
    }  # fmt: skip
    done = cli("matrix", "os/web.yaml", "--since", "HEAD", cwd=repository)
    assert "gone: web on ovmf" in done.stderr


def test_a_profile_that_was_wrong_is_tried_once_it_is_right(cli: Cli, repository: Path) -> None:
    path = repository / "os" / "web.yaml"
    path.write_text("images: 3\n")
    git(repository, "commit", "--quiet", "--all", "--message", "wrong")
    path.write_text(PROFILE.format(name="web"))
    assert set(touched(cli, repository).values()) == {"it could not be read before"}
    path.write_text("images: 4\n")
    done = cli("matrix", "os/web.yaml", "--since", "HEAD", cwd=repository)
    assert done.status == ExitCode.BAD_INPUT
    assert "web: ERROR" in done.stdout


def test_a_tag_that_no_changed_cell_has_is_no_error(cli: Cli, repository: Path) -> None:
    done = cli("matrix", "os/web.yaml", "--since", "HEAD", "--tag", "uefi", "--format", "github", cwd=repository)
    assert (done.status, json.loads(done.stdout)) == (ExitCode.DONE, {"include": []})
    assert "0 cells changed since HEAD, 1 did not" in done.stderr


@pytest.mark.parametrize("revision", ["nowhere", "--all", "HEAD:os", "", "HEAD~99"])
def test_a_revision_that_there_is_not(cli: Cli, repository: Path, revision: str) -> None:
    done = cli("matrix", "os/web.yaml", f"--since={revision}", cwd=repository)
    assert done.status == ExitCode.BAD_INPUT
    assert "has no such revision" in done.stderr


def test_a_profile_outside_of_git_is_refused(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "os").mkdir()
    (tmp_path / "os" / "shared.dockerfile").write_text(LAYER)
    (tmp_path / "os" / "web.yaml").write_text(PROFILE.format(name="web"))
    done = cli(
        "matrix", "os/web.yaml", "--since", "HEAD", cwd=tmp_path, env={"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    )
    assert done.status == ExitCode.BAD_INPUT
    assert "is in no git repository" in done.stderr


def test_a_hooks_environment_does_not_mislead_it(cli: Cli, repository: Path) -> None:
    """Git sets these for its hooks: they name another index, and relative to another folder."""
    (repository / "os" / "shared.dockerfile").write_text(LAYER.replace("one", "two"))
    hook = {"GIT_INDEX_FILE": ".git/index", "GIT_DIR": ".git", "GIT_PREFIX": "os/"}
    done = cli("matrix", "os/web.yaml", "--since", "HEAD", "--format", "json", cwd=repository, env=hook)
    assert done.status == ExitCode.DONE, done.stderr
    assert len(json.loads(done.stdout)["cells"]) == 2
