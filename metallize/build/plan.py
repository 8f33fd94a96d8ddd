"""What a build will do, as a value: printed by `plan`, carried out by the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from metallize.build.dockerfile import Instruction
from metallize.build.dockerfile.secret_mounts import Loan
from metallize.build.health import Health
from metallize.build.secrets.given import Given
from metallize.build.step import digest_of
from metallize.model.catalogue import OptionValue
from metallize.model.profile import ImageFormat, Platform

SOURCE_ARGUMENT, BASE_ARGUMENT, NATIVE_ARGUMENT = "METALLIZE_SRC_IMG", "METALLIZE_BASE_IMG", "METALLIZE_NATIVE_IMG"
TOOLS_ARGUMENT = "METALLIZE_TOOLS_IMG"
"""Arguments of a layer: the image that it stands on; one of the building host's own architecture, with tools. Of the
seal: what the lowest layer stands on; the generator's tools."""
PARENT_LABEL = "io.metallize.parent"
"""On every image that metallize builds: the id of the image that it was built on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseImage:
    """An image that is not built from a dockerfile: local, pulled, or bootstrapped from packages."""

    reference: str
    platform: Platform
    snapshot: str = ""
    """The date of the archive that it is made of, YYYYMMDDTHHMMSSZ; no registry is asked then."""
    sources: tuple[str, ...] = ()
    """The lines of sources.list(5) that name that archive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerBuild:
    """One `docker build` on the image before it."""

    name: str
    summary: str
    dockerfile: Path
    context: Path
    build_args: Mapping[str, str]
    repository: str
    """Of its image: metallize/admin-user. The tag has the ids of what it is built on in it (see step.tag_of)."""
    key: str
    """Digest of all that goes into it but for the images that it is built on."""
    foreign: tuple[BaseImage, ...] = ()
    """The images that its dockerfile names itself, in a FROM of another stage or in a COPY --from."""
    native_base: BaseImage | None = None
    """An image of the building host's own architecture that it takes tools from, as METALLIZE_NATIVE_IMG."""
    runtime_only: tuple[Instruction, ...] = ()
    loans: tuple[Loan, ...] = ()
    """The secrets and SSH agents that it mounts."""
    lent: tuple[Given, ...] = ()
    """Those that whoever builds gives to it: no key stands on them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageStack:
    """A base and the layers on it, bottom first; without a base the first layer's own FROM decides."""

    base: BaseImage | None
    layers: tuple[LayerBuild, ...]
    platform: Platform
    ground: BaseImage | None
    """What the lowest layer stands on: the base, or the image that its dockerfile names; None where it is not known."""

    @property
    def key(self) -> str:
        """Digest of all that is said of it, the base's reference included: nothing of what the engine has."""
        base = (self.base.reference, *self.base.sources) if self.base else ("",)
        return digest_of(self.platform, *base, *(layer.key for layer in self.layers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """The last step on the rootfs: fstab and initrd, by the dockerfile that every generator shares."""

    dockerfile: Path
    context: Path
    fstab: str
    key: str
    """Digest of the files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppUnit:
    """The systemd unit that runs what the layers' CMD or ENTRYPOINT would run in a container."""

    name: str
    """With its suffix: templogger.service."""
    text: str
    argv: tuple[str, ...]
    user: str
    directory: str
    restart: str
    layer: str
    """The layer whose instruction, on `line`, says what is run."""
    line: int
    health: Health | None = None
    """The layers' HEALTHCHECK, whether a watchdog asks it or not."""
    watchdog: str = ""
    """The text of the unit that asks it; empty where none is wanted."""

    @property
    def watchdog_name(self) -> str:
        return f"{self.name.removesuffix('.service')}-watchdog.service"

    @property
    def units(self) -> Mapping[str, str]:
        """What the image gets: name and text."""
        return {self.name: self.text, **({self.watchdog_name: self.watchdog} if self.watchdog else {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the generator is asked for; `as_json` is its contract."""

    generator: str
    name: str
    platform: Platform
    hostname: str
    format: ImageFormat
    kernel_boot_params: str
    options: Mapping[str, OptionValue]
    ids: Mapping[str, str]
    units: Mapping[str, str] = field(default_factory=dict)
    """systemd units that the image gets and enables: name and text."""
    release: str = ""
    version: str = ""
    """What the image's releases are called, and its own version; empty where the generator does not ask for them."""

    def as_json(self) -> dict[str, object]:
        named = {"release": self.release, "version": self.version} if self.version else {}
        return {
            "name": self.name,
            "platform": str(self.platform),
            "hostname": self.hostname,
            "format": str(self.format),
            "kernel_boot_params": self.kernel_boot_params,
            "options": dict(self.options),
            "ids": dict(self.ids),
            "units": dict(self.units),
            **named,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlan:
    """From a profile to an image: the rootfs's stack, the generator's stack, the seal and the job."""

    id: str
    """Digest of everything below: it changes with every meaningful input and with nothing else."""
    profile: Path
    name: str
    rootfs: ImageStack
    tools: ImageStack
    seal: Seal
    job: Job
    app: AppUnit | None
    build_dir: Path
    file: str
    remarks: tuple[str, ...] = ()
    """What is hardly meant as it is written, or is dropped, each with its place; nothing is built otherwise for it."""
    base_recipe: Path
    """The dockerfile that makes an image of a base's archive."""

    @property
    def image(self) -> Path:
        return self.build_dir / self.file

    @property
    def native_tools(self) -> LayerBuild | None:
        """The layer of the building host's own tools, where the rootfs is of another architecture."""
        return next((layer for layer in self.rootfs.layers if layer.native_base), None)
