"""'Did you mean X?': the nearest of the words that would have been right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_SHOWN = 20
_SHORT = 5


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """A hint that names the nearest candidate, or all of them where none is near and they are few."""
    known = sorted(set(candidates))
    folded = {_stem(candidate).casefold(): candidate for candidate in known}
    folded |= {candidate.casefold(): candidate for candidate in known}
    cutoff = 0.5 if len(word) <= _SHORT else 0.6  # two letters of a short word that changed places
    near = difflib.get_close_matches(word[:200].casefold(), folded, n=1, cutoff=cutoff)
    if near:
        return f"did you mean `{folded[near[0]]}`?"
    inside = [candidate for candidate in known if word and word.casefold() in candidate.casefold()]
    if len(inside) == 1:
        return f"did you mean `{inside[0]}`?"
    if not known:
        return None
    if len(known) <= _SHOWN:
        return f"there is {', '.join(known)}" if len(known) > 1 else f"there is only `{known[0]}`"
    return None


def _stem(name: str) -> str:
    """A file's name as people remember it."""
    for suffix in (".dockerfile", ".yaml", ".yml"):
        name = name.removesuffix(suffix)
    return name
