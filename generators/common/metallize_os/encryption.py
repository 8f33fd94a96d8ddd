"""/var as a LUKS2 volume whose key the machine's TPM holds: layers/debian-ab-tpm2 makes and opens it in the initrd.

Nothing secret is in an image: its partition has a line of text, by which the first boot knows that nothing is kept yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from metallize_os.added import Addition
from metallize_os.convert import Conversion, ConversionError

FSTAB = "etc/fstab"
VOLUME = "/dev/mapper/var"
MARKER = b"metallize: /var is made here, encrypted, at the first boot\n"
"""At the beginning of the partition."""
_LAYER = "usr/lib/metallize/open-var"
_SETTINGS = "usr/lib/metallize/encrypted-var"
_UNIT = "etc/systemd/system/metallize-grow-var.service"
_GROW_UNIT = f"""\
[Unit]
Description=Grow the var filesystem to the end of its volume
Documentation=man:resize2fs(8)
After=systemd-remount-fs.service
ConditionPathIsReadWrite=/var

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/resize2fs {VOLUME}

[Install]
WantedBy=multi-user.target
"""


def wanted(options: Mapping[str, object]) -> bool:
    """Whether /var is to be encrypted."""
    return options["encrypt"] == "tpm2"


def additions(conversion: Conversion, options: Mapping[str, object], partition: str) -> Iterator[Addition]:
    """What makes the initrd open the volume, and mounts it in place of the partition with the id `partition`.

    The initrd grows the partition before that. Raises ConversionError where the layer is missing that opens it.
    """
    if not conversion.has(_LAYER):
        raise ConversionError(
            "output.options.encrypt: debian-ab-tpm2.dockerfile must be among the profile's images, above "
            "debian-ab.dockerfile"
        )
    settings = f"pcrs={options['pcrs']}\ngrow={'yes' if options['grow'] else 'no'}\n"
    yield Addition(_SETTINGS, settings.encode())
    yield Addition(FSTAB, mounted(conversion.captures[FSTAB].decode("utf-8", "replace"), partition).encode())
    if options["grow"]:
        yield Addition(_UNIT, _GROW_UNIT.encode())
        yield Addition(f"etc/systemd/system/multi-user.target.wants/{Path(_UNIT).name}", symlink=f"/{_UNIT}")


def mounted(fstab: str, partition: str) -> str:
    """fstab(5) with the volume in place of its partition."""
    return fstab.replace(f"PARTUUID={partition} ", f"{VOLUME} ")


def mark(image: Path, offset: int) -> None:
    """Say at the beginning of the partition that the volume is still to be made."""
    with image.open("r+b") as disk:
        disk.seek(offset)
        disk.write(MARKER)
