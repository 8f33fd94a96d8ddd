"""The one place where a container's rootfs becomes an operating system's.

Each trap is a row of `dropped.py`, a function of `added.py` or a method of `Conversion`, with the reason beside it.
What a layer put there on purpose (a resolv.conf, hostname or hosts that it COPYs) wins over the defaults made here. The
conversion works on the tar stream, so nothing is unpacked and nothing needs a privilege; the initrd and fstab,
which need the rootfs's own tools, are made just before by `seal/`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from metallize_os import dating, licences, tarstream, traces
from metallize_os.added import Addition, first_boot, host_keys, own_names
from metallize_os.aside import Aside, linked
from metallize_os.dating import Dating
from metallize_os.dropped import EMPTIED, drops
from metallize_os.exported import made_good
from metallize_os.facts import installed, os_release, version_key
from metallize_os.identities import Forgetting
from metallize_os.licences import Licences
from metallize_os.listing import Listing
from metallize_os.tarstream import Entry, Sink

BINDS = ("etc/resolv.conf", "etc/hostname", "etc/hosts")
"""Bind mounts during a build's RUN: an empty file is what is left of the mount, a full one is a layer's COPY."""

OF_THE_BASE = ".metallize-of-the-base"
"""Which of `BINDS` the base image brought and no layer touched, one a line; `seal/` writes it where there is one.

