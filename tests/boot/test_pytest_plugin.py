"""pytest over guests of one sector: what each item and fixture says, alone and under pytest-xdist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from metallize.command import Finished, run
from tests.boot.sector import POWER_OFF, tiny_image

pytestmark = pytest.mark.boot
KERNEL = "[    0.000000] Linux version 6.12 (tiny)\r\n"
PROMPT = "\r\ntiny login: "


def named_image(folder: Path, name: str, text: str = f"{KERNEL}{PROMPT}", then: bytes | None = None) -> Path:
    made = tiny_image(folder, text) if then is None else tiny_image(folder, text, then)
    return made.rename(folder / name)


def pytest_run(folder: Path, *args: str, env: dict[str, str] | None = None) -> Finished:
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", *args]
    return run(argv, cwd=folder, check=False, env=env or {})


def outcomes(done: Finished) -> dict[str, str]:
    """Each item's outcome, by what stands behind its target; of setup errors too."""
    lines = re.findall(r"^(?:PASSED|FAILED|ERROR) .*$", done.stdout, re.MULTILINE)
    return {line.split(" ", 1)[1].split(" - ")[0].rpartition("::")[2]: line.split(" ", 1)[0] for line in lines}


def test_fixtures_drive_a_guest_that_runs(tmp_path: Path) -> None:
    named_image(tmp_path, "tiny.img")
    (tmp_path / "test_x.py").write_text(
        "import os, socket\n"
        "import pytest\n"
        "from metallize.pytest_plugin.api import GuestError\n"
        "def test_x(guest, console, qmp, machine):\n"
        "    assert guest.report.passed and machine.name == 'seabios'\n"
        "    assert qmp.execute('query-status')['status'] == 'running'\n"
        "    assert 'tiny login' in console.text\n"
        "    qmp.execute('stop')\n"
        "    with pytest.raises(GuestError, match='refused'):\n"
        "        qmp.execute('no-such-command')\n"
        "    with pytest.raises(GuestError, match='the last lines'):\n"
        "        console.expect('never', timeout=0.1)\n"
        "    with pytest.raises(GuestError, match='not forwarded'):\n"
        "        guest.host_port(81)\n"
        "    socket.create_connection(('127.0.0.1', guest.host_port(22)), 5).close()\n"
        "def test_shared(qmp):\n"
        "    assert qmp.execute('query-status')['status'] == 'paused'\n"
        "def test_no_login(ssh):\n"
        "    pass\n"
        "def test_plug(guest):\n"
        "    guest.power_cut()\n"
        "    assert 'tiny login' in guest.console.text\n"
        "    with pytest.raises(GuestError, match='QEMU'):\n"
        "        guest.qmp.execute('quit')\n"
        "        guest.console.expect('never')\n"
        "def test_after_it(qmp):\n"
        "    assert qmp.execute('query-status')['status'] == 'running'\n"
        "    qmp.execute('stop')\n"
        "@pytest.mark.fresh_guest\n"
        "def test_fresh(qmp):\n"
        "    assert qmp.execute('query-status')['status'] == 'running'\n"
    )
    done = pytest_run(tmp_path, "--image", "tiny.img", "-rA")
    seen = outcomes(done)
    assert seen.pop("test_no_login[tiny.img-seabios]") == "ERROR", done.stdout
    assert "no SSH login is declared" in done.stdout
    assert set(seen.values()) == {"PASSED"}, done.stdout
    assert {"boots", "everything else holds"} <= set(seen)


def test_a_boot_that_failed_is_told_once(tmp_path: Path) -> None:
    named_image(tmp_path, "tiny.img", f"{KERNEL}[    1.0] Kernel panic - not syncing: out of luck\r\n")
    (tmp_path / "goss.yaml").write_text("file:\n  /a: {exists: true}\n  /b: {exists: true}\n")
    (tmp_path / "test_x.py").write_text("def test_x(guest): ...\ndef test_y(ssh): ...\n")
    done = pytest_run(tmp_path, "--image", "tiny.img", "-rA", "--junitxml", "x.xml")
    seen = outcomes(done)
    assert set(seen.values()) == {"FAILED", "ERROR"}, done.stdout
    assert done.status == 1
    told = done.stdout.count("last lines of the console")
    assert told == 1
    assert done.stdout.count("the guest did not boot: the kernel panicked: out of luck") >= 4
    assert "Traceback" not in done.stdout
    assert "metallize/pytest_plugin" not in done.stdout, "none of our own code is shown"
    assert len(list((tmp_path / "build").rglob("report.json"))) == 1, "it was booted once"
    assert "the kernel panicked: out of luck" in (tmp_path / "x.xml").read_text()


def test_a_machinery_that_breaks_is_an_error_and_no_verdict(tmp_path: Path) -> None:
    named_image(tmp_path, "tiny.img")
    done = pytest_run(tmp_path, "--image", "tiny.img", "-rA", env={"METALLIZE_GUESTS": "many"})
    assert set(outcomes(done).values()) == {"ERROR"}
    assert "the machinery broke: METALLIZE_GUESTS=many" in done.stdout


class Counter(threading.Thread):
    """How many guests of one parent's children run at the same time, at most."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.most = 0
        self._folder = str(folder)
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(0.02):
            self.most = max(self.most, sum(self._is_guest(path) for path in Path("/proc").glob("[0-9]*/cmdline")))

    def _is_guest(self, path: Path) -> bool:
        try:
            return b"metallize-seabios" in path.read_bytes() and self._folder in str(path.with_name("cwd").readlink())
        except OSError:
            return False

    def stop(self) -> int:
        self._done.set()
        self.join()
        return self.most


def test_workers_of_xdist_take_turns(tmp_path: Path) -> None:
    for name in ("a.img", "b.img"):
        named_image(tmp_path, name)
    (tmp_path / "test_x.py").write_text(
        "import time\n"
        "def test_x(guest):\n    time.sleep(1)\n"
        "def test_y(guest):\n    assert guest.report.passed\n"
        "def test_plain():\n    pass\n"
    )
    env = {"METALLIZE_GUESTS": "1", "XDG_RUNTIME_DIR": str(tmp_path)}
    counter = Counter(tmp_path)
    counter.start()
    done = pytest_run(tmp_path, "-n", "2", "--image", "a.img", "--image", "b.img", env=env)
    assert counter.stop() == 1, done.stdout
    assert done.status == 0, done.stdout
    assert "15 passed" in done.stdout
    assert len(list((tmp_path / "build").rglob("report.json"))) == 2, "each image was booted once"


def test_verify_waits_for_a_guest_of_another_process(tmp_path: Path) -> None:
    off = named_image(tmp_path, "off.img", KERNEL, POWER_OFF)
    image = named_image(tmp_path, "tiny.img")
    (tmp_path / "test_x.py").write_text("import time\ndef test_x(guest):\n    time.sleep(4)\n")
    env = {**os.environ, "METALLIZE_GUESTS": "1", "XDG_RUNTIME_DIR": str(tmp_path)}
    first = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_x.py", "--image", image.name]
    with subprocess.Popen(first, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL) as running:
        end = time.monotonic() + 60
        while not list((tmp_path / "build").rglob("report.json")) and time.monotonic() < end:
            time.sleep(0.05)
        argv = [sys.executable, "-m", "metallize", "verify", "--image", str(off), "--build-dir", "other"]
        done = run(argv, cwd=tmp_path, check=False, env=env)
        assert running.wait(60) == 0
    assert done.status == 1
    assert f"waits for process {running.pid} (tiny.img on seabios), running for" in done.stderr
