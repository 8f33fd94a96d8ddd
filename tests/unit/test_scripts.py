"""The scripts a person and a CI machine start: what they pass on, and how they end."""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest

from metallize.command import Finished, run

ROOT = Path(__file__).resolve().parents[2]
LIMIT = timedelta(seconds=60)
REGISTRY = "deb.{}.org".format("debian")  # put together here, for this file is checked as well


def executable(file: Path, body: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/bash\n{body}\n")
    file.chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The scripts in a checkout of their own, whose path has a space, with an environment of stand-ins."""
    root = tmp_path / "check out"
    shutil.copytree(ROOT / "scripts", root / "scripts")
    shutil.copytree(ROOT / ".ci", root / ".ci")
    executable(root / ".venv/bin/python", 'printf "%s\\n" "$PWD" "$@"; exit "${PYTHON_STATUS:-0}"')
    for tool in ("ruff", "mypy", "lint-imports", "shellcheck"):
        executable(root / ".venv/bin" / tool, f'echo "{tool} $*"; [ "${{FAILING:-}}" != {tool} ]')
    run(["git", "init", "--quiet", root])
    return root


def script(root: Path, name: str, *args: str, **env: str) -> Finished:
    env = {"METALLIZE_SKIP_SETUP": "1", "METALLIZE_VENV": "", **env}
    return run([root / name, *args], check=False, env=env, cwd=Path("/"), timeout=LIMIT)


@pytest.mark.parametrize("name", ["quickstart", "test", "check", "lock", "soak", "mutate", "nightly"])
def test_help_says_what_the_script_is_for_and_does_nothing_else(checkout: Path, name: str) -> None:
    done = script(checkout, f"scripts/{name}", "--help", METALLIZE_SKIP_SETUP="0")
    assert done.status == 0, done.stderr
    assert f"usage: scripts/{name}" in done.stdout
    assert not done.stdout.startswith("#")
    assert "set -euo" not in done.stdout


def test_quickstart_builds_and_verifies_the_live_cd(checkout: Path) -> None:
    done = script(checkout, "scripts/quickstart", "--set", "args.x=a b")
    profile = checkout / "profiles/debian13-livecd.yaml"
    assert done.stdout.splitlines()[1:] == [
        "-m",
        "metallize",
        "build",
        str(profile),
        "--verify",
        "--set",
        "args.x=a b",
    ]


def test_nightly_passes_all_on_and_ends_with_its_status(checkout: Path) -> None:
    done = script(checkout, "scripts/nightly", "a b.yaml", "--machine", "ovmf", PYTHON_STATUS="1")
    assert done.status == 1
    assert done.stdout.splitlines()[1:] == ["-m", "metallize", "nightly", "a b.yaml", "--machine", "ovmf"]
    assert done.stdout.splitlines()[0] == "/", "profiles are named as seen from where it was started"


VERIFY = """
echo "$*" >>"$LOG"
[ "$3" = verify ] || exit 0
folder="$(mktemp -d -p "$RUNS")"
echo "seabios: $([ "$PYTHON_STATUS" = 0 ] && echo PASSED || echo FAILED) after 12.5 s, 3 of 3 checks hold (tcg, cd)"
echo "  run folder: $folder"
exit "$PYTHON_STATUS"
"""


@pytest.mark.parametrize(
    ("status", "verified", "kept", "said"),
    [(0, 3, 0, "3 of 3 passed"), (1, 3, 3, "not every one of 3 passed"), (3, 1, 1, "after 12.5 s")],
    ids=["healthy", "failing", "broken machinery"],
)
def test_soak_builds_once_and_verifies_often(
    checkout: Path, tmp_path: Path, status: int, verified: int, kept: int, said: str
) -> None:
    executable(checkout / ".venv/bin/python", VERIFY)
    runs, log = tmp_path / "runs", tmp_path / "log"
    runs.mkdir()
    env = {"PYTHON_STATUS": str(status), "RUNS": str(runs), "LOG": str(log)}
    done = script(checkout, "scripts/soak", "--times", "3", "x.yaml", "--build-dir", "a b", "--machine", "m", **env)
    assert done.status == status
    build, *verifications = log.read_text().splitlines()
    assert build == "-m metallize build x.yaml --build-dir a b"
    assert verifications == ["-m metallize verify x.yaml --build-dir a b --machine m"] * verified
    assert len(list(runs.iterdir())) == kept
    assert said in done.stdout + done.stderr
    if status == 0:
        assert re.search(r"^1 of 3: passed in \d+ s \(seabios 12\.5 s\)$", done.stdout, re.MULTILINE)


MEETS = """
echo "$*" >>"$LOG"
[ "$3" = verify ] || exit 0
number="$(mktemp -p "$RUNS" here.XXXXXX)"
for ((n = 0; n < 100; n++)); do
  [ "$(ls "$RUNS" | wc -l)" -ge "$TOGETHER" ] && break
  sleep 0.1
done
echo "seabios: PASSED after 12.5 s, met $(ls "$RUNS" | wc -l)"
[ "$n" -lt 100 ] || exit 3
"""


@pytest.mark.slow
def test_soak_verifies_side_by_side(checkout: Path, tmp_path: Path) -> None:
    executable(checkout / ".venv/bin/python", MEETS)
    runs, log = tmp_path / "runs", tmp_path / "log"
    runs.mkdir()
    env = {"RUNS": str(runs), "LOG": str(log), "TOGETHER": "2"}
    done = script(checkout, "scripts/soak", "--times", "3", "--beside", "2", "x.yaml", **env)
    assert done.status == 0, done.stderr
    build, *verifications = log.read_text().splitlines()
    assert build == "-m metallize build x.yaml"
    assert verifications == ["-m metallize verify x.yaml --set boot.cpus=1"] * 3
    numbers = re.findall(r"^(\d) of 3: passed", done.stdout, re.MULTILINE)
    assert numbers == ["1", "2", "3"]


@pytest.mark.parametrize("times", ["0", "many", "-1"])
@pytest.mark.parametrize("option", ["--times", "--beside"])
def test_soak_refuses_what_is_no_number_of_times(checkout: Path, option: str, times: str) -> None:
    done = script(checkout, "scripts/soak", option, times)
    assert done.status == 3
    assert "whole number" in done.stderr


def test_test_runs_everything_from_the_checkout(checkout: Path) -> None:
    done = script(checkout, "scripts/test", "-k", "a b")
    assert done.stdout.splitlines() == [str(checkout), "-m", "pytest", "-k", "a b"]


def test_test_fast_leaves_out_docker_and_boots_and_sets_no_host_up(checkout: Path) -> None:
    done = script(checkout, "scripts/test", "--fast", "-x")
    assert done.stdout.splitlines() == [
        str(checkout),
        "-m",
        "pytest",
        "-m",
        "not docker and not boot and not slow",
        "--hypothesis-profile",
        "fast",
        "-x",
    ]


def lanes_given(checkout: Path, *args: str) -> list[str]:
    """What pytest is told of lanes."""
    words = script(checkout, "scripts/test", *args).stdout.splitlines()[3:]
    return [*words[words.index("-n") : words.index("--dist") + 2]] if "-n" in words else []


def test_everything_runs_in_lanes_and_what_is_chosen_in_one(checkout: Path) -> None:
    executable(checkout / "tools/nproc", "echo 2")
    executable(checkout / "more/nproc", "echo 64")
    two, many = (f"{checkout}/{folder}:{os.environ['PATH']}" for folder in ("tools", "more"))
    everything = script(checkout, "scripts/test", PATH=two).stdout.splitlines()[3:]
    assert everything == ["-n", "4", "--dist", "loadfile", "--no-loadscope-reorder"]
    assert "8" in script(checkout, "scripts/test", "--lanes", "auto", PATH=many).stdout.splitlines()
    assert lanes_given(checkout, "tests/unit") == []
    assert lanes_given(checkout, "--lanes", "1") == []
    assert lanes_given(checkout, "--fast", "-x") == []
    fast = script(checkout, "scripts/test", "--fast", PATH=two).stdout.splitlines()[3:]
    assert fast[:6] == ["-n", "3", "--dist", "worksteal", "-m", "not docker and not boot and not slow"]
    assert lanes_given(checkout, "--fast", "--lanes", "3", "-x") == ["-n", "3", "--dist", "worksteal"]


@pytest.mark.parametrize("count", ["", "0", "-1", "two"])
def test_a_number_of_lanes_that_is_none_is_refused(checkout: Path, count: str) -> None:
    done = script(checkout, "scripts/test", "--lanes", count)
    assert done.status == 3
    assert "--lanes takes" in done.stderr


@pytest.mark.parametrize("status", [0, 1, 5])
def test_tests_exit_code_is_pytests(checkout: Path, status: int) -> None:
    assert script(checkout, "scripts/test", "--fast", PYTHON_STATUS=str(status)).status == status


def test_check_runs_every_check_and_names_those_that_failed(checkout: Path) -> None:
    executable(checkout / "generators/x/build", "true")
    done = script(checkout, "scripts/check", FAILING="ruff")
    assert done.status == 1
    assert "failed: format" in done.stderr
    assert "failed: lint (" in done.stderr
    assert "failed: types" not in done.stderr
    [shellcheck] = [line for line in done.stdout.splitlines() if line.startswith("shellcheck")]
    for name in ("scripts/quickstart", "scripts/lib/setup.sh", ".ci/run", "generators/x/build"):
        assert name in shellcheck.split()


def test_check_passes_a_clean_tree(checkout: Path) -> None:
    done = script(checkout, "scripts/check")
    assert done.status == 0, done.stderr
    assert "All checks passed" in done.stderr


def test_check_refuses_names_that_belong_to_a_machine(checkout: Path) -> None:
    (checkout / "notes.md").write_text(f"from {REGISTRY}\n")
    (checkout / "other.md").write_text(f"in {checkout}/build\n")
    done = script(checkout, "scripts/check")
    assert done.status == 1
    assert "notes.md:1" in done.stderr
    (checkout / "notes.md").unlink()
    done = script(checkout, "scripts/check")
    assert done.status == 1
    assert "other.md:1" in done.stderr


@pytest.mark.parametrize(("check", "test", "status"), [(0, 0, 0), (1, 0, 1), (0, 1, 1), (0, 5, 5)])
def test_ci_fails_when_either_part_does_and_when_no_test_was_run(
    checkout: Path, check: int, test: int, status: int
) -> None:
    executable(checkout / "scripts/check", f"echo check; exit {check}")
    executable(checkout / "scripts/test", f'echo "test CI=$CI stdin=$(cat)"; exit {test}')
    done = script(checkout, ".ci/run")
    assert done.status == status
    assert ("test CI=true stdin=" in done.stdout.splitlines()) is (check == 0)


COMMON = "[--lanes][auto][--durations=60][--durations-min=10]"


DAY = "[-m][not nightly][-o][faulthandler_timeout=1800]"


@pytest.mark.parametrize(("options", "given"), [((), COMMON + DAY), (("--nightly",), COMMON)])
def test_ci_leaves_what_takes_long_to_the_night(checkout: Path, options: tuple[str, ...], given: str) -> None:
    executable(checkout / "scripts/check", "true")
    executable(checkout / "scripts/test", 'for word; do printf "[%s]" "$word"; done; echo')
    assert script(checkout, ".ci/run", *options).stdout == f"{given}\n"


def test_ci_takes_no_other_option(checkout: Path) -> None:
    assert script(checkout, ".ci/run", "--night").status == 2


def test_ci_ends_tests_that_do_not_end_by_themselves(checkout: Path) -> None:
    executable(checkout / "scripts/check", "true")
    executable(checkout / "scripts/test", "exec sleep 300")
    assert script(checkout, ".ci/run", CI_TEST_MINUTES="0.01").status != 0


def test_the_lock_pins_and_hashes_everything_and_names_no_place() -> None:
    lock = (ROOT / "requirements/dev.lock").read_text()
    assert "://" not in lock
    assert "find-links" not in lock
    assert "index" not in lock.replace("--hash", "")
    entries = re.split(r"\n(?=\S)", re.sub(r"^#.*\n|^ +#.*\n", "", lock, flags=re.MULTILINE).strip())
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry
    locked = {entry.split("==")[0] for entry in entries}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    own = [each for each in extras["dev"] if each.startswith("metallize[")]
    assert own == [f"metallize[{name}]" for name in extras if name != "dev"], "the tests need every extra"
    wanted = [
        *project["project"]["dependencies"],
        *(each for requirements in extras.values() for each in requirements if each not in own),
        *project["build-system"]["requires"],
    ]
    for requirement in wanted:
        name = re.split(r"[<>=!~\[; ]", requirement)[0].lower().replace("_", "-").replace(".", "-")
        assert name in locked, f"{requirement}: run scripts/lock"
