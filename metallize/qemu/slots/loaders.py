"""Which of the kernels on an ESP a boot loader starts.

Under UEFI systemd-boot starts the newest kernel in EFI/Linux that has tries left or was good (systemd-boot(7), Boot
counting). Under a BIOS GRUB goes by its environment block (generators/common/metallize_os/two_systems.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

SYSTEMS = "grub/systems"
_LINUX = "EFI/Linux"
_KERNEL = ".efi"
_MOST_TRIES = 3
ENDS = (".efi", *(f"+{_MOST_TRIES - done}-{done}.efi" for done in range(_MOST_TRIES + 1)), f"+{_MOST_TRIES}.efi")
"""In which order GRUB looks for the kernel of a version."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A file in EFI/Linux."""

    path: str
    label: str
    left: int | None
    """Tries; None for one that is not counted."""


def kernels(names: Iterable[str]) -> tuple[Kernel, ...]:
    """Those among the names of an ESP's files; pure."""
    found = []
    for name in names:
        folder, _, file = name.rpartition("/")
        if folder == _LINUX and file.endswith(_KERNEL) and not file.startswith("."):
            label, left = _counted(file.removesuffix(_KERNEL))
            found.append(Kernel(name, label, left))
    return tuple(found)


def _counted(stem: str) -> tuple[str, int | None]:
    """The label in a kernel's name, and the tries left where they are counted: LABEL+LEFT or LABEL+LEFT-DONE."""
    label, _, counts = stem.rpartition("+")
    left, dash, done = counts.partition("-")
    if label and left.isdecimal() and (done.isdecimal() or not dash):
        return label, int(left)
    return stem, None


def first_of_systemd_boot(found: Sequence[Kernel], newest_first: Sequence[str]) -> Kernel | None:
    """The one that systemd-boot starts: those with no tries left come last, else the newest first; pure."""

    def order(kernel: Kernel) -> tuple[bool, int]:
        known = newest_first.index(kernel.label) if kernel.label in newest_first else -1
        return kernel.left == 0, known

    return min(found, key=order, default=None)


def first_of_grub(names: Iterable[str], environment: Mapping[str, str], stem: str) -> Kernel | None:
    """The one that GRUB starts, as its configuration says; `stem` is what all labels begin with. Pure."""
    there = set(names)
    good, next_ = environment.get("good", ""), environment.get("next", "")
    tried = environment.get("left", "") in {str(left) for left in range(1, _MOST_TRIES + 1)}
    for version in (next_ if tried else good, good):
        for end in ENDS:
            path, config = f"{_LINUX}/{stem}{version}{end}", f"{SYSTEMS}/{stem}{version}.cfg"
            if path in there and config in there:
                return Kernel(path, f"{stem}{version}", None)
    return None


def read_environment(block: bytes) -> dict[str, str]:
    """GRUB's environment block (GRUB manual, The GRUB environment block); pure."""
    lines = block.decode("utf-8", "replace").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
