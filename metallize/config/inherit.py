"""`extends:` - a profile that says only how it differs from another one - and `outputs:`, several images of one stack.

Both lay one tree over another: mappings are joined key by key, and anything else replaces what was there. Every
value keeps its own place, so a problem in an inherited value is shown in the file that holds it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from metallize.config.lookup import look_up
from metallize.config.reading.source import read_tree
from metallize.config.reading.suggest import did_you_mean
from metallize.config.reading.tree import Entry, Mapping, Node, Scalar, Sequence, kind_of, shown
from metallize.config.reading.validation import Findings
from metallize.config.vocabulary import Vocabulary
from metallize.errors import Location

INHERITED = "inherited"
"""The item of `images` in whose place the extended profile's images stand."""
_MOST_PARENTS = 8


def resolve_extends(
    root: Mapping, path: Path, vocabulary: Vocabulary, findings: Findings, shared: tuple[Path, ...] = ()
) -> Mapping:
    """The tree laid over those it extends, nearest last; what cannot be found or read is reported.

    `shared` are folders in which a profile that is extended is looked for, after the one that extends it.
    """
    seen = [path.resolve()]
    trees = [root]
    beside = path.parent
    while (entry := trees[-1].get("extends")) is not None:
        found = _parent(entry, beside, shared, vocabulary, findings)
        if found is None:
            break
        if found.resolve() in seen or len(seen) > _MOST_PARENTS:
            loop = " -> ".join(each.name for each in [*seen, found])
            findings.add(entry.value.location, f"`extends` leads back to itself, or on and on: {loop}")
            break
        tree = read_tree(found, findings.problems)
        if not isinstance(tree, Mapping):
            if tree is not None:
                findings.add(tree.location, f"a profile is a mapping, not {kind_of(tree)}: `{shown(tree)}`")
            break
        seen.append(found.resolve())
        trees.append(_rebased(tree, found.parent, path.parent))
        beside = found.parent
    merged = _without(trees[-1], "extends")
    for tree in reversed(trees[:-1]):
        merged = _extended(merged, _without(tree, "extends"))
    return merged


def _rebased(tree: Mapping, folder: Path, beside: Path) -> Mapping:
    """What a profile in a folder below names beside itself, named from the profile that extends it."""
    if folder.resolve() == beside.resolve() or not folder.resolve().is_relative_to(beside.resolve()):
        return tree
    below = folder.resolve().relative_to(beside.resolve())

    def renamed(item: Node) -> Node:
        if isinstance(item, Mapping):  # {layer: NAME, context: FOLDER}, whose context is beside the file that names it
            parts = (replace(each, value=renamed(each.value)) if each.key == "layer" else each for each in item.entries)
            return replace(item, entries=tuple(parts))
        if not isinstance(item, Scalar) or not isinstance(item.value, str) or not (folder / item.text).is_file():
            return item
        text = (below / item.text).as_posix()
        return Scalar(location=item.location, value=text, text=text)

    for keys in (("images",), ("boot", "suites")):
        tree = _with_items(tree, keys, renamed)
    return tree


def _with_items(tree: Mapping, keys: tuple[str, ...], change: Callable[[Node], Node]) -> Mapping:
    """The tree with every item of the list at the end of the keys changed, where there is one."""
    entry = tree.get(keys[0])
    if entry is None:
        return tree
    value = entry.value
    if len(keys) > 1 and isinstance(value, Mapping):
        value = _with_items(value, keys[1:], change)
    elif len(keys) == 1 and isinstance(value, Sequence):
        value = Sequence(location=value.location, items=tuple(change(item) for item in value.items))
    return _with(tree, Entry(key=entry.key, location=entry.location, value=value))


def _parent(
    entry: Entry, beside: Path, shared: tuple[Path, ...], vocabulary: Vocabulary, findings: Findings
) -> Path | None:
    """The file that `extends` names: beside the profile, in a shared folder, or a shipped profile by its name."""
    node = entry.value
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.text:
        findings.add(node.location, f"`extends` names one profile, not {kind_of(node)}: `{shown(node)}`")
        return None

    def find(name: str) -> Path | None:
        near = [folder / name for folder in (beside, *shared) if (folder / name).is_file()]
        return near[0] if near else vocabulary.profiles.get(name.removesuffix(".yaml"))

    before = len(findings.problems)
    found = look_up(node, "profile", findings, find)
    if found is None and len(findings.problems) == before:
        near = [file.name for folder in (beside, *shared) for file in sorted(folder.glob("*.y*ml"))]
        names = [*vocabulary.profiles, *near]
        findings.add(node.location, f"unknown profile `{shown(node)}`", did_you_mean(node.text, names))
    return found


