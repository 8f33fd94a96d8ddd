"""SOURCE_DATE_EPOCH: the latest time that a file of the image may have, as whoever builds may set it.

https://reproducible-builds.org/specs/source-date-epoch/: decimal digits, seconds since 1970. Empty means unset, as the
specification has it for tools that know a date of their own.
"""

from __future__ import annotations

from collections.abc import Mapping

from metallize.errors import UsageError

VARIABLE = "SOURCE_DATE_EPOCH"
LATEST = (1 << 32) - 1
"""In 2106: what squashfs keeps of a time has 32 bits (the kernel's Documentation/filesystems/squashfs.rst)."""
_SHOWN = 60


def source_date_epoch(environment: Mapping[str, str]) -> int | None:
    """Seconds since 1970, as the environment sets them; None where it does not, and the rootfs's own date counts.

    Raises UsageError for what is no such number: nothing is to be built with a date that nobody meant.
    """
    text = environment.get(VARIABLE, "")
    if not text:
        return None
    digits = text.lstrip("0") or "0"
    if not (text.isascii() and text.isdigit()):
        raise UsageError(
            f"{VARIABLE} in the environment is {_shown(text)}, which is no number of seconds since 1970",
            hint=f"{VARIABLE}=$(git log -1 --format=%ct) is a commit's date; `unset {VARIABLE}` takes the rootfs's own",
        )
    if len(digits) > len(str(LATEST)) or int(digits) > LATEST:
        raise UsageError(
            f"{VARIABLE} in the environment is {_shown(text)}, later than 2106, which no squashfs can hold",
            hint=f"it counts seconds, not milliseconds: {VARIABLE}=$(date +%s) is now",
        )
    return int(digits)


def _shown(text: str) -> str:
    """The value for a message: on one line, and not the whole of a long one."""
    return f"`{ascii(text[:_SHOWN])[1:-1]}`" + (f" and {len(text) - _SHOWN} more characters" if text[_SHOWN:] else "")
