"""Copies of real images that are changed offline: nothing is mounted, and no image is built anew.

The ext4 of the disk is edited by debugfs(8) at its offset, everything else by writing bytes. What does not work is an
error: a recipe that changed nothing would test nothing.
"""

from __future__ import annotations

import lzma
import re
import struct
import subprocess
import tempfile
from datetime import timedelta
from pathlib import Path

from metallize.command import run

SECTOR = 512
CD_SECTOR = 2048
BLOCK = 4096
SIGNATURE_MAGIC = b"~Module signature appended~\n"
_LIMIT = timedelta(minutes=1)
_GARBAGE = bytes(range(255, -1, -1)) * 4096


class Image:
    """A copy of an image: a file of its own with the same bytes."""

    def __init__(self, original: Path, path: Path) -> None:
        self.path = path
        run(["cp", "--reflink=auto", "--sparse=always", original, path], timeout=_LIMIT)

    def read_at(self, offset: int, length: int) -> bytes:
        with self.path.open("rb") as image:
            image.seek(offset)
            return image.read(length)

    def write_at(self, offset: int, data: bytes) -> None:
        with self.path.open("r+b") as image:
            image.seek(offset)
            image.write(data)

    def spoil(self, offset: int, length: int) -> None:
        """Overwrite with bytes that mean nothing."""
        self.write_at(offset, (_GARBAGE * (length // len(_GARBAGE) + 1))[:length])

    def cut(self, length: int) -> None:
        """Keep only the first bytes, as a download that broke off does."""
        with self.path.open("r+b") as image:
            image.truncate(length)


class Disk(Image):
    """The ext4 generator's disk: GPT, BIOS boot partition, ESP, root."""

    def __init__(self, original: Path, path: Path) -> None:
        super().__init__(original, path)
        self._partitions = self._read_partitions()

    def start(self, name: str) -> int:
        """Where the partition of this name begins, in bytes."""
        return self._partitions[name]

    def _read_partitions(self) -> dict[str, int]:
        """UEFI specification, 5.3: the header is in the second sector, names are UTF-16 from byte 56 of an entry on."""
        header = self.read_at(SECTOR, 92)
        at, count, size = struct.unpack_from("<QII", header, 72)
        table = self.read_at(at * SECTOR, count * size)
        found = {}
        for number in range(count):
            entry = table[number * size : (number + 1) * size]
            name = entry[56:128].decode("utf-16-le").rstrip("\0")
            if name:
                found[name] = int(struct.unpack_from("<Q", entry, 32)[0]) * SECTOR
        return found

    # --- the root filesystem, by debugfs -------------------------------------------------------------------------

    def _debugfs(self, *commands: str, write: bool = True) -> bytes:
        """Run commands; debugfs ends with status 0 whatever they did, and speaks on standard error of failures only."""
        target = f"{self.path}?offset={self.start('root')}"
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as script:
            script.write("\n".join(commands) + "\n")
            script.flush()
            argv = ["debugfs", *(["-w"] if write else []), "-f", script.name, target]
            done = subprocess.run(argv, check=True, capture_output=True, timeout=_LIMIT.total_seconds())
        told = [line for line in done.stderr.decode().splitlines() if not line.startswith("debugfs 1.")]
        if told:
            raise AssertionError(f"debugfs {commands}: {told}")
        return done.stdout

    def exists(self, path: str) -> bool:
        try:
            self._debugfs(f'stat "{path}"', write=False)
        except AssertionError:
            return False
        return True

    def read(self, path: str) -> bytes:
        with tempfile.NamedTemporaryFile() as copy:
            self._debugfs(f'dump "{path}" {copy.name}', write=False)
            return Path(copy.name).read_bytes()

    def put(self, path: str, content: str | bytes, mode: int = 0o644) -> None:
        """A file of root's, in place of what was there; its folders are made."""
        self._make_way(path)
        with tempfile.NamedTemporaryFile() as source:
            Path(source.name).write_bytes(content.encode() if isinstance(content, str) else content)
            Path(source.name).chmod(mode)
            self._debugfs(f'write {source.name} "{path}"')

    def link(self, path: str, target: str) -> None:
        """A symbolic link, in place of what was there."""
        self._make_way(path)
        self._debugfs(f'symlink "{path}" "{target}"')

    def remove(self, *paths: str) -> None:
        self._debugfs(*(f'rm "{path}"' for path in paths))

    def names(self, folder: str) -> list[str]:
        listing = self._debugfs(f'ls -p "{folder}"', write=False).decode()
        return [fields[5] for line in listing.splitlines() if len(fields := line.split("/")) > 5 and fields[5]]

    def replace(self, path: str, old: str, new: str) -> None:
        """In a text file, every `old`, of which there must be one."""
        text = self.read(path).decode()
        if re.search(old, text) is None:
            raise AssertionError(f"{path} holds no {old!r}:\n{text}")
        self.put(path, re.sub(old, new, text), mode=0o640 if path == "/etc/shadow" else 0o644)

    def spoil_inode(self, path: str) -> None:
        """Make a file's inode fail its checksum."""
        located = self._debugfs(f'imap "{path}"', write=False).decode()
        match = re.search(r"located at block (\d+), offset (0x[0-9a-f]+)", located)
        assert match, located
        self.spoil(self.start("root") + int(match[1]) * BLOCK + int(match[2], 16), 64)

    def fill(self) -> None:
        """Leave no free block, those that only root may use included."""
        stats = self._debugfs("stats -h", write=False).decode()
        match = re.search(r"^Free blocks:\s+(\d+)$", stats, re.MULTILINE)
        assert match, stats
        size = int(match[1])
        with tempfile.NamedTemporaryFile() as source:
            self._debugfs(f"write {source.name} /filler")
        # an extent tree of so many pieces needs blocks too
        self._debugfs(f"fallocate /filler 0 {size - 64}", f"sif /filler size {(size - 64) * BLOCK}")

    def _make_way(self, path: str) -> None:
        if self.exists(path):
            self.remove(path)
            return
        parts = path.strip("/").split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            folder = "/" + "/".join(parts[:depth])
            if not self.exists(folder):
                self._debugfs(f'mkdir "{folder}"')

    # --- what an operating system is made of ---------------------------------------------------------------------

    @property
    def kernel(self) -> str:
        """The release of the kernel that is installed."""
        [name] = [name for name in self.names("/boot") if name.startswith("vmlinuz-")]
        return name.removeprefix("vmlinuz-")

    @property
    def kernel_paths(self) -> tuple[str, ...]:
        return tuple(
            path for path in ("/vmlinuz", "/boot/vmlinuz", f"/boot/vmlinuz-{self.kernel}") if self.exists(path)
        )

    @property
    def initrd_paths(self) -> tuple[str, ...]:
        paths = ("/initrd.img", "/boot/initrd.img", f"/boot/initrd.img-{self.kernel}")
        return tuple(path for path in paths if self.exists(path))

    def parameters(self, add: str = "", *, without: str = "") -> None:
        """Change the kernel's command line in grub.cfg; `without` is a regular expression."""
        path = "/boot/grub/grub.cfg"
        lines = []
        for line in self.read(path).decode().splitlines():
            words = line
            if line.lstrip().startswith("linux "):
                if without:
                    words = re.sub(without, "", words)
                    assert words != line, f"no {without!r} in {line}"
                words = f"{words} {add}"
            lines.append(words)
        self.put(path, "\n".join(lines) + "\n")

    def service(self, name: str, body: str, *, unit: str = "") -> None:
        """A service that multi-user.target wants; `body` is its [Service] section."""
        path = f"/etc/systemd/system/{name}.service"
        self.put(path, f"[Unit]\nDescription=The service {name}\n{unit}\n[Service]\n{body}\n")
        self.link(f"/etc/systemd/system/multi-user.target.wants/{name}.service", path)

    def early_service(self, name: str, body: str, *, unit: str = "") -> None:
        """A service that runs as soon as the root filesystem is there: what it breaks, breaks early."""
        path = f"/etc/systemd/system/{name}.service"
        unit = f"DefaultDependencies=no\n{unit}"
        self.put(path, f"[Unit]\nDescription=The service {name}\n{unit}\n[Service]\n{body}\n")
        self.link(f"/etc/systemd/system/sysinit.target.wants/{name}.service", path)

    def drop_in(self, unit: str, text: str) -> None:
        self.put(f"/etc/systemd/system/{unit}.d/sabotage.conf", text)

    def mask(self, *units: str) -> None:
        for unit in units:
            self.link(f"/etc/systemd/system/{unit}", "/dev/null")

    def module(self, name: str) -> str:
        """The path of a kernel module."""
        folder = f"/usr/lib/modules/{self.kernel}"
        found = re.search(rf"^(\S+/{name}\.ko\S*):", self.read(f"{folder}/modules.dep").decode(), re.MULTILINE)
        assert found, name
        return f"{folder}/{found[1]}"

    def break_module(self, name: str, code: bytes) -> None:
        """Put machine code in place of the first instruction (endbr64) of a module's init function."""
        path = self.module(name)
        elf = bytearray(_unsigned(lzma.decompress(self.read(path))))
        at = _init_offset(bytes(elf))
        assert elf[at : at + 4] == b"\xf3\x0f\x1e\xfa", elf[at : at + 8].hex()
        assert len(code) <= 4
        elf[at : at + len(code)] = code
        self.put(path, lzma.compress(bytes(elf), check=lzma.CHECK_CRC32))

    def add_to_initrd(self, files: dict[str, bytes]) -> None:
        """Another archive behind the initrd's own, whose files take the place of those of the same name."""
        path = f"/boot/initrd.img-{self.kernel}"
        content = self.read(path)
        content += bytes(-len(content) % 4)
        self.put(path, content + _cpio(files))


class LiveCd(Image):
    """The livecd generator's ISO."""

    def extent(self, path: str) -> tuple[int, int]:
        """Offset and size of a file, in bytes (ECMA-119: the primary descriptor is in sector 16)."""
        record = self.read_at(16 * CD_SECTOR + 156, 34)
        for name in path.strip("/").split("/"):
            at, size = struct.unpack_from("<I", record, 2)[0] * CD_SECTOR, struct.unpack_from("<I", record, 10)[0]
            record = _entry(self.read_at(at, size), name)
        at, size = struct.unpack_from("<I", record, 2)[0] * CD_SECTOR, struct.unpack_from("<I", record, 10)[0]
        return at, size


def _entry(folder: bytes, name: str) -> bytes:
    at = 0
    while at < len(folder):
        length = folder[at]
        if length == 0:
            at = (at // CD_SECTOR + 1) * CD_SECTOR
            continue
        record = folder[at : at + length]
        found = record[33 : 33 + record[32]].decode("ascii", "replace").partition(";")[0].rstrip(".")
        if found.lower() == name.lower():
            return record
        at += length
    raise AssertionError(f"there is no {name} on the medium")


def _unsigned(module: bytes) -> bytes:
    """A module without the signature that is appended to it: a wrong one is refused, and none is not."""
    if not module.endswith(SIGNATURE_MAGIC):
        return module
    end = len(module) - len(SIGNATURE_MAGIC)
    (length,) = struct.unpack_from(">I", module, end - 4)  # the last field of struct module_signature, 12 bytes long
    return module[: end - 12 - length]


def _init_offset(elf: bytes) -> int:
    """Where init_module is in a module's file (elf(5), 64 bits)."""
    sections_at = struct.unpack_from("<Q", elf, 0x28)[0]
    entry, count = struct.unpack_from("<HH", elf, 0x3A)
    sections = [struct.unpack_from("<IIQQQQIIQQ", elf, sections_at + number * entry) for number in range(count)]
    for _, kind, _, _, at, size, link, _, _, each in sections:
        if kind != 2:  # SHT_SYMTAB
            continue
        names_at = sections[link][4]
        for position in range(at, at + size, each):
            name, _, _, section, value, _ = struct.unpack_from("<IBBHQQ", elf, position)
            start = names_at + name
            if elf[start : elf.index(b"\0", start)] == b"init_module":
                return int(sections[section][4] + value)
    raise AssertionError("the module has no init_module")


def _cpio(files: dict[str, bytes]) -> bytes:
    """An archive in the `newc` format (cpio(5)), as the kernel unpacks it; folders must be there already."""
    made = bytearray()
    for number, (name, content) in enumerate([*files.items(), ("TRAILER!!!", b"")], start=1):
        mode = 0o100755 if name != "TRAILER!!!" else 0
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        made += b"070701" + "".join(f"{field:08X}" for field in fields).encode() + name.encode() + b"\0"
        made += bytes(-len(made) % 4) + content
        made += bytes(-len(made) % 4)
    return bytes(made)
