"""The harness on guests of one sector: what it says of each, how soon, and that nothing of them is left."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from metallize.errors import HostError, UsageError
from metallize.events import Event, Note, Silent
from metallize.host import accelerator
from metallize.machines import ovmf, seabios
from metallize.model.boot import Boot, ConsoleRules, Login, MachineOverrides, Media, Ssh
from metallize.model.machine import Machine
from metallize.model.profile import ImageFormat
from metallize.model.report import BootReport, Verdict
from metallize.verify import VerifyRequest, verify_machine
from tests.boot.sector import LOOP, POWER_OFF, RESET, tiny_image

pytestmark = pytest.mark.boot
KERNEL = "[    0.000000] Linux version 6.12 (tiny)\r\n"


def verify(path: Path, *, machine: Machine = seabios.MACHINE, media: Media | None = None, **boot: Any) -> BootReport:
    request = VerifyRequest(
        image=path,
        image_format=ImageFormat.RAW,
        boot=Boot(**{"timeout": 20, "memory": "256M", **boot}),
        assertions=(),
        machine_entry=machine.name,
        machine=machine,
        kinds={},
        runs_dir=path.parent / "runs",
        overrides=MachineOverrides(media=media),
    )
    before = path.read_bytes()
    report = verify_machine(request, Silent())
    assert path.read_bytes() == before
    assert not list((path.parent / "runs").rglob("*.qcow2"))
    assert not list((path.parent / "runs").rglob("*.fd"))
    return report


def rule(report: BootReport) -> str:
    assert report.verdict is Verdict.FAILED
    assert report.failure is not None
    return report.failure.rule


@pytest.mark.parametrize(("slowness", "counts"), [(11.9, False), (12.0, True)])
def test_a_guest_of_a_very_slow_host_has_a_clock_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slowness: float, counts: bool
) -> None:
    known = accelerator.choose(seabios.MACHINE, accelerator.Choice.TCG)
    monkeypatch.setattr(accelerator, "choose", lambda *_: replace(known, slowness=slowness))
    report = verify(tiny_image(tmp_path, f"{KERNEL}\r\ntiny login: "))
    assert report.verdict is Verdict.PASSED
    assert ("-icount" in (report.run_folder / "argv.txt").read_text()) is counts
    assert any("counts its instructions" in note for note in report.notes) is counts
    assert report.clock == ("instructions" if counts else "")


@pytest.mark.parametrize("media", [Media.DISK, Media.USB])
def test_a_login_prompt_is_as_far_as_can_be_seen(tmp_path: Path, media: Media) -> None:
    report = verify(tiny_image(tmp_path, f"{KERNEL}\r\ntiny login: "), media=media)
    assert report.verdict is Verdict.PASSED
    assert [stage.stage for stage in report.stages][-2:] == ["login", "ready"]
    assert report.rest_seconds is None
    names = {path.name for path in report.run_folder.iterdir()}
    assert {"argv.txt", "repro.sh", "console.log", "console.txt", "qmp.log", "report.json", "junit.xml"} <= names
    assert "report.html" in names
    assert report.qemu
    assert datetime.fromisoformat(report.started).tzinfo is not None
    assert "Linux version 6.12 (tiny)" in (report.run_folder / "console.txt").read_text()
    assert json.loads((report.run_folder / "report.json").read_text())["verdict"] == "passed"


def test_a_panic_ends_the_boot_within_two_seconds(tmp_path: Path) -> None:
    panic = "[    1.000000] Kernel panic - not syncing: out of luck\r\n"
    report = verify(tiny_image(tmp_path, f"{KERNEL}{panic}"))
    assert rule(report) == "kernel-panic"
    assert report.failure is not None
    assert report.failure.cause == "the kernel panicked: out of luck"
    assert report.seconds - report.failure.seconds < 2


def test_a_display_and_packets_are_kept_where_they_are_asked_for(tmp_path: Path) -> None:
    path = tiny_image(tmp_path, f"{KERNEL}[    1.0] Kernel panic - not syncing: x\r\n")
    assert not {"screenshot.png", "net.pcap"} & {file.name for file in verify(path).run_folder.iterdir()}
    folder = verify(path, display=True, capture=True).run_folder
    picture = (folder / "screenshot.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert base64.b64encode(picture).decode() in (folder / "report.html").read_text()
    magic = (folder / "net.pcap").read_bytes()[:4]
    assert magic in (b"\xa1\xb2\xc3\xd4", b"\xd4\xc3\xb2\xa1")
    assert "filter-dump" not in (folder / "repro.sh").read_text()


def test_the_script_of_a_run_boots_the_image_again(tmp_path: Path) -> None:
    image = tiny_image(tmp_path, f"{KERNEL}good bye\r\n", POWER_OFF)
    report = verify(image)
    script = report.run_folder / "repro.sh"
    moved = tmp_path / "a, b.img"
    image.rename(moved)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    env = {**os.environ, "TMPDIR": str(scratch)}
    gone = subprocess.run([script], env=env, capture_output=True, text=True, check=False, timeout=60)
    assert gone.returncode == 1
    assert "name the image" in gone.stderr
    again = subprocess.run(
        [script, moved], env=env, capture_output=True, text=True, check=True, timeout=60, stdin=subprocess.DEVNULL
    )
    assert "good bye" in again.stdout
    assert not list(scratch.iterdir())


def test_an_initramfs_prompt_that_does_not_answer_changes_nothing(tmp_path: Path) -> None:
    text = f"{KERNEL}BusyBox v1.37.0\r\n(initramfs) "
    report = verify(tiny_image(tmp_path, text))
    assert rule(report) == "initrd-shell"
    assert any("nothing was collected where the boot stopped" in note for note in report.notes)
    assert not (report.run_folder / "initramfs.txt").exists()


def test_a_panic_is_seen_while_a_login_is_waited_for(tmp_path: Path) -> None:
    panic = "[    1.000000] Kernel panic - not syncing: out of luck\r\n"
    text = f"{KERNEL}tiny login: \r\n{panic}"
    report = verify(tiny_image(tmp_path, text), login=Login(user="a", password="b"), ssh=Ssh(user="a", password="b"))
    assert rule(report) == "kernel-panic"


def test_an_unexpected_reset_is_told_from_a_boot(tmp_path: Path) -> None:
    assert rule(verify(tiny_image(tmp_path, KERNEL, RESET))) == "unexpected-reset"


def test_a_guest_that_switches_itself_off(tmp_path: Path) -> None:
    assert rule(verify(tiny_image(tmp_path, KERNEL, POWER_OFF))) == "guest-shutdown"


def test_an_image_with_nothing_to_boot(tmp_path: Path) -> None:
    path = tmp_path / "empty.img"
    path.write_bytes(bytes(1 << 20))
    report = verify(path)
    assert rule(report) == "bios-no-bootable-device"
    assert report.stage == "firmware"


def test_a_bios_image_on_uefi(tmp_path: Path) -> None:
    report = verify(tiny_image(tmp_path, KERNEL), machine=ovmf.MACHINE, timeout=60)
    assert report.verdict is Verdict.FAILED
    assert report.failure is not None
    assert report.failure.stage == "firmware"
    assert "EFI system partition" in report.failure.remedy


def test_a_guest_that_says_no_more_runs_into_its_time(tmp_path: Path) -> None:
    report = verify(tiny_image(tmp_path, KERNEL), timeout=2)
    assert rule(report) == "timeout"
    assert "stage kernel" in (report.failure.cause if report.failure else "")


def test_a_login_that_does_not_work_is_a_result_with_its_stage(tmp_path: Path) -> None:
    report = verify(tiny_image(tmp_path, f"{KERNEL}tiny login: "), login=Login(user="a", password="b"), timeout=4)
    assert report.verdict is Verdict.FAILED
    assert any(result.kind == "login" and not result.holds for result in report.results) or report.failure


def test_the_profiles_own_console_rules(tmp_path: Path) -> None:
    path = tiny_image(tmp_path, f"{KERNEL}hello\r\ntiny login: ")
    rules = ConsoleRules(require=("^hello$", "^never$"))
    report = verify(path, console=rules, timeout=4)
    assert not report.passed
    assert not [result for result in report.results if result.title == "console shows /^never$/" and result.holds]
    assert report.failure is not None
    assert "/^never$/" in report.failure.cause
    assert rule(verify(path, console=ConsoleRules(forbid=("hello",)))) == "console.forbid"


def test_a_flood_neither_blinds_nor_stops_the_watch(tmp_path: Path) -> None:
    report = verify(tiny_image(tmp_path, KERNEL + "x" * 70 + "\r\n", LOOP), timeout=3)
    assert rule(report) == "timeout"
    assert (report.run_folder / "console.log").stat().st_size > 100_000


def test_a_qemu_that_is_killed_is_the_hosts_doing(tmp_path: Path) -> None:
    class Killer:
        def emit(self, event: Event, /) -> None:
            if "kernel" in getattr(event, "line", ""):
                os.kill(qemu_of(os.getpid()), signal.SIGKILL)

    path = tiny_image(tmp_path, KERNEL)
    request = VerifyRequest(
        image=path,
        image_format=ImageFormat.RAW,
        boot=Boot(timeout=20),
        assertions=(),
        machine_entry="seabios",
        machine=seabios.MACHINE,
        kinds={},
        runs_dir=tmp_path / "runs",
    )
    report = verify_machine(request, Killer())
    assert rule(report) == "qemu-ended"
    assert report.failure is not None
    assert "signal 9" in report.failure.cause


def test_an_image_that_is_not_what_its_suffix_says_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "wrong.qcow2"
    path.write_bytes(bytes(1 << 20))
    request = VerifyRequest(
        image=path,
        image_format=ImageFormat.QCOW2,
        boot=Boot(),
        assertions=(),
        machine_entry="seabios",
        machine=seabios.MACHINE,
        kinds={},
        runs_dir=tmp_path / "runs",
    )
    with pytest.raises(UsageError, match="is no qcow2"):
        verify_machine(request, Silent())


def test_an_image_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="there is no image"):
        verify_machine(
            VerifyRequest(
                image=tmp_path / "none.img",
                image_format=ImageFormat.RAW,
                boot=Boot(),
                assertions=(),
                machine_entry="seabios",
                machine=seabios.MACHINE,
                kinds={},
                runs_dir=tmp_path / "runs",
            ),
            Silent(),
        )


def test_the_accelerator_and_its_reason_are_told(tmp_path: Path) -> None:
    notes: list[str] = []

    class Recorder:
        def emit(self, event: Event, /) -> None:
            if isinstance(event, Note):
                notes.append(event.text)

    path = tiny_image(tmp_path, f"{KERNEL}tiny login: ")
    request = VerifyRequest(
        image=path,
        image_format=ImageFormat.RAW,
        boot=Boot(),
        assertions=(),
        machine_entry="seabios",
        machine=seabios.MACHINE,
        kinds={},
        runs_dir=tmp_path / "runs",
        accel="tcg",
    )
    report = verify_machine(request, Recorder())
    assert report.accelerator.name == "tcg"
    assert report.accelerator.slowness >= 1
    assert any("TCG was asked for" in note for note in notes)


CHILD = """
import sys
from pathlib import Path
from metallize.events import Silent
from metallize.machines import seabios
from metallize.model.boot import Boot
from metallize.model.profile import ImageFormat
from metallize.verify import VerifyRequest, verify_machine
folder = Path(sys.argv[1])
request = VerifyRequest(image=folder / "tiny.img", image_format=ImageFormat.RAW, boot=Boot(timeout=600), assertions=(),
    machine_entry="seabios", machine=seabios.MACHINE, kinds={}, runs_dir=folder / "runs")
