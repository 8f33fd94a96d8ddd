"""However a process ends: interrupted at any moment, with nobody who hears it, on a full disk."""

from __future__ import annotations

import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT

COMMAND = [sys.executable, "-m", "metallize"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
MODULES = ["metallize.commands", "argparse", "yaml", "pydantic", "metallize.verify.requests", "docker"]
INTERRUPTED_AT_AN_IMPORT = """
import importlib.abc, os, signal, sys
wanted = sys.argv[-1]
class Interrupts(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == wanted:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.modules.pop(wanted, None)
sys.meta_path.insert(0, Interrupts())
from metallize.cli import main
sys.argv = ["metallize", "build", "nothing.yaml"]
sys.exit(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_an_interruption_during_the_imports(module: str) -> None:
    argv = [sys.executable, "-c", INTERRUPTED_AT_AN_IMPORT, module]
    done = subprocess.run(argv, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert (done.returncode, done.stderr) == (130, "\ninterrupted; nothing was left behind\n")
    assert done.stdout == ""


INTERRUPTED_LATER = """
import os, sys
from metallize.cli import main
sys.argv = ["metallize", *sys.argv[1:]]
os.write(1, b".")
sys.exit(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("milliseconds", [0, 20, 50, 100, 200])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_at_any_moment(milliseconds: int, number: signal.Signals, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.yaml"
    os.mkfifo(fifo)  # whoever reads it as a profile waits for ever
    argv = [sys.executable, "-c", INTERRUPTED_LATER, "build", str(fifo)]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, cwd=tmp_path
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(1) == "."
        time.sleep(milliseconds / 1000 + 0.01)  # a busy host takes a moment from the dot to main
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
    killed = -number if number == signal.SIGTERM and milliseconds < 100 else 130  # before the first line of ours
    assert process.returncode in (130, killed)
    assert told in ("", "\ninterrupted; nothing was left behind\n")


def test_nohup_stays_in_force(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\nfrom metallize import cli\nfrom metallize.commands import line\n"
        "def run(_):\n    os.kill(os.getpid(), signal.SIGHUP)\n    return 0\n"
        "line.run = run\nsys.exit(cli.main())\n"
    )
    argv = ["nohup", sys.executable, "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, env=ENVIRONMENT, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("streams", [">&-", "2>&-", ">&- 2>&-", ">/dev/full", "2>/dev/full", ">/dev/full 2>&1"])
def test_output_that_goes_nowhere(streams: str) -> None:
    shell = f'exec "$@" {streams}'
    for words, wanted in ((["list"], {0, 3}), (["verify", "nothing.yaml"], {2})):
        done = subprocess.run(
            ["sh", "-c", shell, "sh", *COMMAND, *words], capture_output=True, text=True, env=ENVIRONMENT, check=False
        )
        assert done.returncode in wanted
        assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.slow
def test_a_full_disk_is_said_with_the_systems_words() -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >/dev/full', "sh", *COMMAND, "list"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )
    assert done.returncode == 3
    assert done.stderr == (
        "error: No space left on device\n  next: free some space, or choose another folder with --build-dir\n"
    )


@pytest.mark.slow
def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """A limit on files' size stands for a quota."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    with (tmp_path / "out").open("wb") as file:
        done = subprocess.run(
            [*COMMAND, "list"],
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
            env={**ENVIRONMENT, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": ""},
            check=False,
            preexec_fn=limit,
        )
    assert done.returncode == 3
    assert done.stderr.startswith("error: File too large\n")


@pytest.mark.slow
def test_what_a_shell_left_to_us_is_not_ours(tmp_path: Path) -> None:
    words = shlex.join([sys.executable, "-c", INTERRUPTED_AT_AN_IMPORT, MODULES[0]])
    script = f"sleep 600 <&- >&- 2>&- & echo $! > {shlex.quote(str(tmp_path / 'pid'))}; sleep 0.05; exec {words}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env=ENVIRONMENT, check=False)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert (done.returncode, done.stderr) == (130, "\ninterrupted; nothing was left behind\n")
