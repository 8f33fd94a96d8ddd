"""Whose a container is, and whether that process still lives: asked of real processes."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metallize.build import script
from metallize.build.engines import orphans
from metallize.build.steps import BUILDER_LABEL
from metallize.host.process import Process

MAKER = "import sys; from metallize.host.process import Process; print(Process.this_process(), flush=True)"


@contextmanager
def builder() -> Iterator[tuple[Process, subprocess.Popen[bytes]]]:
    """Another process as a builder, and what its containers say of it."""
    words = [sys.executable, "-c", f"{MAKER}; sys.stdin.read()"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        found = Process.parse(process.stdout.readline().decode().rstrip("\n"))
        assert found is not None
        try:
            yield found, process
        finally:
            process.kill()


def test_what_a_container_says_is_read_again() -> None:
    own = Process.this_process()
    assert orphans.labels() == {BUILDER_LABEL: str(own)}
    assert Process.parse(str(own)) == own
    assert (own.pid, own.same_boot, own.gone) == (os.getpid(), True, False)


def test_a_builder_lives_until_it_is_killed() -> None:
    with builder() as (found, process):
        assert not found.gone
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie, which nobody has waited for yet
        assert found.gone
        process.wait()
        assert found.gone


def test_another_process_of_the_same_number_is_not_the_builder() -> None:
    own = Process.this_process()
    assert replace(own, start=own.start - 1).gone
    assert replace(own, pid=2**70).gone


def test_of_another_namespace_or_boot_nothing_is_known() -> None:
    own = Process.this_process()
    assert not replace(own, namespace="pid:[1]", start=own.start - 1).gone
    assert not replace(own, boot="00000000-0000-0000-0000-000000000000", start=own.start - 1).gone


@pytest.mark.parametrize(
    "label", ["", "x", "a b 1", "a b 1 2 3", "a b -1 2", "a b ² 2", "a b x 2", f"a b {'9' * 5000} 2"]
)
def test_what_we_did_not_write_is_nobodys(label: str) -> None:
    assert Process.parse(label) is None
    assert not orphans._is_orphan({"Labels": {BUILDER_LABEL: label}, "State": "exited"})


@given(st.text())
def test_any_label_can_be_read(label: str) -> None:
    found = Process.parse(label)
    assert found is None or Process.parse(str(found)) == found


ENDED = replace(Process.this_process(), start=1)
BEFORE = replace(Process.this_process(), boot="00000000-0000-0000-0000-000000000000")


@pytest.mark.parametrize(
    ("by", "state", "expected"),
    [
        (ENDED, "running", True),
        (ENDED, "created", True),
        (ENDED, "exited", True),
        (Process.this_process(), "running", False),
        (Process.this_process(), "exited", False),
        (BEFORE, "exited", True),
        (BEFORE, "dead", True),
        (BEFORE, "created", False),
        (BEFORE, "running", False),
    ],
)
def test_which_containers_are_left_behind(by: Process, state: str, expected: bool) -> None:
    assert orphans._is_orphan({"Labels": {BUILDER_LABEL: str(by)}, "State": state}) is expected


@pytest.mark.parametrize(
    ("by", "hours", "expected"),
    [(ENDED, 0, True), (Process.this_process(), 100, False), (BEFORE, 1, False), (BEFORE, 100, True)],
)
def test_which_images_are_left_behind(by: Process, hours: float, expected: bool) -> None:
    """Of another boot it may be another host's, which is at work on it."""
    made = time.time() - hours * 3600
    assert orphans._is_orphan({"Labels": {BUILDER_LABEL: str(by)}, "Created": made}) is expected


def test_a_container_without_a_label_is_not_ours() -> None:
    assert not orphans._is_orphan({"Labels": None, "State": "exited"})
    assert not orphans._is_orphan({"Labels": {}, "State": "exited"})
    assert not orphans._is_orphan({"Labels": None, "Created": 0})


def test_a_process_that_is_hidden_from_us_may_live(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """proc(5), hidepid=invisible: there is no folder of it, and kill(2) says that it is another user's."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root can become another user")
    hidden = tmp_path / "proc"
    hidden.mkdir()
    script = (
        "import os, sys; from metallize.host.process import Process; b = Process.parse(sys.argv[1]);"
        " os.setuid(65534); print(b.gone)"
    )
    with builder() as (found, _):
        command = 'mount -t proc -o hidepid=2 proc /proc && exec "$0" -c "$1" "$2"'
        words = ["unshare", "--mount", "sh", "-c", command, sys.executable, script, str(found)]
        done = subprocess.run(words, check=False, capture_output=True, text=True)
        assert (done.stdout, done.returncode) == ("False\n", 0), done.stderr


def test_the_printed_plan_says_whose_its_container_is_as_we_do(tmp_path: Path) -> None:
    """Its shell is the builder: it lives while that runs, and is gone with it."""
    source = Path(script.__file__).read_text()
    lines = [
        ast.literal_eval(line.strip().rstrip(","))
        for line in source.splitlines()
        if "since=" in line or "$since" in line
    ]
    assert len(lines) == 2
    with subprocess.Popen(
        ["sh", "-c", "\n".join([*lines, 'echo "$builder"', "read -r _"])], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as shell:
        assert shell.stdout is not None
        found = Process.parse(shell.stdout.readline().decode().rstrip("\n"))
        assert found is not None
        assert (found.pid, found.gone) == (shell.pid, False)
        shell.kill()
    assert found.gone
