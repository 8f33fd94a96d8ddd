"""The host's disks, and why one of them must not be written to.

Everything is read from sysfs(5) and proc(5), which need no right and no tool: /sys/block, the `holders` and
partitions of each disk, /proc/self/mountinfo and /proc/swaps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SECTOR_BYTES = 512
"""What /sys/block/*/size counts in, whatever the disk's own sectors are."""
_NO_DISK = re.compile(r"(ram|zram|sr|fd)\d+")
_MMC, _LOOP = re.compile(r"mmcblk\d+"), re.compile(r"loop\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Something on a disk that is in use: `/dev/sda2 is mounted on /home`."""

    device: str
    """The kernel's name of the partition, mapping or array."""
    text: str
    system: bool = False
    """It is the running system's own: /, /boot, /usr or swap."""

    def __str__(self) -> str:
        return f"/dev/{self.device} {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A whole disk, as the kernel shows it."""

    name: str
    size_bytes: int
    model: str
    removable: bool
    """A medium or a device that a person takes out: a card, a USB stick, a loop device over a file."""
    read_only: bool
    uses: tuple[Use, ...]
    partition_of: str = ""
    """For a partition, the disk that holds it."""

    @property
    def path(self) -> Path:
        return Path("/dev", self.name)

    def __str__(self) -> str:
        words = [f"{self.path}", f"{self.size_bytes / 1e9:.1f} GB", self.model or "unknown model"]
        return "  ".join(words + [f"({use})" for use in self.uses[:1]])


def disks(sysfs: Path = Path("/sys"), proc: Path = Path("/proc")) -> tuple[Disk, ...]:
    """Every disk with a medium in it, in the order of their names."""
    names = sorted(path.name for path in (sysfs / "block").iterdir() if not _NO_DISK.fullmatch(path.name))
    found = (disk_named(name, sysfs, proc) for name in names)
    return tuple(disk for disk in found if disk is not None and disk.size_bytes)


def disk_named(name: str, sysfs: Path = Path("/sys"), proc: Path = Path("/proc")) -> Disk | None:
    """The disk or partition of that kernel name; None where the kernel knows none."""
    folder = (sysfs / "class/block" / name).resolve()
    if not folder.is_dir():
        return None
    whole = folder.parent if (folder / "partition").exists() else folder
    vendor, model = (_text(whole / "device" / key) for key in ("vendor", "model"))
    label = " ".join(word for word in (vendor, model or _text(whole / "device/name")) if word)
    backing = _text(whole / "loop/backing_file")
    return Disk(
        name=name,
        size_bytes=int(_text(folder / "size") or 0) * SECTOR_BYTES,
        model=f"loop device over {backing}" if backing else label,
        removable=_text(whole / "removable") == "1"
        or "/usb" in str(whole)
        or bool(_MMC.fullmatch(whole.name) or _LOOP.fullmatch(whole.name)),
        read_only=_text(folder / "ro") == "1",
        uses=tuple(_uses(folder, sysfs, proc)),
        partition_of=whole.name if whole != folder else "",
    )


def refusal(disk: Disk, *, size_bytes: int, any_disk: bool) -> tuple[str, str] | None:
    """Why an image of that size must not be written there, and what to do instead; None where it may."""
    system = [use for use in disk.uses if use.system]
    reasons = (
        (system, "holds the running system: {use}", "choose another device"),
        (disk.uses, "is in use: {use}", f"umount what is on {disk.path} first, if it is the right one"),
        (disk.partition_of, "is a partition, and an image is a whole disk", f"name the disk: /dev/{disk.partition_of}"),
        (disk.read_only, "is write-protected", "see the card's lock switch"),
        (disk.size_bytes < size_bytes, "has {disk.size_bytes} bytes, and the image {size}", "choose a larger device"),
        (not disk.removable and not any_disk, "({model}) is not removable", "add --any-disk if you mean it"),
    )
    for holds, words, advice in reasons:
        if holds:
            use = (system or disk.uses or ("",))[0]
            text = words.format(use=use, disk=disk, size=size_bytes, model=disk.model or "unknown model")
            return f"{disk.path} {text}", advice
    return None


def _uses(folder: Path, sysfs: Path, proc: Path) -> Iterator[Use]:
    """What is in use on a disk or partition, on its partitions, and on what is built over them (LVM, RAID, LUKS)."""
    mounts, swaps = dict(_mounts(proc)), _swaps(proc)
    for each in _below(folder, sysfs):
        number = _text(each / "dev")
        name = each.name
        for key in (number, f"/dev/{name}", f"/dev/mapper/{_text(each / 'dm/name')}"):
            for place in mounts.get(key, ()):
                own = place in ("/", "/boot", "/boot/efi", "/boot/firmware", "/usr", "/var")
                yield Use(device=name, text=f"is mounted on {place}", system=own)
        if f"/dev/{name}" in swaps:
            yield Use(device=name, text="is swap space", system=True)
        holders = sorted(path.name for path in each.glob("holders/*"))
        if holders and not any(_in_use(holder, mounts, swaps, sysfs) for holder in holders):
            yield Use(device=name, text=f"is part of /dev/{holders[0]}")


def _in_use(name: str, mounts: dict[str, list[str]], swaps: frozenset[str], sysfs: Path) -> bool:
    """Whether what holds a partition is named by a use of its own."""
    folder = (sysfs / "class/block" / name).resolve()
    return any(
        _text(each / "dev") in mounts or f"/dev/{each.name}" in (mounts.keys() | swaps)
        for each in _below(folder, sysfs)
    )


def _below(folder: Path, sysfs: Path) -> Iterator[Path]:
    """The device itself, its partitions, and whatever holds one of them, each once."""
    waiting, seen = [folder], set()
    while waiting:
        each = waiting.pop()
        if each in seen:
            continue
        seen.add(each)
        yield each
        waiting += sorted(path.parent for path in each.glob("*/partition"))
        waiting += [(sysfs / "class/block" / path.name).resolve() for path in each.glob("holders/*")]


def _mounts(proc: Path) -> Iterator[tuple[str, list[str]]]:
    """Mount points by device number and by source, for filesystems whose number is no device's (btrfs)."""
    places: dict[str, list[str]] = {}
    for line in (proc / "self/mountinfo").read_text(errors="replace").splitlines():
        left, _, right = line.partition(" - ")
        fields, source = left.split(), right.split()
        place = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        for key in {fields[2], source[1] if len(source) > 1 else ""}:
            places.setdefault(key, []).append(place)
    yield from places.items()


def _swaps(proc: Path) -> frozenset[str]:
    try:
        lines = (proc / "swaps").read_text().splitlines()[1:]
    except OSError:
        return frozenset()
    return frozenset(str(Path(line.split()[0]).resolve()) for line in lines if line.strip())


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
