"""verify and boot: an image that is already there, judged or shown to a person."""

from __future__ import annotations

import argparse
import sys

from metallize import images, verification
from metallize.commands.shared import catalog_of, profile_of, profiles_of, settings_of, show_reports
from metallize.config import load_steps
from metallize.errors import ExitCode, UsageError
from metallize.model.boot import Boot, Login, Ssh
from metallize.qemu.interactive import boot_interactive
from metallize.render import PlainLines, choose


def verify(options: argparse.Namespace) -> int:
    """`metallize verify PROFILE` or `metallize verify --image FILE`."""
    if (options.profile is None) == (options.image is None):
        raise UsageError("verify takes a PROFILE, or --image FILE", hint="metallize verify --help")
    catalog = catalog_of(options)
    settings = settings_of(options)
    renderer = choose(as_json=options.json, verbose=options.verbose)
    if options.image is not None:
        if options.assertions and not options.user:
            raise UsageError(
                "--assert needs a shell in which to observe, and nobody is logged in to the guest",
                hint="say who is: --user NAME --password WORD",
            )
        boot = Boot(steps=load_steps(options.steps) if options.steps is not None else ())
        if options.user:
            login = Login(user=options.user, password=options.password or "")
            boot = boot.model_copy(update={"login": login, "ssh": Ssh(user=options.user, password=options.password)})
        with renderer:
            reports = images.verify_image(
                options.image, catalog, renderer, settings, boot=boot, suites=options.assertions
            )
    else:
        if options.steps is not None:
            raise UsageError("--steps goes with --image", hint="in a profile they stand under boot.steps")
        profiles = profiles_of(options, catalog)
        with renderer:
            each = [images.verify_built(profile, catalog, renderer, settings) for profile in profiles]
        reports = tuple(report for some in each for report in some)
    show_reports(reports, renderer)
    if not all(report.passed for report in reports):
        raise verification.failed(reports)
    return ExitCode.DONE


def boot(options: argparse.Namespace) -> int:
    """`metallize boot PROFILE or IMAGE`: the serial console on this terminal until the guest is switched off."""
    catalog = catalog_of(options)
    settings = settings_of(options)
    if options.target.suffix in {".yaml", ".yml"} or not options.target.exists():
        options.profile = options.target
        request = images.bootable(profile_of(options, catalog), catalog, settings)
    else:
        request = images.requests_for_image(options.target, catalog, settings, boot=Boot(), assertions=())[0]
    verification.require_emulators([request.machine])
    status = boot_interactive(
        image=request.image,
        image_format=request.image_format,
        machine=request.machine,
        events=PlainLines(sys.stderr, verbose=options.verbose),
        boot=request.boot,
        overrides=request.overrides,
        accel=request.accel,
    )
    return ExitCode.DONE if status == 0 else ExitCode.MACHINERY
