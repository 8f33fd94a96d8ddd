"""What a profile asks of the boot itself: refusals, console steps, budgets, and later boots of the same disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metallize.events import Silent
from metallize.machines import ovmf, seabios
from metallize.model.machine import Machine
from metallize.model.profile import Boot, ImageFormat, MachineOverrides, Step
from metallize.model.report import BootReport
from metallize.verify import VerifyRequest, verify_machine
from tests.boot.sector import tiny_image
from tests.conftest import Cli

pytestmark = pytest.mark.boot
KERNEL = "[    0.000000] Linux version 6.12 (tiny)\r\n"


def verify(
    path: Path, *, machine: Machine = seabios.MACHINE, expect: str | dict[str, str] | None = None, **boot: Any
) -> BootReport:
    request = VerifyRequest(
        image=path,
        image_format=ImageFormat.RAW,
        boot=Boot.model_validate({"timeout": 20, "memory": "256M", **boot}),
        assertions=(),
        machine_entry=machine.name,
        machine=machine,
        kinds={},
        runs_dir=path.parent / "runs",
        overrides=MachineOverrides.model_validate({"expect": expect}),
    )
    return verify_machine(request, Silent())


def empty_disk(folder: Path) -> Path:
    path = folder / "empty.img"
    path.write_bytes(bytes(1 << 20))
    return path


def test_an_image_that_must_not_boot_passes_where_the_firmware_refuses_it(tmp_path: Path) -> None:
    report = verify(empty_disk(tmp_path), expect="refused")
    assert report.passed
    assert report.stage == "firmware"
    [result] = report.results
    assert result.note == "bios-no-bootable-device: the firmware found nothing to boot"


def test_another_refusal_than_the_named_one_fails(tmp_path: Path) -> None:
    report = verify(empty_disk(tmp_path), expect={"refused": "secure-boot-refused"})
    assert not report.passed
    assert report.failure is not None
    assert report.failure.rule == "bios-no-bootable-device"


def test_uefi_refuses_what_only_a_bios_boots(tmp_path: Path) -> None:
    assert verify(tiny_image(tmp_path, KERNEL), machine=ovmf.MACHINE, expect="refused", timeout=60).passed


def test_an_image_that_boots_was_not_refused(tmp_path: Path) -> None:
    report = verify(tiny_image(tmp_path, f"{KERNEL}tiny login: "), expect="refused")
    assert report.failure is not None
    assert report.failure.rule == "not-refused"
    assert report.failure.stage == "kernel"
    assert report.seconds < 20


def test_silence_is_no_refusal(tmp_path: Path) -> None:
    path = tiny_image(tmp_path, "hello\r\n")
    report = verify(path, expect="refused", timeout=2)
    assert report.failure is not None
    assert report.failure.rule == "timeout"
    assert verify(path, expect={"refused": "timeout"}, timeout=2).passed


def test_steps_that_hold_are_as_far_as_can_be_seen(tmp_path: Path) -> None:
    """A guest with a prompt of its own: no login prompt ever comes, and none is needed."""
    path = tiny_image(tmp_path, f"{KERNEL}choose> ")
    report = verify(path, steps=(Step(expect="/Linux version [0-9.]+/"), Step(expect="/^choose> $/", send="<down>\n")))
    assert report.passed
    assert [result.title for result in report.results] == [
        "step 1: expect /Linux version [0-9.]+/",
        "step 2: expect /^choose> $/",
    ]


def test_a_step_that_finds_nothing_ends_the_boot_and_names_itself(tmp_path: Path) -> None:
    path = tiny_image(tmp_path, f"{KERNEL}choose> ")
    report = verify(path, steps=(Step(expect="choose>", send="1\n"), Step(expect="Starting", timeout="1s")))
    assert report.failure is not None
    assert report.failure.rule == "console-step"
    assert report.failure.cause.startswith("step 2: expect Starting")
    assert any("choose>" in line for line in report.console_tail)
    assert [result.holds for result in report.results] == [True, False]


def test_a_stage_over_its_budget_fails_with_both_times(tmp_path: Path) -> None:
    report = verify(tiny_image(tmp_path, f"{KERNEL}tiny login: "), time={"ready": "1m", "login": "1ms", "initrd": "9s"})
    assert not report.passed
    assert {result.title: result.holds for result in report.results} == {
        "time in initrd": False,
        "time to login": False,
        "time to ready": True,
    }


def test_steps_on_the_command_line_for_an_image_that_nobody_knows(tmp_path: Path, cli: Cli) -> None:
    image = tiny_image(tmp_path, f"{KERNEL}choose> ")
    steps = tmp_path / "steps.yaml"
    steps.write_text("- {expect: 'choose>', send: '1<enter>'}\n")
    done = cli("verify", "--image", image, "--steps", steps, "--build-dir", tmp_path / "build")
    assert done.status == 0, done.stderr
    steps.write_text("- {expect: 'chose>', timeout: 1s}\n")
    done = cli("verify", "--image", image, "--steps", steps, "--build-dir", tmp_path / "build")
    assert done.status == 1
    assert "step 1: expect chose>" in done.stderr
    steps.write_text("- {expect: 'choose>', send: '<entr>'}\n")
    done = cli("verify", "--image", image, "--steps", steps, "--build-dir", tmp_path / "build")
    assert done.status == 2
    assert f"{steps}:1:" in done.stderr
    assert "`<entr>`" in done.stderr
