"""What the last stage of an application's dockerfile stands on, and what an operating system of it stands on."""

from __future__ import annotations

import re
from dataclasses import dataclass

from metallize.build.base.bootstrap import distribution, supports

DEFAULT = "debian:trixie"
_WITHOUT_APT = (
    "scratch", "alpine", "busybox", "distroless", "wolfi", "chainguard", "fedora", "centos", "rockylinux", "almalinux",
    "amazonlinux", "oraclelinux", "opensuse", "archlinux", "photon", "ubi7", "ubi8", "ubi9", "ubi10", "nix",
)  # fmt: skip
_UBUNTU = re.compile(r"ubuntu|focal|jammy|noble|resolute")


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The first of a profile's images, and what a person has to know of it."""

    reference: str
    family: str
    """debian or ubuntu: whose packages make it an operating system."""
    note: str = ""
    foreign: bool = False
    """Whether the app was written for a system with other packages."""


def family_of(reference: str) -> str:
    known = distribution(reference.partition("@")[0])
    if known is not None:
        return known.id
    return "ubuntu" if _UBUNTU.search(reference) else "debian"


def base_for(reference: str, supported: tuple[str, ...]) -> Base:
    """What stands below the layers where the app stood on `reference`; `supported` are the layers' distributions."""
    plain = reference.partition("@")[0]
    if distribution(plain) is not None:
        if supports(supported, plain):
            return Base(reference=reference, family=family_of(plain))
        note = f"there are no layers for {reference}: it now stands on {DEFAULT}; --base chooses another"
        return Base(reference=DEFAULT, family="debian", note=note)
    words = re.split(r"[^a-z0-9]+", plain.lower())
    if any(word.startswith(name) for word in words for name in _WITHOUT_APT):
        brought = "" if plain == "scratch" else f": what {reference} brings, it has to install from Debian's packages"
        note = f"{reference} is no Debian or Ubuntu: the app now stands on {DEFAULT}{brought}; --base chooses another"
        return Base(reference=DEFAULT, family="debian", note=note, foreign=plain != "scratch")
    note = (
        f"{reference} is no distribution of its own: the layers need a Debian or Ubuntu in it, and a registry that "
        f"gives it; its own ENV, CMD and ENTRYPOINT are not taken over. Where it has none, use --base {DEFAULT}, and "
        "install in the layer what the app needs"
    )
    return Base(reference=reference, family=family_of(plain), note=note)
