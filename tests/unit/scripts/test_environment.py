"""The virtual environment that the scripts make: once, from the lock, and never over what is none."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from tests.unit.scripts.bash import Bash


def environment(bash: Bash) -> str:
    """A checkout of two files, and an environment whose pip only notes what it was asked."""
    root = bash.log_file.parent / "check out"
    (root / "requirements").mkdir(parents=True, exist_ok=True)
    (root / "requirements/dev.lock").touch()
    (root / "pyproject.toml").touch()
    return (
        f"METALLIZE_ROOT={shlex.quote(str(root))}\nfind_python() {{ echo {shlex.quote(sys.executable)}; }}\n"
        'venv_pip() { echo "pip $*" >>"$LOG"; printf "#!/bin/sh\\n" >"$METALLIZE_VENV/bin/metallize"; '
        'chmod +x "$METALLIZE_VENV/bin/metallize"; }\n'
        'make_venv() { echo made >>"$LOG"; '
        '"$(find_python)" -m venv --clear --without-pip "$METALLIZE_VENV"; }\n'
    )


def test_the_environment_is_made_once(bash: Bash) -> None:
    script = environment(bash) + "setup_venv"
    done = bash(script)
    assert done.status == 0, done.stderr
    made, locked, editable = bash.log
    assert made == "made"
    assert "--require-hashes" in locked
    assert "--no-build-isolation -e" in editable
    again = bash(script)
    assert again.status == 0
    assert again.stderr == ""
    assert len(bash.log) == 3


def test_a_new_lock_is_installed_into_the_environment_that_is_there(bash: Bash) -> None:
    script = environment(bash) + "setup_venv"
    bash(script)
    (bash.log_file.parent / "check out/requirements/dev.lock").write_text("new\n")
    assert bash(script).status == 0
    assert len(bash.log) == 5
    assert bash.log.count("made") == 1


@pytest.mark.parametrize("harm", ["moved", "broken", "half made"])
def test_an_environment_that_cannot_be_trusted_is_made_anew(bash: Bash, harm: str) -> None:
    script = environment(bash) + "setup_venv"
    bash(script)
    venv = Path(bash.env["METALLIZE_VENV"])
    if harm == "moved":
        moved = venv.rename(venv.parent / "elsewhere")
        bash.env["METALLIZE_VENV"] = str(moved)
    elif harm == "broken":
        (venv / "bin/python").unlink()
    else:
        (venv / "metallize-setup.stamp").unlink()
    assert bash(script).status == 0
    assert bash.log.count("made") == 2


def test_a_folder_that_is_no_environment_is_not_cleared(bash: Bash, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    bash.env["METALLIZE_VENV"] = str(precious)
    done = bash("setup_venv")
    assert done.status == 3
    assert "is no virtual environment" in done.stderr
    assert (precious / "file").exists()


@pytest.mark.parametrize(
    ("way", "stamped"),
    [
        ("a link", True),
        ("a link", False),
        ("its name", True),
        pytest.param("its name", False, marks=pytest.mark.slow),  # an environment is made
    ],
)
def test_the_environment_of_another_checkout_is_not_cleared(
    bash: Bash, tmp_path: Path, way: str, *, stamped: bool
) -> None:
    """As where .venv of a clone is a link: what is there is that other checkout's, and in use."""
    other, venv = tmp_path / "other", tmp_path / "other/.venv"
    venv.mkdir(parents=True)
    (venv / "pyvenv.cfg").touch()
    if stamped:
        (venv / "metallize-setup.stamp").write_text(f"venv {venv}\nroot {other}\npython 3.11.2 /usr\n")
    mine = venv
    if way == "a link":
        mine = tmp_path / "mine"
        mine.symlink_to(venv)
    bash.env["METALLIZE_VENV"] = str(mine)
    script = environment(bash).partition("make_venv")[0] + "setup_venv"
    done = bash(script)
    if stamped or way == "a link":
        assert done.status == 3
        assert f"{mine} is a link, or the environment of another checkout" in done.stderr
        assert "METALLIZE_SKIP_SETUP=1" in done.stderr
        assert (venv / "pyvenv.cfg").read_text() == "", "nothing of it is touched"
    else:
        assert done.status == 0, "nobody's, half made: made anew"


@pytest.mark.slow
@pytest.mark.parametrize("what", ["a copy", "moved"])
def test_what_is_no_other_checkouts_is_made_anew(bash: Bash, tmp_path: Path, what: str) -> None:
    other, mine = tmp_path / "other", tmp_path / "mine"
    mine.mkdir()
    (mine / "pyvenv.cfg").touch()
    (mine / "metallize-setup.stamp").write_text(f"venv {other}/.venv\nroot {other}\npython 3.11.2 /usr\n")
    bash.env["METALLIZE_VENV"] = str(mine)
    if what == "a copy":
        (other / ".venv").mkdir(parents=True)
    done = bash(environment(bash).partition("make_venv")[0] + "setup_venv")
    assert done.status == 0, done.stderr
    assert (mine / "metallize-setup.stamp").is_file()


def test_no_suitable_python_is_an_error_that_says_what_to_install(bash: Bash) -> None:
    done = bash("find_python() { return 1; }\nsetup_venv")
    assert done.status == 3
    assert "python3-venv" in done.stderr


def test_skipping_the_set_up_does_nothing(bash: Bash) -> None:
    bash.env["METALLIZE_SKIP_SETUP"] = "1"
    done = bash("missing_packages() { echo called; exit 9; }\nfind_python() { exit 9; }\nsetup_host x\nsetup_venv")
    assert done.status == 0, done.stderr
    assert not Path(bash.env["METALLIZE_VENV"]).exists()


@pytest.mark.parametrize("skip", ["", "1"])
def test_what_was_compiled_is_kept(bash: Bash, tmp_path: Path, skip: str) -> None:
    bash.env |= {"PYTHONDONTWRITEBYTECODE": "1", "METALLIZE_SKIP_SETUP": skip}
    (tmp_path / "source.py").touch()
    start = f"cd {shlex.quote(str(tmp_path))}\n{shlex.quote(sys.executable)} -c 'import source'"
    done = bash(f"{environment(bash)}setup_venv\n{start}")
    assert done.status == 0, done.stderr
    assert len(list(tmp_path.rglob("source.*.pyc"))) == 1
