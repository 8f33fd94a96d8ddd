"""goss-shaped assertions, from a profile's `assert` or from a suite's file, to decoded values with places."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from dataclasses import replace
from pathlib import Path

from metallize.config.includes import Chain, include
from metallize.config.project import without_own_keys
from metallize.config.reading.places import attributes, resembles
from metallize.config.reading.source import parse_tree, read_text
from metallize.config.reading.suggest import did_you_mean
from metallize.config.reading.tree import Entry, Mapping, Node, Scalar, Sequence, kind_of, shown
from metallize.config.reading.validation import Findings, decode
from metallize.config.vocabulary import Vocabulary
from metallize.errors import Location, Problem, ProfileError
from metallize.model.assertion import Assertion
from metallize.model.kind import Include, Kind, ResourceOptions

_TEMPLATES_HINT = "run `goss render` and use what it prints"
_WORDS_OF_TRUTH = {"true", "True", "TRUE", "false", "False", "FALSE"}
"""What is true or false to goss's YAML (1.2); yes, no, on and off are text where no truth is wanted."""


def load_suite(path: Path, *, vocabulary: Vocabulary) -> tuple[Assertion, ...]:
    """The assertions of a goss-shaped file, in its order.

    Raises ProfileError with every problem, sorted by place.
    """
    findings = Findings()
    assertions = read_suite(path, vocabulary.kinds, findings)
    if findings.problems:
        raise ProfileError(findings.sorted())
    return assertions


def read_suite(
    path: Path, kinds: MappingABC[str, Kind], findings: Findings, chain: Chain = ()
) -> tuple[Assertion, ...]:
    """As `load_suite`, adding to `findings` what is wrong; `chain` are the files that led here, itself the last."""
    text = read_text(path, findings.problems)
    if text is None:
        return ()
    templates = list(_templates(path, text))
    if templates:
        findings.problems.extend(templates)
        return ()
    if path.suffix == ".json":
        text = text.replace("\t", " ")  # JSON may be indented with tabs, YAML may not; a column stays a column
    root = parse_tree(path, text, findings.problems)
    if root is None:
        return ()
    start = Location(path=path, line=1, column=1)
    if isinstance(root, Mapping):
        root = without_own_keys(root)
    return decode_assertions(root, start, kinds, findings, own=False, chain=chain or (path,))


def _templates(path: Path, text: str) -> list[Problem]:
    return [
        Problem(
            location=Location(path=path, line=number, column=line.index("{{") + 1),
            message=f"Go templates are not supported: `{line.strip()[:60]}`",
            hint=_TEMPLATES_HINT,
        )
        for number, line in enumerate(text.splitlines(), start=1)
        if "{{" in line and not line.lstrip().startswith("#")
    ]


def decode_assertions(
    node: Node,
    place: Location,
    kinds: MappingABC[str, Kind],
    findings: Findings,
    *,
    own: bool,
    chain: Chain = (),
) -> tuple[Assertion, ...]:
    """Every resource of a mapping kind -> resource -> attributes, then those of the files that it includes.

    `own` says that it is a profile's own `assert`: there an empty list of patterns is an error, while a goss
    file may hold one, because `goss add` writes them and goss lets them pass. As in goss, what is said last of a
    resource is what counts.
    """
    if not isinstance(node, Mapping):
        findings.add(place, f"assertions are a mapping of kinds, not {kind_of(node)}: `{shown(node)}`")
        return ()
    if not node.entries:
        findings.add(place, "no assertions: an empty mapping asserts nothing", "leave it out, or assert something")
    if own:
        _refuse_templates(node, findings)
    found: list[Assertion] = []
    includes: list[tuple[Entry, Include]] = []
    for entry in node.entries:
        kind = kinds.get(entry.key)
        if kind is None:
            _unknown_kind(entry, kinds, findings)
            continue
        for resource, options in _resources(kind, entry, kinds, findings, own=own):
            if isinstance(options, Include):
                includes.append((resource, options))
            else:
                where = resource.location
                found.append(Assertion(kind=kind.name, resource=resource.key, options=options, location=where))
    for resource, options in sorted(includes, key=lambda item: item[0].key):
        found += include(
            resource,
            options,
            chain or (resource.location.path,),
            findings,
            lambda path, chain, inner: read_suite(path, kinds, inner, chain),
        )
    return tuple({(item.kind, item.resource): item for item in found}.values())


def _refuse_templates(node: Node, findings: Findings) -> None:
    match node:
        case Scalar() if "{{" in node.text:
            findings.add(node.location, f"Go templates are not supported: `{shown(node)}`", _TEMPLATES_HINT)
        case Sequence():
            for item in node.items:
                _refuse_templates(item, findings)
        case Mapping():
            for entry in node.entries:
                if "{{" in entry.key:
                    message = f"Go templates are not supported: `{entry.key[:60]}`"
                    findings.add(entry.location, message, _TEMPLATES_HINT)
                _refuse_templates(entry.value, findings)
        case _:
            pass


