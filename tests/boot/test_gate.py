"""docs/testing.md, word by word, on a real image: the gate, the test file, and a broken assertion beside them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from metallize.command import Finished, run
from tests.conftest import ROOT, Cli
from tests.documents import commands, files, section

pytestmark = [pytest.mark.docker, pytest.mark.boot]
GATE, OWN = (line.split() for line in commands("docs/testing.md") if line.startswith("pytest ") and "--profile" in line)


def pytest_run(words: list[str], folder: Path, *more: str | Path) -> Finished:
    argv = [sys.executable, "-m", *words, "-v", "-p", "no:cacheprovider", *map(str, more)]
    done = run(argv, cwd=folder, check=False, env={"PYTHONPATH": os.environ.get("PYTHONPATH", "")})
    sys.stdout.write(done.stdout)
    return done


def cases(path: Path) -> dict[str, bool]:
    """Each case of a JUnit file, and whether it passed."""
    found = {}
    for case in ET.parse(path).getroot().iter("testcase"):  # noqa: S314 - our own
        name = f"{case.get('classname')}: {case.get('name')}"
        assert name not in found
        found[name] = len(case.findall("failure")) + len(case.findall("error")) == 0
    return found


@pytest.mark.nightly  # every day on guests of one sector (test_pytest_plugin.py)
def test_the_gate_passes_with_one_item_an_assertion(build_dir: Path, tmp_path: Path) -> None:
    assert " ".join(GATE) == (
        "pytest boot-tests --profile profiles/debian13-livecd.yaml --machine ovmf --junitxml=x.xml"
    )
    report = tmp_path / "x.xml"
    done = pytest_run(GATE, ROOT, "--metallize-build-dir", build_dir, f"--junitxml={report}")
    assert done.status == 0
    seen = cases(report)
    assert all(seen.values())
    titles = [name.rpartition(": ")[2] for name in seen]
    for title in (
        "boots",
        "ssh login as admin",
        "serial login as admin with a wrong password",
        "file /tmp",
        "service ssh",
    ):
        assert titles.count(title) == 1, titles
    assert any("test_first_boot" in name for name in seen)
    assert done.stdout.count(": boot debian13-livecd.iso and verify it") == 4, "two boots, each begun and ended"


@pytest.mark.nightly
def test_the_documented_tests_pass_and_a_broken_assertion_fails_alone(
    cli: Cli, build_dir: Path, tmp_path: Path
) -> None:
    for name, content in files(section("docs/testing.md", "Test functions")).items():
        (tmp_path / name).write_text(content)
    (tmp_path / "broken.goss.yaml").write_text(
        "file:\n  /etc/hostname: {exists: true, contents: [elsewhere]}\n  /etc/fstab: {exists: true}\n"
    )
    done = pytest_run(OWN, tmp_path, "broken.goss.yaml", "--metallize-build-dir", build_dir, "--junitxml=x.xml")
    assert done.status == 1
    wrong = [name for name, passed in cases(tmp_path / "x.xml").items() if not passed]
    assert len(wrong) == 1
    assert wrong[0].endswith("file /etc/hostname")
    assert "elsewhere" in done.stdout
    assert "broken.goss.yaml:2:3" in done.stdout
    # an emulator whose CPUs ran out of step on a busy host is given another try, and says so
    boots = 1 + done.stdout.count("once more in one thread")
    assert done.stdout.count(": boot debian13-livecd.iso and verify it") == 2 * boots, "a boot, begun and ended"