def _extended(parent: Mapping, child: Mapping) -> Mapping:
    """The child over its parent; its images stand on the parent's, or around them where it says `inherited`."""
    merged = laid_over(parent, child)
    below, own = parent.get("images"), child.get("images")
    if below is None or own is None or not isinstance(below.value, Sequence) or not isinstance(own.value, Sequence):
        return merged
    places = [index for index, item in enumerate(own.value.items) if _is_inherited(item)]
    at = places[0] if places else 0
    rest = tuple(item for item in own.value.items if not _is_inherited(item))
    items = (*rest[:at], *below.value.items, *rest[at:])
    images = Entry(key="images", location=own.location, value=Sequence(location=own.value.location, items=items))
    return _with(merged, images)


def _is_inherited(item: Node) -> bool:
    return isinstance(item, Scalar) and item.value == INHERITED


def laid_over(below: Mapping, above: Mapping) -> Mapping:
    """Both mappings joined: a mapping in both is joined in turn, anything else is the upper one's."""
    merged = below
    for entry in above.entries:
        old = merged.get(entry.key)
        value = entry.value
        if old is not None and isinstance(old.value, Mapping) and isinstance(value, Mapping):
            value = laid_over(old.value, value)
        merged = _with(merged, Entry(key=entry.key, location=entry.location, value=value))
    return Mapping(location=above.location, entries=merged.entries)


def _with(mapping: Mapping, entry: Entry) -> Mapping:
    if mapping.get(entry.key) is None:
        return Mapping(location=mapping.location, entries=(*mapping.entries, entry))
    entries = tuple(entry if each.key == entry.key else each for each in mapping.entries)
    return Mapping(location=mapping.location, entries=entries)


def _without(mapping: Mapping, key: str) -> Mapping:
    return Mapping(location=mapping.location, entries=tuple(each for each in mapping.entries if each.key != key))


def split_outputs(root: Mapping, findings: Findings) -> tuple[Mapping, ...]:
    """One tree for each entry of `outputs`, with that entry as its `output`; the tree itself where there is none.

    An entry is what `output` takes, and `boot` too: what differs in how this image boots, laid over the profile's.
    What all of them share may stand in `output`.
    """
    entry = root.get("outputs")
    if entry is None:
        return (root,)
    if not isinstance(entry.value, Sequence):
        findings.add(entry.location, f"`outputs` is a list, not {kind_of(entry.value)}: `{shown(entry.value)}`")
        return ()
    if not entry.value.items:
        findings.add(entry.location, "`outputs` is empty, so there is nothing to make", "leave it out, or name one")
    rest = _without(root, "outputs")
    trees, files = [], dict[str, Location]()
    for item in entry.value.items:
        if not isinstance(item, Mapping):
            findings.add(item.location, f"an output is a mapping, not {kind_of(item)}: `{shown(item)}`")
            continue
        file = item.get("file")
        if file is not None and isinstance(file.value, Scalar):
            if file.value.text in files:
                findings.add(file.value.location, f"two outputs are called `{shown(file.value)}`", "rename one")
            files[file.value.text] = file.value.location
        trees.append(_output_tree(rest, item))
    return tuple(trees)


def _output_tree(rest: Mapping, item: Mapping) -> Mapping:
    shared, boot, own = rest.get("output"), rest.get("boot"), item.get("boot")
    output = _without(item, "boot")
    if shared is not None and isinstance(shared.value, Mapping):
        output = laid_over(shared.value, output)
    tree = _with(rest, Entry(key="output", location=item.location, value=output))
    if own is not None:
        value = own.value
        if boot is not None and isinstance(boot.value, Mapping) and isinstance(value, Mapping):
            value = laid_over(boot.value, value)
        tree = _with(tree, Entry(key="boot", location=own.location, value=value))
    return tree
