"""The key `boot.update` of a profile as a frozen value: how a machine with the release before comes to this image.

Part of the schema, as `metallize.model.profile` is.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from metallize.model.scalars import Duration, Frozen, OneLine

Script = Annotated[str, StringConstraints(min_length=1, max_length=1 << 16, pattern=r"^[^\x00]*$")]
"""For the guest's shell; it may have several lines."""
KeptPath = Annotated[str, StringConstraints(pattern=r"^/[^\x00-\x1f\x7f]*$", max_length=4096)]
URL = "METALLIZE_UPDATE"
"""The variable that tells the commands where the files are."""


class Engine(StrEnum):
    """Who updates, and how that is begun."""

    SYSUPDATE = "sysupdate"
    RAUC = "rauc"


class Broken(StrEnum):
    """What does not work in a release that a machine must come back from."""

    INIT = "init"
    KERNEL = "kernel"
    ROOT = "root"
    SERVICE = "service"


class Tamper(StrEnum):
    """What is offered that must not be installed."""

    DOWNGRADE = "downgrade"
    INDEX = "index"
    """SHA256SUMS is not what was signed, or a file is not what SHA256SUMS says."""


class PowerCuts(Frozen):
    """The power goes while the update is written."""

    boots: Annotated[
        int, Field(strict=True, ge=0, le=100, description="so many of the disks are booted, and updated once more")
    ] = 0
    moments: Annotated[
        int,
        Field(
            strict=True,
            ge=0,
            le=100_000,
            description="so many seeded moments beside every write to the tables, the ESP and the slots",
        ),
    ] = 100
    seed: Annotated[
        int | None, Field(strict=True, ge=0, le=(1 << 31) - 1, description="chooses them; default: a new one")
    ] = None


TRANSFERS = """\
set -eu
transfers() {
  mkdir "$METALLIZE_SCRATCH/$1"
  for each in /usr/lib/sysupdate.d/*.transfer /etc/sysupdate.d/*.transfer; do
    [ -e "$each" ] || continue
    sed "/^.Source./,/^.Target./{s|^Type=.*|Type=url-file|;s|^Path=.*|Path=$2|}" "$each" \\
      >"$METALLIZE_SCRATCH/$1/${each##*/}"
  done
}
"""
"""For the guest's shell: `transfers FOLDER URL` writes the machine's own transfers, but for where they come from."""
_SYSUPDATE = f"""{TRANSFERS}\
transfers sysupdate.d "$METALLIZE_UPDATE"
/usr/lib/systemd/systemd-sysupdate --definitions="$METALLIZE_SCRATCH/sysupdate.d" --verify=no update
"""
_RAUC = """\
set -eu
bundle=/var/tmp/metallize.raucb
trap 'rm -f "$bundle"' EXIT
if command -v curl >/dev/null; then curl -sSf -o "$bundle" "$METALLIZE_UPDATE"
elif command -v wget >/dev/null; then wget -q -O "$bundle" "$METALLIZE_UPDATE"
else bundle=$METALLIZE_UPDATE
fi
rauc install "$bundle" >&2
"""
"""Of what RAUC itself reads over HTTP, udev may close the block device before it is mounted (rauc#1741)."""
_INSTALL = {Engine.SYSUPDATE: (_SYSUPDATE,), Engine.RAUC: (_RAUC,)}
"""The machine's own transfers, but for where they come from; a bundle of RAUC's (rauc(1), install)."""
_VERSION = {
    Engine.SYSUPDATE: '. /usr/lib/os-release; echo "${IMAGE_VERSION?}"',
    Engine.RAUC: '. /etc/os-release; echo "${IMAGE_VERSION:-${VERSION_ID?}}"',
}


