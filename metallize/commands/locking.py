"""lock: the versions of a profile's packages, written beside it."""

from __future__ import annotations

import argparse
import sys

from metallize import pipeline
from metallize.build.packages.lock import write_lock
from metallize.build.secrets.lending import require_used
from metallize.commands.engine import engine_of_host
from metallize.commands.saying import out
from metallize.commands.shared import catalog_of, profile_of, renderer_of, settings_of
from metallize.errors import ExitCode, UsageError
from metallize.render import JsonLines


def lock(options: argparse.Namespace) -> int:
    """`metallize lock`: builds the profile's layers, and writes down what they installed; no image is made."""
    catalog = catalog_of(options)
    profile = profile_of(options, catalog)  # the outputs of a profile have one stack
    settings = settings_of(options)
    plan = pipeline.plan_of(profile, catalog, settings)
    require_used([plan], settings.given or ())
    renderer = renderer_of(options)
    with renderer, engine_of_host() as engine:
        packages = pipeline.packages_now(plan, engine, renderer, settings)
    if not packages:
        raise UsageError(
            f"{profile.path} installs no package that dpkg knows of, so there is nothing to lock",
            hint="a lock is for images of Debian and Ubuntu",
        )
    path = write_lock(profile.path, profile.platform, packages)
    if options.json:
        JsonLines(sys.stdout).write({"event": "result", "lock": str(path), "packages": len(packages)})
    else:
        out(str(path))
    return ExitCode.DONE
