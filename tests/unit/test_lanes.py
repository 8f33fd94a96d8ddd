"""Which worker runs which file, with xdist's own workers over files that do nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

TEST = """\
import os, pathlib, time
import pytest
@pytest.mark.parametrize("number", range(4))
def test_it(number):
    with open({log!r}, "a") as log:
        log.write(f"{{time.monotonic()}} {{os.environ['PYTEST_XDIST_WORKER']}} {name}\\n")
    time.sleep({seconds})
"""
CONFTEST = """\
def pytest_xdist_make_scheduler(config, log):
    from tests.lanes import Lanes
    return Lanes(config, log)
"""


@pytest.mark.slow
def test_heavy_files_have_few_workers_and_light_ones_all_of_them_after_that(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for folder, count, seconds in (("boot", 3, 0.15), ("release", 2, 0.15), ("unit", 6, 0.15)):
        (tmp_path / "tests" / folder).mkdir(parents=True)
        for number in range(count):
            name = f"{folder}{number}"
            text = TEST.format(log=str(log), name=name, seconds=seconds)
            (tmp_path / "tests" / folder / f"test_{name}.py").write_text(text)
    shutil.copy(ROOT / "tests" / "lanes.py", tmp_path / "tests")
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "4", "--dist", "loadfile", "tests"],
        cwd=tmp_path,
        env={**environment, "METALLIZE_HEAVY_LANES": "2", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    assert "44 passed" in done.stdout
    ran = sorted(tuple(line.split()) for line in log.read_text().splitlines())
    assert len({worker for _, worker, name in ran if name.startswith("boot")}) == 2
    assert len({worker for _, worker, name in ran if not name.startswith("boot")}) == 4
    assert all(name.startswith("boot") for _, _, name in ran[:4])