_GIVEN_UP = {Engine.SYSUPDATE: "journalctl --boot --output=cat --unit=metallize-boot-good.service"}
_INSTALLED = {
    Engine.SYSUPDATE: "lsblk --noheadings --raw --output PARTLABEL,PARTUUID | sort\n"
    "cd /efi && find EFI/Linux grub/systems -type f | sort && cksum grub/grubenv"
}
"""Both slots and what the boot loaders find: what nobody installs changes none of it."""


class Update(Frozen):
    """The image of the release before is booted, updated and started again, and everything must hold then."""

    before: Annotated[
        OneLine,
        Field(
            alias="from",
            min_length=1,
            description="the image of the release before, a file; or a channel's folder or address: its newest release "
            "with a lower version",
        ),
    ]
    engine: Annotated[
        Engine | None,
        Field(
            description="sysupdate: the parts of this image are installed by systemd-sysupdate, in place of install; "
            "rauc: the bundle in files is, by rauc install"
        ),
    ] = None
    files: Annotated[
        OneLine | None,
        Field(description="a folder that the guest finds at the URL in $METALLIZE_UPDATE; default: the image's parts"),
    ] = None
    install: Annotated[
        tuple[Script, ...], Field(description="what installs the update, as root, one after the other; status 0 each")
    ] = ()
    version: Annotated[
        Script | None, Field(description="a command that prints the version of the system that runs")
    ] = None
    keep: Annotated[
        tuple[KeptPath, ...], Field(description="files and folders whose content must be the same after the update")
    ] = ()
    timeout: Annotated[Duration, Field(description="for each command of install, on a host of normal speed")] = (
        timedelta(minutes=10)
    )

    broken: Annotated[
        tuple[Broken, ...],
        Field(
            description="releases made of this one that cannot come up, of which the machine must come back before it "
            "is updated: kernel (it panics), init (it ends at once), service (a unit fails), root (a block of the root "
            "is not that of its verity hash)"
        ),
    ] = ()
    tries: Annotated[
        int, Field(strict=True, ge=1, le=20, description="so often a broken release is started before it is given up")
    ] = 3
    tamper: Annotated[
        tuple[Tamper, ...],
        Field(
            description="what must not be installed: downgrade (a release with a lower version), index (a SHA256SUMS "
            "that was changed after it was signed, and a file that is not what SHA256SUMS says)"
        ),
    ] = ()

    power_cuts: Annotated[
        PowerCuts | None,
        Field(description="what would be started must be whole at each moment of the update at which the power may go"),
    ] = None

    @model_validator(mode="after")
    def _is_whole(self) -> Update:
        if self.engine is None and not (self.install and self.version):
            raise ValueError("either `engine`, or `install` and `version` are wanted")
        if self.engine is not None and self.install:
            raise ValueError("`engine` says what is installed, and so does `install`: leave one out")
        if self.engine is Engine.RAUC and self.files is None:
            raise ValueError("`engine: rauc` installs a bundle: `files` is wanted, the folder that it is in")
        for name, asked in (("broken", self.broken), ("tamper", self.tamper), ("power_cuts", self.power_cuts)):
            if asked and (self.engine is not Engine.SYSUPDATE or self.files is not None):
                raise ValueError(
                    f"`{name}` goes by the parts of generator `ab`: it needs `engine: sysupdate`, and no `files`"
                )
            if isinstance(asked, tuple) and len(set(asked)) != len(asked):
                raise ValueError(f"`{name}` names something twice")
        return self

    @property
    def commands(self) -> tuple[str, ...]:
        """What is run to install it."""
        return self.install if self.engine is None else _INSTALL[self.engine]

    @property
    def version_command(self) -> str:
        """What prints the version of the running system."""
        return self.version or (_VERSION[self.engine] if self.engine is not None else "")

    @property
    def given_up_command(self) -> str:
        """What prints which versions the machine has tried in vain."""
        return _GIVEN_UP.get(self.engine, "") if self.engine is not None else ""

    @property
    def installed_command(self) -> str:
        """What prints all that installing something changes."""
        return _INSTALLED.get(self.engine, "") if self.engine is not None else ""
