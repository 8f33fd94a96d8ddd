"""What a test run boots: each profile on each of its machines, each image on each machine that is named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from metallize import pipeline
from metallize.build.secrets.given import Given
from metallize.build.secrets.lending import require_used
from metallize.catalog import Catalog
from metallize.config import load_profiles
from metallize.errors import UsageError
from metallize.files.image_format import format_of
from metallize.model.assertion import Assertion
from metallize.model.boot import Boot, Login, MachineOverrides, Ssh
from metallize.model.loaded import Profile
from metallize.model.machine import Machine
from metallize.model.profile import ImageFormat
from metallize.model.report import Entry
from metallize.verify import requests as verification
from metallize.verify.course import plan_course
from metallize.verify.request import VerifyRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the command line says."""

    profiles: tuple[Path, ...]
    images: tuple[Path, ...]
    machines: tuple[str, ...]
    accel: str
    build_dir: Path | None
    user: str | None = None
    password: str | None = None
    given: tuple[Given, ...] = ()
    """What is lent to the layers, where an image has to be built."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One image on one machine."""

    name: str
    """Unique in the run, and a part of the items' ids."""
    source: Path
    """The profile's file, or the image."""
    entry: str
    """The name under boot.machines."""
    machine: Machine
    boot: Boot
    profile: Profile | None
    assertions: tuple[Assertion, ...]
    """The profile's own and those of its suites."""
    overrides: MachineOverrides = field(default_factory=MachineOverrides)
    refused: bool = False
    """It must not boot, and nothing can be asked of it."""


def targets_of(settings: Settings, catalog: Catalog) -> tuple[Target, ...]:
    """All targets, in the order of the command line.

    Raises ProfileError for a profile that is wrong, UsageError for a machine or an image that is not there.
    """
    found = (*_of_profiles(settings, catalog), *_of_images(settings, catalog))
    names: dict[str, Path] = {}
    for target in found:
        if names.setdefault(target.name, target.source) != target.source:
            raise UsageError(
                f"{names[target.name]} and {target.source} have one name, and their results could not be told apart",
                hint="rename one, or test them in two runs",
            )
    return found


def _of_profiles(settings: Settings, catalog: Catalog) -> Iterator[Target]:
    vocabulary = catalog.vocabulary()
    for path in settings.profiles:
        for profile in load_profiles(path, vocabulary=vocabulary):
            boot = profile.boot or Boot()
            for entry, overrides in verification.entries_of(profile, catalog, settings.machines).items():
                expected = overrides.expect or boot.expect
                refused = expected is not None and expected.refused is not None
                machine = verification.machine_named(catalog, overrides.machine or entry)
                asked = verification.with_promises(profile.assertions, catalog, machine, boot, overrides)
                yield Target(
                    name=f"{profile.output.file if profile.several else profile.name}-{entry}",
                    source=path,
                    entry=entry,
                    machine=machine,
                    boot=boot,
                    profile=profile,
                    assertions=() if refused else asked,
                    overrides=overrides,
                    refused=refused,
                )


def _of_images(settings: Settings, catalog: Catalog) -> Iterator[Target]:
    boot = Boot()
    if settings.user is not None:
        login = Login(user=settings.user, password=settings.password or "")
        boot = Boot(login=login, ssh=Ssh(user=settings.user, password=settings.password))
    for path in settings.images:
        format_of(path)
        for entry in settings.machines or ("seabios",):
            yield Target(
                name=f"{path.name}-{entry}",
                source=path,
                entry=entry,
                machine=verification.machine_named(catalog, entry),
                boot=boot,
                profile=None,
                assertions=(),
            )


def require_meant(settings: Settings, targets: Sequence[Target], catalog: Catalog) -> None:
    """Raises UsageError for what says nothing in this run: a user of no image, a secret that no layer mounts."""
    if settings.password is not None and settings.user is None:
        raise UsageError("--metallize-password goes with --metallize-user", hint="say whose it is")
    if settings.user is not None and not settings.images:
        raise UsageError("--metallize-user goes with --image", hint="a profile says it under boot.login and boot.ssh")
    if settings.given:
        options = pipeline.Options(build_dir=settings.build_dir)
        profiles = {target.source: target.profile for target in targets if target.profile is not None}
        require_used([pipeline.plan_of(each, catalog, options) for each in profiles.values()], settings.given)


def entries_of(target: Target) -> tuple[Entry, ...]:
    """Everything that its boots will be judged by, but for assertions: those are items by themselves."""
    return plan_course(
        VerifyRequest(
            image=target.source,
            image_format=ImageFormat.RAW,
            boot=target.boot,
            assertions=(),
            groups=() if target.profile is None else target.profile.groups,
            machine_entry=target.entry,
            machine=target.machine,
            kinds={},
            runs_dir=Path("runs"),
            overrides=target.overrides,
        )
    )


def profile_file(catalog: Catalog, name: str, folder: Path) -> Path:
    """The file of --profile: a path from the folder that pytest was started in, or a shipped profile by its name."""
    path = folder / name
    if path.exists() or Path(name).name != name or Path(name).suffix not in {"", ".yaml"}:
        return path
    return catalog.profiles.get(Path(name).stem, path)


def same_assertions(assertions: Sequence[Assertion]) -> tuple[Assertion, ...]:
    """Each once, though a suite is collected by itself and named by the profile too."""
    return tuple({(str(item.location), item.kind, item.resource): item for item in assertions}.values())
