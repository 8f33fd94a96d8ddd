"""keygen and attest: who says that an image boots, and whether it can be believed."""

from __future__ import annotations

import argparse
import re
from dataclasses import asdict
from pathlib import Path

from metallize.commands.shared import out
from metallize.errors import ExitCode, UsageError
from metallize.release import attest as attesting
from metallize.release.keys import load_public, make_key
from metallize.release.spans import age
from metallize.render import JsonLines, choose


def keygen_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "name", nargs="?", type=Path, default=Path("metallize"), metavar="NAME", help="default: metallize"
    )
    verb.set_defaults(run=keygen)


def attest_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("action", choices=["verify"], help="judge a file by its signed statements, offline")
    verb.add_argument("image", type=Path, metavar="IMAGE", help="as it was fetched, or unpacked")
    verb.add_argument(
        "--key", dest="keys", action="append", required=True, type=Path, metavar="FILE", help="the signer's public key"
    )
    verb.add_argument("--statements", type=Path, metavar="FILE", help="default: IMAGE.intoto.jsonl, without its .xz")
    verb.add_argument("--report", type=Path, metavar="FILE", help="default: IMAGE.verification.json, if it is there")
    verb.add_argument(
        "--require", type=_names, default=(), metavar="ovmf,seabios", help="machines; default: all of the profile's"
    )
    verb.add_argument("--max-age", type=age, metavar="30d", help="booted no longer ago than that")
    verb.add_argument("--profile-digest", type=_digest, metavar="SHA256", help="of what the profile asks")
    verb.add_argument("--allow-warned", action="store_true", help="tests that passed with a warning count as passed")
    verb.set_defaults(run=attest)


VERBS = (
    ("keygen", "make a key to sign statements with: NAME.key and NAME.pub", keygen_options),
    ("attest", "whether signed statements prove that a file boots", attest_options),
)


def keygen(options: argparse.Namespace) -> int:
    """`metallize keygen [NAME]`."""
    files = make_key(options.name)
    renderer = choose(as_json=options.json, verbose=options.verbose)
    if isinstance(renderer, JsonLines):
        renderer.write({"event": "result", "private": str(files.private), "public": str(files.public)})
    else:
        out(str(files.private))
        out(str(files.public))
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
    )
    found = attesting.verify(
        image,
        options.statements or attesting.statements_beside(image),
        options.report or (beside if beside.exists() else None),
        policy,
    )
    renderer = choose(as_json=options.json, verbose=options.verbose)
    if isinstance(renderer, JsonLines):
        told = [{**asdict(each), "subjects": sorted(each.subjects)} for each in found.statements]
        renderer.write({"event": "result", "sha256": found.sha256, "statements": told})
        return ExitCode.DONE
    for each in found.statements:
        accelerator = f", {each.accelerator}" if each.accelerator else ""
        where = f"{each.machine} ({each.firmware}{accelerator})"
        out(f"{image} passed {each.passed} tests on {where}, {each.started:%Y-%m-%d}")
    return ExitCode.DONE


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise UsageError(f"--require {text}: it is a list of machines", hint="--require ovmf,seabios")
    return names


def _digest(text: str) -> str:
    if re.fullmatch(r"[0-9a-f]{64}", text) is None:
        raise UsageError(f"--profile-digest {text}: it is no sha256", hint="64 hexadecimal digits")
    return text
