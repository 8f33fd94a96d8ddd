"""A profile's lock: the packages that its layers have to install, in a file beside it that `metallize lock` writes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from metallize.build.packages.census import Package
from metallize.errors import HostError, Location, Problem, ProfileError
from metallize.model.profile import Platform

_FIELDS = 3


def lock_path(profile: Path) -> Path:
    """web-vm.yaml -> web-vm.lock, beside it."""
    return profile.with_name(f"{profile.stem}.lock")


def lock_text(profile: Path, platform: Platform, packages: Sequence[Package]) -> str:
    """The file's content: a line for each package, its name, version and architecture."""
    head = (
        f"# The packages of {profile.name} for {platform}: name, version, architecture.",
        f"# `metallize lock {profile.name}` writes this; a build that installs anything else is refused.",
    )
    return "\n".join((*head, *(str(package) for package in sorted(packages)))) + "\n"


def packages_of(manifest: Mapping[str, Any]) -> tuple[Package, ...]:
    """The packages that an image's manifest names."""
    return tuple(
        Package(name=row["name"], architecture=row["architecture"], version=row["version"])
        for row in manifest.get("packages") or ()
    )


def write_lock(profile: Path, platform: Platform, packages: Sequence[Package]) -> Path:
    """Write the lock, whole or not at all. Raises HostError where it cannot be written."""
    path = lock_path(profile)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(lock_text(profile, platform, packages))
        part.replace(path)
    except OSError as exc:
        part.unlink(missing_ok=True)
        raise HostError(
            f"{path} cannot be written: {exc.strerror}",
            hint="a lock stands beside its profile: copy a shipped profile into a folder of your own, or `extends` it",
        ) from exc
    return path


def require_locked(profile: Path, packages: Sequence[Package]) -> Path | None:
    """Compare what was installed with the profile's lock; the lock's path, None where the profile has none.

    Raises ProfileError with a problem for each package that is another one, is missing, or is not in the lock.
    """
    path = lock_path(profile)
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as exc:
        problem = Problem(location=Location(path=path, line=1, column=1), message=f"the lock cannot be read: {exc}")
        raise ProfileError([problem]) from exc
    problems = list(_problems(path, lines, packages, f"`metallize lock {profile}` writes what is installed today"))
    if problems:
        raise ProfileError(problems)
    return path


def _problems(path: Path, lines: Sequence[str], packages: Sequence[Package], renew: str) -> Iterator[Problem]:
    installed = {(package.name, package.architecture): package.version for package in packages}
    locked: set[tuple[str, str]] = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        place = Location(path=path, line=number, column=1)
        fields = line.split()
        if len(fields) != _FIELDS:
            yield Problem(location=place, message=f"`{line}` is not a name, a version and an architecture", hint=renew)
            continue
        name, version, architecture = fields
        locked.add((name, architecture))
        now = installed.get((name, architecture))
        if now is None:
            yield Problem(location=place, message=f"{name} {version} ({architecture}) is not installed", hint=renew)
        elif now != version:
            yield Problem(
                location=place,
                message=f"{name} ({architecture}) is locked to {version}, and {now} is installed",
                hint=renew,
            )
    for (name, architecture), version in installed.items():
        if (name, architecture) not in locked:
            place = Location(path=path, line=len(lines) + 1, column=1)
            message = f"{name} {version} ({architecture}) is installed, and the lock does not name it"
            yield Problem(location=place, message=message, hint=renew)
