"""Which packages a rootfs holds, and the time of the newest: the one time that all cold builds of an image agree on.

When an image was built says nothing of what is in it, and is another on each host. When the newest of its packages was
made is the same wherever the same packages are installed: dpkg(1) unpacks what a package brings of its own database
(/var/lib/dpkg/info) with the times that deb(5) gives it, which dpkg-deb bounds by the package's changelog.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from metallize.errors import EngineError

DEFAULT_EPOCH = 1_577_836_800
"""2020-01-01, for a rootfs that has no packages of dpkg's: seconds since 1970."""

# dpkg writes *.list and `format` itself, and *.md5sums where a package has none.
SCRIPT = r"""cd /var/lib/dpkg/info 2>/dev/null || exit 0
find . -type f ! -name '*.list' ! -name '*.md5sums' ! -name format -printf 'time %T@\n' | sort -n -k 2 | tail -n 1
dpkg-query --show --showformat 'package ${db:Status-Status} ${Package} ${Version} ${Architecture}\n'"""
"""For the rootfs's own sh(1): the time of the newest package, then a line for each package."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Package:
    """A package that is installed."""

    name: str
    architecture: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version} {self.architecture}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """What a rootfs says of its packages."""

    packages: tuple[Package, ...] = ()
    """By name and architecture."""
    newest: int | None = None
    """When the newest was made, in seconds since 1970; None where there is none."""


class Runs(Protocol):
    """An engine that can run a command."""

    def run(self, argv: Sequence[str], output: Callable[[str], None]) -> list[str] | None:
        """Run it to its end; the last lines it printed where it failed, None where it did not."""
        ...


def census(engine: Runs, argv: Sequence[str], known: Callable[[Sequence[str]], EngineError | None]) -> Census:
    """Look into a rootfs with the command that runs SCRIPT there.

    Raises EngineError where it fails: the one that is `known` by the lines that were printed, or one with their tail.
    """
    lines: list[str] = []
    failed = engine.run(argv, lines.append)
    if failed is not None:
        if (why := known(failed)) is not None:
            raise why
        told = "\n".join(failed[-_TAIL_LINES:])
        hint = "the image has no /bin/sh: name a base with a shell" if "/bin/sh: no such file" in told else None
        raise EngineError(f"the packages of the rootfs could not be counted:\n{told}", hint=hint)
    return read_census("\n".join(lines))


_TAIL_LINES = 10


def read_census(text: str) -> Census:
    """What SCRIPT printed."""
    times = [int(float(line.split()[1])) for line in text.splitlines() if line.startswith("time ")]
    return Census(packages=tuple(sorted(_packages(text))), newest=max(times, default=None))


def _packages(text: str) -> Iterator[Package]:
    for line in text.splitlines():
        match line.split(" "):
            case ["package", "installed", name, version, architecture]:
                yield Package(name=name, version=version, architecture=architecture)


def epoch_of(asked: str | None, newest: int | None) -> int:
    """The latest time of anything in the image: SOURCE_DATE_EPOCH, the newest package's, or else a fixed one."""
    if asked:
        return int(asked)
    return DEFAULT_EPOCH if newest is None else newest


def snapshot(found: Census, lock: str | None, archive: str | None = None) -> dict[str, str | None]:
    """What a manifest says, as `package_snapshot`, of the state of the archive that the packages came from.

    `id` is a digest over their names, versions and architectures: two images with the same have the same packages.
    `lock` is the one that they were held to, `archive` the date of the archive that they are from, where one is set.
    """
    lines = "".join(f"{package}\n" for package in found.packages)
    newest = None if found.newest is None else datetime.fromtimestamp(found.newest, tz=UTC).isoformat()
    return {
        "id": f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}",
        "newest": newest,
        "lock": lock,
        "archive": archive,
    }


def newest_of(manifest: Mapping[str, Any]) -> int | None:
    """When the newest package of an image was made, by its manifest. Raises ValueError where that does not say."""
    told = manifest.get("package_snapshot")
    newest = told.get("newest", "") if isinstance(told, dict) else ""
    return None if newest is None else int(datetime.fromisoformat(str(newest)).timestamp())
