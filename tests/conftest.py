"""What all tests share: the checkout, and the command line as its users run it."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Generator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import settings

from metallize.command import Finished, run

# A runner that was started in the background ignores Ctrl-C, and so would all that it starts: tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says nothing on a host that boots guests meanwhile.
settings.register_profile("any host", settings(), deadline=None)
settings.register_profile("fast", settings(), deadline=None, max_examples=10)  # scripts/test --fast
settings.load_profile("any host")

# One run boots one guest at a time by itself, and its tiny ones need not wait for those of another run.
os.environ.setdefault("METALLIZE_GUESTS", "0")

ROOT = Path(__file__).resolve().parents[1]
CLI_LIMIT = timedelta(minutes=25)
WHEEL_LIMIT = timedelta(minutes=2)

Cli = Callable[..., Finished]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays to the end: no search for garbage looks through all of it again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """xdist's, but that not all of its workers build and boot."""
    if config.getoption("dist") != "loadfile":
        return None
    from tests.lanes import Lanes  # without xdist there are no lanes

    return Lanes(config, log)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def cli() -> Cli:
    """Run `metallize ARGS...` to its end as a process of its own; its status is the test's to judge."""

    def run_cli(
        *args: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None, limit: timedelta = CLI_LIMIT
    ) -> Finished:
        words = [sys.executable, "-m", "metallize", *(str(arg) for arg in args)]
        done = subprocess.run(
            words,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=limit.total_seconds(),
        )
        sys.stdout.write(done.stdout)
        sys.stdout.write(done.stderr)
        return Finished(argv=tuple(words), status=done.returncode, stdout=done.stdout, stderr=done.stderr)

    return run_cli


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built from the checkout."""
    folder = tmp_path_factory.mktemp("dist")
    argv: list[str | Path] = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    run(argv, timeout=WHEEL_LIMIT)
    [built] = folder.glob("metallize-*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel in it; what it depends on comes from the environment of the tests."""
    venv = tmp_path_factory.mktemp("empty") / "venv"
    run([sys.executable, "-m", "venv", "--without-pip", venv], timeout=WHEEL_LIMIT)
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        venv / "bin/python",
        "--disable-pip-version-check",
    ]
    run([*pip, "install", "--no-deps", "--no-index", wheel], timeout=WHEEL_LIMIT)
    [packages] = venv.glob("lib/python*/site-packages")
    # A path line puts the folder at the end of sys.path and does not read the .pth files in it.
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return venv
