"""doctor and base: what this host has, and base images made on it."""

from __future__ import annotations

import argparse
import sys

from metallize import planning
from metallize.build.base import bases
from metallize.build.plan import BaseImage
from metallize.catalog import Catalog, host_platform
from metallize.commands.engine import engine_of_host
from metallize.commands.saying import out
from metallize.commands.shared import renderer_of
from metallize.doctor import examine
from metallize.errors import ExitCode, UsageError
from metallize.model.profile import Platform
from metallize.render import JsonLines


def doctor(options: argparse.Namespace) -> int:
    """`metallize doctor`: status 3 where something that builds or boots need is missing, or no worker can boot."""
    if options.fleet is not None:
        from metallize.night.fleet.survey import survey  # noqa: PLC0415 - seldom asked for

        findings = survey(options.fleet, options.keys)
    elif options.keys is not None:
        raise UsageError("--keys goes with --fleet", hint="leave it out")
    else:
        findings = examine()
    if options.json:
        for finding in findings:
            JsonLines(sys.stdout).write({"event": "finding", **finding.as_json()})
    else:
        for finding in findings:
            out(finding.line())
    return ExitCode.DONE if all(finding.fine or not finding.needed for finding in findings) else ExitCode.MACHINERY


def base(options: argparse.Namespace) -> int:
    """`metallize base REFERENCE`."""
    platform = Platform(options.platform) if options.platform else host_platform()
    renderer = renderer_of(options)
    wanted = BaseImage(reference=options.reference, platform=platform)
    step = planning.base_of(wanted, Catalog())
    with renderer, engine_of_host() as engine:
        made = bases.bootstrap(engine, step, renderer)
    if not options.json:
        out(f"{step.places[-1]} ({made.image.size_bytes >> 20} MiB) stands in for {options.reference}")
    return ExitCode.DONE
