"""The key `release:` of a profile as a frozen value: what stops a release of an image that boots as it should.

Part of the schema, as `metallize.model.profile` is.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from metallize.model.scalars import Frozen, OneLine

Growth = Annotated[str, StringConstraints(pattern=r"^\+\d{1,6}(\.\d{1,3})?%$")]
"""A share of what was before."""
Days = Annotated[str, StringConstraints(pattern=r"^[1-9]\d{0,2}[dw]$")]
Address = Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.\[\]:_-]+(/[A-Za-z0-9._~%/+-]*)?$")]


class Judgement(StrEnum):
    """What becomes of a release that has it."""

    ALLOW = "allow"
    DENY = "deny"


class PackageRules(Frozen):
    """By the packages of the channel's release before."""

    removed: Annotated[Judgement, Field(description="deny: one that is not in it any more stops the release")] = (
        Judgement.ALLOW
    )
    new: Annotated[Judgement, Field(description="deny: one that was not in it before stops the release")] = (
        Judgement.ALLOW
    )


class PortRules(Frozen):
    """By what the channel's release before listened on, in the boots that verified it."""

    new: Annotated[Judgement, Field(description="deny: one that it did not listen on before stops the release")] = (
        Judgement.ALLOW
    )


class LicenceRules(Frozen):
    """By what the packages' copyright files name."""

    deny: Annotated[
        tuple[OneLine, ...],
        Field(description="licences, by Debian's name or SPDX's, * for anything: AGPL-3*; unknown: none that is known"),
    ] = ()


class ServingRules(Frozen):
    """Where a channel is served from, and how long its list of files is fresh."""

    url: Annotated[
        Address | None,
        Field(description="of the destination; a channel's name comes behind it: https://example.com/os"),
    ] = None
    best_before: Annotated[
        Days | None, Field(description="so many days or weeks SHA256SUMS is fresh, each time it is written: 14d, 2w")
    ] = None
    icon: Annotated[
        Address | None, Field(description="address of a picture for Raspberry Pi Imager's list; default: one of a card")
    ] = None


class ReleaseRules(Frozen):
    """What stops a release, nothing by default; and how it is served."""

    size: Annotated[
        Growth | None, Field(description="so much the image and its rootfs may grow from one release to the next: +5%")
    ] = None
    packages: Annotated[PackageRules, Field(description="packages that came or went")] = PackageRules()
    ports: Annotated[PortRules, Field(description="ports that it listens on, at the end of a boot")] = PortRules()
    licences: Annotated[LicenceRules, Field(description="licences of packages")] = LicenceRules()
    serve: Annotated[ServingRules, Field(description="what clients are told of where and until when")] = ServingRules()