verify_machine(request, Silent())
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("after", [0.0, 0.5])
def test_nothing_is_left_however_the_parent_ends(tmp_path: Path, end: signal.Signals, after: float) -> None:
    tiny_image(tmp_path, KERNEL)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    env = {**os.environ, "TMPDIR": str(scratch)}
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], env=env, stderr=subprocess.DEVNULL)
    qemu = 0
    end_of_wait = time.monotonic() + 60
    while not qemu and time.monotonic() < end_of_wait:
        qemu = qemu_of(child.pid, name="metallize-seabios")
        time.sleep(0.01)
    assert qemu
    time.sleep(after)
    child.send_signal(end)
    child.wait(15)
    end_of_wait = time.monotonic() + 5
    while alive(qemu) and time.monotonic() < end_of_wait:
        time.sleep(0.01)
    assert not alive(qemu)
    assert not list(scratch.iterdir())
    left = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert {path.suffix for path in left} <= {".txt", ".log", ".sh"}  # no disk, whenever the end came
    assert not any(path.name.startswith(".") for path in left)


def qemu_of(parent: int, name: str = "") -> int:
    """The QEMU that a process has started, or 0."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                status = (folder / "stat").read_text()
                argv = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            is_child = int(status.rpartition(")")[2].split()[1]) == parent and b"qemu-system" in argv[0]
            if is_child and (not name or name.encode() in argv):
                return int(folder.name)
    return 0


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
