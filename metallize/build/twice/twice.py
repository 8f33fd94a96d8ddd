"""Two builds of one plan, compared: the same bytes, or each file that is not the same in both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from metallize.build.engines.engine import Assembly, Engine, Output
from metallize.build.plan import BuildPlan
from metallize.build.steps.assembly import GENERATOR
from metallize.build.store import Stored
from metallize.build.twice.difference import differences, first_byte, told
from metallize.errors import DifferentBytesError

PROGRAM = "/generator/rootfs"
"""Of the tools' image: keeps the converted rootfs as an archive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One of the two builds."""

    image: Path
    manifest: Mapping[str, Any]
    rootfs: Path
    """The archive of the converted root filesystem."""


def attempt(engine: Engine, assembly: Assembly, stored: Stored, output: Output) -> Attempt:
    """What is compared of a build that has just been made: beside its image the rootfs that went into it.

    `assembly` is that of its image, with another folder to write to.
    """
    words = [PROGRAM if word == GENERATOR else word for word in assembly.generate]
    engine.assemble(replace(assembly, generate=words), output)
    return Attempt(image=stored.path, manifest=stored.manifest, rootfs=assembly.out / "image")


def different(plan: BuildPlan, first: Attempt, second: Attempt) -> DifferentBytesError:
    """The error for two builds whose images are not the same bytes."""
    head = f"two builds of {plan.profile} from nothing gave different bytes of {plan.file}"
    packages = _packages(first.manifest, second.manifest)
    if packages:
        return DifferentBytesError(
            f"{head}: the archive gave other packages the second time\n" + "\n".join(packages),
            hint=f"`metallize lock {plan.profile}` pins their versions; or build again, when the archive is at rest",
        )
    found = differences(first.rootfs, second.rootfs)
    if found:
        lines = "\n".join(f"  {line}" for line in told(found))
        return DifferentBytesError(
            f"{head}; {len(found)} files of the root filesystem differ:\n{lines}",
            hint="docs/same-bytes.md says what a layer must do, and which traces are taken out for it",
        )
    return DifferentBytesError(
        f"{head}, from the same root filesystem: generator {plan.job.generator} does not make the same of it twice "
        f"(the first byte that differs is {first_byte(first.image, second.image)})",
        hint=f"compare {first.image.name} of both builds with cmp or diffoscope",
    )


def _packages(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """A line for each package that only one of the two has, or has in another version."""

    def versions(manifest: Mapping[str, Any]) -> dict[tuple[str, str], str]:
        rows = manifest.get("packages") or ()
        return {(row["name"], row["architecture"]): row["version"] for row in rows}

    one, two = versions(first), versions(second)
    return [
        f"  {name} ({architecture}): {one.get(key, 'none')} and {two.get(key, 'none')}"
        for key in sorted(one.keys() | two.keys())
        for name, architecture in [key]
        if one.get(key) != two.get(key)
    ]
