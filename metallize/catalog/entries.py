"""What there is: layers, generators, suites and profiles as files, machines and assertion kinds as modules.

Adding one is adding a file or a folder; nothing is registered. This is the one place that imports by name.
"""

from __future__ import annotations

import importlib
import pkgutil
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from metallize.catalog.generator_file import read_generator
from metallize.catalog.layer_file import read_layer_header
from metallize.config.project import shared_folders
from metallize.config.vocabulary import Escape, Vocabulary
from metallize.model.catalogue import Generator, Layer, MachineEntry
from metallize.model.kind import Kind
from metallize.model.profile import Platform

_PACKAGE = Path(__file__).resolve().parent.parent
_SUFFIX = ".dockerfile"


def data_folder() -> Path:
    """Where layers, generators, suites and profiles are: in the installed package, else in the checkout."""
    installed = _PACKAGE / "data"
    return installed if installed.is_dir() else _PACKAGE.parent


def host_platform() -> Platform:
    """The container platform of this host, as Docker would choose it."""
    return Platform.ARM64 if platform.machine().lower() in {"aarch64", "arm64"} else Platform.AMD64


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """Everything that can be named, read from one data folder and an optional folder of extensions."""

    data: Path = field(default_factory=data_folder)
    extensions_dir: Path | None = None
    working_dir: Path = field(default_factory=Path.cwd)
    """`metallize.dockerfile_dir` is looked for here, as the original did, and beside the profile."""

    @cached_property
    def generators(self) -> Mapping[str, Generator]:
        """Every folder of generators/ that holds a generator.yaml."""
        files = sorted((self.data / "generators").glob("*/generator.yaml"))
        return {file.parent.name: read_generator(file) for file in files}

    @cached_property
    def machines(self) -> Mapping[str, MachineEntry]:
        """The `MACHINE` of every module of metallize.machines."""
        return {machine.name: machine for machine in _values("metallize.machines", "MACHINE")}

    @cached_property
    def kinds(self) -> Mapping[str, Kind]:
        """The `KIND` of every module of metallize.checks that has one."""
        return {kind.name: kind for kind in _values("metallize.checks", "KIND")}

    @cached_property
    def layers(self) -> Mapping[str, Layer]:
        """The shipped layers, by the name that a profile gives them."""
        root = self.data / "layers"
        return {name: _layer(name, path, path.parent) for name, path in _dockerfiles(root)}

    @cached_property
    def suites(self) -> Mapping[str, Path]:
        """The shipped suites: boot-tests/NAME.yaml."""
        return {path.stem: path for path in sorted((self.data / "boot-tests").glob("*.yaml"))}

    @cached_property
    def profiles(self) -> Mapping[str, Path]:
        """The shipped profiles: profiles/NAME.yaml."""
        return {path.stem: path for path in sorted((self.data / "profiles").glob("*.yaml"))}

    def layer(self, name: str, *, beside: Path, dockerfile_dir: str | None = None) -> Layer | None:
        """The layer that a profile in the folder `beside` means by a name, or None.

        Looked for beside the profile, in the extensions folder, in dockerfile_dir, among the shipped. Raises
        Escape when a symbolic link or `..` leads out of the folder it is found in.
        """
        for root, is_extension in self._layer_folders(beside, dockerfile_dir):
            for relative in _spellings(name):
                path = root / relative
                if path.is_file():
                    _stay_inside(path, root)
                    return _layer(name, path, root if is_extension else path.parent)
        return None

    def layer_names(self, *, beside: Path, dockerfile_dir: str | None = None) -> tuple[str, ...]:
        """Every name that `layer` would find."""
        names: dict[str, None] = {}
        for root, _ in self._layer_folders(beside, dockerfile_dir):
            names.update((name, None) for name, _path in _dockerfiles(root))
        return tuple(names)

    def suite(self, name: str, *, beside: Path) -> Path | None:
        """The suite's file: a path beside the profile or in a shared folder, or boot-tests/NAME.yaml.

        Raises Escape as `layer` does.
        """
        for folder in (beside, *self._shared(beside)):
            path = folder / name
            if path.suffix in {".yaml", ".yml", ".json"} and path.is_file():
                _stay_inside(path, folder)
                return path
        return self.suites.get(name)

    def suite_names(self, *, beside: Path) -> tuple[str, ...]:
        """The shipped suites, and the YAML files beside the profile and one folder below it."""
        near = [
            path.relative_to(folder).as_posix()
            for folder in (beside, *self._shared(beside))
            for pattern in ("*.y*ml", "*/*.y*ml")
            for path in sorted(folder.glob(pattern))
        ]
        return (*self.suites, *dict.fromkeys(near))

    def vocabulary(self) -> Vocabulary:
        """All of it, as the reading of profiles wants it."""
        return Vocabulary(
            profiles=self.profiles,
            generators=self.generators,
            machines=self.machines,
            kinds=self.kinds,
            layers=_CatalogLayers(self),
            suites=_CatalogSuites(self),
            host_platform=host_platform(),
            refusals=tuple(importlib.import_module("metallize.console.rules").refusals()),
        )

    def _shared(self, beside: Path) -> tuple[Path, ...]:
        """The folders that a project file above a profile's folder shares; shipped profiles belong to no project."""
        return () if beside == self.data / "profiles" else shared_folders(beside)

    def _layer_folders(self, beside: Path, dockerfile_dir: str | None) -> Iterator[tuple[Path, bool]]:
        """Folders in the order of looking, each with whether it is the extensions folder."""
        yield beside, False
        if self.extensions_dir is not None:
            yield self.extensions_dir, True
        if dockerfile_dir is not None:
            yield self.working_dir / dockerfile_dir, False
            yield beside / dockerfile_dir, False
        yield from ((folder, False) for folder in self._shared(beside))
        yield self.data / "layers", False


