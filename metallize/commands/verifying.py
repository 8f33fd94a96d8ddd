"""verify and boot: an image that is already there, judged or shown to a person."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any

from metallize import images
from metallize import proof as proofs
from metallize.commands.shared import (
    catalog_of,
    names_profile,
    profile_of,
    profiles_of,
    renderer_of,
    require_no_profile,
    settings_of,
    show_reports,
    write_junit,
)
from metallize.config import load_steps, load_update
from metallize.errors import ExitCode, UsageError
from metallize.events import Note
from metallize.model.boot import Boot, ConsoleRules, Init, Login, Ssh
from metallize.qemu.by_hand.interactive import boot_interactive
from metallize.render import PlainLines
from metallize.shells.ssh import EPHEMERAL
from metallize.verify import requests as verification

_LITERALLY = "a sign that stands for itself gets a backslash: '\\[ready\\]'"
_BY_KEY = (
    "no --user is given: root looks, over SSH and with a key of this boot alone, which an image with systemd 252 or "
    "later and an SSH server takes"
)


def verify(options: argparse.Namespace) -> int:
    """`metallize verify PROFILE`, `metallize verify IMAGE` or `metallize verify --image FILE`."""
    if (options.target is None) == (options.image is None):
        raise UsageError("verify takes a PROFILE or an IMAGE, or --image FILE", hint="metallize verify --help")
    if options.image is None and not names_profile(options.target):
        options.image = options.target
    options.profile = options.target
    catalog = catalog_of(options)
    settings = settings_of(options)
    renderer = renderer_of(options)
    _check_belonging(options)
    if options.image is not None:
        boot = Boot(
            steps=load_steps(options.steps) if options.steps is not None else (),
            console=ConsoleRules(require=tuple(options.require)),
            display=options.display,
            internet=options.internet or None,
            init=Init(options.init),
            update=load_update(options.update) if options.update is not None else None,
            **_ways_in(options),
        )
        with renderer:
            if _is_looked_at(options) and not options.user:
                renderer.emit(Note(text=_BY_KEY))
            reports = images.verify_image(
                options.image, catalog, renderer, settings, boot=boot, suites=options.assertions
            )
    else:
        profiles = profiles_of(options, catalog)
        with renderer:
            each = [images.verify_built(profile, catalog, renderer, settings) for profile in profiles]
        reports = tuple(report for some in each for report in some)
    show_reports(reports, renderer, options)
    write_junit(options, reports)
    if not all(report.passed for report in reports):
        raise proofs.failed(reports)
    return ExitCode.DONE


def _check_belonging(options: argparse.Namespace) -> None:
    """Raises UsageError for what means nothing beside the rest: nothing that is asked may be passed over."""
    if options.image is None:
        for name, given, place in (
            ("--assert", options.assertions, "boot.suites"),
            ("--user", options.user, "boot.login and boot.ssh"),
            ("--password", options.password, "boot.login and boot.ssh"),
            ("--steps", options.steps, "boot.steps"),
            ("--update", options.update, "boot.update"),
            ("--require", options.require, "boot.console.require"),
            ("--display", options.display, "boot.display"),
            ("--internet", options.internet, "boot.internet"),
            ("--init", options.init != Init.SYSTEMD, "boot.init"),
        ):
            if given:
                raise UsageError(f"{name} goes with --image", hint=f"in a profile it stands under {place}")
    else:
        require_no_profile(options, options.image)
        if options.password and not options.user:
            raise UsageError("--password goes with --user", hint="say whose it is")
    for pattern in options.require:
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as exc:
            raise UsageError(f"--require {pattern}: it is no regular expression: {exc}", hint=_LITERALLY) from exc
        if not pattern:
            raise UsageError(
                "--require is empty, and an empty expression matches every line", hint="say what is to come"
            )


def _ways_in(options: argparse.Namespace) -> dict[str, Any]:
    """Who logs in to an image that no profile tells of: the given user, or root where somebody must look."""
    if options.user:
        login = Login(user=options.user, password=options.password or "")
        return {"login": login, "ssh": Ssh(user=options.user, password=options.password)}
    return {"ssh": Ssh(user="root", key=EPHEMERAL)} if _is_looked_at(options) else {}


def _is_looked_at(options: argparse.Namespace) -> bool:
    """Whether somebody must be logged in to see what is asked of the image."""
    return bool(options.assertions or options.update)


def boot(options: argparse.Namespace) -> int:
    """`metallize boot PROFILE or IMAGE`: the serial console on this terminal until the guest is switched off."""
    if len(options.machines) > 1:
        raise UsageError("boot takes one --machine: it has this terminal", hint="boot the other from another terminal")
    catalog = catalog_of(options)
    settings = settings_of(options)
    if names_profile(options.target):
        options.profile = options.target
        request = images.bootable(profile_of(options, catalog), catalog, settings)
    else:
        require_no_profile(options, options.target)
        request = images.requests_for_image(options.target, catalog, settings, boot=Boot(), assertions=())[0]
    verification.require_emulators([request.machine])
    status = boot_interactive(
        image=request.image,
        image_format=request.image_format,
        machine=request.machine,
        events=PlainLines(sys.stderr, verbose=options.verbose),
        boot=request.boot.model_copy(update={"internet": True}) if options.internet else request.boot,
        overrides=request.overrides,
        accel=request.accel,
        forwards=options.ports,
    )
    return ExitCode.DONE if status == 0 else ExitCode.MACHINERY
