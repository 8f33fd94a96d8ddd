"""Values of the build side: a profile, a generator, layers on disk, and an engine that only remembers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from metallize.build.engines.engine import Assembly, ImageInfo, Output
from metallize.build.plan import BuildPlan
from metallize.build.planner import plan
from metallize.build.sources import LayerSource, read_layer
from metallize.errors import Location
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
        platform=platform,
        size_bytes=1 << 20,
        parent="",
    )


@dataclass
class FakeEngine:
    """Knows the images it is given, and makes what it is asked for; `registry` has what can be pulled."""

    images: dict[str, ImageInfo] = field(default_factory=dict)
    registry: dict[str, ImageInfo] = field(default_factory=dict)
    commands: list[list[str]] = field(default_factory=list)
    """All that were run, without the command's own name."""
    built: int = 0
    assembled: Callable[[Assembly], None] = lambda _assembly: None
    packages: str = ""
    """What the census' script prints in every image."""
    version: str = "0"
    command: str = "docker"
    user: str = "1:1"

    def inspect(self, reference: str) -> ImageInfo | None:
        return self.images.get(reference)

    def tag(self, image: ImageInfo, reference: str) -> ImageInfo:
        self.images[reference] = replace(image, reference=reference)
        return self.images[reference]

    def run(self, argv: Sequence[str], output: Output) -> list[str] | None:
        _, verb, *words = argv
        self.commands.append([verb, *words])
        if verb == "pull":
            output("pulling")
            if words[-1] not in self.registry:
                return ["Trying", "no route to host"]
            self.images[words[-1]] = self.registry[words[-1]]
            return None
        if verb == "run":
            for line in self.packages.splitlines():
                output(line)
            return None
        given = dict(itertools.pairwise(words))
        if "--tag" in given:
            self.built += 1
            made = image(given["--tag"], platform=Platform(given["--platform"]))
            self.images[made.reference] = replace(made, id=f"sha256:{self.built:064d}")
        return None

    @property
    def loaded(self) -> list[str]:
        """The bases that were made of an archive."""
        return [dict(itertools.pairwise(each))["--tag"] for each in self.commands if "--tag" in each]

    def assemble(self, assembly: Assembly, output: Output) -> None:
        self.assembled(assembly)

    def cancel(self) -> None: ...

    builder = "boot pid:[1] 1 1"

    def remove_orphans(self) -> Sequence[object]:
        return ()

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
            "base_recipe": Path("base") / "Dockerfile",
            "host_platform": Platform.AMD64,
            "build_dir": Path("build"),
            "mirrors": {},
        }
        given = given or (profile(args={}) if "rootfs" in changes else profile())  # no other layer takes the argument
        return plan(given, **{**values, **changes})  # type: ignore[arg-type]

    return make