@dataclass(frozen=True, slots=True)
class _CatalogLayers:
    catalog: Catalog

    def find(self, name: str, *, beside: Path, dockerfile_dir: str | None) -> Layer | None:
        return self.catalog.layer(name, beside=beside, dockerfile_dir=dockerfile_dir)

    def names(self, *, beside: Path, dockerfile_dir: str | None) -> tuple[str, ...]:
        return self.catalog.layer_names(beside=beside, dockerfile_dir=dockerfile_dir)


@dataclass(frozen=True, slots=True)
class _CatalogSuites:
    catalog: Catalog

    def find(self, name: str, *, beside: Path) -> Path | None:
        return self.catalog.suite(name, beside=beside)

    def names(self, *, beside: Path) -> tuple[str, ...]:
        return self.catalog.suite_names(beside=beside)


def _spellings(name: str) -> Sequence[str]:
    """The files that a layer's name can mean: itself, with the suffix, or a folder with a Dockerfile."""
    stem = name.removesuffix(_SUFFIX)
    itself = (name,) if name.endswith(_SUFFIX) or Path(name).name.startswith("Dockerfile") else ()
    return (*itself, f"{stem}{_SUFFIX}", f"{stem}/Dockerfile")


def _dockerfiles(root: Path) -> Iterator[tuple[str, Path]]:
    """Names and files of the layers of a folder; nothing where the folder cannot be read."""
    try:
        entries = sorted(root.iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.suffix == _SUFFIX and entry.is_file():
            yield entry.name, entry
        elif (entry / "Dockerfile").is_file() and not entry.name.startswith("."):
            yield f"{entry.name}{_SUFFIX}", entry / "Dockerfile"


def _layer(name: str, path: Path, context: Path) -> Layer:
    header = read_layer_header(path)
    shown = name if name.endswith(_SUFFIX) or path.name == name else f"{name}{_SUFFIX}"
    return replace(header, name=shown, path=path, context=context)


def _stay_inside(path: Path, root: Path) -> None:
    if not path.resolve().is_relative_to(root.resolve()):
        raise Escape("it leads out of its folder, by a symbolic link or by `..`")


def _values(package: str, attribute: str) -> Iterator[Any]:
    """What the modules of a package call `attribute`, in the order of their names."""
    found = importlib.import_module(package)
    for info in sorted(pkgutil.iter_modules(found.__path__), key=lambda info: info.name):
        value = getattr(importlib.import_module(f"{package}.{info.name}"), attribute, None)
        if value is not None:
            yield value
