"""Two systems on one disk: how the boot loaders choose between them, and how systemd-sysupdate brings the next one.

UEFI: systemd-boot counts tries in the names of the kernels (systemd-boot(7), Boot counting). BIOS: GRUB counts in its
environment block, whose first sector is written whole or not at all; layers/debian-ab has the other end of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from metallize_os import loader
from metallize_os.added import Addition
from metallize_os.convert import Conversion, ConversionError
from metallize_os.facts import os_release
from metallize_os.uki import Section

TRIES = 3
GRUB_MODULES = (*loader.DISK_MODULES, "loadenv", "loopback", "boot")
LINUX_FOLDER, GRUB_FOLDER = "/EFI/Linux", "/grub"
SYSTEMS_FOLDER = f"{GRUB_FOLDER}/systems"
ENVIRONMENT_BYTES = 1024
"""Of GRUB's environment block (GRUB manual, The GRUB environment block)."""
ENDS = (".efi", *(f"+{TRIES - done}-{done}.efi" for done in range(TRIES + 1)), f"+{TRIES}.efi")
"""What a kernel's file name may end with: good, or so many tries left and done."""
OS_RELEASE = "usr/lib/os-release"
UPDATES = "var/lib/updates"
"""Where a machine that is told no URL finds an update that somebody has put there."""
_TRANSFERS = "usr/lib/sysupdate.d"
_LAYER = ("usr/share/initramfs-tools/scripts/local-top/metallize-ab", "usr/lib/metallize/boot-choice")
_UNITS = "usr/lib/systemd/system"


@dataclass(frozen=True, slots=True)
class System:
    """One of the two, as files and partitions are called after it."""

    release: str
    version: str

    @property
    def label(self) -> str:
        return f"{self.release}_{self.version}"

    @property
    def kernel(self) -> str:
        """Its file on the ESP of a new disk, where no tries are counted: there is no other system to go back to.

        One that is counted is renamed once it has come up, and FAT may have neither name with its content for a moment.
        Were the power to go then, and no other system there, nothing would be started any more.
        """
        return f"{LINUX_FOLDER}/{self.label}.efi"

    @property
    def grub(self) -> str:
        """What GRUB reads of it, a file on the ESP."""
        return f"{SYSTEMS_FOLDER}/{self.label}.cfg"


def named(release: str, system: System) -> str:
    """os-release(5) with the image's name and version in it."""
    kept = [line for line in release.splitlines() if not line.startswith(("IMAGE_ID=", "IMAGE_VERSION="))]
    return "\n".join([*kept, f'IMAGE_ID="{system.release}"', f'IMAGE_VERSION="{system.version}"']) + "\n"


def grub_config(system: System, params: str) -> str:
    """grub.cfg, the same for all systems of this name: the one that is tried, else the one that is good."""
    counted = [
        f'{"if" if left == TRIES else "elif"} [ "$left" = {left} ]; then set left={left - 1}; set system="$next"'
        for left in range(TRIES, 0, -1)
    ]
    return "\n".join(
        [
            loader.serial_setup(params).rstrip(),
            "load_env",
            'set system="$good"',
            *counted,
            "fi",
            'if [ "$system" = "$next" ]; then save_env left; fi',
            # A system that cannot be loaded falls through to the next one.
            'for version in "$system" "$good"; do',
            f"  for end in {' '.join(ENDS)}; do",
            f'    kernel="{LINUX_FOLDER}/{system.release}_$version$end"',
            f'    config="{SYSTEMS_FOLDER}/{system.release}_$version.cfg"',
            '    if [ -e "$kernel" -a -e "$config" ]; then',
            f'      echo "Booting {system.release} $version"',
            '      loopback uki "$kernel"',
            '      source "$config"',
            "      boot",
            "    fi",
            "  done",
            "done",
            f'echo "metallize: {system.release} $system is not there, and neither is $good"',
            "sleep 10",
            "reboot",
            "",
        ]
    ).lstrip()


