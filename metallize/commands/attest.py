"""keygen and attest: who says that an image boots, and whether it can be believed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from metallize.commands.saying import out
from metallize.commands.shared import renderer_of
from metallize.errors import ExitCode, UsageError
from metallize.events import Events
from metallize.release import attest as attesting
from metallize.release.attest import Attested
from metallize.release.fetching.attested import attested_at
from metallize.release.keys import load_public, make_key, write_public
from metallize.render import JsonLines, Renderer


def keygen(options: argparse.Namespace) -> int:
    """`metallize keygen [NAME] [--of URI]`."""
    if options.of is not None:
        private, public = options.of, str(write_public(options.of, options.name))
    else:
        files = make_key(options.name)
        private, public = str(files.private), str(files.public)
    renderer = renderer_of(options)
    if isinstance(renderer, JsonLines):
        renderer.write({"event": "result", "private": private, "public": public})
        return ExitCode.DONE
    for path in (public,) if options.of is not None else (private, public):
        out(path)
    return ExitCode.DONE


def attest(options: argparse.Namespace) -> int:
    """`metallize attest verify IMAGE --key FILE`."""
    policy = attesting.Policy(
        keys=tuple(load_public(key) for key in options.keys),
        require=options.require,
        max_age=options.max_age,
        profile_digest=options.profile_digest,
        allow_warned=options.allow_warned,
        allow_quarantined=options.allow_quarantined,
        decided=options.decided,
    )
    renderer = renderer_of(options)
    for image, found in (
        _of_address(options, policy, renderer) if isinstance(options.image, str) else (_of_file(options, policy),)
    ):
        _tell(image, found, renderer)
    return ExitCode.DONE


def _of_file(options: argparse.Namespace, policy: attesting.Policy) -> tuple[str, Attested]:
    if options.keyring is not None:
        raise UsageError("--keyring goes with an address", hint="gpg --verify SHA256SUMS.gpg SHA256SUMS")
    image: Path = options.image
    beside = attesting.report_beside(image)
    statements = options.statements or attesting.statements_beside(image)
    return str(image), attesting.verify(
        image, statements, options.report or (beside if beside.exists() else None), policy
    )


def _of_address(
    options: argparse.Namespace, policy: attesting.Policy, events: Events
) -> Sequence[tuple[str, Attested]]:
    for name, given in (("--statements", options.statements), ("--report", options.report)):
        if given is not None:
            raise UsageError(f"{name} goes with a file", hint="of an address those are taken that are published there")
    # Nothing is told of one image where another is refused.
    return list(attested_at(options.image, events, policy, keyring=options.keyring))


def _tell(image: str, found: Attested, renderer: Renderer) -> None:
    if isinstance(renderer, JsonLines):
        told = [{**asdict(each), "subjects": sorted(each.subjects)} for each in found.statements]
        waived = None if found.decision is None else list(found.decision.waived)
        renderer.write(
            {"event": "result", "image": image, "sha256": found.sha256, "statements": told,
             "decided": found.decision is not None, "waived": waived}
        )  # fmt: skip
        return
    for each in found.statements:
        accelerator = f", {each.accelerator}" if each.accelerator else ""
        where = f"{each.machine} ({each.firmware}{accelerator})"
        out(f"{image} passed {each.passed} tests on {where}, {each.started:%Y-%m-%d}")
    if found.decision is not None:
        out(f"{image} was let out by the gate{''.join(f'; overruled: {each}' for each in found.decision.waived)}")
