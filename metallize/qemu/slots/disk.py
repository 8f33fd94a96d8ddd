"""Two systems on a disk as their boot loaders find them: which one is started next, and whether it is whole.

Whichever kernel is started names its slot by the root hash on its command line. mtools(1) reads the ESP in place.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from metallize.command import run, spawn
from metallize.errors import CommandError
from metallize.files.parts import Part
from metallize.files.uki import content_of
from metallize.model.machine import Firmware
from metallize.qemu.board import mcopy_argv
from metallize.qemu.descriptors import descriptor_path, nameless_file
from metallize.qemu.slots.gpt import Row, read_table
from metallize.qemu.slots.loaders import (
    SYSTEMS,
    Kernel,
    first_of_grub,
    first_of_systemd_boot,
    kernels,
    read_environment,
)

_ESP = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b").bytes_le
_ENVIRONMENT = "grub/grubenv"
_PIECE_BYTES = 1 << 20
_BOOT_BYTES = 512
_MTOOLS = {"MTOOLS_SKIP_CHECK": "1"}
_BOUNDED = ("prlimit", f"--fsize={1 << 30}", "--cpu=120", "--core=0")
"""A FAT whose clusters go round in a circle has no end."""
T = TypeVar("T")


class NotWholeError(Exception):
    """The disk would not start a whole system: why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """What a partition must hold from its beginning on."""

    identity: bytes
    """The partition's own GUID, as the table has it."""
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """All of one of the two."""

    label: str
    """What its partitions and files are called: NAME_VERSION."""
    kernel: str
    """The sha256 of its unified kernel image, and of what GRUB reads of it."""
    grub: str
    slot: tuple[Area, ...]


def system_of(parts: Iterable[Part], label: str) -> System:
    """A release by its parts. Raises ValueError where one is missing."""
    found = {part.suffix.rpartition(".")[2]: part for part in parts}
    try:
        slot = tuple(
            Area(
                identity=uuid.UUID(found[kind].suffix.strip("_").partition(".")[0]).bytes_le,
                size=found[kind].size_bytes,
                sha256=found[kind].sha256,
            )
            for kind in ("root", "verity")
        )
        return System(label=label, kernel=found["efi"].sha256, grub=found["grub"].sha256, slot=slot)
    except KeyError as exc:
        raise ValueError(f"it has no part .{exc.args[0]}") from exc


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clusters:
    """Where the clusters of a FAT are, in bytes from its beginning."""

    data_at: int
    size: int

    def at(self, number: int) -> int:
        """The first one has the number 2."""
        return self.data_at + (number - 2) * self.size


