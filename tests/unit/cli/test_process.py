"""The command as a process: its pipes and signals."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

from .conftest import GOOD


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "metallize", "list"], stdout=writer, stderr=subprocess.PIPE, cwd=ROOT, check=False
    )
    os.close(writer)
    assert done.returncode == 0
    assert done.stderr == b""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_command_ends_with_130(
    number: signal.Signals, engine_address: socket.socket, tmp_path: Path
) -> None:
    (tmp_path / "web.yaml").write_text(GOOD)
    env = {**os.environ, "DOCKER_HOST": f"unix://{engine_address.getsockname()}", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "metallize", "build", "web.yaml"],
        cwd=tmp_path,
        env=env,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        connection, _ = engine_address.accept()
        with connection:
            process.send_signal(number)
            _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert told == "\ninterrupted; nothing was left behind\n"
