"""From profiles to the matrix: each is read and planned, and nothing is built."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from metallize import images, pipeline
from metallize.asked import asked_of
from metallize.catalog import Catalog
from metallize.errors import HostError, MetallizeError, ProfileError, UsageError
from metallize.events import Silent
from metallize.model.loaded import Profile
from metallize.night.attempt import Cell, Status
from metallize.night.known import Known
from metallize.night.matrix.value import Build, Entry, Fault, Matrix
from metallize.qemu.plan import cpus_of
from metallize.verify import VerifyRequest
from metallize.verify import requests as verification


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One profile of the matrix; reading it is put off, so that one that is wrong does not keep the others."""

    name: str
    load: Callable[[], Sequence[Profile]]
    """One for each image that it makes."""
    named: bool
    """Somebody asked for it: then it counts, and is not skipped, where this host cannot build it."""
    known: tuple[Known, ...] = ()
    """The failures that are known of it."""


def matrix_of(
    candidates: Sequence[Candidate], catalog: Catalog, options: pipeline.Options, *, here: bool = True
) -> Matrix:
    """Plan every profile. With `here` what this host has no emulator for is a fault of it.

    Raises UsageError where two profiles have one name: their cells could not be told apart.
    """
    twice = [name for name, count in Counter(each.name for each in candidates).items() if count > 1]
    if twice:
        raise UsageError(f"two profiles are called {twice[0]}", hint="the nights tell profiles apart by their names")
    entries: list[Entry] = []
    faults: list[Fault] = []
    for candidate in candidates:
        for found in _planned(candidate, catalog, options, here=here):
            if isinstance(found, Fault):
                faults.append(found)
            else:
                entries += found
    return Matrix(entries=tuple(entries), faults=tuple(faults))


def _planned(
    candidate: Candidate, catalog: Catalog, options: pipeline.Options, *, here: bool
) -> Iterator[Sequence[Entry] | Fault]:
    """For each image of a profile its cells, or what is wrong with it."""
    try:
        profiles = candidate.load()
    except (ProfileError, UsageError) as exc:
        cell = Cell(profile=candidate.name, output="", machine="")
        yield Fault(cell=cell, status=Status.ERROR, stage="profile", error=exc)
        return
    for profile in profiles:
        cell = Cell(profile=candidate.name, output=profile.output.file if profile.several else "", machine="")
        try:
            yield _cells(cell, profile, catalog, options, here=here)
        except (HostError, UsageError) as exc:  # no emulator, or no machine that boots what it makes
            status = Status.MISS if candidate.named else Status.SKIP
            yield Fault(cell=cell, status=status, stage="build", error=exc)
        except MetallizeError as exc:
            yield Fault(cell=cell, status=Status.ERROR, stage="build", error=exc)


def _cells(
    cell: Cell, profile: Profile, catalog: Catalog, options: pipeline.Options, *, here: bool
) -> tuple[Entry, ...]:
    plan = pipeline.prepare(profile, catalog, options, verified=True, emulated=here)
    profile = images.updatable(profile, Silent(), options)
    build = Build(cell=cell, plan=plan, profile=profile)
    requests = verification.requests_for(
        profile,
        catalog,
        plan.image,
        plan.job.format,
        machines=options.machines,
        build_dir=plan.build_dir,
        accel=options.accel,
        keep_running=False,
        capture=options.capture,
    )
    return tuple(
        Entry(
            cell=cell.on(request.machine_entry),
            build=build,
            request=request,
            asked=asked_of(request).id,
            cpus=cpus_of(request.boot, request.overrides),
            memory_bytes=request.overrides.memory or request.boot.memory,
            tags=_tags(build, request),
        )
        for request in requests
    )


def _tags(build: Build, request: VerifyRequest) -> tuple[str, ...]:
    """What a cell can be chosen by: generator, format, architecture, firmware and machine."""
    architecture = str(build.profile.platform).rpartition("/")[2]
    job, machine = build.plan.job, request.machine
    found = (job.generator, str(job.format), architecture, str(machine.firmware), machine.name, request.machine_entry)
    secure = ("secure-boot",) if machine.secure_boot else ()
    return tuple(sorted({*found, *secure}))