Its name sorts before theirs, and archives are sorted: it is read before them.
"""

KERNEL = re.compile(r"boot/vmlinu[xz]-(.+)")
INITRD = re.compile(r"boot/initrd\.img-(.+)")


class ConversionError(Exception):
    """The rootfs cannot become an operating system; the message says what is missing and what adds it."""


@dataclass(slots=True)
class Conversion:
    """One pass over a rootfs: drops, replaces and adds, and learns what a generator needs to know."""

    epoch: int
    """Seconds since 1970; no time in the image is later (reproducible-builds.org, SOURCE_DATE_EPOCH)."""
    hostname: str
    """Used where no layer sets one."""
    units: Mapping[str, str] = field(default_factory=dict)
    """systemd units to add and enable, name and text; a unit of that name in the rootfs wins."""
    additions: Callable[[Conversion], Iterable[Addition]] = lambda _conversion: ()
    """What the generator puts in on top, decided when everything else has been seen."""
    replaced: frozenset[str] = frozenset()
    """Paths that the generator makes itself: a layer's are dropped."""
    dropped: Callable[[str], bool] = lambda _name: False
    """The same, for paths that are known by their form."""
    captured: Callable[[str], bool] = lambda _name: False
    """Files whose content the generator wants to see in `captures`, whether they stay in the rootfs or not."""
    aside: Aside | None = None
    """Where kernels and initrds go instead of staying in the rootfs."""

    notes: list[str] = field(default_factory=list)
    """What a person who builds should know; `job.answer` says it."""
    captures: dict[str, bytes] = field(default_factory=dict)
    kernels: set[str] = field(default_factory=set)
    initrds: set[str] = field(default_factory=set)
    os_release: dict[str, str] = field(default_factory=dict)
    entries: int = 0
    data_bytes: int = 0
    """Sum of the files' sizes, each rounded up to 4 KiB blocks: what a filesystem needs for data."""
    xattrs: list[tuple[str, str, bytes]] = field(default_factory=list)
    """Path, name and value of each extended attribute but file capabilities, which every tool takes from the tar."""
    links: set[str] = field(default_factory=set)
    """The symbolic links among `paths`."""
    paths: set[str] = field(default_factory=set)
    """Every path of the result, to answer `has()`."""
    listing: Listing | None = None
    """What has gone to the sink."""
    _installed: list[dict[str, str]] = field(default_factory=list)
    _licences: Licences = field(default_factory=Licences)
    _own: dict[str, bytes] = field(default_factory=dict)
    _dating: Dating = field(init=False)
    _dropped: set[str] = field(default_factory=set)
    _forgetting: Forgetting = field(default_factory=Forgetting)
    _of_the_base: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self._dating = Dating(epoch=self.epoch)

    @property
    def packages(self) -> list[dict[str, object]]:
        """What dpkg calls installed, with sources, and licences where a program can read them."""
        return list(licences.told(self._installed, self._licences))

    def has(self, *candidates: str) -> bool:
        return any(name in self.paths for name in candidates)

    def run(self, source: BinaryIO, target: Sink) -> None:
        """Copy the rootfs from `source` to `target`, converted; both are tar streams."""
        self.listing = sink = Listing(target)
        for entry, stream in made_good(tarstream.read_entries(source)):
            if entry.kind == tarstream.GLOBAL_RECORDS:
                sink.write(entry.raw)
                continue
            if not entry.name or entry.name == ".":
                self._date(entry)
                sink.member(entry)
                continue
            data = self._capture(entry, stream)
            forgotten, data = self._forgets(entry, data)
            if forgotten or self._drops(entry.name):
                self._dropped.add(entry.name)
                tarstream.copy_data(data, entry)
                continue
            if entry.kind == tarstream.HARD_LINK and linked(entry) in self._dropped:
                raise ConversionError(f"/{entry.name} is a hard link to /{entry.link}, which an image must not keep")
            if entry.name == "tmp" and entry.is_directory:
                entry.set_mode(0o1777)
            if self._learned(entry, data) or self._held(entry, data, sink) or self._inspected(entry, data, sink):
                continue
            data = self._without_traces(entry, self._licensed(entry, data))
            self._pass(entry, data, sink)
        if self.aside is not None:
            self.aside.forget()
        for addition in self._all_additions():
            self._add(addition, sink)
        sink.write(tarstream.END)

    def _forgets(self, entry: Entry, stream: BinaryIO) -> tuple[bool, BinaryIO]:
        """Whether it is an identity that a package made up; and what remains to be read of the entry."""
        if entry.kind == tarstream.SYMLINK:
            return self._forgetting.takes_link(entry.name, entry.link), stream
        if entry.kind not in tarstream.FILE_TYPES or not self._forgetting.knows(entry.name):
            return False, stream
        content = tarstream.read_data(stream, entry)
        return self._forgetting.takes(entry.name, content), io.BytesIO(content.ljust(entry.padded_size, b"\0"))

    def _learned(self, entry: Entry, stream: BinaryIO) -> bool:
        """Whether it is a word of the seal for us, and no file of the rootfs."""
        if entry.name == dating.LIST:
            self._dating.learn(tarstream.read_data(stream, entry))
        elif entry.name == OF_THE_BASE:
            self._learn_of_the_base(tarstream.read_data(stream, entry))
        return entry.name in (dating.LIST, OF_THE_BASE)

    def _learn_of_the_base(self, listed: bytes) -> None:
        self._of_the_base = frozenset(listed.decode("utf-8", "replace").split()).intersection(BINDS)
        late = sorted(self._of_the_base & self.paths)
        if late:
            raise ConversionError(
                f"/{late[0]} came before the word that it is the base image's: the archive is not sorted"
            )

    def _drops(self, name: str) -> bool:
        return drops(name) or name in self.replaced or self.dropped(name)

    def _capture(self, entry: Entry, stream: BinaryIO) -> BinaryIO:
        """Keep the content of a file that the generator wants; what remains to be read of the entry."""
        if entry.kind not in tarstream.FILE_TYPES or not self.captured(entry.name):
            return stream
        content = self.captures[entry.name] = tarstream.read_data(stream, entry)
        return io.BytesIO(content.ljust(entry.padded_size, b"\0"))

    def _date(self, entry: Entry) -> None:
        if self._dating.keeps(entry.name, is_directory=entry.is_directory):
            entry.clamp_mtime(self.epoch)
        else:
            entry.set_mtime(self.epoch)

    def _licensed(self, entry: Entry, stream: BinaryIO) -> BinaryIO:
        """Read which licences a package names; what remains to be read of the entry."""
        if match := licences.COPYRIGHT.fullmatch(entry.name):
            if entry.kind in tarstream.FILE_TYPES and entry.size <= licences.MOST_BYTES:
                content = tarstream.read_data(stream, entry)
                self._licences.see(match[1], content)
                return io.BytesIO(content.ljust(entry.padded_size, b"\0"))
            if entry.kind == tarstream.HARD_LINK:
                self._licences.see_link(entry.name, f"/{linked(entry)}")
        if entry.kind == tarstream.SYMLINK and entry.name.startswith("usr/share/doc/"):
            self._licences.see_link(entry.name, entry.link)
        return stream

    def _without_traces(self, entry: Entry, stream: BinaryIO) -> BinaryIO:
        """What remains to be read of the entry, without the times of its own build in it."""
        if entry.kind not in tarstream.FILE_TYPES:
            return stream
        if traces.is_log(entry.name):
            tarstream.copy_data(stream, entry)
            entry.set_size(0)
        elif rewrite := traces.rewriter(entry.name):
            content = rewrite(tarstream.read_data(stream, entry), self._dating)
            entry.set_size(len(content))
            return io.BytesIO(content.ljust(entry.padded_size, b"\0"))
        return stream

    def _pass(self, entry: Entry, stream: BinaryIO, sink: Listing) -> None:
        if entry.kind == tarstream.SYMLINK:
            self.links.add(entry.name)
        self._date(entry)
        self._count(entry.name, entry.size)
        self._note_xattrs(entry)
        sink.member(entry)
        if self.aside is not None:
            self.aside.copy(entry, stream, sink)
        else:
            tarstream.copy_data(stream, entry, sink)

    def _note_xattrs(self, entry: Entry) -> None:
        for key, value in entry.pax.items():
            name = key.removeprefix("SCHILY.xattr.")
            if name not in (key, "security.capability") and entry.kind != tarstream.HARD_LINK:
                self.xattrs.append((entry.name, name, value))

    def _count(self, name: str, size: int) -> None:
        self.paths.add(name)
        self.entries += 1
        self.data_bytes += -(-size // 4096) * 4096

    def _held(self, entry: Entry, stream: BinaryIO, sink: Sink) -> bool:
        """Note kernels and initrds; move one aside where the generator wants it outside the rootfs."""
        if entry.kind not in tarstream.FILE_TYPES and entry.kind != tarstream.HARD_LINK:
            return False
        if match := KERNEL.fullmatch(entry.name):
            self.kernels.add(match[1])
        elif match := INITRD.fullmatch(entry.name):
            self.initrds.add(match[1])
        else:
            return self._linked(entry, sink)
        unseen = entry.kind == tarstream.HARD_LINK and self.captured(entry.name)
        if unseen or (self.aside is not None and not self.aside.hold(entry, stream)):
            raise ConversionError(
                f"/{entry.name} is a hard link to /{linked(entry)}, and what is booted stands outside the rootfs: "
                "make it a file of its own"
            )
        return self.aside is not None

    def _linked(self, entry: Entry, sink: Sink) -> bool:
        """Another name of a kernel that is held back: a file of its own, for what it leads to is not in the rootfs."""
        if self.aside is None or entry.kind != tarstream.HARD_LINK:
            return False
        entry.clamp_mtime(self.epoch)
        size = self.aside.own_file(entry, sink)
        if size is None:
            return False
        self._count(entry.name, size)
        return True

    def _inspected(self, entry: Entry, stream: BinaryIO, sink: Listing) -> bool:
        """Read the few small files that decide something, and pass them on or keep them back."""
        if entry.name in BINDS:
            content = tarstream.read_data(stream, entry) if entry.kind in tarstream.FILE_TYPES else b"link"
            if not content.strip():
                self._dropped.add(entry.name)
                return True
            if entry.name in self._of_the_base:
                self.notes.append(_not_kept(entry.name, content))
                return True
            if entry.kind in tarstream.FILE_TYPES:
                self._own[entry.name] = content
        elif entry.name == "etc/machine-id":
            self._dropped.add(entry.name)
            tarstream.copy_data(stream, entry)
            return True
        elif entry.name in ("usr/lib/os-release", "var/lib/dpkg/status") and entry.kind in tarstream.FILE_TYPES:
            content = tarstream.read_data(stream, entry)
            if entry.name == "usr/lib/os-release":
                self.os_release = os_release(content.decode("utf-8", "replace"))
            else:
                self._installed = list(installed(content.decode("utf-8", "replace")))
        else:
            return False
        self._date(entry)
        self._count(entry.name, entry.size)
        sink.member(entry)
        if entry.kind in tarstream.FILE_TYPES:
            sink.write(content + b"\0" * (-len(content) % tarstream.BLOCK))
        return True

    def _add(self, addition: Addition, sink: Sink) -> None:
        if addition.name in self.paths:
            return
        for depth in range(1, addition.name.count("/") + 1):
            parent = "/".join(addition.name.split("/")[:depth])
            if parent not in self.paths:
                self._count(parent, 4096)
                sink.write(tarstream.new_entry(parent, mtime=self.epoch))
        self._count(addition.name, len(addition.data or b""))
        sink.write(
            tarstream.new_entry(
                addition.name, mtime=self.epoch, data=addition.data, symlink=addition.symlink, mode=addition.mode
            )
        )

    def _all_additions(self) -> Iterable[Addition]:
        if not self.has("usr/lib/systemd/systemd", "lib/systemd/systemd", "sbin/init", "usr/sbin/init"):
            raise ConversionError(
                "the rootfs has no init system (no systemd, no /sbin/init): an OS layer such as debian-live.dockerfile "
                "or debian-disk.dockerfile must be among the profile's images"
            )
        yield from (Addition(name, mode=0o1777 if name == "tmp" else 0o755) for name in EMPTIED)
        yield from own_names(self.has, self.hostname, self._own.get("etc/hostname", b""))
        yield from first_boot(self.paths, self.links)
        yield from host_keys(self.has)
        yield from self._identities()
        yield from self._app_units()
        yield from self.additions(self)

    def _identities(self) -> Iterable[Addition]:
        """What a layer chose, and a unit for each identity that the image was relieved of."""
        for name, content in self._forgetting.given_back():
            yield Addition(name, content)
        self.notes += self._forgetting.notes(self.has)
        for identity in self._forgetting.forgotten():
            if self.has(identity.needs):
                unit = f"etc/systemd/system/{identity.unit}"
                yield Addition(unit, identity.text.encode())
                yield Addition(f"etc/systemd/system/sysinit.target.wants/{identity.unit}", symlink=f"/{unit}")

    def _app_units(self) -> Iterable[Addition]:
        for name, text in self.units.items():
            unit = f"etc/systemd/system/{name}"
            if self.has(unit, f"usr/lib/systemd/system/{name}", f"lib/systemd/system/{name}"):
                self.notes.append(f"the rootfs has its own {name}: none is made of CMD and ENTRYPOINT")
                continue
            yield Addition(unit, text.encode())
            yield Addition(f"etc/systemd/system/multi-user.target.wants/{name}", symlink=f"/{unit}")

    def newest_kernel(self) -> str:
        """The version to boot. Raises ConversionError where there is no kernel, or no initrd beside it."""
        bootable = self.kernels & self.initrds
        if bootable:
            return max(bootable, key=version_key)
        if not self.kernels:
            raise ConversionError(
                "the rootfs has no kernel (no /boot/vmlinuz-*): a layer such as debian-live.dockerfile or "
                "debian-disk.dockerfile must be among the profile's images"
            )
        newest = max(self.kernels, key=version_key)
        raise ConversionError(f"/boot/vmlinuz-{newest} has no /boot/initrd.img-{newest} beside it")


def _not_kept(name: str, content: bytes) -> str:
    lines = (line.strip() for line in content.decode("utf-8", "replace").splitlines())
    said = "; ".join(line for line in lines if line and not line.startswith("#"))
    return f"/{name} of the base image ({said[:100]}) is not kept: a layer's own would be, by COPY"
