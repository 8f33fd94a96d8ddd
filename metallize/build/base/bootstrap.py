"""Which distribution an image reference means, and the command that makes its base from its own packages."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from metallize.build.step import SCRATCH, Slot, Word
from metallize.model.profile import Platform

_DEBIAN = {"11": "bullseye", "12": "bookworm", "13": "trixie", "14": "forky"}
_UBUNTU = {"20.04": "focal", "22.04": "jammy", "24.04": "noble", "26.04": "resolute"}
_ARCHITECTURES = {Platform.AMD64: "amd64", Platform.ARM64: "arm64"}
_COMPONENTS = {"ubuntu": ("main", "restricted", "universe", "multiverse")}
"""What the official image's sources name, where it is more than main: Ubuntu's live-boot is in universe."""
TIME_LIMIT = timedelta(minutes=30)
"""A bootstrap takes 15 s for the host's architecture and some minutes for an emulated one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """A distribution that can be bootstrapped: `debian` `trixie`."""

    id: str
    suite: str


def distribution(reference: str) -> Distribution | None:
    """The distribution whose packages make `debian:trixie`, `debian:13-slim`, `ubuntu:24.04`.

    None for any other reference, and for one with a digest: those very bytes only a registry has.
    """
    return None if "@" in reference else _named(reference)


def _named(reference: str) -> Distribution | None:
    name, _, digest = reference.partition("@")
    repository, _, tag = name.removeprefix("docker.io/").removeprefix("library/").partition(":")
    if digest and not tag:
        return None  # any version's
    tag = tag.removesuffix("-slim") or {"debian": "stable", "ubuntu": "24.04"}.get(repository, "")
    if repository == "debian":
        major = tag.split(".")[0]
        suite = _DEBIAN.get(major, {"latest": "stable"}.get(tag, tag))
    elif repository == "ubuntu":
        suite = _UBUNTU.get(tag, {"latest": "noble"}.get(tag, tag))
    else:
        return None
    return Distribution(id=repository, suite=suite) if suite.isalnum() else None


def supports(layer: Sequence[str], reference: str) -> bool:
    """Whether a layer that says it is made for these (`debian:13`) fits a base; true where either says nothing known.

    An entry without a version is for every version.
    """
    base = _named(reference)
    known = {*_DEBIAN.values(), *_UBUNTU.values()}
    if not layer or base is None or base.suite not in known:
        return True
    return any(each == base.id if ":" not in each else distribution(each) == base for each in layer)


NATIVE_TOOLS_STAGE = "tools"
"""The stage of the native tools' dockerfile that holds these tools and nothing else."""
_NATIVE_FOLDER = "usr/local/lib/metallize-native"


BASE_ARCHIVE, NATIVE_ARCHIVE = "base.tar", "native.tar"
"""What a base is made from and with, in the scratch folder."""


def mirror_of(name: str, environment: Mapping[str, str] = os.environ) -> str:
    """The mirror that METALLIZE_DEBIAN_MIRROR or METALLIZE_UBUNTU_MIRROR names; empty for mmdebstrap's own.

    An address, or a whole line of a sources.list(5) (`deb [trusted=yes] http://... noble main universe`). The base's
    own apt goes there too, and so do the layers that install packages.
    """
    return environment.get(f"METALLIZE_{name.upper()}_MIRROR", "").strip()


def components(wanted: Distribution) -> tuple[str, ...]:
    """The parts of its archive that its official image's sources name."""
    return _COMPONENTS.get(wanted.id, ("main",))


def bootstrap_argv(
    wanted: Distribution, platform: Platform, *, native_tools: bool = False, sources: Sequence[str] = ()
) -> tuple[Word, ...]:
    """mmdebstrap(1) for a minimal base of these `sources`, and nothing of this host in it.

    Without any they are `mirror_of`, or mmdebstrap's own default.

    It writes BASE_ARCHIVE. With `native_tools` NATIVE_ARCHIVE has this host's own tools for a base of another
    architecture (generators/common/native): they do what would else be emulated, and are taken out again.
    """
    native = native_tools and (
        # After the unpacking, which is not emulated, and before the first maintainer script, which is.
        f'--extract-hook=tar -C "$1" --exclude=etc/apt -xf "${SCRATCH}/{NATIVE_ARCHIVE}"',
        '--aptopt=DPkg::Path "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"',
        f'--customize-hook=sh "$1/{_NATIVE_FOLDER}/remove" "$1"',
        '--customize-hook=rm "$1/etc/apt/apt.conf.d/99mmdebstrap"',  # where mmdebstrap writes --aptopt
    )
    return (
        "mmdebstrap",
        "--variant=minbase",
        "--format=tar",
        f"--architectures={_ARCHITECTURES[platform]}",
        *([f"--components={','.join(components(wanted))}"] if wanted.id in _COMPONENTS else ()),
        # mmdebstrap copies the host's name and resolver for its own run.
        '--customize-hook=rm -f "$1/etc/hostname" "$1/etc/resolv.conf"',
        *(native or ()),
        wanted.suite,
        Slot(name=SCRATCH, after=f"/{BASE_ARCHIVE}"),
        *(sources or filter(None, [mirror_of(wanted.id)])),
    )


def base_tag(reference: str, platform: Platform, *, snapshot: str = "", sources: Sequence[str] = ()) -> str:
    """The local name of a base that was bootstrapped: never the reference itself, which a registry owns.

    What is as of a date, or comes from a mirror that somebody chose, has a name of its own.
    """
    wanted = distribution(reference)
    mirror = "\n".join(sources) or (mirror_of(wanted.id) if wanted else "")
    chosen = [snapshot, hashlib.sha256(mirror.encode()).hexdigest()[:8] if mirror else ""]
    return "-".join((_own_tag("base", reference, platform), *filter(None, chosen)))


def pulled_tag(reference: str, platform: Platform) -> str:
    """The local name of what a registry gave for a platform: the reference itself is whatever was pulled last."""
    return _own_tag("pulled", reference, platform)


def _own_tag(kind: str, reference: str, platform: Platform) -> str:
    name, _, digest = reference.partition("@")
    host, slash, rest = name.rpartition("/")
    repository, _, version = rest.partition(":")
    repository = re.sub(r"[^a-z0-9]+", "-", f"{host}{slash}{repository}".lower()).strip("-")
    words = [version or "latest", digest.rpartition(":")[2][:16], platform.rpartition("/")[2]]
    return f"metallize/{kind}-{repository}:{'-'.join(word for word in words if word)}"
