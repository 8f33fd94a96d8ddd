"""Whether a profile's rules let an image out, by the channel's release before: pure, from the manifests of both."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from metallize.errors import VerificationFailed
from metallize.model.rule_names import LICENCES, NEW, PORTS, REMOVED, SIZE
from metallize.model.rules import Judgement, ReleaseRules
from metallize.release.channel.page import size_text
from metallize.release.gate.licences import UNKNOWN, denied
from metallize.release.gate.ports import new_ports

_MOST_NAMED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """What a rule has against an image."""

    rule: str
    text: str

    def __str__(self) -> str:
        return f"release.{self.rule}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is known of one of two images."""

    manifest: Mapping[str, Any]
    record: Mapping[str, Any]
    """Of its verification."""


def objections(rules: ReleaseRules, old: Told | None, new: Told, *, since: str) -> Iterator[Objection]:
    """What is to be said against the new one. `old` is that of the release before, called `since`; None: the first.

    Raises ValueError, LookupError or TypeError for what is no manifest.
    """
    before, after = old.manifest if old is not None else None, new.manifest
    if old is not None and rules.ports.new is Judgement.DENY:
        for text in new_ports(old.record, new.record, since=since):
            yield Objection(rule=PORTS, text=text)
    if before is not None:
        if rules.size is not None:
            yield from _growth(rules.size, before, after, since)
        gone, come = _names(before) - _names(after), _names(after) - _names(before)
        for judgement, rule, names, what in (
            (rules.packages.removed, REMOVED, gone, f"of {since} no longer in it"),
            (rules.packages.new, NEW, come, f"in it that {since} did not have"),
        ):
            if judgement is Judgement.DENY and names:
                yield Objection(rule=rule, text=f"{_packages(len(names))} {what}: {_some(names)}")
    if rules.licences.deny:
        under = {found for each in after["packages"] if (found := _denied(each, rules.licences.deny))}
        if under:
            yield Objection(rule=LICENCES, text=f"{_packages(len(under))} under licences it denies: {_some(under)}")


def _packages(count: int) -> str:
    return f"{count} package{'' if count == 1 else 's'}"


def require_allowed(found: Collection[Objection], waive: Collection[str], image: str) -> tuple[str, ...]:
    """Those that are overruled, as a release records them. Raises VerificationFailed for any that is not."""
    standing = [each for each in found if each.rule not in waive]
    if standing:
        options = " ".join(f"--waive {rule}" for rule in dict.fromkeys(each.rule for each in standing))
        raise VerificationFailed(
            f"{image} is not released: {'; '.join(map(str, standing))}",
            hint=f"change the image or the profile's rule, or overrule it, which the release tells: {options}",
        )
    return tuple(map(str, found))


def _growth(limit: str, before: Mapping[str, Any], after: Mapping[str, Any], since: str) -> Iterator[Objection]:
    most = float(limit.strip("+%"))
    for key, what in (("size", "the image"), ("rootfs_bytes", "its rootfs")):
        old, new = before.get(key), after.get(key)
        if isinstance(old, int) and isinstance(new, int) and old > 0 and (new - old) * 100 > most * old:
            share = f"{(new - old) * 100 / old:.3g}"
            yield Objection(
                rule=SIZE,
                text=f"{what} grew by {share} % since {since}, from {size_text(old)} to {size_text(new)}; "
                f"{limit} is allowed",
            )


def _names(manifest: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(str(each["name"]) for each in manifest["packages"])


def _denied(package: Mapping[str, Any], patterns: Collection[str]) -> str:
    """The package and its licence, where a pattern denies it; else nothing."""
    name, licences = str(package["name"]), package.get("licences")
    if licences is None:
        return f"{name} ({UNKNOWN})" if UNKNOWN in patterns else ""
    against = [str(each) for each in licences if denied(str(each), patterns)]
    return f"{name} ({', '.join(against)})" if against else ""


def _some(names: Collection[str]) -> str:
    shown = sorted(names)[:_MOST_NAMED]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")
