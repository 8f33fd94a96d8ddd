"""QEMU's sandbox: used where there is one, and missed aloud."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from metallize.qemu import sandbox
from metallize.qemu.argv import guest_argv
from tests.unit.qemu.test_argv import PLAN, PORTS, options


@pytest.mark.parametrize(("status", "there"), [(0, True), (1, False)])
def test_a_qemu_is_asked_whether_it_starts_in_it(tmp_path: Path, status: int, *, there: bool) -> None:
    qemu = tmp_path / "qemu-system-fake"
    qemu.write_text(f'#!/bin/sh\necho "$@" >"{tmp_path}/asked"\nexit {status}\n')
    qemu.chmod(0o755)
    assert sandbox.available(str(qemu)) is there
    assert "-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny" in (tmp_path / "asked").read_text()


def test_a_qemu_that_is_not_there_is_told_of_by_others(tmp_path: Path) -> None:
    assert sandbox.available(str(tmp_path / "none"))


def test_every_guest_is_in_it() -> None:
    assert sandbox.option() in options(PLAN)
    assert "spawn=deny" in sandbox.option()[1]
    assert "-sandbox" not in guest_argv(replace(PLAN, sandboxed=False), PORTS, paused=True)


def test_a_program_for_each_connection_needs_a_door_in_it() -> None:
    bridged = replace(PLAN, bridge="python3 bridge.py 80", served=Path("/run/tftp"))
    assert sandbox.option(spawns=True) in options(bridged)
    assert any("guestfwd=tcp:10.0.2.100:80-cmd:python3 bridge.py 80" in value for _, value in options(bridged))
