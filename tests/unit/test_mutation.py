"""The runner of mutation tests: what a test notices is killed, what none notices survives and has to be explained."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mutation.mutants import mutants
from mutation.running import Outcome, Target
from mutation.survivors import complaints, read_explained, yaml_of
from mutation.targets import TARGETS

from tests.conftest import ROOT

MODULE = """\
LIMIT = 3
TABLE = ("a", "b")

class Judge:
    def full(self, count):
        return count >= LIMIT

def known(word):
    if word in TABLE:
        return True
    return False

def forgotten(count):
    return count > 1
"""
TESTS = """\
from decides import Judge, known

def test_full():
    assert Judge().full(3)
    assert not Judge().full(2)
    assert Judge().full(4)

def test_known():
    assert known("a")
    assert not known("c")
"""
RUN = """\
import sys
from pathlib import Path
from mutation.running import Target, run_target
root = Path(sys.argv[1])
sys.path.insert(0, str(root))
outcome = run_target(Target(module="decides", tests=(str(root / "test_it.py"),)), root)
for mutant in outcome.mutants:
    print("survived" if mutant in outcome.survivors else "killed", mutant.function, mutant.after, sep="|")
"""


def run_here(folder: Path, tests: str) -> subprocess.CompletedProcess[str]:
    (folder / "decides.py").write_text(MODULE)
    (folder / "test_it.py").write_text(tests)
    (folder / "pytest.ini").write_text(
        "[pytest]\naddopts = --import-mode=importlib\npythonpath = .\nmarkers =\n  docker\n  boot\n  slow\n"
    )
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'scripts/lib'}", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-c", RUN, folder],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.slow
def test_what_a_test_notices_is_killed_and_the_rest_survives(tmp_path: Path) -> None:
    done = run_here(tmp_path, TESTS)
    assert done.returncode == 0, done.stderr
    became = {
        (function, after): fate for fate, function, after in (line.split("|") for line in done.stdout.splitlines())
    }
    assert became["Judge.full", "return (count > LIMIT)"] == "killed"
    assert became["Judge.full", "return (None)"] == "killed"
    assert became["<module>", "LIMIT = (4)"] == "killed", "the module is imported anew"
    assert became["<module>", "without 'a'"] == "killed"
    assert became["<module>", "without 'b'"] == "survived"
    assert became["known", "if (True):"] == "killed"
    assert {fate for (function, _), fate in became.items() if function == "forgotten"} == {"survived"}


@pytest.mark.slow
def test_tests_that_fail_already_are_an_error(tmp_path: Path) -> None:
    done = run_here(tmp_path, "def test_it():\n    raise RuntimeError('no milk')\n")
    assert done.returncode == 1
    assert "the tests fail unchanged" in done.stderr
    assert "no milk" in done.stderr


def test_words_of_messages_are_no_mutants() -> None:
    source = (
        'def f(x: int = 1) -> str:\n    """Words 1 and 2."""\n    if not x:\n        raise ValueError(f"no {x + 1}")\n'
    )
    assert {mutant.after for mutant in mutants(source)} == {
        "def f(x: int = (2)) -> str:",
        "if (True):",
        "if (False):",
        "if (x):",
    }


def outcome(*, survivors: int) -> Outcome:
    every = mutants("def f(x):\n    return x == 1\n")
    return Outcome(module="decides", mutants=every * 10, survivors=every[:survivors])


def test_a_survivor_is_explained_or_complained_of(tmp_path: Path) -> None:
    file = tmp_path / "survivors.yaml"
    one = outcome(survivors=1)
    file.write_text(yaml_of([one], {}))
    with pytest.raises(ValueError, match="does not say why"):
        read_explained(file)
    file.write_text(file.read_text().replace("why: ''", "why: it is the same"))
    explained = read_explained(file)
    assert complaints([one], explained) == ()
    assert yaml_of([one], explained) == file.read_text()
    [said] = complaints([outcome(survivors=2)], explained)
    assert "survives and is not listed" in said
    [said] = complaints([outcome(survivors=0)], explained)
    assert "is listed and does not survive" in said


def test_a_low_score_is_complained_of() -> None:
    every = mutants("def f(x):\n    return x == 1\n")
    low = Outcome(module="decides", mutants=every, survivors=every[:1])
    explained = {"decides": {every[0].key: "it is the same"}}
    [said] = complaints([low], explained)
    assert "is below 90 %" in said


@pytest.mark.nightly
@pytest.mark.slow
def test_what_judges_is_held_by_its_tests() -> None:
    """The small ones whole; scripts/mutate has them all."""
    chosen = ["model.report", "verify.checklist", "verify.judge", "verify.phases.refusal"]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "scripts/lib")}
    done = subprocess.run(
        [sys.executable, "-m", "mutation", *chosen],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == len(chosen)


def test_every_explained_survivor_is_a_mutant_of_today() -> None:
    explained = read_explained(ROOT / "tests/mutation/survivors.yaml")
    assert explained
    assert set(explained) <= {target.module for target in TARGETS}
    for module, entries in explained.items():
        source = ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text()
        assert set(entries) <= {mutant.key for mutant in mutants(source)}, module


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.module)
def test_every_module_has_its_tests(target: Target) -> None:
    assert ROOT.joinpath(*target.module.split(".")).with_suffix(".py").is_file()
    for test in target.tests:
        assert (ROOT / test).exists(), test
    assert f"| {target.module.removeprefix('metallize.')} |" in (ROOT / "docs/mutation.md").read_text()
