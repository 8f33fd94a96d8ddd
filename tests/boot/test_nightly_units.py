"""The units that `metallize nightly --install` writes, started by systemd itself: timer, service, watchdog, bounds."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.boot.systemd import Machine, machine
from tests.boot.test_nightly import GOOD, tiny_profile
from tests.conftest import ROOT

pytestmark = [pytest.mark.docker, pytest.mark.boot, pytest.mark.nightly]
SERVICE, TIMER = "metallize-nightly.service", "metallize-nightly.timer"
UNITS = Path("/etc/systemd/system")
LIMIT_SECONDS = 300.0


@pytest.fixture
def site(tmp_path: Path) -> Path:
    found = tmp_path / "site"
    found.mkdir()
    return found


@pytest.fixture
def host(tmp_path: Path, site: Path) -> Iterator[Machine]:
    work = tmp_path / "machine"
    work.mkdir()
    with machine(work, site) as found:
        yield found


def installed(host: Machine, site: Path, **drop_ins: str) -> None:
    """By the very command; with a drop-in for each unit whose times a test cannot wait for."""
    words = (sys.executable, "-m", "metallize", "nightly", "db.yaml", "--install", "--system", "--at", "daily")
    told = host("env", f"PYTHONPATH={ROOT}", *words, folder=site)
    assert "next: systemctl daemon-reload && systemctl enable --now metallize-nightly.timer" in told.stderr
    for name, text in drop_ins.items():
        folder = UNITS / f"metallize-nightly.{name}.d"
        host("sh", "-c", f'mkdir -p {folder} && cat >{folder}/test.conf <<"END"\n{text}\nEND')
    host("systemctl", "daemon-reload")
    host("systemctl", "enable", "--now", TIMER, "metallize-nightly-late.timer")


def until(holds: Callable[[], object], host: Machine, what: str) -> None:
    end = time.monotonic() + LIMIT_SECONDS
    while not holds():
        log = host("journalctl", "--no-pager", "-n", "50", check=False).stdout if time.monotonic() > end else ""
        assert time.monotonic() < end, f"it did not come to be that {what}: {state(host)}\n{log}"
        time.sleep(0.2)


def state(host: Machine) -> dict[str, str]:
    return host.shows(
        SERVICE, "ActiveState", "SubState", "Result", "ExecMainStatus", "NRestarts", "MainPID", "StatusText",
        "WatchdogTimestampMonotonic",
    )  # fmt: skip


def history(site: Path) -> list[dict[str, Any]]:
    path = site / "build" / "nightly" / "history.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_the_timer_starts_a_night_that_feeds_the_watchdog_and_reaches_the_engine(host: Machine, site: Path) -> None:
    tiny_profile(site, "db", GOOD, turns=1 << 31)
    assert os.environ.get("DOCKER_HOST") is None, "the engine is where the service looks for it"
    installed(host, site, timer="[Timer]\nOnCalendar=\nOnCalendar=*:*:0/2\nRandomizedDelaySec=0\nAccuracySec=100ms")
    for name in ("metallize-nightly", "metallize-nightly-late"):
        assert host("systemctl", "is-active", f"{name}.timer").stdout.strip() == "active"
        verified = host("systemd-analyze", "verify", str(UNITS / f"{name}.service"), str(UNITS / f"{name}.timer"))
        assert verified.stdout + verified.stderr == ""
    security = host("systemd-analyze", "security", "--no-pager", SERVICE).stdout
    [exposure] = [line for line in security.splitlines() if "Overall exposure level" in line]
    assert float(exposure.split(":")[1].split()[0]) < 6.0, "systemd's own measure: 9.6 is a service with no bounds"
    until(lambda: state(host)["ActiveState"] == "active", host, "the night has said that it is alive")
    host("systemctl", "stop", TIMER)
    fed: set[str] = set()

    def ended() -> bool:
        now = state(host)
        fed.add(now["WatchdogTimestampMonotonic"])
        return now["ActiveState"] in ("inactive", "failed")

    until(ended, host, "the night has ended")
    assert len(fed - {"0"}) > 1, "the watchdog is fed while it goes on"
    assert (state(host)["Result"], state(host)["ExecMainStatus"]) == ("success", "0"), host(
        "journalctl", "--no-pager", "-n", "50", check=False
    ).stdout
    [attempt] = history(site)
    assert (attempt["profile"], attempt["status"]) == ("db", "PASS")
    assert (site / "build" / "db.iso").is_file(), "built by the engine, booted, and in its place"
    assert (site / "build" / "report.html").is_file()
    host("systemctl", "start", "metallize-nightly-late.service")
    assert host.shows("metallize-nightly-late.service", "Result")["Result"] == "success"


def test_a_night_that_hangs_is_ended_by_the_watchdog_and_goes_on_with_its_next_start(host: Machine, site: Path) -> None:
    tiny_profile(site, "db", GOOD, turns=1 << 30)
    installed(host, site, service="[Service]\nWatchdogSec=60s\nRestartSec=1s")
    host("systemctl", "start", "--no-block", SERVICE)
    until((site / "build" / "runs").is_dir, host, "it boots")
    begun = json.loads((site / "build" / "nightly" / "night.json").read_text())
    host("kill", "-STOP", state(host)["MainPID"])
    until(lambda: int(state(host)["NRestarts"]) > 0, host, "the watchdog has ended it, and it starts again")
    until(lambda: state(host)["ActiveState"] in ("inactive", "failed"), host, "the night has ended")
    assert state(host)["Result"] == "success"
    assert f"{SERVICE}: Watchdog timeout" in host("journalctl", "--no-pager", "--unit", SERVICE).stdout
    passed = [each for each in history(site) if each["status"] == "PASS"]
    assert [each["night"] for each in passed] == [begun["night"]], "it is the same night"
    assert not (site / "build" / "nightly" / "night.json").exists()


def test_its_bounds_hold(host: Machine, site: Path) -> None:
    """What the service cannot do is tried from inside of it."""
    tiny_profile(site, "db", GOOD)
    script = site / "try.sh"
    script.write_text(
        """\
tried() { if "$@" 2>/dev/null; then echo "$* works"; else echo "$* is refused"; fi; }
tried touch /etc/metallize-was-here
tried touch /usr/metallize-was-here
tried touch build/metallize-was-here
tried ip link add dummy0 type dummy
tried date --set=2001-01-01
tried mknod /dev/shm/metallize-mem c 1 1
tried head -c1 /dev/shm/metallize-mem
tried docker version --format it
"""
    )
    installed(host, site, service=f"[Service]\nExecStart=\nExecStart=/bin/sh {script}\nType=oneshot\nWatchdogSec=0")
    host("systemctl", "start", SERVICE)
    said = host("journalctl", "--no-pager", "--output", "cat", "--unit", SERVICE).stdout
    assert "touch build/metallize-was-here works" in said
    assert "docker version --format it works" in said
    for words in (
        "touch /etc/metallize-was-here",
        "touch /usr/metallize-was-here",
        "ip link add dummy0 type dummy",
        "date --set=2001-01-01",
    ):
        assert f"{words} is refused" in said, said
    assert "head -c1 /dev/shm/metallize-mem is refused" in said, "whatever device it makes, it cannot open"
