"""The matrix for people, for programs, and for CI systems that schedule by themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metallize.errors import UsageError
from metallize.model.visible import visible
from metallize.night.attempt import Cell
from metallize.night.matrix.formats import Format
from metallize.night.matrix.value import Entry, Matrix, shown_path

GITHUB_JOBS = 256
"""So many jobs may a matrix of GitHub Actions have (docs.github.com, usage limits)."""
GITLAB_JOBS = 200
"""So many jobs may one `parallel:matrix` of GitLab have (docs.gitlab.com, CI/CD YAML syntax)."""
_MIB = 1 << 20


def printed(matrix: Matrix, how: Format, why: Mapping[Cell, str] | None = None) -> str:
    """The whole text. Raises UsageError where there are more cells than a CI system takes."""
    match how:
        case Format.TABLE:
            return "\n".join(_table(matrix, why or {})) + "\n"
        case Format.JSON:
            return json.dumps(as_plain(matrix, why or {}), indent=1, sort_keys=True) + "\n"
        case Format.GITHUB:
            return json.dumps(_github(matrix), sort_keys=True) + "\n"
        case Format.GITLAB:
            return "\n".join(_gitlab(matrix)) + "\n"


def as_plain(matrix: Matrix, why: Mapping[Cell, str]) -> dict[str, Any]:
    """Builds, cells by the build that they wait for, and what is wrong with the rest."""
    return {
        "builds": [
            {
                "name": each.name,
                "profile": shown_path(each.profile.path),
                "output": each.cell.output,
                "file": each.plan.file,
                "platform": str(each.profile.platform),
                "generator": each.plan.job.generator,
                "key": each.key,
            }
            for each in matrix.builds
        ],
        "cells": [
            {
                "profile": each.cell.profile,
                "output": each.cell.output,
                "machine": each.cell.machine,
                "build": each.build.name,
                "key": each.key,
                "cpus": each.cpus,
                "memory": each.memory_bytes,
                "tags": list(each.tags),
                **({} if each.seconds is None else {"seconds": round(each.seconds, 1)}),
                **({"why": why[each.cell]} if each.cell in why else {}),
            }
            for each in matrix.longest_first()
        ],
        "faults": [
            {
                "profile": each.cell.profile,
                "output": each.cell.output,
                "status": str(each.status),
                "stage": each.stage,
                "reason": each.reason,
            }
            for each in matrix.faults
        ],
    }


def _table(matrix: Matrix, why: Mapping[Cell, str]) -> Iterator[str]:
    heads = ["PROFILE", "OUTPUT", "MACHINE", "CPUS", "MEMORY", "TAKES", "TAGS", *(["CHANGED"] if why else [])]
    rows = [
        [
            each.cell.profile,
            each.build.plan.file,
            each.cell.machine,
            str(each.cpus),
            f"{each.memory_bytes // _MIB} MiB",
            "-" if each.seconds is None else f"{each.seconds:.0f} s",
            ",".join(each.tags),
            *([why.get(each.cell, "")] if why else []),
        ]
        for each in matrix.longest_first()
    ]
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    for row in [heads, *rows]:
        yield visible("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    for fault in matrix.faults:
        yield visible(f"{fault.cell}: {fault.status}: {fault.reason}")


def _job(entry: Entry) -> dict[str, str]:
    return {
        "profile": shown_path(entry.build.profile.path),
        "output": entry.cell.output,
        "machine": entry.cell.machine,
    }


def _github(matrix: Matrix) -> dict[str, Any]:
    """What `strategy.matrix` takes by fromJSON."""
    if len(matrix.entries) > GITHUB_JOBS:
        raise UsageError(
            f"{len(matrix.entries)} cells are more than the {GITHUB_JOBS} jobs of a matrix on GitHub",
            hint="choose some by PROFILE, --machine, --tag or --since",
        )
    return {
        "include": [
            {"name": str(each.cell), **_job(each), "platform": str(each.build.profile.platform)}
            for each in matrix.longest_first()
        ]
    }


def _gitlab(matrix: Matrix) -> Iterator[str]:
    """A child pipeline; a string of JSON is one of YAML, too."""
    entries = matrix.longest_first()
    if not entries:
        yield from ("nothing-to-boot:", "  script:", "    - echo 'no cell has changed'")
    for start in range(0, len(entries), GITLAB_JOBS):
        name = "boot" if len(entries) <= GITLAB_JOBS else f"boot-{start // GITLAB_JOBS + 1}"
        yield from _gitlab_job(name, entries[start : start + GITLAB_JOBS])


def _gitlab_job(name: str, entries: Sequence[Entry]) -> Iterator[str]:
    yield f"{name}:"
    yield "  script:"
    yield (
        '    - \'metallize build "$PROFILE" ${OUTPUT:+--output "$OUTPUT"} --verify --machine "$MACHINE" '
        "--junitxml=build/verify.xml'"
    )
    yield "  artifacts:"
    yield "    when: always"
    yield "    paths: [build/runs]"
    yield "    reports: {junit: build/verify.xml}"
    yield "  parallel:"
    yield "    matrix:"
    for each in entries:
        # GitLab expands variables in the value of another: a dollar sign of a name is written twice.
        variables = {name.upper(): value.replace("$", "$$") for name, value in _job(each).items()}
        yield "      - " + json.dumps(variables, ensure_ascii=False)
