"""Values that were seen in a guest, and how goss makes text, numbers and lists of them.

Source: goss matchers/type_conversion.go.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence

Value = bool | int | float | str | None | Sequence["Value"] | Mapping[str, "Value"]


class Mismatch(Exception):  # noqa: N818 - it says what happened
    """The value is of a kind that this matcher cannot look at."""


_MOST_DIGITS = 400
"""Python reads no longer numbers than 4300 digits; a longer one is nobody's to count."""


def as_text(value: Value) -> str:
    """A value as goss makes text of it (matchers/type_conversion.go, ToString)."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, Sequence):
        return "\n".join(as_text(item) for item in value)
    return "<nil>" if value is None else str(value)


def as_number(value: Value) -> float:
    """A value as a number (ToNumeric); raises Mismatch."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if isinstance(value, float) and math.isnan(value):  # neither less than a number, nor equal, nor greater
            raise Mismatch("NaN is no number")
        return value
    if isinstance(value, str) or (isinstance(value, Sequence) and len(value) == 1):
        text = as_text(value).strip()
        if len(text) > _MOST_DIGITS:
            raise Mismatch(f"{len(text)} characters are no number")
        if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text, re.ASCII):
            return float(text) if re.search(r"[.eE]", text) else int(text)
    raise Mismatch(f"{words(value)} is no number")


def as_list(value: Value) -> Sequence[Value]:
    """A value as a list (ToArray): text is split into its lines; raises Mismatch."""
    if isinstance(value, str):
        return value.split("\n")
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, Sequence):
        return value
    raise Mismatch(f"{words(value)} is no list")


def words(value: Value, limit: int = 300) -> str:
    """A value as a report shows it."""
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
    elif isinstance(value, Sequence):
        text = f"[{', '.join(words(item, limit) for item in value)}]"
    elif isinstance(value, Mapping):
        text = f"{{{', '.join(f'{key}: {words(item, limit)}' for key, item in value.items())}}}"
    else:
        text = "nothing" if value is None else as_text(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def same(left: Value, right: Value) -> bool:
    """Equality without Python's True == 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, Sequence) and isinstance(right, Sequence) and not isinstance(left, str):
        return (
            not isinstance(right, str)
            and len(left) == len(right)
            and all(same(one, other) for one, other in zip(left, right, strict=True))
        )
    return left == right
