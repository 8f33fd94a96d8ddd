"""build and plan: from a profile to an image."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from metallize import images, pipeline
from metallize import proof as proofs
from metallize.build.currency import known_images
from metallize.build.notes import notes, shortfalls
from metallize.build.script import shell_script
from metallize.build.secrets.lending import require_used
from metallize.build.steps import steps_of
from metallize.commands.engine import engine_of_host
from metallize.commands.saying import out
from metallize.commands.shared import (
    catalog_of,
    profiles_of,
    renderer_of,
    settings_of,
    show_reports,
    write_junit,
)
from metallize.errors import EngineError, ExitCode, UsageError, VerificationFailed
from metallize.events import Note
from metallize.model.report import BootReport
from metallize.render import JsonLines


def build(options: argparse.Namespace) -> int:
    """`metallize build`: every output of the profile; one that fails its boots does not keep the next from its own."""
    _check_belonging(options)
    catalog = catalog_of(options)
    profiles = profiles_of(options, catalog)
    settings = settings_of(options)
    plans = [pipeline.prepare(profile, catalog, settings, verified=options.verify) for profile in profiles]
    require_used(plans, settings.given or ())
    renderer = renderer_of(options)
    done: list[pipeline.Built] = []
    failures: list[VerificationFailed] = []
    with renderer, engine_of_host() as engine:
        for words in dict.fromkeys(words for prepared in plans for words in notes(prepared)):
            renderer.emit(Note(text=words))
        for prepared, written in zip(plans, profiles, strict=True):
            profile = images.updatable(written, renderer, settings) if options.verify else written
            try:
                done.append(
                    pipeline.build(prepared, profile, catalog, engine, renderer, settings, verified=options.verify)
                )
            except VerificationFailed as exc:
                failures.append(exc)
    shown = [*(built.reports for built in done), *(failure.reports for failure in failures)]
    reports = [report for some in shown for report in some if isinstance(report, BootReport)]
    show_reports(reports, renderer, options)
    write_junit(options, reports, [_known(built) for built in done if built.verified and not built.reports])
    for built in done:
        if isinstance(renderer, JsonLines):
            renderer.write(
                {"event": "result", "image": str(built.image), "sha256": built.sha256, "built": built.built,
                 "verified": built.verified, "lacking": list(built.lacking)}
            )  # fmt: skip
        else:
            out(str(built.image))
    if failures:
        raise failures[0] if len(failures) == 1 else _all_of(failures, reports)
    return ExitCode.DONE


def _check_belonging(options: argparse.Namespace) -> None:
    """Raises UsageError for what means nothing where nothing is booted: nothing that is asked may be passed over."""
    if options.verify:
        return
    for name, given in (
        ("--machine", options.machines),
        ("--accel", options.accel != "auto"),
        ("--keep-running-on-failure", options.keep_running_on_failure),
        ("--capture", options.capture),
        ("--junitxml", options.junitxml),
    ):
        if given:
            raise UsageError(f"{name} goes with --verify: without it nothing is booted", hint="add --verify")


def _known(built: pipeline.Built) -> str:
    return f"{built.image.name}: these bytes held all of it before (sha256 {built.sha256[:12]})"


def _all_of(failures: Sequence[VerificationFailed], reports: Sequence[BootReport]) -> VerificationFailed:
    """One error for several images that failed."""
    if all(failure.reports for failure in failures):
        return proofs.failed(reports)
    hints = [failure.hint for failure in failures if failure.hint]
    message = "; ".join(failure.message for failure in failures)
    return VerificationFailed(message, hint="; ".join(hints) or None, reports=reports)


def plan(options: argparse.Namespace) -> int:
    """`metallize plan`: works without an engine, which then cannot say what is cached."""
    catalog = catalog_of(options)
    settings = settings_of(options)
    plans = [pipeline.plan_of(profile, catalog, settings) for profile in profiles_of(options, catalog)]
    require_used(plans, settings.given or ())
    try:
        with engine_of_host() as engine:
            scripts = [
                shell_script(each, known=known_images(steps_of(each), engine), lacking=shortfalls(each, engine))
                for each in plans
            ]
    except EngineError:
        scripts = [shell_script(each) for each in plans]
    # Each in a shell of its own: they set traps and end with a status.
    script = scripts[0] if len(scripts) == 1 else "set -e\n" + "".join(f"(\n{each})\n" for each in scripts)
    if options.json:
        made = [str(each.build_dir / each.file) for each in plans]
        JsonLines(sys.stdout).write({"event": "plan", "images": made, "script": script})
    else:
        sys.stdout.write(script)
    return ExitCode.DONE
