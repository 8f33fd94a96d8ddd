"""The files that a disk image stands on, as its own headers name them, and the graph by which QEMU is held to them.

An image may be anybody's: a qcow2 names a file below it and one for its data, a VMDK its parent, and QEMU would open
whatever they name, a file of the host or a server. Here the headers are read first, what leads out of the image's own
folder is refused, and QEMU is then told every file itself, so that no header is asked (qemu's docs/interop/qcow2.txt;
VMware, Virtual Disk Format 5.0).
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from metallize.command import run
from metallize.errors import UsageError
from metallize.image_format import format_of
from metallize.model.profile import ImageFormat
from metallize.qemu.descriptors import descriptor_path

QEMU_FORMATS = {
    ImageFormat.ISO: "raw",
    ImageFormat.RAW: "raw",
    ImageFormat.QCOW2: "qcow2",
    ImageFormat.VMDK: "vmdk",
    ImageFormat.VHDX: "vhdx",
}
"""What QEMU's block layer calls our container formats."""

MOST_FILES = 8
"""One upon the other: as many as QEMU's option for it has room for."""
_BACKING_FORMAT = 0xE2792ACA
_DATA_FILE = 0x44415441
_HAS_DATA_FILE = 1 << 2
_MOST_NAME_BYTES = 1023
_MOST_EXTENSIONS = 64
_VMDK_DESCRIPTOR_BYTES = 64 << 10
_HINT = "where it is meant, make one whole image of it: qemu-img convert -O qcow2 IMAGE whole.qcow2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One file of the chain."""

    path: Path
    driver: str
    data: Path | None = None
    """Where a qcow2 keeps its data, if not in itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """What a header names."""

    below: str = ""
    below_driver: str = ""
    data: str = ""


def chain_of(image: Path, image_format: ImageFormat) -> tuple[Layer, ...]:
    """The image first, then what it stands on. Nothing but headers is read.

    Raises UsageError where one of these is outside the image's folder, no plain file, or not what it is said to be.
    """
    image = image.resolve()
    home = image.parent
    layers: list[Layer] = []
    path, driver = image, QEMU_FORMATS[image_format]
    while True:
        named = _named(path, driver)
        data = _inside(image, path, named.data, home, "keeps its data in") if named.data else None
        layers.append(Layer(path=path, driver=driver, data=data))
        if not named.below:
            return tuple(layers)
        path = _inside(image, path, named.below, home, "is an overlay of")
        driver = _driver(image, path, named.below_driver)
        if len(layers) >= MOST_FILES or path in {layer.path for layer in layers}:
            raise UsageError(f"{image} stands on more than {MOST_FILES} files, or on itself", hint=_HINT)


def whole(layers: tuple[Layer, ...]) -> bool:
    """Whether it is one raw file, which names nothing: QEMU can be told it by its name."""
    return len(layers) == 1 and layers[0].driver == "raw"


def graph(layers: tuple[Layer, ...]) -> str:
    """All of it as a file's name for QEMU (`json:`, qemu-block-drivers(7)); what is not in it is not opened."""
    below: object = None
    for layer in reversed(layers):
        node: dict[str, object] = {"driver": layer.driver, "file": _file(layer.path)}
        if layer.data is not None:
            node["data-file"] = _file(layer.data)
        if layer.driver in {"qcow2", "vmdk"}:
            node["backing"] = below
        below = node
    return "json:" + json.dumps(below, separators=(",", ":"))


def _file(path: Path) -> dict[str, str]:
    return {"driver": "file", "filename": str(path)}


def _inside(image: Path, layer: Path, name: str, home: Path, role: str) -> Path:
    shown = name if name.isprintable() else ascii(name)
    if re.match(r"[^/]*:", name) or not name.isprintable():
        raise UsageError(f"{image} {role} {shown}, which is no file beside it", hint=_HINT)
    try:
        found = (layer.parent / name).resolve()
        if not found.is_relative_to(home):
            raise UsageError(f"{image} {role} {shown}, outside its own folder {home}", hint=_HINT)
        found.stat()
    except (OSError, RuntimeError) as exc:  # RuntimeError: links that lead to each other
        why = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise UsageError(
            f"{image} {role} {shown}, which QEMU cannot read: {why}",
            hint="put that file there, or ask its maker for one whole image: qemu-img convert makes it of both",
        ) from exc
    if not found.is_file():
        raise UsageError(f"{image} {role} {shown}, which is no plain file", hint=_HINT)
    return found


