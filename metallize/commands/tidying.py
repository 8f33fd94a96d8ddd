"""prune: what takes room and is needed no more, said and then removed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from metallize import pruning
from metallize.commands.saying import err, out
from metallize.errors import CommandError, EngineError, ExitCode, HostError, MetallizeError, UsageError
from metallize.model.visible import visible
from metallize.night.retention import wanted_folders
from metallize.pruning import Candidate, Held, Limits, Pruning, What
from metallize.render import JsonLines
from metallize.render.words import size

Look = Callable[[Path, Limits, datetime], Pruning]
_LONGEST_DAYS = 36_500
_NO_ENGINE = "what is in Docker stays: "


def prune(options: argparse.Namespace) -> int:
    """`metallize prune`: says each thing that goes and what it frees; status 3 where one could not be removed."""
    build_dir = options.build_dir or Path("build")
    if build_dir.exists() and not build_dir.is_dir():
        raise UsageError(f"--build-dir {build_dir}: it is a file", hint="name a folder with images and runs")
    now = datetime.now(UTC)
    limits = _limits(options, wanted_folders(build_dir, now))
    found = _found(options, build_dir, limits, now)
    lines = JsonLines(sys.stdout) if options.json else None
    gone: list[Candidate] = []
    held = list(found.held)
    failed: list[MetallizeError] = []
    for each in found.candidates:
        try:
            why = None if options.dry_run else pruning.remove(each, build_dir)
        except (HostError, EngineError, CommandError) as exc:
            failed.append(exc)
            continue
        if why is not None:
            held.append(Held(name=each.name, by=why))
            continue
        gone.append(each)
        if lines is not None:
            lines.write({"event": "would-prune" if options.dry_run else "pruned", "what": each.what, "name": each.name,
                         "why": each.why, "bytes": each.frees_bytes})  # fmt: skip
        else:
            out(f"{each.what}  {visible(each.name)}  {size(each.frees_bytes)}  ({each.why})")
    for stays in held:
        if lines is not None:
            lines.write({"event": "held", "name": stays.name, "by": stays.by})
        else:
            err(f"stays: {stays.name}: {stays.by}")
    _sum_up(gone, lines, dry_run=options.dry_run)
    for error in failed[1:]:
        err(f"error: {error.message}")
    if failed:
        raise failed[0]
    return ExitCode.DONE


def _limits(options: argparse.Namespace, evidence: frozenset[Path]) -> Limits:
    """What stays. Raises UsageError for a limit on what is not asked for."""
    named = options.runs or options.images or options.layers
    for name, given, used in (
        ("--keep", options.keep, options.runs or not named),
        ("--older-than", options.older_than, options.images or options.layers or not named),
    ):
        if given is not None and options.all:
            raise UsageError(f"{name} means nothing beside --all", hint="leave one out")
        if given is not None and not used:
            raise UsageError(f"{name} means nothing for what is asked for here", hint="metallize prune --help")
    if options.all:
        return Limits(runs=0, age=timedelta())
    usual = Limits()
    return Limits(
        runs=usual.runs if options.keep is None else options.keep,
        age=usual.age if options.older_than is None else timedelta(days=min(options.older_than, _LONGEST_DAYS)),
        evidence=evidence,
    )


def _found(options: argparse.Namespace, build_dir: Path, limits: Limits, now: datetime) -> Pruning:
    """What can go of what is asked for: everything, where nothing is named."""
    everything = not (options.runs or options.images or options.layers)
    candidates: list[Candidate] = []
    held: list[Held] = []
    looks: tuple[tuple[bool, Look], ...] = (
        (options.runs or everything, pruning.of_runs),
        (options.images or everything, pruning.of_images),
        (options.images or everything, pruning.of_containers),
        (options.layers or everything, pruning.of_layers),
    )
    silent = False
    for wanted, look in looks:
        if not wanted:
            continue
        try:
            found = look(build_dir, limits, now)
        except (EngineError, HostError, CommandError) as exc:
            if options.layers and look is pruning.of_layers:
                raise
            if not silent:
                err(f"note: {_NO_ENGINE}{exc.message.splitlines()[-1]}")
            silent = True
            continue
        candidates += found.candidates
        held += found.held
    return Pruning(candidates=tuple(candidates), held=tuple(held))


def _sum_up(gone: Sequence[Candidate], lines: JsonLines | None, *, dry_run: bool) -> None:
    """What all of it frees: of layers no more than that, since they share their parts."""
    files = sum(each.frees_bytes for each in gone if each.what is not What.LAYER)
    layers = [each for each in gone if each.what is What.LAYER]
    if lines is not None:
        lines.write({"event": "result", "count": len(gone), "bytes": files, "layers": len(layers), "dry_run": dry_run})
        return
    if not gone:
        err("nothing to prune; the images that `metallize ls` shows stay until you remove them")
        return
    verb = "would free" if dry_run else "freed"
    also = f", and {len(layers)} layers' tags in Docker, which free what no other image shares" if layers else ""
    err(f"{verb} {size(files)}{also}")
