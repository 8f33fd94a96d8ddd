"""publish: out of the house, as copies in a folder or as a release that clients read."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from metallize import images
from metallize.commands.saying import out
from metallize.commands.shared import catalog_of, profiles_of, renderer_of, settings_of
from metallize.errors import ExitCode, UsageError
from metallize.model.loaded import Profile
from metallize.model.profile import SUFFIX_FORMATS
from metallize.night.flakes import require_steady
from metallize.pipeline import Options
from metallize.publish import VerifiedImage
from metallize.release.channel.serving import ServingChange, days_of, url_of
from metallize.release.destinations import destination_at, scheme_of
from metallize.release.gpg import gpg_signer
from metallize.release.keys import signer_of
from metallize.release.publishing import Terms
from metallize.release.publishing import publish as release
from metallize.release.retention import Retention
from metallize.release.statement import statements
from metallize.release.wares import Ware
from metallize.render import JsonLines, Renderer


def publish(options: argparse.Namespace) -> int:
    """`metallize publish`: every output, and none of them where one is not verified."""
    if options.channel is not None:
        return _release(options)
    for name, given in (
        ("--sign-key", options.sign_key),
        ("--gpg-key", options.gpg_key),
        ("--keep", options.keep),
        ("--keep-for", options.keep_for),
        ("--xz-level", options.xz_level),
        ("--waive", options.waive or None),
        ("--url", options.url),
        ("--best-before", options.best_before),
    ):
        if given is not None:
            raise UsageError(f"{name} goes with --channel", hint="--channel stable")
    if scheme_of(options.to):
        raise UsageError(f"{options.to} takes releases alone, and those go with --channel", hint="--channel stable")
    catalog = catalog_of(options)
    settings = settings_of(options)
    renderer = renderer_of(options)
    with renderer:
        done = images.publish(
            profiles_of(options, catalog),
            catalog,
            renderer,
            settings,
            Path(options.to),
            require=lambda found: accepted_flakes(found, options.accept_flaky),
        )
    for verified, copies in done:
        if options.json:
            files = [str(path) for path in copies]
            JsonLines(sys.stdout).write({"event": "result", "sha256": verified.sha256, "files": files})
            continue
        for path in copies:
            out(str(path))
    return ExitCode.DONE


def _release(options: argparse.Namespace) -> int:
    catalog = catalog_of(options)
    settings: Options = settings_of(options)
    profiles = profiles_of(options, catalog)
    destination = destination_at(options.to)
    terms = Terms(
        channel=options.channel,
        retention=retention_of(options),
        sign=gpg_signer(options.gpg_key) if options.gpg_key is not None else None,
        attest=statements(signer_of(options.sign_key)) if options.sign_key is not None else None,
        waive=frozenset(options.waive),
        serving=_serving(options, profiles),
        **({} if options.xz_level is None else {"level": options.xz_level}),
    )
    renderer: Renderer = renderer_of(options)
    with renderer, images.all_verified(profiles, catalog, renderer, settings) as verified:
        wares = [
            Ware(
                image=image,
                platform=profile.platform,
                format=SUFFIX_FORMATS[Path(profile.output.file).suffix],
                profile=profile.path.stem,
                name=profile.output.release_name,
                version=profile.output.version,
                rules=profile.release,
            )
            for profile, image in zip(profiles, verified, strict=True)
        ]
        accepted = accepted_flakes(verified, options.accept_flaky)
        done = release(wares, destination, renderer, replace(terms, accepted=accepted))
    files = [f"{done.place}/{file.name}" for file in done.release.files]
    if isinstance(renderer, JsonLines):
        renderer.write(
            {"event": "result", "name": done.release.name, "version": done.release.version, "channel": options.channel,
             "new": done.new, "files": files}
        )  # fmt: skip
    else:
        for file in files:
            out(file)
    return ExitCode.DONE


def _serving(options: argparse.Namespace, profiles: Sequence[Profile]) -> ServingChange:
    """What the line says of how the channel is served, then the profile: its outputs have one `release`."""
    serve = profiles[0].release.serve
    written = ServingChange(
        url=url_of(serve.url) if serve.url is not None else None,
        days=days_of(serve.best_before) if serve.best_before is not None else None,
        icon=serve.icon,
    )
    return serving_of(options).over(written)


def serving_of(options: argparse.Namespace) -> ServingChange:
    """What `--url` and `--best-before` say."""
    return ServingChange(
        url=url_of(options.url) if options.url is not None else None,
        days=days_of(options.best_before) if options.best_before is not None else None,
    )


def accepted_flakes(found: Sequence[VerifiedImage], issue: str | None) -> dict[str, tuple[str, ...]]:
    """What the nights of their build folders know against images, and --accept-flaky lets out, by digest."""
    told: dict[str, tuple[str, ...]] = {}
    for folder in sorted({each.path.parent for each in found}):
        names = {each.sha256: each.path.name for each in found if each.path.parent == folder}
        told |= require_steady(folder, names, issue)
    return told


def retention_of(options: argparse.Namespace) -> Retention:
    """What `--keep` and `--keep-for` say."""
    return Retention(number=options.keep, age=options.keep_for)