def _driver(image: Path, path: Path, declared: str) -> str:
    """How a file below is read: as the one above says, or else by what it is."""
    driver = declared or QEMU_FORMATS.get(format_of(path), "")
    if driver not in QEMU_FORMATS.values():
        raise UsageError(f"{image} stands on {path}, a {driver or 'tar'} that is not supported", hint=_HINT)
    return driver


def _named(path: Path, driver: str) -> _Named:
    try:
        with path.open("rb") as file:
            match driver:
                case "qcow2":
                    return _in_qcow2(path, file)
                case "vmdk":
                    return _in_vmdk(path, file)
                case _:
                    return _Named()
    except (struct.error, ValueError, OverflowError, OSError) as exc:
        raise UsageError(
            f"{path} begins as {driver} does, but QEMU cannot read it: {exc}",
            hint="it may be cut short or damaged: compare its checksum with its maker's",
        ) from exc


def _in_qcow2(path: Path, file: BinaryIO) -> _Named:
    head = file.read(104)
    magic, version, at, length = struct.unpack_from(">4sIQI", head)
    if magic != b"QFI\xfb" or version not in {2, 3}:
        raise UsageError(f"{path} is no qcow2 of version 2 or 3", hint="qemu-img convert -O qcow2 makes one of it")
    if length > _MOST_NAME_BYTES:
        raise UsageError(f"{path} is damaged: the name of the file below it has {length} bytes", hint=_HINT)
    file.seek(at)
    below = file.read(length).decode() if at and length else ""
    incompatible, header_length = (0, 72) if version == 2 else (  # noqa: PLR2004 - a version
        struct.unpack_from(">Q", head, 72)[0], struct.unpack_from(">I", head, 100)[0],
    )  # fmt: skip
    extensions = dict(_extensions(file, header_length))
    return _Named(
        below=below,
        below_driver=extensions.get(_BACKING_FORMAT, b"").decode() if below else "",
        data=_data_file(path, extensions) if incompatible & _HAS_DATA_FILE else "",
    )


def _data_file(path: Path, extensions: dict[int, bytes]) -> str:
    name = extensions.get(_DATA_FILE, b"").decode()
    if not name:
        raise UsageError(f"{path} keeps its data in another file and does not name it", hint=_HINT)
    return name


def _extensions(file: BinaryIO, at: int) -> Iterator[tuple[int, bytes]]:
    for _ in range(_MOST_EXTENSIONS):
        file.seek(at)
        kind, length = struct.unpack(">II", file.read(8))
        if kind == 0:
            return
        if kind in {_BACKING_FORMAT, _DATA_FILE}:
            yield kind, file.read(min(length, _MOST_NAME_BYTES))
        at += 8 + (length + 7) // 8 * 8


def _in_vmdk(path: Path, file: BinaryIO) -> _Named:
    magic, _version, _flags, capacity, _grain, at, _size = struct.unpack("<4sIIQQQQ", file.read(44))
    if magic != b"KDMV":
        raise UsageError(f"{path} is no VMDK in one file", hint=_HINT)
    if capacity == 0:  # QEMU takes the descriptor for a list of other files then
        raise UsageError(f"{path} is a VMDK whose content is in other files", hint=_HINT)
    if not at:
        return _Named()
    file.seek(at * 512)
    descriptor = file.read(_VMDK_DESCRIPTOR_BYTES)
    parent = re.search(rb'parentFileNameHint="([^"\n]*)"?', descriptor)
    return _Named(below=parent[1].decode(), below_driver="vmdk") if parent and parent[1] else _Named()


def opened(stack: ExitStack, layers: tuple[Layer, ...]) -> tuple[tuple[Layer, ...], tuple[int, ...]]:
    """The same files by descriptors, which QEMU inherits: whatever their names are, and whoever changes them now."""
    numbers: list[int] = []

    def descriptor(path: Path) -> Path:
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, number)
        numbers.append(number)
        return descriptor_path(number)

    named = tuple(
        replace(layer, path=descriptor(layer.path), data=descriptor(layer.data) if layer.data is not None else None)
        for layer in layers
    )
    return named, tuple(numbers)


def virtual_size(layers: tuple[Layer, ...]) -> int:
    """The size of the disk, as QEMU reads the first file's header. Raises CommandError where it cannot."""
    with ExitStack() as stack:
        first, numbers = opened(stack, layers[:1])
        argv = ("qemu-img", "info", "--output=json", graph(first))
        seen = run(argv, pass_fds=numbers, hint="is the image what its suffix says?")
        return int(json.loads(seen.stdout)["virtual-size"])
