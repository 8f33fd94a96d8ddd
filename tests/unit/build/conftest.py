"""Values of the build side: a profile, a generator, layers on disk, and an engine that only remembers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from metallize.build.engines.engine import Assembly, ImageInfo, Output
from metallize.build.plan import BuildPlan, LayerBuild
from metallize.build.planner import plan
from metallize.build.sources import LayerSource, read_layer
from metallize.errors import EngineError, Location
from metallize.events import Event
from metallize.model.boot import Media
from metallize.model.catalogue import Generator, Layer, Option, OptionType
from metallize.model.loaded import Profile
from metallize.model.profile import ImageFormat, Platform, Settings
from metallize.model.profile import Output as OutputModel

ON_SOURCE = "ARG METALLIZE_SRC_IMG\nFROM ${METALLIZE_SRC_IMG}\n"


@dataclass
class Recorder:
    """Remembers events."""

    events: list[Event] = field(default_factory=list)

    def emit(self, event: Event, /) -> None:
        self.events.append(event)


def image(reference: str, *, platform: Platform | None = Platform.AMD64) -> ImageInfo:
    return ImageInfo(
        id=f"sha256:{reference}",
        reference=reference,
        created=datetime(2024, 1, 1, tzinfo=UTC),
        platform=platform,
        size_bytes=1 << 20,
        parent="",
    )


@dataclass
class FakeEngine:
    """Knows the images it is given; `registry` has what can be pulled."""

    images: dict[str, ImageInfo] = field(default_factory=dict)
    registry: dict[str, ImageInfo] = field(default_factory=dict)
    loaded: list[str] = field(default_factory=list)
    exported: list[tuple[str, str, Platform]] = field(default_factory=list)
    """For each archive of native tools: the image they are taken from, the stage, the platform they are for."""
    assembled: Callable[[Assembly], None] = lambda _assembly: None
    version: str = "0"

    def inspect(self, reference: str) -> ImageInfo | None:
        return self.images.get(reference)

    def pull(self, reference: str, platform: Platform, output: Output) -> ImageInfo:
        output("pulling")
        if reference not in self.registry:
            raise EngineError(f"{reference} could not be fetched from its registry: no route to host")
        return self.registry[reference]

    def load_base(self, archive: Path, tag: str, platform: Platform, output: Output) -> ImageInfo:
        assert archive.read_text() == "a base"
        self.loaded.append(tag)
        self.images[tag] = image(tag, platform=platform)
        return self.images[tag]

    def build(
        self, layer: LayerBuild, parent: ImageInfo | None, platform: Platform, output: Output, *, fresh: bool
    ) -> ImageInfo:
        raise NotImplementedError

    def export(self, layer: LayerBuild, stage: str, platform: Platform, archive: Path, output: Output) -> None:
        self.exported.append((layer.build_args["METALLIZE_NATIVE_IMG"], stage, platform))
        archive.write_text("tools")

    def assemble(self, assembly: Assembly, output: Output) -> None:
        self.assembled(assembly)

    def cancel(self) -> None: ...

    def remove_leftovers(self, labels: Sequence[str]) -> None: ...


GENERATOR = Generator(
    name="livecd",
    folder=Path("generators/livecd"),
    summary="Live CD",
    description="A live CD.",
    formats=(ImageFormat.ISO,),
    default_media=Media.CD,
    machines=("seabios",),
    options={
        "compression": Option(name="compression", type=OptionType.STRING, description="compressor", default="zstd"),
        "level": Option(name="level", type=OptionType.INTEGER, description="level", default=9),
    },
    ids=("disk", "root", "esp"),
    kernel_boot_params="root=UUID={root_uuid}",
    fstab="UUID={root_uuid} / ext4 defaults 0 1\nUUID={esp_id} /boot/efi vfat nofail 0 2\n",
)


def profile(**changes: object) -> Profile:
    output = {"generator": "livecd", "file": "my.iso", "kernel_boot_params": "console=ttyS0"}
    values: dict[str, object] = {
        "path": Path("profiles/my.yaml"),
        "name": "my",
        "platform": Platform.AMD64,
        "args": {"hostname": "web1"},
        "images": ("debian:trixie", "a.dockerfile"),
        "output": OutputModel.model_validate({**output, **changes.pop("output", {})}),  # type: ignore[dict-item]
        "boot": None,
        "assertions": (),
        "settings": Settings(),
        "locations": {("images", 1): Location(path=Path("profiles/my.yaml"), line=4, column=5)},
    }
    return Profile(**{**values, **changes})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Layers:
    """Writes layers into a folder and reads them as the pipeline does."""

    folder: Path

    def write(self, name: str, text: str, files: Mapping[str, str] | None = None) -> Layer:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / name
        path.write_text(text)
        for file, content in (files or {}).items():
            target = self.folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
        return Layer(name=name, path=path, context=self.folder, summary=f"the layer {name}")

    def read(self, name: str, text: str = ON_SOURCE, files: Mapping[str, str] | None = None) -> LayerSource:
        return read_layer(self.write(name, text, files))


@pytest.fixture
def layers(tmp_path: Path) -> Layers:
    return Layers(tmp_path / "layers")


MakePlan = Callable[..., BuildPlan]


@pytest.fixture
def make_plan(layers: Layers) -> MakePlan:
    """A plan from a profile that stands on debian:trixie and a.dockerfile, with parts of it replaced."""

    def make(given: Profile | None = None, **changes: object) -> BuildPlan:
        tools = Layers(layers.folder.parent / "tools")
        seal = Layers(layers.folder.parent / "seal")
        values: dict[str, object] = {
            "generator": GENERATOR,
            "rootfs": ["debian:trixie", layers.read("a.dockerfile", f"{ON_SOURCE}ARG METALLIZE_HOSTNAME=x\n")],
            "tools": [tools.read("Dockerfile")],
            "seal": seal.read("Dockerfile"),
            "native": Layers(layers.folder.parent / "native").read("native.dockerfile"),
            "host_platform": Platform.AMD64,
            "build_dir": Path("build"),
        }
        return plan(given or profile(), **{**values, **changes})  # type: ignore[arg-type]

    return make