def _unknown_kind(entry: Entry, kinds: MappingABC[str, Kind], findings: Findings) -> None:
    if entry.key == "registry":
        findings.add(entry.location, "goss's `registry` is Windows's, and no image here has one", "leave it out")
        return
    hint = None if resembles(entry.key, kinds) else _depth(entry, kinds) or findings.places.hint(entry.key)
    findings.add(entry.location, f"unknown assertion kind `{entry.key}`", hint or did_you_mean(entry.key, kinds))


def _depth(entry: Entry, kinds: MappingABC[str, Kind]) -> str | None:
    """What the keys below a kind that there is not say of it: a resource whose kind was left out, or an attribute."""
    common = set(attributes(ResourceOptions))
    if isinstance(entry.value, Mapping) and entry.value.entries:
        keys = {each.key for each in entry.value.entries} - common
        fitting = [name for name, kind in sorted(kinds.items()) if keys and keys <= set(attributes(kind.options))]
        if fitting:
            which = " or ".join(f"`{name}`" for name in fitting[:3])
            return f"it looks like a resource: it belongs one level deeper, in its kind: {which}"
    owners = [name for name, kind in sorted(kinds.items()) if entry.key in set(attributes(kind.options)) - common]
    if owners:
        which = " or ".join(f"`{name}`" for name in owners[:3])
        return f"it is an attribute of {which}: it belongs two levels deeper, in a resource"
    return None


def _resources(
    kind: Kind, entry: Entry, kinds: MappingABC[str, Kind], findings: Findings, *, own: bool
) -> list[tuple[Entry, ResourceOptions]]:
    if not isinstance(entry.value, Mapping):
        message = f"`{kind.name}` takes a mapping of resources, not {kind_of(entry.value)}: `{shown(entry.value)}`"
        findings.add(entry.location, message, f"for example {_flow(kind.example)}")
        return []
    if not entry.value.entries:
        findings.add(entry.location, f"`{kind.name}` names no resource, so it asserts nothing", "leave it out")
    found = []
    for resource in entry.value.entries:
        options = _options(kind, resource, kinds, findings, own=own)
        if options is not None:
            found.append((resource, options))
    return found


def _options(
    kind: Kind, resource: Entry, kinds: MappingABC[str, Kind], findings: Findings, *, own: bool
) -> ResourceOptions | None:
    if not isinstance(resource.value, Mapping):
        message = f"`{resource.key}` takes a mapping of attributes, not {kind_of(resource.value)}"
        hint = f"for example {_flow(kind.example)}"
        if resource.key in attributes(kind.options):
            hint = f"it is an attribute: it belongs one level deeper, in a resource of `{kind.name}`; {hint}"
        findings.add(resource.location, f"{message}: `{shown(resource.value)}`", hint)
        return None
    if not resource.value.entries and not issubclass(kind.options, Include):
        findings.add(resource.location, f"`{resource.key}` has no attributes, so it asserts nothing")
        return None
    before = len(findings.problems)
    for entry in resource.value.entries:
        if isinstance(entry.value, Scalar) and entry.value.value is None:
            findings.add(entry.location, f"`{entry.key}` has no value", 'write "" for empty text')
    known = tuple(attributes(kind.options))
    for entry in resource.value.entries:
        if entry.key in kinds and entry.key not in known and not resembles(entry.key, known):
            hint = f"it is an assertion kind: it belongs beside `{kind.name}`, and not in a resource of it"
            findings.add(entry.location, f"unknown key `{entry.key}`", hint)
    options = decode(
        kind.options,
        _with_yaml_1_2s_truth(resource.value),
        findings,
        context={"empty_lists": not own},
        place=resource.location,
        truth_as_text=True,
    )
    if options is None or len(findings.problems) > before:
        return None
    if (refusal := kind.refuse(resource.key, options)) is not None:
        findings.add(resource.location, f"{kind.name} `{resource.key}`: {refusal}")
        return None
    return options


def _with_yaml_1_2s_truth(node: Node) -> Node:
    """The tree with yes, no, on and off as the text that they are to goss."""
    match node:
        case Scalar(value=bool()) if node.text not in _WORDS_OF_TRUTH:
            return replace(node, value=node.text)
        case Scalar():
            return node
        case Sequence():
            return replace(node, items=tuple(_with_yaml_1_2s_truth(item) for item in node.items))
        case Mapping():
            entries = (replace(entry, value=_with_yaml_1_2s_truth(entry.value)) for entry in node.entries)
            return replace(node, entries=tuple(entries))


def _flow(example: str) -> str:
    return " / ".join(line.strip() for line in example.strip().splitlines()[:2])
