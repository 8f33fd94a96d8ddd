"""The disk of two slots: where its partitions are, what they are called, and whether all fits into them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from metallize_os import job
from metallize_os.convert import ConversionError

MIB = 1 << 20
BIOS_START, BIOS_BYTES = 1 * MIB, 1 * MIB
ESP_START = 2 * MIB
TAIL_BYTES = 1 * MIB
"""Room after the last partition for the backup partition table."""
LABEL_CHARACTERS = 36
"""Of a GPT partition's name, in UTF-16 (UEFI, 5.3.3)."""
EMPTY = "_empty"
"""The name of a partition that systemd-sysupdate may fill (sysupdate.d(5))."""
READ_ONLY = "GUID:60"
"""The Discoverable Partitions Specification, Partition Flags."""

BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
EFI_SYSTEM = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
ROOT = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"
ROOT_VERITY = "2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5"
DATA = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
"""Types of partitions, of x86-64: The Discoverable Partitions Specification. /var is no `var` of it: that type is one
machine's alone, by its machine-id."""


@dataclass(frozen=True, slots=True)
class Partition:
    """One row of the table, in bytes."""

    start: int
    size: int
    kind: str
    identity: str
    label: str
    flags: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes in bytes, whole MiB each."""

    esp: int
    slot: int
    var: int

    @property
    def tree(self) -> int:
        """Room for the tree of a full slot: 32 bytes for each block of 4096, and for each block of those."""
        return -(-(self.slot // 127 + 2 * MIB) // MIB) * MIB

    def starts(self) -> dict[str, int]:
        """Where each partition begins, and under `end` where the last one ends."""
        sizes = (("esp", self.esp), ("root", self.slot), ("tree", self.tree), ("root_b", self.slot),
                 ("tree_b", self.tree), ("var", self.var))  # fmt: skip
        found, at = {}, ESP_START
        for role, size in sizes:
            found[role], at = at, at + size
        return {**found, "end": at}

    def partitions(self, ids: Mapping[str, str], label: str, slot_ids: tuple[str, str]) -> tuple[Partition, ...]:
        """The table, in its order; `slot_ids` are those of the first slot's two partitions."""
        at = self.starts()
        return (
            Partition(BIOS_START, BIOS_BYTES, BIOS_BOOT, ids["bios"], "bios"),
            Partition(at["esp"], self.esp, EFI_SYSTEM, ids["esp"], "esp"),
            Partition(at["root"], self.slot, ROOT, slot_ids[0], label, READ_ONLY),
            Partition(at["tree"], self.tree, ROOT_VERITY, slot_ids[1], label, READ_ONLY),
            Partition(at["root_b"], self.slot, ROOT, ids["root_b"], EMPTY),
            Partition(at["tree_b"], self.tree, ROOT_VERITY, ids["tree_b"], EMPTY),
            Partition(at["var"], self.var, DATA, ids["var"], "var"),
        )


def layout(options: Mapping[str, object]) -> Layout:
    """The sizes that the options ask for, each up to a whole MiB."""
    sizes = {name: -(-int(str(options[name])) // MIB) * MIB for name in ("esp", "slot", "var")}
    return Layout(**sizes)


def label_of(release: str, version: str) -> str:
    """What the slot's partitions are called. Raises ConversionError for a name that updates cannot be told by."""
    label = f"{release}_{version}"
    if len(label) > LABEL_CHARACTERS:
        raise ConversionError(
            f"`{label}` has {len(label)} characters, and a partition's name {LABEL_CHARACTERS}: give output.name or "
            "output.version a shorter one"
        )
    if re.fullmatch(r"[A-Za-z0-9.~-]+_[A-Za-z0-9.~-]+", label) is None:
        raise ConversionError(
            f"`{label}` is no name that systemd-boot, GRUB and systemd-sysupdate all take: output.name may have "
            "letters, digits and . -"
        )
    return label


def require_room(sizes: Layout, *, root: int, tree: int, uki: int) -> None:
    """Raises ConversionError, with the option to change, where a slot or three kernels do not fit; sizes in bytes."""
    if root > sizes.slot or tree > sizes.tree:
        raise ConversionError(
            f"the root filesystem has {_mib(root)} MiB, and a slot {_mib(sizes.slot)}: set output.options.slot to "
            f"{_mib(root) * 3 // 2}M, or to what the releases to come will need"
        )
    # Two systems are kept, and a third is written before one of them is taken away.
    need = 3 * uki + 8 * MIB
    if need > sizes.esp:
        raise ConversionError(
            f"a kernel with its initrd has {_mib(uki)} MiB, and the ESP of {_mib(sizes.esp)} has no room for three: "
            f"set output.options.esp to {_mib(need)}M"
        )


def partition(image: Path, rows: tuple[Partition, ...], disk: str) -> None:
    """Write the GPT; sfdisk(8) script format, in sectors."""
    script = [f"label: gpt\nlabel-id: {disk}\n"]
    for row in rows:
        flags = f', attrs="{row.flags}"' if row.flags else ""
        place = f"start={row.start // 512}, size={row.size // 512}"
        script.append(f'{place}, type={row.kind}, uuid={row.identity}, name="{row.label}"{flags}\n')
    job.tool("sfdisk", "--quiet", image, stdin="".join(script).encode())


def _mib(size: int) -> int:
    return -(-size // MIB)
