"""What differs between two images, by what their manifests and their boots tell of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from metallize.release.channel.page import size_text
from metallize.release.gate.ports import listened
from metallize.release.naming import compare

_FACTS = (
    "format", "platform", "kernel", "kernel_boot_params", "size", "rootfs_bytes", "firmware", "generator", "metallize"
)  # fmt: skip
"""What is compared as it stands in the manifest."""
_SIZES = frozenset({"size", "rootfs_bytes"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that is otherwise than before; empty where it was not, or is no longer there."""

    what: str
    before: str
    after: str

    @property
    def kind(self) -> str:
        """added, removed or changed."""
        return "added" if not self.before else "changed" if self.after else "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of two images."""

    name: str
    manifest: Mapping[str, Any]
    record: Mapping[str, Any] = field(default_factory=dict)
    """Of its verification; empty where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """All of it, each in the order of names."""

    before: str
    after: str
    facts: tuple[Change, ...]
    packages: tuple[Change, ...]
    layers: tuple[Change, ...]
    ports: tuple[Change, ...]
    """What it listens on; none where that is not known of both."""
    machines: tuple[Change, ...]
    """How long each took to be ready, and what came of it."""

    @property
    def same(self) -> bool:
        """Whether nothing differs that an image is made of."""
        return not (self.facts or self.packages or self.layers)

    def as_json(self) -> dict[str, Any]:
        """As `metallize diff --json` prints it."""
        return {
            "before": self.before,
            "after": self.after,
            **{
                name: [
                    {"what": each.what, "kind": each.kind, "before": each.before, "after": each.after} for each in some
                ]
                for name, some in self._groups()
            },
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"from {self.before} to {self.after}"
        for name, changes in self._groups():
            if not changes:
                continue
            count = {kind: sum(each.kind == kind for each in changes) for kind in ("added", "removed", "changed")}
            yield f"{name}: {', '.join(f'{number} {kind}' for kind, number in count.items() if number)}"
            for each in changes:
                sign = {"added": "+", "removed": "-", "changed": "~"}[each.kind]
                told = f"{each.before} -> {each.after}" if each.kind == "changed" else each.before or each.after
                yield f"  {sign} {each.what}  {told}{_older(name, each)}"
        if self.same:
            yield "no difference in what they are made of"

    def _groups(self) -> tuple[tuple[str, tuple[Change, ...]], ...]:
        return (
            ("facts", self.facts), ("packages", self.packages), ("layers", self.layers), ("ports", self.ports),
            ("machines", self.machines),
        )  # fmt: skip


def difference(before: Side, after: Side) -> Difference:
    """What is otherwise in the second image than in the first. Raises ValueError for what is no manifest."""
    return Difference(
        before=before.name,
        after=after.name,
        facts=_changes(_facts(before.manifest), _facts(after.manifest)),
        packages=_changes(_packages(before.manifest), _packages(after.manifest)),
        layers=_changes(_layers(before.manifest), _layers(after.manifest)),
        ports=_changes(*_ports(before.record, after.record)),
        machines=_changes(_machines(before.record), _machines(after.record)),
    )


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Change, ...]:
    return tuple(
        Change(what=name, before=before.get(name, ""), after=after.get(name, ""))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    )


def _older(group: str, change: Change) -> str:
    """A package that went back is seldom meant."""
    if group != "packages" or change.kind != "changed":
        return ""
    epochs = [_epoch(text) for text in (change.before, change.after)]
    order = epochs[0][0] - epochs[1][0] or compare(epochs[0][1], epochs[1][1])
    return "  (older than before)" if order > 0 else ""


def _epoch(version: str) -> tuple[int, str]:
    head, colon, rest = version.partition(":")
    return (int(head), rest) if colon and head.isdecimal() else (0, version)


def _facts(manifest: Mapping[str, Any]) -> Mapping[str, str]:
    found = {name: _shown(name, manifest[name]) for name in _FACTS if manifest.get(name) not in (None, "", [])}
    system = manifest.get("os")
    if isinstance(system, Mapping) and system.get("PRETTY_NAME"):
        found["os"] = str(system["PRETTY_NAME"])
    base = manifest.get("base")
    if isinstance(base, Mapping):
        found["base"] = f"{base.get('reference', '')} {str(base.get('digest', ''))[:19]}".strip()
    return found


def _shown(name: str, value: object) -> str:
    if name in _SIZES and isinstance(value, int):
        return f"{size_text(value)} ({value})"
    if isinstance(value, Mapping):
        options = value.get("options")
        told = [f"{key}={text}" for key, text in sorted(options.items())] if isinstance(options, Mapping) else []
        return " ".join([str(value.get("name", "")), str(value.get("digest", ""))[:19], *told])
    return ", ".join(str(each) for each in value) if isinstance(value, list) else str(value)


def _packages(manifest: Mapping[str, Any]) -> Mapping[str, str]:
    """Versions by name, and by architecture too where a name is there for several."""
    entries = [_fields(each, "name", "version", "architecture") for each in _list(manifest, "packages")]
    several = {name for name in {each[0] for each in entries} if sum(each[0] == name for each in entries) > 1}
    return {f"{name}:{arch}" if name in several else name: version for name, version, arch in entries}


def _layers(manifest: Mapping[str, Any]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for number, each in enumerate(_list(manifest, "layers")):
        name, digest = _fields(each, "name", "digest")
        found[name if name not in found else f"{name} (again, at {number + 1})"] = digest[:19]
    return found


def _ports(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Mapping[str, str], Mapping[str, str]]:
    old, new = listened(before), listened(after)
    if old is None or new is None:
        return {}, {}
    return dict.fromkeys(old, "listening"), dict.fromkeys(new, "listening")


def _machines(record: Mapping[str, Any]) -> Mapping[str, str]:
    return {
        str(each.get("machine", "")): f"{each.get('verdict', '')} in {float(each.get('seconds', 0)):.0f} s"
        for each in _list(record, "machines")
        if isinstance(each, Mapping)
    }


def _list(content: Mapping[str, Any], name: str) -> Sequence[Any]:
    value = content.get(name, [])
    if not isinstance(value, list):
        raise ValueError(f"its {name} are no list")  # noqa: TRY004 - one error for all that is wrong with it
    return value


def _fields(content: Any, *names: str) -> tuple[str, ...]:
    if not isinstance(content, Mapping) or any(name not in content for name in names):
        raise ValueError(f"an entry lacks {' or '.join(names)}")
    return tuple(str(content[name]) for name in names)
