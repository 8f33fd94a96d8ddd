"""What publish and the commands that look after releases take.

The commands themselves are imported when they are run: keys, signatures and a bill of materials take time that no other
command has to wait for.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

from metallize.commands.parser import Later
from metallize.errors import UsageError
from metallize.model.rule_names import NAMES
from metallize.release.spans import age

_OTHERS = ", s3://BUCKET/PREFIX, or oci://HOST/REPOSITORY"


def publish_options(publish: argparse.ArgumentParser) -> None:
    """What `metallize publish` takes beside its profile."""
    publish.add_argument("--to", required=True, metavar="DEST", help=f"a folder{_OTHERS}, with --channel")
    publish.add_argument(
        "--channel", metavar="NAME", help="release it there: versions, checksums, an SBOM, a page; docs/release.md"
    )
    _change_options(publish)
    publish.add_argument(
        "--sign-key", metavar="KEY", help="sign the statements: a file of `metallize keygen`, or a URI"
    )
    publish.add_argument(
        "--waive", action="append", default=[], choices=NAMES, metavar="RULE",
        help=f"overrule what the profile's `release` says, and tell so: {', '.join(NAMES)}",
    )  # fmt: skip
    publish.add_argument(
        "--accept-flaky",
        metavar="ISSUE",
        help="let out an image that a night saw fail and pass, and tell so, with ISSUE",
    )
    publish.add_argument("--xz-level", type=int, choices=range(10), metavar="0-9", help="default: 6")


def image_or_address(text: str) -> Path | str:
    """A file's path, or the address of a web server or a registry, as it is."""
    return text if re.match(r"(https?|oci(\+https?)?)://", text) else Path(text)


def fetched_options(flash: argparse.ArgumentParser) -> None:
    """What is wanted of an image that comes from an address."""
    flash.add_argument(
        "--keyring",
        type=Path,
        metavar="FILE",
        help="of a URL: a key of this keyring of gpg's has to have signed its list",
    )
    flash.add_argument(
        "--key", dest="keys", action="append", default=[], type=Path, metavar="FILE",
        help="of a URL: its statements have to be signed with this key, and say that it boots",
    )  # fmt: skip
    flash.add_argument(
        "--require",
        type=_names,
        default=(),
        metavar="raspi3b",
        help="with --key: machines; default: all that it was for",
    )
    flash.add_argument("--max-age", type=age, metavar="30d", help="with --key: booted no longer ago than that")


def _change_options(verb: argparse.ArgumentParser, *, retention: bool = True) -> None:
    """What whoever changes a channel can say."""
    verb.add_argument("--gpg-key", metavar="KEY", help="sign SHA256SUMS with this key of gpg's")
    verb.add_argument(
        "--url", metavar="URL", help="where DEST is served, for what clients are told: https://example.com/os, or none"
    )
    verb.add_argument(
        "--best-before", metavar="14d", help="SHA256SUMS is fresh so long, each time it is written; or never"
    )
    if retention:
        verb.add_argument("--keep", type=_number, metavar="N", help="so many releases of a name stay; default: all")
        verb.add_argument("--keep-for", type=age, metavar="90d", help="older releases go; the latest and pinned stay")


def _releases_options(verb: argparse.ArgumentParser) -> None:
    _destination(verb)


def _promote_options(verb: argparse.ArgumentParser) -> None:
    _release(verb)
    verb.add_argument("--channel", required=True, metavar="NAME", help="where it is offered from now on too")
    verb.add_argument("--from", dest="source", metavar="NAME", help="the channel that has it; default: whichever does")
    _change_options(verb)


def _retract_options(verb: argparse.ArgumentParser) -> None:
    _release(verb)
    verb.add_argument("--channel", metavar="NAME", help="this one alone; default: all that have it")
    verb.add_argument("--why", default="retracted", metavar="TEXT", help="is shown to whoever looks for it")
    _change_options(verb, retention=False)


def _pin_options(verb: argparse.ArgumentParser) -> None:
    _release(verb)
    verb.add_argument("--channel", metavar="NAME", help="this one alone; default: all that have it")
    verb.add_argument("--off", action="store_true", help="let retention take it away again")
    _change_options(verb, retention=False)


