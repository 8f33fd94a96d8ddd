"""The text of the probes, run by this host's shell with a `systemctl` and a `journalctl` that say what a test wants."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from metallize.model.kind import Observation
from metallize.verify.looks import look
from metallize.verify.looks.look import Look, read_look

RUNNING = """\
case "$*" in
  is-system-running) echo running ;;
  *list-units*--state=failed*) ;;
  *list-units*) echo 'ssh.service loaded active running OpenBSD Secure Shell server' ;;
  list-jobs*) ;;
  show*) printf 'Id=ssh.service\\nSubState=running\\nResult=success\\nNRestarts=0\\n' ;;
esac
"""
DEGRADED = """\
case "$*" in
  is-system-running) echo degraded; exit 1 ;;
  *list-units*--state=failed*) echo 'milk.service loaded failed failed Sour milk' ;;
  *list-units*) echo 'loop.service loaded activating auto-restart Loop' ;;
  list-jobs*) echo '90 slow.service start running' ;;
  show*)
    printf 'Id=loop.service\\nSubState=auto-restart\\nResult=exit-code\\nNRestarts=7\\n\\n'
    printf 'Id=ok.service\\nNRestarts=0\\n' ;;
esac
"""
JOURNAL = 'for a; do unit=$a; done; echo "words of ${unit#*=}"\n'


def looked(folder: Path, systemctl: str, journalctl: str = JOURNAL) -> Look:
    """All probes in their order, as a batch runs them; /run/systemd/system and / are this host's, but for the first."""
    tools = folder / "bin"
    tools.mkdir()
    for name, text in (("systemctl", systemctl), ("journalctl", journalctl)):
        (tools / name).write_text(f"#!/bin/sh\n{text}")
        (tools / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "METALLIZE_SCRATCH": str(folder)}
    seen = []
    for probe in look.PROBES:
        text = probe.replace("/run/systemd/system", str(folder)).replace("/proc/1/comm", str(folder / "comm"))
        (folder / "comm").write_text("systemd\n")
        done = subprocess.run(["sh", "-c", text], env=environment, capture_output=True, text=True, check=False)
        seen.append(Observation(status=done.returncode, stdout=done.stdout, stderr=done.stderr, seconds=0.1))
    return read_look(seen)


def test_a_system_that_runs(tmp_path: Path) -> None:
    seen = looked(tmp_path, RUNNING)
    assert (seen.init, seen.state, seen.failed, seen.jobs, seen.said) == ("systemd", "running", (), "", {})
    assert seen.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert (seen.services, seen.restarted) == (1, {})
    assert seen.root is not None


def test_a_system_that_is_degraded(tmp_path: Path) -> None:
    seen = looked(tmp_path, DEGRADED)
    assert (seen.state, seen.failed) == ("degraded", (("milk.service", "Sour milk"),))
    assert seen.jobs == "90 slow.service start running"
    assert seen.said == {"milk.service": "words of milk.service", "loop.service": "words of loop.service"}
    assert {name: service.restarts for name, service in seen.restarted.items()} == {"loop.service": 7}


@pytest.mark.parametrize("systemctl", ["exit 1\n", "echo no bus >&2; exit 1\n", "kill -9 $$\n"])
def test_a_systemctl_that_only_fails_says_nothing(systemctl: str, tmp_path: Path) -> None:
    seen = looked(tmp_path, systemctl)
    assert (seen.init, seen.state, seen.failed, seen.jobs, seen.services) == ("systemd", None, None, None, None)
    assert "no bus" not in systemctl or seen.why == "no bus"


def test_a_list_of_no_services_is_no_answer(tmp_path: Path) -> None:
    seen = looked(tmp_path, RUNNING.replace("echo 'ssh.service", ": 'ssh.service"))
    assert seen.state == "running"
    assert not seen.services


def test_a_show_that_fails_is_no_answer(tmp_path: Path) -> None:
    assert looked(tmp_path, RUNNING.replace("show*) ", "show*) exit 1; ")).services is None


def test_a_journal_that_cannot_be_read_costs_only_its_words(tmp_path: Path) -> None:
    seen = looked(tmp_path, DEGRADED, "exit 1\n")
    assert seen.failed == (("milk.service", "Sour milk"),)
    assert seen.said == {}
