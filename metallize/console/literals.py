"""What a regular expression cannot match without: a piece of text that can be looked for first, at memory's speed."""

from __future__ import annotations

_SHORTEST = 3
"""A shorter piece is in so many lines that to look for it saves nothing."""


def required_literal(pattern: str) -> str:
    """The longest text that is in every match of a pattern, as far as it is easy to see; empty where it is not."""
    if "(" in pattern or "|" in pattern:
        return ""
    runs = [""]
    signs = iter(pattern)
    for sign in signs:
        if sign == "\\":
            escaped = next(signs, "")
            if escaped.isalnum():  # a class of characters, an assertion, a code: what follows is not read further
                break
            runs[-1] += escaped
        elif sign in "*?{":
            runs[-1] = runs[-1][:-1]
            runs.append("")
            if sign == "{":
                break
        elif sign == "[":
            break
        elif sign in ".^$+":
            runs.append("")
        else:
            runs[-1] += sign
    found = max(runs, key=len)
    return found if len(found) >= _SHORTEST else ""
