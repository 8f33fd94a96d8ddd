"""The profile as a frozen value: what PROFILE.md promises its users, checked and with its units decided.

These pydantic models are the schema too (`metallize schema`): every field's description is what `explain`
and an editor show. Nothing here reads a file; `metallize.config` makes these values from YAML.
"""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field

from metallize.model.scalars import (
    ArgName,
    Duration,
    FileName,
    Frozen,
    Instant,
    OneLine,
    ReleaseName,
    ReleaseVersion,
    UnitFile,
    UnitName,
)


class Base(Frozen):
    """Of which state the packages are that the base and the layers on it are made of."""

    snapshot: Annotated[
        Instant | None,
        Field(description="the packages as they were then, from the mirror that METALLIZE_DEBIAN_SNAPSHOT names"),
    ] = None


class Restart(StrEnum):
    """systemd.service(5), Restart=."""

    ALWAYS = "always"
    ON_FAILURE = "on-failure"
    NO = "no"


class Platform(StrEnum):
    """A container platform, in Docker's words."""

    AMD64 = "linux/amd64"
    ARM64 = "linux/arm64"


ARCHITECTURES = {Platform.AMD64: "x86-64", Platform.ARM64: "arm64"}
"""As systemd spells them (systemd.unit(5), ConditionArchitecture=)."""


class ImageFormat(StrEnum):
    """A container format of a disk image; the suffix of `output.file` chooses it."""

    ISO = "iso"
    RAW = "raw"
    QCOW2 = "qcow2"
    VMDK = "vmdk"
    VHDX = "vhdx"
    TAR = "tar"
    """No disk: an archive of what a server hands to a machine that boots from the network."""


SUFFIX_FORMATS = {
    ".iso": ImageFormat.ISO,
    ".img": ImageFormat.RAW,
    ".ext4": ImageFormat.RAW,  # the original's name for the ext4 generator's disk
    ".raw": ImageFormat.RAW,
    ".qcow2": ImageFormat.QCOW2,
    ".vmdk": ImageFormat.VMDK,
    ".vhdx": ImageFormat.VHDX,
    ".tar": ImageFormat.TAR,
}


class App(Frozen):
    """The unit that runs what CMD or ENTRYPOINT of the layers says; `app: false` makes none."""

    enabled: Annotated[bool, Field(strict=True, description="false: CMD and ENTRYPOINT make no unit")] = True
    name: Annotated[UnitName | None, Field(description="the unit's name; default: the layer's, without a suffix")] = (
        None
    )
    restart: Annotated[
        Restart,
        BeforeValidator(lambda value: "no" if value is False else value),  # YAML reads a bare `no` as false
        Field(description="when systemd starts it again: always, on-failure, no"),
    ] = Restart.ALWAYS
    restart_delay: Annotated[Duration, Field(description="how long systemd waits before that")] = timedelta(seconds=2)
    watchdog: Annotated[
        bool,
        Field(strict=True, description="ask the layers' HEALTHCHECK, and start the app again when it keeps failing"),
    ] = False
    after: Annotated[
        tuple[UnitFile, ...], Field(description="units that are wanted and started before it: network-online.target")
    ] = ()
    environment: Annotated[
        dict[ArgName, OneLine], Field(description="variables on top of the layers' ENV, which they replace")
    ] = Field(default_factory=dict)


def _app_switch(value: object) -> object:
    """`app: false` and `app: true` for {enabled: ...}."""
    return {"enabled": value} if isinstance(value, bool) else value


class SecureBoot(Frozen):
    """Who signs what the firmware starts."""

    key: Annotated[
        OneLine,
        Field(
            min_length=1,
            description="the private key, RSA: in PEM beside the profile, or a whole path, or a token's pkcs11: URI",
        ),
    ]
    certificate: Annotated[OneLine, Field(min_length=1, description="its certificate, in PEM")]
    enroll: Annotated[
        bool,
        Field(
            strict=True,
            description="firmware in setup mode, which holds no keys, gets this certificate at the image's first boot",
        ),
    ] = False


class Output(Frozen):
    """What is made from the rootfs, and how it boots."""

    generator: Annotated[str, Field(description="a folder of generators/: livecd, ext4, ...")]
    file: Annotated[FileName, Field(description="the image's file name; its suffix decides the container format")]
    name: Annotated[
        ReleaseName | None,
        Field(description="what its releases are called; default: the file's name without its suffix"),
    ] = None
    version: Annotated[
        ReleaseVersion | None,
        Field(description="of its next release; default: YYYYMMDD.N, the day's next one"),
    ] = None
    kernel_boot_params: Annotated[
        OneLine, Field(description="appended to the kernel's command line; the last console= is /dev/console")
    ] = "console=tty0 console=ttyS0,115200"
    options: Annotated[
        dict[str, str | int | float | bool],
        Field(description="the generator's own options; `metallize explain GENERATOR` lists them"),
    ] = Field(default_factory=dict)
    secure_boot: Annotated[
        SecureBoot | None,
        Field(description="sign boot loader and kernel with this key, for firmware that holds its certificate"),
    ] = None
    app: Annotated[
        App,
        BeforeValidator(_app_switch, json_schema_input_type=App | bool),
        Field(description="the unit that runs what the layers' CMD or ENTRYPOINT says; false for none"),
    ] = App()

    @property
    def release_name(self) -> str:
        """What its releases are called."""
        return self.name or release_name_for(self.file)


def release_name_for(file: str) -> str:
    """The name of a release whose profile gives none: the image file's, without its suffix."""
    return re.sub(r"[^A-Za-z0-9.+-]", "-", file.rpartition(".")[0]) or "image"


class Settings(Frozen):
    """Where things are; the key `metallize:` of a profile."""

    dockerfile_dir: OneLine | None = None
    build_dir: OneLine = "build"
