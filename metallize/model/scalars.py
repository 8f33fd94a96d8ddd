"""The units and words of a profile: sizes, durations, names, and the base of its frozen values."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, WithJsonSchema

_SIZE_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_MAX_SIZE = 1 << 60
_NO_DURATION = "a duration is a number with s, m or h, like 90s or 5m"
_TIME_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_size(value: object) -> int:
    """Bytes from `8G`, `512M`, `1024` (binary units: K, M, G, T; `GiB` and `GB` are read as `G`)."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MAX_SIZE:
        return int(value)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", str(value).strip(), re.IGNORECASE | re.ASCII)
    exact = float(match[1]) * _SIZE_UNITS[match[2].upper()] if match else 0.0
    if not 1 <= exact <= _MAX_SIZE:
        raise ValueError("a size is a number of bytes or a number with K, M, G or T, like 8G")
    return int(exact)


def parse_duration(value: object) -> timedelta:
    """A timedelta from `90s`, `5m`, `1h30m`, `250ms` or a plain number of seconds."""
    span = parse_pause(value)
    if not span:
        raise ValueError(_NO_DURATION)
    return span


def parse_pause(value: object) -> timedelta:
    """The same, and `0` or `0s` for none."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        text = str(value).strip()
        if re.fullmatch(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+", text) is None:
            raise ValueError(_NO_DURATION)
        seconds = sum(
            float(number) * _TIME_UNITS[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
        )
    if not 0 <= seconds <= 30 * 24 * 3600:
        raise ValueError(_NO_DURATION)
    return timedelta(seconds=seconds)


def parse_instant(value: object) -> str:
    """`20261101T000000Z` from `2026-11-01`, `20261101`, `2026-11-01T00:00:00Z` or itself: in UTC, and not to come."""
    wrong = "a date is a day like 2026-11-01, or a second of it like 20261101T120000Z"
    match = re.fullmatch(r"(\d{4})-?(\d\d)-?(\d\d)(?:T(\d\d):?(\d\d):?(\d\d)Z)?", str(value).strip(), re.ASCII)
    if match is None:
        raise ValueError(wrong)
    year, month, day, hour, minute, second = (int(digits or 0) for digits in match.groups())
    try:
        instant = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise ValueError(wrong) from None
    if instant > datetime.now(UTC):
        raise ValueError("a date that has been is wanted: of one to come nobody knows the packages")
    return instant.strftime("%Y%m%dT%H%M%SZ")


def _time_schema(bound: str, more: str = "") -> dict[str, object]:
    return {
        "anyOf": [{"type": "number", bound: 0}, {"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|s|m|h))+$"}],
        "description": f"seconds, or a number with ms, s, m or h{more}",
    }


Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "string", "pattern": r"^\d+(\.\d+)?\s*[KMGTkmgt]?(i?B)?$"},
            ],
            "description": "bytes, or a number with K, M, G or T (powers of 1024)",
        }
    ),
]
Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    WithJsonSchema(_time_schema("exclusiveMinimum")),
]
Pause = Annotated[
    timedelta,
    BeforeValidator(parse_pause),
    WithJsonSchema(_time_schema("minimum", "; 0s: none")),
]
Instant = Annotated[
    str,
    BeforeValidator(parse_instant),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^\d{4}-?\d\d-?\d\d(T\d\d:?\d\d:?\d\dZ)?$",
            "description": "a day that has been, or a second of it: 2026-11-01, 20261101T120000Z",
        }
    ),
]
"""YYYYMMDDTHHMMSSZ, as archives call their states."""
ArgName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
OneLine = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=4096)]
"""Text that stays on one line and holds no control character."""
ImageName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}$")]
ReleaseName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+-]{0,63}$")]
"""Of a release: no underscore, which parts it from its version."""
ReleaseVersion = Annotated[str, StringConstraints(pattern=r"^[0-9][0-9A-Za-z.~-]{0,62}$")]
"""What systemd and dpkg sort alike."""
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,200}$")]
"""A file's name with no folder in it: it cannot leave the build folder."""


UnitName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,100}$")]
UnitFile = Annotated[
    str,
    StringConstraints(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9:_.@\\-]{0,200}\.(service|target|socket|mount|path|timer|device)$"
    ),
]
"""A unit's whole name, as systemctl prints it."""


class Frozen(BaseModel):
    """Base of every profile value: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False)
