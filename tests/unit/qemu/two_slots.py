"""A small disk of two systems, made with mtools alone, and what each step of an update writes to it."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import uuid
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from metallize.files.parts import Part
from metallize.qemu.slots.disk import System, system_of
from tests.unit.build.test_two_systems import pe

SECTOR, KIB = 512, 1024
ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
ROOT = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
VERITY = "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5"
DATA = "0fc63daf-8483-4772-8e79-3d69d8477de4"
PLACES = {"esp": (1 << 20, 4 << 20), "root": (5 << 20, 64 * KIB), "tree": (6 << 20, 16 * KIB),
          "root_b": (7 << 20, 64 * KIB), "tree_b": (8 << 20, 16 * KIB), "var": (9 << 20, 1 << 20)}  # fmt: skip
KINDS = {"esp": ESP, "root": ROOT, "tree": VERITY, "root_b": ROOT, "tree_b": VERITY, "var": DATA}
SIZE = 11 << 20
ROWS = 128


@dataclass(frozen=True)
class Release:
    """One of the two: contents that tell it from the other."""

    version: str

    @property
    def label(self) -> str:
        return f"web_{self.version}"

    @property
    def root_hash(self) -> str:
        return hashlib.sha256(self.version.encode()).hexdigest()

    @property
    def root(self) -> bytes:
        return (f"root {self.version} ".encode() * 8000)[: 60 * KIB]

    @property
    def tree(self) -> bytes:
        return (f"tree {self.version} ".encode() * 2000)[: 12 * KIB]

    @property
    def kernel(self) -> bytes:
        return pe(
            {
                ".osrel": b"ID=web\n",
                ".cmdline": f"roothash={self.root_hash} panic=10".encode(),
                ".linux": self.root[:20000],
            }
        )

    @property
    def grub(self) -> bytes:
        return f"linux (uki)2+40 roothash={self.root_hash}\n".encode()

    @property
    def ids(self) -> tuple[str, str]:
        return str(uuid.UUID(self.root_hash[:32])), str(uuid.UUID(self.root_hash[32:]))

    @property
    def system(self) -> System:
        names = (f"_{self.root_hash[:32]}.root", f"_{self.root_hash[32:]}.verity", ".grub", ".efi")
        contents = (self.root, self.tree, self.grub, self.kernel)
        parts = (
            Part(suffix=name, offset=0, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
            for name, content in zip(names, contents, strict=True)
        )
        return system_of(parts, self.label)


OLD, NEW = Release("1"), Release("2")


def header(rows: bytes, at: int, other: int, first_row: int) -> bytes:
    """A header of a partition table (UEFI 2.10, 5.3.2); places in sectors."""
    last = SIZE // SECTOR - 34
    values = (0, at, other, 34, last, bytes(16), first_row, ROWS, 128, zlib.crc32(rows))
    plain = struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, *values)
    return (plain[:16] + struct.pack("<I", zlib.crc32(plain)) + plain[20:]).ljust(SECTOR, b"\0")


def table(ids: Mapping[str, str], labels: Mapping[str, str]) -> tuple[bytes, bytes]:
    """The table at the disk's head, and its copy at the end."""
    rows = b""
    for number, (name, (start, size)) in enumerate(PLACES.items()):
        identity = ids.get(name, str(uuid.UUID(int=number + 1)))
        label = labels.get(name, name).encode("utf-16-le")
        first, last = start // SECTOR, (start + size) // SECTOR - 1
        kinds = uuid.UUID(KINDS[name]).bytes_le + uuid.UUID(identity).bytes_le
        rows += struct.pack("<32sQQQ72s", kinds, first, last, 0, label)
    rows = rows.ljust(ROWS * 128, b"\0")
    end = SIZE // SECTOR - 1
    return header(rows, 1, end, 2) + rows, rows + header(rows, end, 1, end - 32)


def empty_slot(release: Release) -> tuple[dict[str, str], dict[str, str]]:
    """The ids and labels of a disk with one system."""
    ids = {"root": release.ids[0], "tree": release.ids[1]}
    return ids, {"root": release.label, "tree": release.label, "root_b": "_empty", "tree_b": "_empty"}


