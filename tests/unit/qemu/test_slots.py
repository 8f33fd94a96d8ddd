"""A disk of two systems at each moment of an update: what would be started next, and whether it is whole."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from metallize_os import two_systems

from metallize.errors import HostError, UsageError
from metallize.model.machine import Firmware
from metallize.model.profile import ImageFormat
from metallize.qemu.argv import GuestPlan
from metallize.qemu.slots import disk, gpt, loaders
from metallize.qemu.slots.disk import NotWholeError
from metallize.qemu.slots.loaders import Kernel
from metallize.qemu.slots.update import Seen, Window, check_update, disks_of_update
from metallize.verify.broken import version_before
from tests.unit.build.test_two_systems import pe
from tests.unit.qemu.test_argv import PLAN
from tests.unit.qemu.test_moments import log_of
from tests.unit.qemu.two_slots import NEW, OLD, PLACES, SIZE, STEPS, Machine, both_slots

pytestmark = pytest.mark.slow
BOTH = pytest.mark.parametrize("firmware", [Firmware.UEFI, Firmware.BIOS])
OTHER = pe({".osrel": b"ID=web\n", ".linux": b"another"})
LABELS = ("web_2", "web_1")


@pytest.mark.parametrize(
    ("names", "first"),
    [
        (["EFI/Linux/web_1.efi", "EFI/Linux/web_2+3-0.efi"], "web_2"),
        (["EFI/Linux/web_1.efi", "EFI/Linux/web_2+0-3.efi"], "web_1"),
        (["EFI/Linux/web_1+0-3.efi", "EFI/Linux/web_2+0-3.efi"], "web_2"),
        (["EFI/Linux/web_1.efi", "EFI/Linux/.#web_2.efi", "grub/systems/web_2.cfg", "web_2.efi"], "web_1"),
        (["EFI/Linux/web_1.efi", "EFI/Linux/web_3.efi"], "web_3"),
        ([], None),
    ],
)
def test_systemd_boot_takes_the_newest_that_has_tries(names: Sequence[str], first: str | None) -> None:
    found = loaders.first_of_systemd_boot(loaders.kernels(names), LABELS)
    assert (found.label if found is not None else None) == first


@pytest.mark.parametrize(
    ("environment", "first"),
    [
        ({"good": "1"}, "web_1"),
        ({"good": "1", "next": "2", "left": "3"}, "web_2"),
        ({"good": "1", "next": "2", "left": "0"}, "web_1"),
        ({"good": "1", "next": "3", "left": "2"}, "web_1"),
        ({"good": "7"}, None),
        ({}, None),
    ],
)
def test_grub_takes_what_its_environment_says(environment: dict[str, str], first: str | None) -> None:
    names = ["EFI/Linux/web_1.efi", "EFI/Linux/web_2+3-0.efi", "grub/systems/web_1.cfg", "grub/systems/web_2.cfg"]
    found = loaders.first_of_grub(names, environment, "web_")
    assert (found.label if found is not None else None) == first


def test_both_ends_agree_on_names_and_environment() -> None:
    assert loaders.ENDS == two_systems.ENDS
    block = two_systems.environment(good="1", next="2", left="3")
    assert loaders.read_environment(block) == {"good": "1", "next": "2", "left": "3"}
    [kernel] = loaders.kernels([two_systems.System("web", "1-a1.init").kernel.lstrip("/")])
    assert kernel == Kernel("EFI/Linux/web_1-a1.init.efi", "web_1-a1.init", None)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine.made(tmp_path / "disk.img")


def opened(machine: Machine) -> disk.Disk:
    number = os.open(machine.path, os.O_RDONLY)
    return disk.Disk(number, machine.path.parent, lambda _start, _size: 0)


@BOTH
def test_a_disk_with_one_system_starts_it(machine: Machine, firmware: Firmware) -> None:
    only = opened(machine).only_system(firmware)
    assert (only.label, only.kernel) == ("web_1", OLD.system.kernel)
    assert opened(machine).started(firmware, (NEW.system, only)) == only


@BOTH
def test_an_updated_disk_starts_the_new_one(machine: Machine, firmware: Firmware) -> None:
    only = opened(machine).only_system(firmware)
    for step in STEPS.values():
        step(machine)
    assert opened(machine).started(firmware, (NEW.system, only)) == NEW.system


@pytest.mark.parametrize("content", [b"", b"x", OTHER[:300]])
def test_systemd_boot_passes_over_what_is_no_kernel(machine: Machine, content: bytes) -> None:
    only = opened(machine).only_system(Firmware.UEFI)
    for step in STEPS.values():
        step(machine)
    machine.file("EFI/Linux/web_2+3-0.efi", content)
    assert opened(machine).started(Firmware.UEFI, (NEW.system, only)) == only


def half_removed(machine: Machine, path: str) -> None:
    """As a cut in its removal leaves it: its clusters are free, and its folder has its name all the same."""
    before = machine.path.read_bytes()
    start, size = PLACES["esp"]
    data = start + disk._clusters_of(before[start : start + 512]).data_at
    machine.mtools("mdel", f"::{path}")
    machine.at(data, before[data : start + size])


@pytest.mark.parametrize("name", ["web_1-a1.kernel+0-3", "web_2+0-3"])
def test_a_kernel_without_tries_that_is_half_removed_keeps_no_other_from_its_start(machine: Machine, name: str) -> None:
    only = opened(machine).only_system(Firmware.UEFI)
    machine.file(f"EFI/Linux/{name}.efi", OTHER)
    half_removed(machine, f"EFI/Linux/{name}.efi")
    assert opened(machine).started(Firmware.UEFI, (NEW.system, only)) == only


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda it: it.put("root_b", b"x"), r"its slot `web_2` is not that release's"),
        (lambda it: it.put("tree_b", b"x"), r"its slot `web_2` is not that release's"),
        (lambda it: it.file("EFI/Linux/web_2+3-0.efi", OTHER), "its content is not that of web_2"),
        (lambda it: it.file("EFI/Linux/web_3.efi", OTHER), "which is of neither release"),
        (lambda it: half_removed(it, "EFI/Linux/web_2+3-0.efi"), r"web_2\+3-0.efi on the ESP cannot be read"),
        (lambda it: it.mtools("mdeltree", "::EFI"), "finds no system to start"),
        (lambda it: it.put("esp", bytes(SIZE - (1 << 20))), "the ESP cannot be read"),
    ],
)
def test_what_is_not_whole_is_told(machine: Machine, damage: object, words: str) -> None:
    only = opened(machine).only_system(Firmware.UEFI)
    for step in STEPS.values():
        step(machine)
    damage(machine)  # type: ignore[operator]
    with pytest.raises(NotWholeError, match=words):
        opened(machine).started(Firmware.UEFI, (NEW.system, only))


def test_a_table_whose_head_is_damaged_is_read_from_its_copy(machine: Machine) -> None:
    machine.at(512 + 16, b"xxxx")
    content = machine.path.read_bytes()
    found = gpt.read_table(lambda at, size: content[at : at + size], SIZE)
    assert found.problems == ("the table: its header is damaged",)
    assert [row.label for row in found.rows][:3] == ["esp", "web_1", "web_1"]
    machine.at(SIZE - 512 - 100, b"x")
    content = machine.path.read_bytes()
    with pytest.raises(ValueError, match="its copy: its rows are not those of its header"):
        gpt.read_table(lambda at, size: content[at : at + size], SIZE)


def checked(machine: Machine, order: Sequence[str], firmware: Firmware, count: int = 40) -> Seen:
    """All moments of an update that does its steps in this order."""
    plan, window = planned(machine, order)
    return check_update(plan, machine.path.parent, window, NEW.system, firmware=firmware, count=count, seed=7)


def planned(
    machine: Machine, order: Sequence[str], steps: Mapping[str, Callable[[Machine], None]] = STEPS
) -> tuple[GuestPlan, Window]:
    image = machine.path.with_name("before.img")
    image.write_bytes(machine.path.read_bytes())
    machine.logged(lambda it: it.put("var", b"a boot writes"))
    begin = 512 + sum(512 + len(step[1]) if step else 512 for step in machine.log)
    machine.logged(*(steps[name] for name in order))
    log = log_of(machine.path.with_name("log"), machine.log)
    plan = replace(PLAN, image=image, image_format=ImageFormat.RAW, disk_bytes=SIZE, write_log=log, descriptors=())
    return plan, Window(begin_bytes=begin, end_bytes=log.stat().st_size)


@BOTH
def test_an_update_in_a_safe_order_is_safe_at_every_write(machine: Machine, firmware: Firmware) -> None:
    seen = checked(machine, list(STEPS), firmware)
    assert seen.bricks == ()
    assert set(seen.started) == {"web_1", "web_2"}
    assert seen.tried == sum(seen.started.values()) > 60


@BOTH
def test_a_kernel_that_is_renamed_before_its_root_is_whole_is_found_with_the_write(
    machine: Machine, firmware: Firmware
) -> None:
    order = ["tree", "label", "grub", "kernel", "rename", "next", "root"]
    seen = checked(machine, order, firmware, count=0)
    first = seen.bricks[0]
    assert "its slot `web_2` is not that release's" in first.problem
    assert first.write.startswith(f"write {first.cut.flushed}, of ")
    step = order.index("rename" if firmware is Firmware.UEFI else "next") + 1
    assert writes_up_to(machine, step - 1) < first.cut.flushed <= writes_up_to(machine, step)


def shared(machine: Machine, *, from_the_middle: bool) -> None:
    """A name in the root for clusters of the new kernel: for all of them, as half a rename leaves it, or for some."""
    content = machine.path.read_bytes()
    start, size = PLACES["esp"]
    at = content.index(b"WEB_2_~1EFI", start, start + size)
    (cluster,) = struct.unpack_from("<H", content, at + 26)
    root = content.index(b"NO-NAME ", start)
    free = next(place for place in range(root, start + size, 32) if not any(content[place : place + 32]))
    place = struct.pack("<H", cluster + 10 * from_the_middle)
    machine.at(free, b"OTHER   EFI" + content[at + 11 : at + 26] + place + content[at + 28 : at + 32])


@pytest.mark.parametrize(
    ("from_the_middle", "lost"),
    [(False, ""), (True, "once it is mended: EFI/Linux/web_2+3-0.efi would be started, and its content is not that")],
)  # a kernel that is emptied is passed over for the old one, and one that is cut short is not
def test_a_fat_that_is_damaged_is_told_and_what_mending_it_loses(
    machine: Machine, from_the_middle: bool, lost: str
) -> None:
    machine.file("NO-NAME", b"x")
    steps = dict(STEPS) | {"share": lambda it: shared(it, from_the_middle=from_the_middle)}
    plan, window = planned(machine, list(steps), steps)
    seen = check_update(plan, machine.path.parent, window, NEW.system, firmware=Firmware.UEFI, count=0, seed=7)
    assert seen.bricks == ()
    found = seen.damages[-1]
    assert "share clusters" in found.problem
    assert found.started == "web_2"
    assert found.lost.startswith(lost)
    assert bool(found.lost) == bool(lost)
    assert 0 < seen.esps < seen.tried


def writes_up_to(machine: Machine, steps: int) -> int:
    """How many writes there were once so many steps were done."""
    flushes = [number for number, step in enumerate(machine.log) if step is None]
    writes = [step for step in machine.log[: flushes[steps]] if step is not None]
    return len(writes)


@BOTH
def test_a_kernel_that_is_renamed_before_its_slot_has_its_name_is_found(machine: Machine, firmware: Firmware) -> None:
    seen = checked(machine, ["root", "tree", "grub", "kernel", "rename", "next", "label"], firmware, count=0)
    assert "no partition" in seen.bricks[0].problem


def test_the_disk_at_some_of_the_moments_can_be_booted(machine: Machine) -> None:
    plan, window = planned(machine, list(STEPS))
    with disks_of_update(plan, machine.path.parent, window, 3) as disks:
        found = [each.cut.flushed for each in disks]
    assert len(found) == 3
    assert found == sorted(set(found))


def test_the_version_that_is_updated_is_that_of_its_slots(machine: Machine, tmp_path: Path) -> None:
    assert version_before(machine.path, "web") == "1"
    with pytest.raises(UsageError, match=r"boot.update.from: .* has no slot of shop"):
        version_before(machine.path, "shop")
    for step in STEPS.values():
        step(machine)
    with pytest.raises(UsageError, match="slots of the versions 1, 2"):
        version_before(machine.path, "web")
    for size in (0, 100, 1 << 20):
        (tmp_path / "empty.img").write_bytes(bytes(size))
        with pytest.raises(UsageError, match="has no slots"):
            version_before(tmp_path / "empty.img", "web")


def test_an_image_that_has_no_two_slots_is_told(machine: Machine) -> None:
    machine.mtools("mdel", "::EFI/Linux/web_1.efi")
    with pytest.raises(HostError, match="has no system that would be started"):
        checked(machine, list(STEPS), Firmware.UEFI)


def test_a_disk_whose_both_tables_are_torn_is_a_brick(machine: Machine) -> None:
    machine.tables(*both_slots())
    machine.at(512 + 16, b"xxxx")
    machine.at(SIZE - 512 + 16, b"xxxx")
    with pytest.raises(NotWholeError, match="the partition table"):
        opened(machine).started(Firmware.UEFI, (NEW.system,))
