"""keygen and attest: who says that an image boots, and whether it can be believed."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from metallize.commands.saying import out
from metallize.commands.shared import renderer_of
from metallize.errors import ExitCode
from metallize.release import attest as attesting
from metallize.release.keys import load_public, make_key, write_public
from metallize.render import JsonLines


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
    image: Path = options.image
    beside = attesting.report_beside(image)
    policy = attesting.Policy(
        keys=tuple(load_public(key) for key in options.keys),
        require=options.require,
        max_age=options.max_age,
        profile_digest=options.profile_digest,
        allow_warned=options.allow_warned,
        allow_quarantined=options.allow_quarantined,
        decided=options.decided,
    )
    found = attesting.verify(
        image,
        options.statements or attesting.statements_beside(image),
        options.report or (beside if beside.exists() else None),
        policy,
    )
    renderer = renderer_of(options)
    if isinstance(renderer, JsonLines):
        told = [{**asdict(each), "subjects": sorted(each.subjects)} for each in found.statements]
        waived = None if found.decision is None else list(found.decision.waived)
        renderer.write(
            {"event": "result", "sha256": found.sha256, "statements": told, "decided": found.decision is not None,
             "waived": waived}
        )  # fmt: skip
        return ExitCode.DONE
    for each in found.statements:
        accelerator = f", {each.accelerator}" if each.accelerator else ""
        where = f"{each.machine} ({each.firmware}{accelerator})"
        out(f"{image} passed {each.passed} tests on {where}, {each.started:%Y-%m-%d}")
    if found.decision is not None:
        out(f"{image} was let out by the gate{''.join(f'; overruled: {each}' for each in found.decision.waived)}")
    return ExitCode.DONE