def both_slots() -> tuple[dict[str, str], dict[str, str]]:
    """The same once both are taken."""
    ids, labels = empty_slot(OLD)
    return (
        {**ids, "root_b": NEW.ids[0], "tree_b": NEW.ids[1]},
        {**labels, "root_b": NEW.label, "tree_b": NEW.label},
    )


@dataclass
class Machine:
    """Its disk as a file, which is written to while the log goes on."""

    path: Path
    log: list[tuple[int, bytes] | None] = field(default_factory=list)

    @classmethod
    def made(cls, path: Path) -> Machine:
        """With the old release, good since long."""
        machine = cls(path)
        path.write_bytes(bytes(SIZE))
        machine.tables(*empty_slot(OLD))
        machine.put("root", OLD.root)
        machine.put("tree", OLD.tree)
        machine.mtools("mformat", "-T", str(PLACES["esp"][1] // SECTOR), "::")
        for folder in ("EFI", "EFI/Linux", "grub", "grub/systems"):
            machine.mtools("mmd", f"::{folder}")
        machine.file("EFI/Linux/web_1.efi", OLD.kernel)
        machine.file("grub/systems/web_1.cfg", OLD.grub)
        machine.file("grub/grubenv", b"# GRUB Environment Block\ngood=1\nnext=\nleft=\n".ljust(1024, b"#"))
        return machine

    def mtools(self, *argv: str, content: bytes | None = None) -> None:
        program, *words = argv
        place = f"{self.path}@@{PLACES['esp'][0]}"
        env = {"MTOOLS_SKIP_CHECK": "1", "PATH": "/usr/bin:/bin"}
        subprocess.run([program, "-i", place, *words], check=True, capture_output=True, input=content, env=env)

    def file(self, name: str, content: bytes) -> None:
        self.mtools("mcopy", "-o", "-", f"::{name}", content=content)

    def put(self, place: str, content: bytes) -> None:
        self.at(PLACES[place][0], content)

    def at(self, start: int, content: bytes) -> None:
        with self.path.open("r+b") as file:
            file.seek(start)
            file.write(content)

    def tables(self, ids: Mapping[str, str], labels: Mapping[str, str]) -> None:
        head, tail = table(ids, labels)
        self.at(SECTOR, head)
        self.at(SIZE - len(tail), tail)

    def logged(self, *steps: Callable[[Machine], None]) -> None:
        """Do it, and log each sector that changed, in the order of the disk; then a flush."""
        for step in steps:
            before = self.path.read_bytes()
            step(self)
            after = self.path.read_bytes()
            changed = (at for at in range(0, SIZE, SECTOR) if before[at : at + SECTOR] != after[at : at + SECTOR])
            self.log += [*_joined(changed, after), None]


def _joined(places: Iterable[int], content: bytes) -> list[tuple[int, bytes]]:
    """Sectors as writes, neighbours in one of at most 4 KiB."""
    found: list[tuple[int, bytes]] = []
    for at in places:
        sector = content[at : at + SECTOR]
        if found and found[-1][0] + len(found[-1][1]) == at and len(found[-1][1]) < 4 * KIB:
            found[-1] = (found[-1][0], found[-1][1] + sector)
        else:
            found.append((at, sector))
    return found


STEPS: Mapping[str, Callable[[Machine], None]] = {
    "root": lambda it: it.put("root_b", NEW.root),
    "tree": lambda it: it.put("tree_b", NEW.tree),
    "label": lambda it: it.tables(*both_slots()),
    "grub": lambda it: it.file("grub/systems/web_2.cfg", NEW.grub),
    "kernel": lambda it: it.file("EFI/Linux/new.part", NEW.kernel),
    "rename": lambda it: it.mtools("mren", "::EFI/Linux/new.part", "web_2+3-0.efi"),
    "next": lambda it: it.file("grub/grubenv", b"# GRUB Environment Block\ngood=1\nnext=2\nleft=3\n".ljust(1024, b"#")),
}
"""Of an update, in the order in which it is safe; each ends with a flush."""