def _destination(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("destination", metavar="DEST", help=f"where it was published to: a folder{_OTHERS}")


def _release(verb: argparse.ArgumentParser) -> None:
    _destination(verb)
    verb.add_argument("version", metavar="VERSION", help="20261130.1, or with its name: web_20261130.1")


def _diff_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("before", metavar="A", help="an image with its manifest beside it, a manifest, or a version")
    verb.add_argument("after", metavar="B", help="the same; what it has otherwise is told")
    verb.add_argument("--in", dest="destination", metavar="DEST", help="A and B are versions that are published there")
    verb.add_argument("--channel", metavar="NAME", help="of --in; default: whichever has them")


def _keygen_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "name", nargs="?", type=Path, default=Path("metallize"), metavar="NAME", help="default: metallize"
    )
    verb.add_argument(
        "--of",
        metavar="URI",
        help="make no key: write the public half of this one, which a token or a key service keeps",
    )


def _attest_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("action", choices=["verify"], help="judge an image by its signed statements; a file offline")
    verb.add_argument(
        "image", type=image_or_address, metavar="IMAGE or URL",
        help="as it was fetched, or unpacked; or the address of a release, of its channel or of a file in it",
    )  # fmt: skip
    verb.add_argument(
        "--key", dest="keys", action="append", required=True, type=Path, metavar="FILE", help="the signer's public key"
    )
    verb.add_argument(
        "--keyring",
        type=Path,
        metavar="FILE",
        help="of a URL: a key of this keyring of gpg's has to have signed its list",
    )
    verb.add_argument("--statements", type=Path, metavar="FILE", help="default: IMAGE.intoto.jsonl, without its .xz")
    verb.add_argument("--report", type=Path, metavar="FILE", help="default: IMAGE.verification.json, if it is there")
    verb.add_argument(
        "--require", type=_names, default=(), metavar="ovmf,seabios", help="machines; default: all of the profile's"
    )
    verb.add_argument("--max-age", type=age, metavar="30d", help="booted no longer ago than that")
    verb.add_argument("--profile-digest", type=_digest, metavar="SHA256", help="of what the profile asks")
    verb.add_argument("--allow-warned", action="store_true", help="tests that passed with a warning count as passed")
    verb.add_argument("--allow-quarantined", action="store_true", help="tests that the profile leaves out may be so")
    verb.add_argument("--decided", action="store_true", help="a decision of the gate must be among the statements")


def _number(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1 << 31:
        raise argparse.ArgumentTypeError(f"`{text}` is no number of releases: it is 1 or more")
    return int(text)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise UsageError(f"--require {text}: it is a list of machines", hint="--require ovmf,seabios")
    return names


def _digest(text: str) -> str:
    if re.fullmatch(r"[0-9a-f]{64}", text) is None:
        raise UsageError(f"--profile-digest {text}: it is no sha256", hint="64 hexadecimal digits")
    return text


VERBS: tuple[tuple[str, Later, str, Callable[[argparse.ArgumentParser], None]], ...] = (
    (
        "releases",
        Later("releases", "show"),
        "what is published: channels, versions, sizes, where each passed, ages",
        _releases_options,
    ),
    (
        "promote",
        Later("releases", "promote"),
        "offer a release in another channel too: the same bytes, no new build",
        _promote_options,
    ),
    (
        "retract",
        Later("releases", "retract"),
        "offer a release no longer; its files stay for another day",
        _retract_options,
    ),
    ("pin", Later("releases", "pin"), "have a release stay, whatever --keep and --keep-for say", _pin_options),
    (
        "diff",
        Later("difference", "diff"),
        "what differs between two images, manifests or releases: packages, kernel, layers",
        _diff_options,
    ),
    ("keygen", Later("attest", "keygen"), "make a key to sign statements with: NAME.key and NAME.pub", _keygen_options),
    ("attest", Later("attest", "attest"), "whether signed statements prove that a file boots", _attest_options),
)
"""Name, what runs it, summary and options of each."""
