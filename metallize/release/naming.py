"""Names of what is released: NAME_VERSION_ARCH.SUFFIX, and which of two versions is the newer one.

No part holds an underscore: a name falls apart in one way only, for systemd's MatchPattern and for people.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from functools import cmp_to_key

from metallize.errors import UsageError
from metallize.model.profile import ARCHITECTURES, ImageFormat, Platform

CHANNEL = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
_VERSION = re.compile(r"[0-9][0-9A-Za-z.~-]{0,62}")
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
_SUFFIXES = {
    ImageFormat.RAW: "raw",
    ImageFormat.ISO: "iso",
    ImageFormat.QCOW2: "qcow2",
    ImageFormat.VMDK: "vmdk",
    ImageFormat.VHDX: "vhdx",
    ImageFormat.TAR: "tar",
}


def stem(name: str, version: str, platform: Platform, image_format: ImageFormat) -> str:
    """What the names of one image and of its papers begin with: web_20261130.1_x86-64.raw."""
    return f"{name}_{version}_{ARCHITECTURES[platform]}.{_SUFFIXES[image_format]}"


def part(machine: str) -> str:
    """What the name of a paper has of a machine; nothing for what is of no single one. Two never share it."""
    return "".join(each if each in _PLAIN else f"+{ord(each):x}" for each in machine) + "." if machine else ""


def require_channel(channel: str) -> str:
    """Raises UsageError for what is no channel's name."""
    if CHANNEL.fullmatch(channel) is None:
        raise UsageError(
            f"--channel {channel}: it is no channel's name",
            hint="small letters, digits and -, as in stable or 13-beta",
        )
    return channel


def require_version(version: str) -> str:
    """Raises UsageError for a version that systemd and dpkg would not sort alike."""
    if _VERSION.fullmatch(version) is None:
        raise UsageError(
            f"`{version}` is no version of a release", hint="it begins with a digit; letters, digits and . ~ - follow"
        )
    return version


def next_version(day: date, known: Iterable[str]) -> str:
    """YYYYMMDD.N, where N is the first number above all that are known of that day."""
    prefix = f"{day:%Y%m%d}"
    numbers = [int(match[1]) for each in known if (match := re.fullmatch(rf"{prefix}\.([0-9]{{1,9}})", each))]
    return f"{prefix}.{max(numbers, default=0) + 1}"


def compare(one: str, other: str) -> int:
    """Below, equal to or above 0 as a version is older or newer than another one.

    The order is that of the Version Format Specification (uapi-group.org), which systemd-sysupdate(8) goes by; of the
    versions that are allowed here dpkg has the same.
    """
    left, right = one, other
    while True:
        left, right = (re.sub(r"^[^0-9A-Za-z~.-]+", "", each) for each in (left, right))
        for sign, is_end_first in (("~", True), ("-", False), (".", False)):
            if not is_end_first and not (left and right):
                return bool(left) - bool(right)
            begins = left.startswith(sign), right.startswith(sign)
            if begins[0] != begins[1]:
                return -1 if begins[0] else 1
            if begins[0]:
                left, right = left[1:], right[1:]
                break
        else:
            kind = r"[0-9]*" if left[0].isdigit() or right[0].isdigit() else r"[A-Za-z]*"
            heads = [re.match(kind, each)[0] for each in (left, right)]  # type: ignore[index]  # matches nothing at least
            keys = [_number(head) if kind == r"[0-9]*" else (0, head) for head in heads]
            if keys[0] != keys[1]:
                return -1 if keys[0] < keys[1] else 1
            left, right = left[len(heads[0]) :], right[len(heads[1]) :]


def _number(digits: str) -> tuple[int, str]:
    """What sorts digits, however many, by their value."""
    plain = digits.lstrip("0")
    return len(plain), plain


def _newer_is_less(one: str, other: str) -> int:
    return compare(other, one)


newest_first = cmp_to_key(_newer_is_less)
"""A key to sort versions by."""
