"""Sets by exact difference: what is in this night's image and was not in the one before, or the reverse. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from metallize.night.facts import ImageFacts, Seen
from metallize.night.judging.findings import Kind, Verdict

SIZE_BUDGET = 0.02
"""By so much of itself an image may grow from one night to the next."""
_LEAST_BYTES = 4 << 20
"""What is less is of no account: filesystems grow by blocks."""
_NAMED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is otherwise."""

    kind: Kind
    verdict: Verdict
    subject: str
    what: str


def differences(
    before: ImageFacts,
    after: ImageFacts,
    machine: str,
    *,
    budget: float = SIZE_BUDGET,
    earlier: Sequence[ImageFacts] = (),
) -> Iterator[Difference]:
    """All that is otherwise of an image and of what it showed on a machine.

    `earlier` are images before `before`: a warning that one of them gave is not new. What nobody saw of one of the two
    is no difference.
    """
    old, new = before.seen.get(machine, Seen()), after.seen.get(machine, Seen())
    if old.failed is not None and new.failed is not None:
        for unit in sorted(new.failed - old.failed):
            yield _worse(Kind.UNIT, unit, f"the unit {unit} has failed, and had not before")
    if old.ports is not None and new.ports is not None:
        yield from _ports(old.ports, new.ports)
    yield from _size(before, after, budget)
    known = [seen.warnings or frozenset() for each in earlier if (seen := each.seen.get(machine)) is not None]
    if old.warnings is not None and new.warnings is not None:
        for line in sorted(new.warnings - old.warnings.union(*known)):
            yield _worse(Kind.WARNING, line, f"the console warns, and did not before: {line}")
    yield from _packages(before.packages, after.packages)


def image_changes(before: ImageFacts, after: ImageFacts) -> tuple[str, ...]:
    """What is otherwise in the image itself, in words, the likeliest to explain something first."""
    found = []
    if before.kernel != after.kernel and before.kernel and after.kernel:
        found.append(f"kernel {before.kernel} to {after.kernel}")
    layers = [name for name in {**before.layers, **after.layers} if before.layers.get(name) != after.layers.get(name)]
    if layers and before.layers and after.layers:
        found.append(f"layer {_some(layers)}")
    changed = tuple(_changed(before.packages, after.packages))
    if changed and before.packages and after.packages:
        found.append(f"{len(changed)} package{'s' if len(changed) > 1 else ''}: {_some(changed)}")
    return tuple(found)


def _worse(kind: Kind, subject: str, what: str) -> Difference:
    return Difference(kind=kind, verdict=Verdict.WORSE, subject=subject, what=what)


def _ports(old: frozenset[str], new: frozenset[str]) -> Iterator[Difference]:
    gone = sorted(old - new)
    for port in sorted(new - old):
        instead = f", and nothing on {', '.join(gone)} any more" if gone else ""
        yield _worse(Kind.PORT, port, f"something listens on {port}, and did not before{instead}")
    if gone and not new - old:
        yield _worse(Kind.PORT, ",".join(gone), f"nothing listens on {', '.join(gone)} any more")


def _size(before: ImageFacts, after: ImageFacts, budget: float) -> Iterator[Difference]:
    """Of the rootfs where both are known: what a compressor makes of it is not what a layer put in."""
    for what, old, new in (
        ("its rootfs", before.rootfs_bytes, after.rootfs_bytes),
        ("the image", before.size_bytes, after.size_bytes),
    ):
        if old and new and new - old > max(budget * old, _LEAST_BYTES):
            told = f"{what} grew by {(new - old) / old:.1%}, from {_mib(old)} to {_mib(new)}; {budget:.0%} is allowed"
            yield _worse(Kind.SIZE, "size", told)
            return


def _packages(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Difference]:
    changed = tuple(_changed(before, after))
    if changed and before and after:
        names = sorted(name for name in {**before, **after} if before.get(name) != after.get(name))
        what = f"{len(changed)} package{'s are' if len(changed) > 1 else ' is'} otherwise: {_some(changed)}"
        yield Difference(kind=Kind.PACKAGE, verdict=Verdict.CHANGED, subject=",".join(names), what=what)


def _changed(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({**before, **after}):
        old, new = before.get(name), after.get(name)
        if old is None:
            yield f"{name} {new} is new"
        elif new is None:
            yield f"{name} {old} is gone"
        elif old != new:
            yield f"{name} {old} to {new}"


def _some(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    return ", ".join(texts[:_NAMED]) + more


def _mib(count: int) -> str:
    return f"{count / (1 << 20):.1f} MiB"
