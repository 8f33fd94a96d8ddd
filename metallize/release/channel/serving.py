"""How a channel is served: at which address, and how long its list of files counts as fresh.

`BEST-BEFORE-YYYY-MM-DD` is an empty file that SHA256SUMS lists, and with that signs. From that day on (00:00 UTC)
systemd-sysupdate refuses the list as out of date (systemd, src/sysupdate/sysupdate-resource.c, process_magic_file):
whoever keeps an old list before a client keeps it from updates for no longer than that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from metallize.errors import UsageError
from metallize.release.catalogue import Catalogue, Serving

PREFIX = "BEST-BEFORE-"
NEVER, NOWHERE = "never", "none"
"""What takes back what was said before."""
_MOST_DAYS = 3660
_URL = re.compile(r"https?://[A-Za-z0-9.\[\]:_-]+(?:/[A-Za-z0-9._~%/+-]*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingChange:
    """What somebody changes of it; None where it stays as the channel has it."""

    url: str | None = None
    """Of the destination: the channel's name is put behind it. Empty for none."""
    days: int | None = None
    """So long a list is fresh; 0 for ever."""
    icon: str | None = None
    """The address of a picture, for lists that people choose from."""

    def over(self, other: ServingChange) -> ServingChange:
        """With the other's word where this has none."""
        return ServingChange(
            url=other.url if self.url is None else self.url,
            days=other.days if self.days is None else self.days,
            icon=other.icon if self.icon is None else self.icon,
        )


def served(catalogue: Catalogue, change: ServingChange, now: datetime) -> Catalogue:
    """The channel as it is from now on: each switch signs its list anew, and so renews how long that counts."""
    before = catalogue.serving
    serving = Serving(
        url=before.url if change.url is None else change.url,
        days=before.days if change.days is None else change.days,
        icon=before.icon if change.icon is None else change.icon,
        best_before="",
    )
    if serving.days:
        day = now.astimezone(UTC) + timedelta(days=serving.days)
        serving = replace(serving, best_before=f"{day:%Y-%m-%d}")
    return replace(catalogue, serving=serving)


def marker(catalogue: Catalogue) -> str | None:
    """The name of the file that says until when the list is fresh."""
    day = catalogue.serving.best_before
    return f"{PREFIX}{day}" if day else None


def base_url(catalogue: Catalogue) -> str:
    """Where the channel is served, with no slash behind; empty where nobody has said."""
    url = catalogue.serving.url
    return f"{url}/{catalogue.channel}" if url else ""


def url_of(text: str) -> str:
    """An address as `--url` and the profile give it. Raises UsageError for what no client could fetch from."""
    if text == NOWHERE:
        return ""
    if _URL.fullmatch(text) is None:
        raise UsageError(f"`{text}` is no address of a destination", hint="--url https://downloads.example.com")
    return text.rstrip("/")


def days_of(text: str) -> int:
    """`14d` or `2w`, in days; `never` is 0. Raises UsageError for anything else."""
    if text == NEVER:
        return 0
    match = re.fullmatch(r"([0-9]{1,4})([dw])", text)
    days = int(match[1]) * {"d": 1, "w": 7}[match[2]] if match else 0
    if not 0 < days <= _MOST_DAYS:
        raise UsageError(f"`{text}` is no number of days", hint="--best-before 14d, 2w, or never")
    return days
