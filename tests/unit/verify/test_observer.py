"""What is asked of a guest, and asked again; by this host's own shell in place of a guest's."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from metallize.catalog import Catalog
from metallize.config import load_suite
from metallize.console.rules import Scanner
from metallize.console.watch import BootWatch
from metallize.deadline import Deadline
from metallize.guest import ShellError, ShellOutput, Watch
from metallize.model.boot import Boot, ConsoleRules
from metallize.model.report import Status
from metallize.verify import VerifyRequest
from metallize.verify.looks import observer as observing
from metallize.verify.looks.batch import SharedProbe
from metallize.verify.looks.observer import Observer
from tests.unit.verify.entries import entries_of

SUITE = """\
file:
  /etc/passwd: {exists: true, owner: root}
  /etc/skipped: {exists: true, skip: true}
  /etc/group: {exists: true, contents: ["root"]}
  /etc: {exists: true, filetype: directory}
user:
  root: {exists: true}
"""


@dataclass
class HostShell:
    """A shell of this host; it counts what it was given."""

    name: str = "ssh"
    scripts: list[str] = field(default_factory=list)

    def run(self, script: str, deadline: Deadline) -> ShellOutput:
        self.scripts.append(script)
        done = subprocess.run(
            ["sh"], input=script.encode(), capture_output=True, check=False, timeout=deadline.remaining
        )
        return ShellOutput(status=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def close(self) -> None:
        """There is nothing to close."""


@dataclass
class Request:
    """What an observer asks of a request."""

    boot: Boot
    kinds: object


@pytest.fixture
def observer() -> Observer:
    watch = BootWatch(Scanner(ConsoleRules()), console_name="ttyS0")
    request = cast("VerifyRequest", Request(boot=Boot(), kinds=Catalog().kinds))
    return Observer(request=request, watch=cast("Watch", watch), deadline=Deadline.after(60.0, "the guest"))


def test_several_of_a_kind_are_looked_at_together_and_each_is_judged(observer: Observer, tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(SUITE)
    assertions = load_suite(path, vocabulary=Catalog().vocabulary())
    files, users = observer.shared(assertions, first=3)
    assert dict(files.numbers) == {"/etc/passwd": 3, "/etc": 5}, "one that is skipped has no probe"
    assert dict(users.numbers) == {"root": 6}, "one alone needs no shared look, unless it spares root's rights"
    assert (files.rootless, users.rootless) == (False, True)
    shell = HostShell()
    results = observer.assertions(shell, entries_of(assertions), assertions)
    assert sorted(str(result.status) for result in results) == ["held"] * 4 + ["skipped"]
    assert {result.title for result in results if not result.claims} == {"file /etc/skipped"}
    assert len(shell.scripts) == 1


def test_what_a_shared_probe_says_nothing_of_is_asked_by_itself(observer: Observer) -> None:
    shell = HostShell()
    shared = SharedProbe(script="at a; echo together", numbers={"a": 0, "b": 2})
    answer = observer.run(shell, ["echo alone", "echo 1", "echo alone"], shared=[shared])
    assert [seen and seen.stdout for seen in answer.observations] == ["together\n", "1\n", "alone\n"]
    assert len(shell.scripts) == 2


@pytest.mark.slow
def test_no_look_is_begun_that_would_end_late(
    observer: Observer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(observing, "RETRY_SECONDS", 4.0)
    suite = tmp_path / "goss.yaml"
    suite.write_text("command:\n  sleep 0.6; false: {exit-status: 0}\n")
    assertions = load_suite(suite, vocabulary=Catalog().vocabulary())
    shell = HostShell()
    begun = time.monotonic()
    [result] = observer.assertions(shell, entries_of(assertions), assertions)
    assert not result.holds
    assert len(shell.scripts) == 2  # at first, and after 1.6 s: the next would end after 4.2 s
    assert time.monotonic() - begun < 0.6 + 4.0 + 0.5


@pytest.mark.slow
def test_an_idle_guest_is_given_no_more_time_for_a_slow_host(
    observer: Observer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(observing, "RETRY_SECONDS", 1.5)
    watch = cast("BootWatch", observer.watch)
    watch.slowness = 6.0
    watch.switched_on(busy=lambda: 0.0)
    suite = tmp_path / "goss.yaml"
    suite.write_text("command:\n  'false': {exit-status: 0}\n")
    begun = time.monotonic()
    assertions = load_suite(suite, vocabulary=Catalog().vocabulary())
    [result] = observer.assertions(HostShell(), entries_of(assertions), assertions)
    assert not result.holds
    assert time.monotonic() - begun < 5


class LostShell(HostShell):
    """One whose connection is cut by every script."""

    def run(self, script: str, deadline: Deadline) -> ShellOutput:
        raise ShellError("SSH was lost: the server hung up")


def test_what_nobody_saw_says_why_no_answer_came(observer: Observer, tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text("file: {/etc/passwd: {exists: true}}")
    assertions = load_suite(path, vocabulary=Catalog().vocabulary())
    observer.deadline = Deadline.after(0.0, "the guest")
    [result] = observer.assertions(LostShell(), entries_of(assertions), assertions)
    assert result.status is Status.UNSEEN
    assert result.note == "its probe gave no answer: SSH was lost: the server hung up"