def _clusters_of(boot: bytes) -> _Clusters:
    """As the boot sector has it (Microsoft, FAT32 File System Specification, Boot Sector). Raises NotWholeError."""
    sector, cluster, reserved, copies, entries, _, _, short = struct.unpack_from("<HBHBHHBH", boot, 11)
    (long,) = struct.unpack_from("<I", boot, 36)
    if not sector or not cluster:
        raise NotWholeError("the ESP cannot be read: its boot sector is damaged")
    root = -(-entries * 32 // sector)
    return _Clusters(data_at=(reserved + copies * (short or long) + root) * sector, size=sector * cluster)


class Disk:
    """A raw disk in an open file. `signed` names what a span of it holds: the same bytes for the same value."""

    def __init__(self, number: int, folder: Path, signed: Callable[[int, int], object]) -> None:
        self._number = number
        self._folder = folder
        self._signed = signed
        self._known: dict[object, object] = {}

    def started(self, firmware: Firmware, systems: Sequence[System]) -> System:
        """The system that is started next, the newest first among `systems`. Raises NotWholeError."""
        rows = self._rows()
        esp = self._esp(rows)
        names = self._names(esp)
        kernel = self._chosen(firmware, esp, names, [each.label for each in systems])
        if kernel is None:
            raise NotWholeError(f"the boot loader finds no system to start among {', '.join(names) or 'no files'}")
        system = next((each for each in systems if each.label == kernel.label), None)
        if system is None:
            raise NotWholeError(f"the boot loader would start {kernel.path}, which is of neither release")
        self._require(esp, kernel.path, system.kernel, system)
        if firmware is Firmware.BIOS:
            self._require(esp, f"{SYSTEMS}/{system.label}.cfg", system.grub, system)
        for area in system.slot:
            row = next((each for each in rows if each.identity == area.identity), None)
            if row is None:
                name = uuid.UUID(bytes_le=area.identity)
                raise NotWholeError(f"{kernel.path} would be started, and no partition {name} is there for it")
            if self._digest(row.start, area.size) != area.sha256:
                raise NotWholeError(f"{kernel.path} would be started, and its slot `{row.label}` is not that release's")
        return system

    def of_esp(self, look: Callable[[Row], T]) -> T:
        """What is seen of the ESP; it is looked at again only where something came to it. Raises NotWholeError."""
        esp = self._esp(self._rows())
        return self._once("seen", esp, lambda: look(esp))

    def only_system(self, firmware: Firmware) -> System:
        """The one that a new disk has. Raises NotWholeError where that is none."""
        rows = self._rows()
        esp = self._esp(rows)
        names = self._names(esp)
        labels = [each.label for each in kernels(names)]
        kernel = self._chosen(firmware, esp, names, labels)
        if kernel is None:
            raise NotWholeError("the image of the release before has no system that would be started")
        hash_ = self._root_hash(esp, kernel.path)
        halves = (hash_[: len(hash_) // 2], hash_[len(hash_) // 2 :])
        slot = []
        for half in halves:
            identity = uuid.UUID(half).bytes_le
            row = next((each for each in rows if each.identity == identity), None)
            if row is None:
                raise NotWholeError(f"the image of the release before has no partition {uuid.UUID(half)}")
            slot.append(Area(identity=identity, size=row.size, sha256=self._digest(row.start, row.size)))
        config = f"{SYSTEMS}/{kernel.label}.cfg"
        grub = self._file(esp, config) if config in names else ""
        return System(label=kernel.label, kernel=self._file(esp, kernel.path), grub=grub, slot=tuple(slot))

    def _chosen(self, firmware: Firmware, esp: Row, names: Sequence[str], labels: Sequence[str]) -> Kernel | None:
        if firmware is Firmware.UEFI:
            shown = [each for each in kernels(names) if self._is_shown(esp, each.path)]
            return first_of_systemd_boot(shown, labels)
        stem = f"{labels[0].rpartition('_')[0]}_" if labels else ""
        return first_of_grub(names, read_environment(self._content(esp, _ENVIRONMENT)), stem)

    def _rows(self) -> tuple[Row, ...]:
        try:
            return read_table(lambda at, size: os.pread(self._number, size, at), os.fstat(self._number).st_size).rows
        except ValueError as exc:
            raise NotWholeError(f"the partition table: {exc}") from exc

    def _esp(self, rows: Sequence[Row]) -> Row:
        esp = next((each for each in rows if each.kind == _ESP), None)
        if esp is None:
            raise NotWholeError("the disk has no EFI system partition")
        return esp

    def _names(self, esp: Row) -> tuple[str, ...]:
        return self._once("names", esp, lambda: self._list(esp))

    def _list(self, esp: Row) -> tuple[str, ...]:
        argv = (*_BOUNDED, "mdir", "-/", "-a", "-b", "-i", self._place(esp), "::/")
        try:
            lines = run(argv, env=_MTOOLS, pass_fds=(self._number,)).stdout.splitlines()
        except CommandError as exc:
            raise NotWholeError(f"the ESP cannot be read: {exc.output_tail.strip()[-300:]}") from exc
        return tuple(sorted(line.removeprefix("::/") for line in lines if not line.endswith("/")))

    def _require(self, esp: Row, path: str, sha256: str, system: System) -> None:
        if self._file(esp, path) != sha256:
            raise NotWholeError(f"{path} would be started, and its content is not that of {system.label}")

    def _file(self, esp: Row, path: str) -> str:
        """The digest of a file; it is read again only where something came to its clusters, or to its folder's."""
        return self._remembered(
            (path, *self._once(f"places of {path}", esp, lambda: self._places(esp, path))),
            lambda: self._copied(esp, path, _digest_of),
        )

    def _is_shown(self, esp: Row, path: str) -> bool:
        """Whether systemd-boot takes a file for a kernel: for a UKI with .osrel (boot.c, boot_entry_add_type2).

        FAT puts a file's new name into a folder before it says where its content is (Linux, vfat_rename): for a moment
        there is an empty one, which no boot loader starts. One that is there no more but for its name, as a removal
        leaves it for a moment, may show or not: it counts as shown, so that nothing is whole which comes after it.
        """
        try:
            return self._remembered(
                ("shown", path, *self._once(f"places of {path}", esp, lambda: self._places(esp, path))),
                lambda: self._copied(esp, path, _is_uki),
            )
        except NotWholeError:
            return True

    def _places(self, esp: Row, path: str) -> tuple[object, ...]:
        """What names the bytes of a file and of the folder that it is in: where they are, and what came there."""
        clusters = _clusters_of(os.pread(self._number, _BOOT_BYTES, esp.start))
        found: list[object] = []
        for each in (path.rpartition("/")[0], path):
            argv = (*_BOUNDED, "mshowfat", "-i", self._place(esp), f"::/{each}")
            try:
                told = run(argv, env=_MTOOLS, pass_fds=(self._number,)).stdout
            except CommandError as exc:
                raise NotWholeError(f"{path} on the ESP cannot be read: {exc.output_tail.strip()[-300:]}") from exc
            for first, last in re.findall(r"<(\d+)(?:-(\d+))?>", told):
                start, end = (esp.start + clusters.at(int(number)) for number in (first, int(last or first) + 1))
                found.append((start, end, self._signed(start, end - start)))
        return tuple(found)

    def _content(self, esp: Row, path: str) -> bytes:
        return self._once(
            f"content of {path}", esp, lambda: self._copied(esp, path, lambda it: os.pread(it, 1 << 16, 0))
        )

    def _root_hash(self, esp: Row, path: str) -> str:
        try:
            line = self._copied(esp, path, lambda it: content_of(it, ".cmdline")).decode("ascii", "replace")
        except ValueError as exc:
            raise NotWholeError(f"{path}: {exc}") from exc
        match = re.search(r"(?:^|\s)roothash=([0-9a-f]{64})(?:\s|\0|$)", line)
        if match is None:
            raise NotWholeError(f"{path} names no root hash")
        return match[1]

    def _copied(self, esp: Row, path: str, look: Callable[[int], T]) -> T:
        with ExitStack() as stack:
            copy = nameless_file(stack, self._folder)
            argv = (*_BOUNDED, *mcopy_argv(self._place(esp), f"/{path}"))
            with spawn(argv, env=_MTOOLS, stdout=copy, pass_fds=(self._number,)) as copying:
                if copying.wait() != 0:
                    raise NotWholeError(f"{path} on the ESP cannot be read")
            return look(copy)

    def _place(self, esp: Row) -> str:
        return f"{descriptor_path(self._number)}@@{esp.start}"

    def _digest(self, start: int, size: int) -> str:
        def look() -> str:
            return _digest_of(self._number, start, size)

        key = ("slot", start, size, self._signed(start, size))
        return self._remembered(key, look)

    def _once(self, what: str, esp: Row, look: Callable[[], T]) -> T:
        return self._remembered((what, esp, self._signed(esp.start, esp.size)), look)

    def _remembered(self, key: object, look: Callable[[], T]) -> T:
        if key not in self._known:
            self._known[key] = look()
        return self._known[key]  # type: ignore[return-value]  # as it was put there under this key


def _is_uki(number: int) -> bool:
    try:
        return bool(content_of(number, ".osrel"))
    except ValueError:
        return False


def _digest_of(number: int, start: int = 0, size: int | None = None) -> str:
    digest = hashlib.sha256()
    end = os.fstat(number).st_size if size is None else start + size
    while start < end and (piece := os.pread(number, min(_PIECE_BYTES, end - start), start)):
        digest.update(piece)
        start += len(piece)
    return digest.hexdigest()
