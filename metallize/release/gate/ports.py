"""Which ports an image listens on, by the records of its boots; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_MOST_NAMED = 12


def listened(record: Mapping[str, Any]) -> frozenset[str] | None:
    """On any machine of a record; None where nobody has seen it on one of them."""
    found: set[str] = set()
    machines = record.get("machines", ())
    for machine in machines:
        ports = machine.get("listening")
        if not isinstance(ports, list):
            return None
        found |= {str(each) for each in ports}
    return frozenset(found) if machines else None


def new_ports(before: Mapping[str, Any], after: Mapping[str, Any], *, since: str) -> Iterator[str]:
    """What there is to say against ports that an image did not listen on before, each a sentence."""
    old, new = listened(before), listened(after)
    if new is None:
        yield "nobody saw on each machine which ports it listens on: verify it again, with a login"
    elif old is None:
        yield f"nobody saw which ports {since} listened on, so that all of its are new: {_named(new)}"
    elif more := new - old:
        yield f"{len(more)} port{'s' if len(more) > 1 else ''} that {since} did not listen on: {_named(more)}"


def _named(ports: frozenset[str]) -> str:
    found = sorted(ports, key=lambda each: (each.partition(":")[0], int(each.partition(":")[2] or 0)))
    shown, more = found[:_MOST_NAMED], len(found) - _MOST_NAMED
    return (", ".join(shown) or "none") + (f" and {more} more" if more > 0 else "")
