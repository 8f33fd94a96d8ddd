"""What a container engine does for a build; Docker is the one there is, Podman could be another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from metallize.build.plan import LayerBuild, Seal
from metallize.model.profile import Platform

Output = Callable[[str], None]
"""Takes one line of a tool's output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """A local image, as the engine describes it."""

    id: str
    reference: str
    created: datetime
    platform: Platform | None
    size_bytes: int
    parent: str
    """The id of the image it was built on, for images that metallize built; else empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """One run of a generator on the rootfs of `top`, its image going to `out`."""

    top: ImageInfo
    platform: Platform
    seal: Seal
    tools: ImageInfo
    job: Mapping[str, object]
    epoch: int
    out: Path
    label: str
    """Marks the run's container, so that it can be found whatever happens."""


class Engine(Protocol):
    """Errors: EngineError where the engine fails, LayerError for a layer, GeneratorError for a generator."""

    @property
    def version(self) -> str: ...

    def inspect(self, reference: str) -> ImageInfo | None:
        """The local image, or None."""
        ...

    def pull(self, reference: str, platform: Platform, output: Output) -> ImageInfo:
        """Fetch an image from its registry; EngineError where it does not come."""
        ...

    def load_base(self, archive: Path, tag: str, platform: Platform, output: Output) -> ImageInfo:
        """An image from the tar archive of a root filesystem."""
        ...

    def build(
        self, layer: LayerBuild, parent: ImageInfo | None, platform: Platform, output: Output, *, fresh: bool
    ) -> ImageInfo:
        """Build one layer; `fresh` uses no cache."""
        ...

    def export(self, layer: LayerBuild, stage: str, platform: Platform, archive: Path, output: Output) -> None:
        """Build one stage of a layer's dockerfile and write its files into a tar archive."""
        ...

    def assemble(self, assembly: Assembly, output: Output) -> None:
        """Seal the rootfs and stream it through the generator's container."""
        ...

    def cancel(self) -> None:
        """End builds that run in other threads, because this one has failed or was interrupted."""
        ...

    def remove_leftovers(self, labels: Sequence[str]) -> None:
        """Remove containers that carry one of the labels."""
        ...
