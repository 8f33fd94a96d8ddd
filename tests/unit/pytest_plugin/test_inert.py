"""Other people's test runs, in an environment that has metallize: nothing of them changes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from metallize.command import Finished, run
from metallize.pytest_plugin import is_profile
from metallize.pytest_plugin.scheduling import scope_of
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

PROFILE = (ROOT / "profiles" / "debian13-livecd.yaml").read_text()


def pytest_run(folder: Path, *args: str) -> Finished:
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *args]
    return run(argv, cwd=folder, check=False, env={"PYTEST_ADDOPTS": ""})  # the outer run's own options are not meant


def test_a_run_that_names_nothing_of_ours_imports_and_collects_nothing(tmp_path: Path) -> None:
    (tmp_path / "goss.yaml").write_text("file: {/etc: {exists: true}}\n")
    for name in ("profiles", "boot-tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.yaml").write_text(PROFILE)
    (tmp_path / "test_x.py").write_text(
        "import sys\n"
        "def test_x():\n"
        "    ours = {name for name in sys.modules if name.startswith('metallize')}\n"
        "    assert ours <= {'metallize', 'metallize.pytest_plugin'}\n"
        "    assert not {'docker', 'pydantic', 'paramiko', 'qemu'} & set(sys.modules)\n"
    )
    done = pytest_run(tmp_path, "-v")
    assert done.status == 0, done.stdout
    assert "collected 1 item" in done.stdout


def test_fixtures_and_options_of_the_same_names_are_the_projects_own(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "import pytest\n"
        "def pytest_addoption(parser):\n"
        "    parser.addoption('--machine', default='lathe')\n"
        "    parser.addoption('--profile', action='store_true')\n"
        "@pytest.fixture\n"
        "def guest(request):\n"
        "    return request.config.getoption('--machine')\n"
    )
    (tmp_path / "test_x.py").write_text("def test_x(guest):\n    assert guest == 'lathe'\n")
    done = pytest_run(tmp_path, "--profile")
    assert done.status == 0, done.stdout + done.stderr
    assert "--metallize-profile=PROFILE" in pytest_run(tmp_path, "--help").stdout


def test_the_mark_is_known_everywhere(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text("import pytest\n@pytest.mark.fresh_guest\ndef test_x():\n    pass\n")
    assert pytest_run(tmp_path, "--strict-markers", "-W", "error").status == 0


def test_a_profile_with_mistakes_is_refused_before_anything_runs(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        PROFILE.replace("machines: [seabios, ovmf]", "machines: [seabois]").replace("memory: 1G", "memory: much")
    )
    done = pytest_run(tmp_path, "--profile", "x.yaml")
    assert done.status == 4
    assert "seabios" in done.stderr
    assert "memory" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_a_machine_or_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "did you mean `ovmf`" in pytest_run(tmp_path, "--profile", "debian13-livecd", "--machine", "ovfm").stderr
    assert "none.img" in pytest_run(tmp_path, "--image", "none.img").stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--secret", "id=token,src=none.txt"), "none.txt cannot be read"),
        (("--secret", "id=token,src=token.txt"), "no layer mounts `token`"),
        (("--metallize-ssh", "default=."), "no layer mounts `default`"),
    ],
)
def test_a_secret_that_nobody_can_take_is_refused_before_anything_runs(
    tmp_path: Path, words: tuple[str, str], said: str
) -> None:
    (tmp_path / "token.txt").write_text("s3cret")
    done = pytest_run(tmp_path, "--profile", "debian13-livecd", "--machine", "ovmf", *words)
    assert done.status == 4
    assert said in done.stderr
    assert "next: " in done.stderr
    assert "s3cret" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--metallize-user", "admin"), "--metallize-user goes with --image"),
        (("--metallize-password", "admin"), "--metallize-password goes with --metallize-user"),
    ],
)
def test_a_login_that_nobody_makes_is_refused(tmp_path: Path, words: tuple[str, str], said: str) -> None:
    done = pytest_run(tmp_path, "--profile", "debian13-livecd", "--machine", "ovmf", *words)
    assert (done.status, said in done.stderr) == (4, True)


def test_options_of_ours_that_say_nothing_are_told_and_break_nobodys_run(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text("def test_x():\n    pass\n")
    done = pytest_run(tmp_path, "--machine", "ovmf", "--secret", "id=token,src=none.txt")
    assert done.status == 0
    assert "metallize: nothing is booted, so --machine, --secret says nothing" in done.stdout
    assert "metallize:" not in pytest_run(tmp_path).stdout


def test_what_is_collected_one_item_an_assertion(tmp_path: Path) -> None:
    (tmp_path / "goss.yaml").write_text("file:\n  /etc/hostname: {exists: true}\n  /etc/none: {exists: false}\n")
    (tmp_path / "test_x.py").write_text("def test_x(guest): ...\ndef test_y(): ...\n")
    done = pytest_run(tmp_path, "--profile", "debian13-livecd", "--machine", "ovmf", "--collect-only", "-q")
    lines = done.stdout.splitlines()
    ids = [line for line in lines if "::" in line]
    assert len(ids) == len(set(ids))
    assert "goss.yaml::debian13-livecd-ovmf::file /etc/none" in ids
    assert "test_x.py::test_x[debian13-livecd-ovmf]" in ids
    assert "test_x.py::test_y" in ids
    ours = [each.rpartition("::")[2] for each in ids if "debian13-livecd.yaml" in each]
    assert {"boots", "ssh login as admin", "serial login as admin with a wrong password", "service ssh"} <= set(ours)
    assert sum("file /etc/hostname" in each for each in ids) == 2  # the suite's and the goss file's


def test_profiles_named_by_themselves_are_collected(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "mine.yaml").write_text(PROFILE)
    (tmp_path / "profiles" / "other.yaml").write_text("a: b\n")
    for arg in ("profiles", "profiles/mine.yaml"):
        done = pytest_run(tmp_path, arg, "--machine", "seabios", "--collect-only", "-q")
        assert "profiles/mine.yaml::mine-seabios::boots" in done.stdout
        assert "other" not in done.stdout


def test_a_goss_file_with_mistakes_names_each_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "goss.yaml").write_text("file:\n  /etc: {exsts: true}\nfrob:\n  x: {y: z}\n")
    done = pytest_run(tmp_path, "goss.yaml", "--profile", "debian13-livecd", "--machine", "ovmf")
    assert done.status != 0
    assert "goss.yaml:2:" in done.stdout
    assert "goss.yaml:3:" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PROFILE, True),
        ("extends: a\noutputs: []\n", True),
        ("images: [a]\n", False),
        ("- images:\n", False),
        ("", False),
    ],
)
def test_a_profile_is_known_by_its_keys(text: str, expected: bool, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    assert is_profile(tmp_path / "x.yaml") is expected


@pytest.mark.parametrize(
    ("nodeid", "scope"),
    [
        ("profiles/a.yaml::a-ovmf::boots", "a-ovmf"),
        ("goss.yaml::a-seabios::file /etc", "a-seabios"),
        ("test_x.py::test_x[a-ovmf]", "a-ovmf"),
        ("test_x.py::test_x[a-ovmf-3]", "a-ovmf"),
        ("test_x.py::test_x[3-a-ovmf]", "a-ovmf"),
        ("test_x.py::test_y", "test_x.py::test_y"),
    ],
)
def test_all_that_needs_one_guest_goes_to_one_worker(nodeid: str, scope: str) -> None:
    assert scope_of(nodeid, ["a-seabios", "a-ovmf"]) == scope
