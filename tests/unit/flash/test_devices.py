"""Which disks may be written to, over a made-up sysfs."""

from __future__ import annotations

from pathlib import Path

import pytest

from metallize.flash.devices import Disk, disk_named, disks, refusal

MIB = 1 << 20


class Host:
    """A sysfs and a proc in a folder, with the files that the kernel shows."""

    def __init__(self, folder: Path) -> None:
        self.sysfs, self.proc = folder / "sys", folder / "proc"
        (self.sysfs / "block").mkdir(parents=True)
        (self.sysfs / "class/block").mkdir(parents=True)
        (self.proc / "self").mkdir(parents=True)
        (self.proc / "swaps").write_text("Filename Type Size Used Priority\n")
        self.mounts: list[str] = []
        self._number = 0

    def device(
        self, name: str, *, parent: str = "", bus: str = "pci0", mib: int = 1024, removable: bool = False
    ) -> str:
        whole = self.sysfs / f"devices/{bus}/block/{parent or name}"
        folder = whole / name if parent else whole
        (folder / "holders").mkdir(parents=True)
        self._number += 1
        (folder / "dev").write_text(f"8:{self._number}\n")
        (folder / "size").write_text(f"{mib * 2048}\n")
        (folder / "ro").write_text("0\n")
        if parent:
            (folder / "partition").write_text("1\n")
        else:
            (folder / "removable").write_text(f"{int(removable)}\n")
            (folder / "device").mkdir()
            (folder / "device/vendor").write_text("Acme    \n")
            (folder / "device/model").write_text("Stick\n")
            (self.sysfs / "block" / name).symlink_to(folder)
        (self.sysfs / "class/block" / name).symlink_to(folder)
        return f"8:{self._number}"

    def hold(self, name: str, holder: str) -> None:
        (self.sysfs / "class/block" / name).resolve().joinpath("holders", holder).mkdir()

    def mount(self, number: str, place: str, source: str = "none") -> None:
        self.mounts.append(f"30 1 {number} / {place} rw,relatime shared:1 - ext4 {source} rw")
        (self.proc / "self/mountinfo").write_text("\n".join(self.mounts) + "\n")

    def disk(self, name: str) -> Disk:
        found = disk_named(name, self.sysfs, self.proc)
        assert found is not None
        return found


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path)
    made.mount("0:20", "/proc")
    return made


def refused(disk: Disk, mib: int = 1, *, any_disk: bool = False) -> str:
    why = refusal(disk, size_bytes=mib * MIB, any_disk=any_disk)
    return why[0] if why else ""


def test_a_stick_may_be_written_to(host: Host) -> None:
    host.device("sda", bus="pci0/usb1/1-1")
    disk = host.disk("sda")
    assert disk.removable
    assert (disk.size_bytes, disk.model) == (1024 * MIB, "Acme Stick")
    assert refused(disk) == ""
    assert "1025" not in refused(disk, 1024)
    assert "has 1073741824 bytes, and the image" in refused(disk, 1025)


def test_the_disk_that_holds_the_root(host: Host) -> None:
    host.device("sda", removable=True)
    host.mount(host.device("sda1", parent="sda"), "/mnt/a\\040b")
    assert refused(host.disk("sda"), any_disk=True) == "/dev/sda is in use: /dev/sda1 is mounted on /mnt/a b"
    host.mount(host.device("sda2", parent="sda"), "/")
    assert refused(host.disk("sda"), any_disk=True) == ("/dev/sda holds the running system: /dev/sda2 is mounted on /")


def test_a_root_without_a_device_number_of_its_own(host: Host) -> None:
    host.device("sda", removable=True)
    host.device("sda3", parent="sda")
    host.mount("0:33", "/", source="/dev/sda3")
    assert "holds the running system" in refused(host.disk("sda"))


def test_a_root_on_a_volume_over_an_encrypted_partition(host: Host) -> None:
    host.device("sda", removable=True)
    host.device("sda1", parent="sda")
    host.device("dm-0")
    host.hold("sda1", "dm-0")
    assert refused(host.disk("sda")) == "/dev/sda is in use: /dev/sda1 is part of /dev/dm-0"
    number = host.device("dm-1")
    host.hold("dm-0", "dm-1")
    host.mount(number, "/")
    assert refused(host.disk("sda")) == "/dev/sda holds the running system: /dev/dm-1 is mounted on /"


def test_swap(host: Host) -> None:
    host.device("sdb", removable=True)
    host.device("sdb1", parent="sdb")
    (host.proc / "swaps").write_text("Filename Type Size Used Priority\n/dev/sdb1 partition 1 0 -2\n")
    assert "is swap space" in refused(host.disk("sdb"), any_disk=True)


def test_a_fixed_disk_only_when_it_is_meant(host: Host) -> None:
    host.device("nvme0n1")
    assert refused(host.disk("nvme0n1")) == "/dev/nvme0n1 (Acme Stick) is not removable"
    assert refused(host.disk("nvme0n1"), any_disk=True) == ""


def test_a_partition_and_a_locked_card(host: Host) -> None:
    host.device("mmcblk0")
    host.device("mmcblk0p1", parent="mmcblk0")
    assert refused(host.disk("mmcblk0")) == ""
    assert "is a partition" in refused(host.disk("mmcblk0p1"))
    (host.sysfs / "block/mmcblk0").resolve().joinpath("ro").write_text("1\n")
    assert "write-protected" in refused(host.disk("mmcblk0"))


def test_the_list_leaves_out_what_is_no_disk(host: Host) -> None:
    for name in ("sdb", "sr0", "zram0", "ram1"):
        host.device(name)
    host.device("sdc", mib=0)
    assert [disk.name for disk in disks(host.sysfs, host.proc)] == ["sdb"]
    assert disk_named("sdx", host.sysfs, host.proc) is None


def test_this_hosts_own_root_is_found() -> None:
    """The real sysfs: whichever disk holds / here says so."""
    holding = [disk for disk in disks() if any(use.text.endswith(" on /") for use in disk.uses)]
    number = Path("/").stat().st_dev
    import os

    real = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").exists()
    assert bool(holding) == real
