"""Spans of days, as people write and read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from metallize.errors import UsageError

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def age(text: str) -> timedelta:
    """A span from `36h`, `30d` or `8w`. Raises UsageError for anything else."""
    match = re.fullmatch(r"([0-9]{1,5})([hdw])", text)
    if match is None or not int(match[1]):
        raise UsageError(f"`{text}` is no age", hint="a number with h, d or w, like 30d")
    return int(match[1]) * _UNITS[match[2]]


def age_text(now: datetime, since: str) -> str:
    """`today`, `12 days ago`; the text itself where it is no time."""
    try:
        moment = datetime.fromisoformat(since)
        days = (now - (moment if moment.tzinfo else moment.replace(tzinfo=UTC))).days
    except (ValueError, OverflowError):
        return since
    return "today" if days < 1 else f"{days} day{'s' if days > 1 else ''} ago"
