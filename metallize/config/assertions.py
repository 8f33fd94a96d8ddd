"""goss-shaped assertions, from a profile's `assert` or from a suite's file, to decoded values with places."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from pathlib import Path

from metallize.config.source import parse_tree, read_text
from metallize.config.suggest import did_you_mean
from metallize.config.tree import Entry, Mapping, Node, Scalar, Sequence, kind_of, shown
from metallize.config.validation import Findings, decode
from metallize.config.vocabulary import Vocabulary
from metallize.errors import Location, Problem, ProfileError
from metallize.model.assertion import Assertion
from metallize.model.kind import Kind, ResourceOptions

GOSS_KINDS = frozenset(
    {
        *("addr", "command", "dns", "file", "gossfile", "group", "http", "interface", "kernel-param", "matching"),
        *("mount", "package", "port", "process", "service", "user"),
    }
)
"""The vocabulary of goss 0.4 (goss docs/gossfile.md, Available tests)."""


def load_suite(path: Path, *, vocabulary: Vocabulary) -> tuple[Assertion, ...]:
    """The assertions of a goss-shaped file, in its order.

    Raises ProfileError with every problem, sorted by place.
    """
    findings = Findings()
    assertions = read_suite(path, vocabulary.kinds, findings)
    if findings.problems:
        raise ProfileError(findings.sorted())
    return assertions


def read_suite(path: Path, kinds: MappingABC[str, Kind], findings: Findings) -> tuple[Assertion, ...]:
    """As `load_suite`, adding to `findings` what is wrong."""
    text = read_text(path, findings.problems)
    if text is None:
        return ()
    templates = list(_templates(path, text))
    if templates:
        findings.problems.extend(templates)
        return ()
    root = parse_tree(path, text, findings.problems)
    if root is None:
        return ()
    start = Location(path=path, line=1, column=1)
    return decode_assertions(root, start, kinds, findings, own=False)


def _templates(path: Path, text: str) -> list[Problem]:
    return [
        Problem(
            location=Location(path=path, line=number, column=line.index("{{") + 1),
            message=f"Go templates are not supported: `{line.strip()[:60]}`",
            hint="run `goss render` and use what it prints",
        )
        for number, line in enumerate(text.splitlines(), start=1)
        if "{{" in line and not line.lstrip().startswith("#")
    ]


def decode_assertions(
    node: Node, place: Location, kinds: MappingABC[str, Kind], findings: Findings, *, own: bool
) -> tuple[Assertion, ...]:
    """Every resource of a mapping kind -> resource -> attributes.

    `own` says that it is a profile's own `assert`: there an empty list of patterns is an error, while a goss
    file may hold one, because `goss add` writes them and goss lets them pass.
    """
    if not isinstance(node, Mapping):
        findings.add(place, f"assertions are a mapping of kinds, not {kind_of(node)}: `{shown(node)}`")
        return ()
    if not node.entries:
        findings.add(place, "no assertions: an empty mapping asserts nothing", "leave it out, or assert something")
    if own:
        _refuse_templates(node, findings)
    found: list[Assertion] = []
    for entry in node.entries:
        kind = kinds.get(entry.key)
        if kind is None:
            _unknown_kind(entry, kinds, findings)
        else:
            found.extend(_resources(kind, entry, findings, own=own))
    return tuple(found)


def _refuse_templates(node: Node, findings: Findings) -> None:
    match node:
        case Scalar() if "{{" in node.text:
            findings.add(node.location, f"Go templates are not supported: `{shown(node)}`")
        case Sequence():
            for item in node.items:
                _refuse_templates(item, findings)
        case Mapping():
            for entry in node.entries:
                if "{{" in entry.key:
                    findings.add(entry.location, f"Go templates are not supported: `{entry.key[:60]}`")
                _refuse_templates(entry.value, findings)
        case _:
            pass


def _unknown_kind(entry: Entry, kinds: MappingABC[str, Kind], findings: Findings) -> None:
    if entry.key in GOSS_KINDS:
        message = f"goss's `{entry.key}` is not supported yet"
        findings.add(entry.location, message, f"supported are {', '.join(sorted(kinds))}")
    else:
        message = f"unknown assertion kind `{entry.key}`"
        findings.add(entry.location, message, did_you_mean(entry.key, kinds))


def _resources(kind: Kind, entry: Entry, findings: Findings, *, own: bool) -> list[Assertion]:
    if not isinstance(entry.value, Mapping):
        message = f"`{kind.name}` takes a mapping of resources, not {kind_of(entry.value)}: `{shown(entry.value)}`"
        findings.add(entry.location, message, f"for example {_flow(kind.example)}")
        return []
    if not entry.value.entries:
        findings.add(entry.location, f"`{kind.name}` names no resource, so it asserts nothing", "leave it out")
    found = []
    for resource in entry.value.entries:
        options = _options(kind, resource, findings, own=own)
        if options is not None:
            found.append(Assertion(kind=kind.name, resource=resource.key, options=options, location=resource.location))
    return found


def _options(kind: Kind, resource: Entry, findings: Findings, *, own: bool) -> ResourceOptions | None:
    if not isinstance(resource.value, Mapping):
        message = f"`{resource.key}` takes a mapping of attributes, not {kind_of(resource.value)}"
        findings.add(resource.location, f"{message}: `{shown(resource.value)}`", f"for example {_flow(kind.example)}")
        return None
    if not resource.value.entries:
        findings.add(resource.location, f"`{resource.key}` has no attributes, so it asserts nothing")
        return None
    before = len(findings.problems)
    for entry in resource.value.entries:
        if isinstance(entry.value, Scalar) and entry.value.value is None:
            findings.add(entry.location, f"`{entry.key}` has no value", 'write "" for empty text')
    options = decode(
        kind.options,
        resource.value,
        findings,
        context={"empty_lists": not own},
        place=resource.location,
    )
    if options is None or len(findings.problems) > before:
        return None
    if (refusal := kind.refuse(resource.key, options)) is not None:
        findings.add(resource.location, f"{kind.name} `{resource.key}`: {refusal}")
        return None
    return options


def _flow(example: str) -> str:
    return " / ".join(line.strip() for line in example.strip().splitlines()[:2])
