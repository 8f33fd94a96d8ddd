"""What a container engine does for a build; Docker is the one there is, Podman could be another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from metallize.model.profile import Platform

Output = Callable[[str], None]
"""Takes one line of a tool's output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """A local image, as the engine describes it."""

    id: str
    reference: str
    platform: Platform | None
    size_bytes: int
    parent: str
    """The id of the image it was built on, for images that metallize built; else empty."""
    triggers: bool = False
    """Whether it has ONBUILD instructions, which run in whatever is built on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """One run of a generator: what seals the rootfs and exports it into a pipe, and the container that reads it."""

    name: str
    seal: Sequence[str]
    """Builds the image of the sealed rootfs."""
    hold: Sequence[str]
    """Makes a container of it."""
    export: Sequence[str]
    """Writes what that container has to its standard output, as a tar."""
    generate: Sequence[str]
    sealed: str
    """What the names of that image and of that container end with."""
    out: Path
    """The build's own folder, which the container sees as /out."""
    sign: Sequence[str] = ()
    """The container that signs what the first has made; none where it is empty."""
    token: Callable[[Path], None] | None = None
    """Asks a token for what that container wants signed, in a folder; it is run once more then."""
    label: str
    """Marks the run's containers and the sealed image, so that they can be found whatever happens."""


class Engine(Protocol):
    """Errors: EngineError where the engine fails, LayerError for the seal, GeneratorError for a generator."""

    @property
    def version(self) -> str: ...

    @property
    def command(self) -> str:
        """The command of the engine that can build. Raises EngineError where there is none."""
        ...

    @property
    def user(self) -> str:
        """Who a container must run as for its files to be the caller's: `1000:1000`."""
        ...

    @property
    def builder(self) -> str:
        """Who we are, for whoever finds a container of ours and asks whether we still live; empty: nobody can know."""
        ...

    def inspect(self, reference: str) -> ImageInfo | None:
        """The local image, or None."""
        ...

    def tag(self, image: ImageInfo, reference: str) -> ImageInfo:
        """The image under another name too."""
        ...

    def run(self, argv: Sequence[str], output: Output) -> list[str] | None:
        """Run a command of the engine to its end; the last lines it printed where it failed, None where it did not."""
        ...

    def assemble(self, assembly: Assembly, output: Output) -> None:
        """Seal the rootfs and stream it through the generator's container."""
        ...

    def cancel(self) -> None:
        """End commands that run in other threads, because this one has failed or was interrupted."""
        ...

    def remove_orphans(self) -> Sequence[object]:
        """Remove the containers and sealed images of builders that have ended; each as a person reads it."""
        ...

    def remove_leftovers(self, labels: Sequence[str]) -> None:
        """Remove containers and images that carry one of the labels."""
        ...
