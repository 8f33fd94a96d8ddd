"""On how many cases a law is tried that asks for a number of its own."""

from __future__ import annotations

from hypothesis import settings


def cases(many: int) -> int:
    """So many; with scripts/test --fast no more than the other laws are tried on."""
    few = settings.get_profile("fast").max_examples
    return min(many, few) if settings().max_examples == few else many