def grub_system(params: str, linux: Section, initrd: Section) -> str:
    """What GRUB reads of one system: where kernel and initrd are in its file, and the kernel's command line."""
    words = " ".join(loader.quote(word) for word in params.split())
    return f"linux (uki){linux.sectors} {words}\ninitrd (uki){initrd.sectors}\n"


def environment(**values: str) -> bytes:
    """A GRUB environment block; what is in it fits into the first sector. Raises ValueError where it does not."""
    text = "# GRUB Environment Block\n" + "".join(f"{name}={value}\n" for name, value in values.items())
    if len(text) > loader.SECTOR:
        raise ValueError(f"{len(text)} bytes do not fit into one sector")
    return text.encode().ljust(ENVIRONMENT_BYTES, b"#")


def first_environment(system: System) -> bytes:
    """Of a new disk: its one system is tried, as a new one is later."""
    return environment(good=system.version, next=system.version, left=str(TRIES))


def transfers(system: System, url: str, *, verified: bool) -> Iterator[tuple[str, str]]:
    """Name and text of each transfer (sysupdate.d(5)), in the order in which they are done: the kernel is the last.

    With no URL they come from a folder of the machine. PartitionFlags= comes before ReadOnly=, which it would reset.
    """
    place = f"Type=url-file\nPath={url.replace('%', '%%')}" if url else f"Type=regular-file\nPath=/{UPDATES}"
    name, source = system.release, f"{system.release}_@v_%a"
    slot = "Type=partition\nPath=auto\nMatchPattern={0}_@v\nMatchPartitionType={1}\nPartitionFlags=0\nReadOnly=1\n"
    loaders = "Type=regular-file\nPathRelativeTo=esp\nPath={0}\nMatchPattern={1}\nMode=0644\nInstancesMax=2\n"
    tried = f"{name}_@v+@l-@d.efi {name}_@v+@l.efi {name}_@v.efi"
    rows = (
        ("50-verity", f"{source}_@u.verity", slot.format(name, "root-verity")),
        ("60-root", f"{source}_@u.root", slot.format(name, "root")),
        ("70-grub", f"{source}.grub", loaders.format(SYSTEMS_FOLDER, f"{name}_@v.cfg")),
        ("80-kernel", f"{source}.efi", loaders.format(LINUX_FOLDER, tried) + f"TriesLeft={TRIES}\nTriesDone=0\n"),
    )
    for file, pattern, target in rows:
        text = (
            f"[Transfer]\nProtectVersion=%A\nVerify={'yes' if verified else 'no'}\n"
            f"\n[Source]\n{place}\nMatchPattern={pattern}\n"
            f"\n[Target]\n{target}"
        )
        yield f"{file}.transfer", text


def additions(conversion: Conversion, system: System, options: dict[str, object]) -> Iterator[Addition]:
    """What goes into the rootfs: its own name, where the ESP is mounted, and where updates come from.

    Raises ConversionError where the layer is missing that mounts all this.
    """
    if not all(conversion.has(name) for name in _LAYER):
        raise ConversionError(
            "the rootfs cannot be mounted from a slot: debian-ab.dockerfile must be among the profile's images, above "
            "debian-disk.dockerfile"
        )
    yield Addition("efi")
    text = named(conversion.captures[OS_RELEASE].decode("utf-8", "replace"), system)
    conversion.os_release = os_release(text)
    yield Addition(OS_RELEASE, text.encode())
    url = str(options["update"])
    for name, text in transfers(system, url, verified=bool(options["verify"])):
        yield Addition(f"{_TRANSFERS}/{name}", text.encode())
    yield Addition(UPDATES)
    if not url:
        return
    timers = ["systemd-sysupdate.timer", *(["systemd-sysupdate-reboot.timer"] if options["reboot"] else [])]
    for timer in timers:
        if not conversion.has(f"{_UNITS}/{timer}"):
            raise ConversionError(f"updating needs {timer}, which the rootfs lacks: systemd-container installs it")
        yield Addition(f"etc/systemd/system/timers.target.wants/{timer}", symlink=f"/{_UNITS}/{timer}")
