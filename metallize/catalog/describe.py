"""The catalogue as text: what `list` and `explain NAME` print."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from metallize.catalog.entries import Catalog
from metallize.config.reading.suggest import did_you_mean
from metallize.errors import UsageError
from metallize.model.catalogue import Generator, Layer, MachineEntry, Option, OptionType
from metallize.model.kind import Kind

_WIDTH = 100


def render_list(catalog: Catalog) -> str:
    """Every name with its summary, by section."""
    sections = {
        "Profiles": {name: first_comment(path) for name, path in catalog.profiles.items()},
        "Layers": {name: layer.summary for name, layer in catalog.layers.items()},
        "Generators": {name: generator.summary for name, generator in catalog.generators.items()},
        "Machines": {name: machine.summary for name, machine in catalog.machines.items()},
        "Suites": {name: first_comment(path) for name, path in catalog.suites.items()},
        "Assertion kinds": {name: kind.summary for name, kind in catalog.kinds.items()},
    }
    parts = [f"{title}\n{_table(rows)}" for title, rows in sections.items() if rows]
    return "\n\n".join(parts) + "\n\n`metallize explain NAME` says what one of these takes.\n"


def render_explain(catalog: Catalog, name: str) -> str:
    """All there is to say of a name; where several things have it, of each.

    Raises UsageError, with the nearest name, for a name that nothing has.
    """
    require_known(catalog, name)
    parts = [render() for entry, render in _entries(catalog) if name in {entry, entry.removesuffix(".dockerfile")}]
    return "\n\n".join(parts) + "\n"


def require_known(catalog: Catalog, name: str) -> None:
    """Raises UsageError, with the nearest name, for a name that nothing has."""
    names = [entry for entry, _ in _entries(catalog)]
    if name not in names and f"{name}.dockerfile" not in names:
        raise UsageError(f"nothing is called `{name}`", hint=did_you_mean(name, names) or "see `metallize list`")


def _entries(catalog: Catalog) -> Iterable[tuple[str, Callable[[], str]]]:
    for name, generator in catalog.generators.items():
        yield name, lambda generator=generator: _explain_generator(generator, catalog)  # type: ignore[misc]
    for name, layer in catalog.layers.items():
        yield name, lambda layer=layer: _explain_layer(layer)  # type: ignore[misc]
    for name, machine in catalog.machines.items():
        yield name, lambda machine=machine: _explain_machine(machine, catalog)  # type: ignore[misc]
    for name, kind in catalog.kinds.items():
        yield name, lambda kind=kind: _explain_kind(kind)  # type: ignore[misc]
    for name, path in catalog.suites.items():
        yield name, lambda name=name, path=path: _explain_file("suite", name, path)  # type: ignore[misc]
    for name, path in catalog.profiles.items():
        yield name, lambda name=name, path=path: _explain_file("profile", name, path)  # type: ignore[misc]


def first_comment(path: Path) -> str:
    """The comment that a file begins with, on one line; a modeline for an editor is none of it."""
    words: list[str] = []
    for line in path.read_text("utf-8", "replace").splitlines():
        if line.strip() == "---" and not words:
            continue
        if not line.startswith("#"):
            break
        text = line.lstrip("#").strip()
        if not text.startswith("yaml-language-server:"):
            words.append(text)
    return " ".join(words)


def _explain_generator(generator: Generator, catalog: Catalog) -> str:
    boots = [machine.name for machine in catalog.machines.values() if generator.boots_on(machine)]
    facts = {
        "makes": ", ".join(generator.formats),
        "for": ", ".join(generator.platforms),
        "boots on": ", ".join(boots) or "nothing: it is no bootable disk",
        "folder": str(generator.folder),
    }
    options = {name: _option_words(option) for name, option in generator.options.items()}
    return _page(
        f"generator {generator.name}",
        generator.summary,
        generator.description,
        facts,
        "output.options",
        options,
        generator.example,
    )


def _option_words(option: Option) -> str:
    default = "" if option.default is None else f" (default {_shown(option, option.default)})"
    choices = f"; one of {', '.join(_shown(option, choice) for choice in option.choices)}" if option.choices else ""
    bounds = [
        f"{words} {_shown(option, bound)}"
        for words, bound in (("at least", option.minimum), ("at most", option.maximum))
        if bound is not None
    ]
    limit = f"; {', '.join(bounds)}" if bounds else ""
    only = f"; only for {', '.join(option.formats)}" if option.formats else ""
    return f"{option.type}: {option.description}{choices}{limit}{only}{default}"


def _shown(option: Option, value: float | str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if option.type is OptionType.SIZE:
        size = int(value)
        for unit, factor in (("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)):
            if size and size % factor == 0:
                return f"{size // factor}{unit}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _explain_layer(layer: Layer) -> str:
    facts = {"made for": ", ".join(layer.supports) or "not said", "file": str(layer.path)}
    arguments = {
        argument.key: argument.description + (f" (default {argument.default})" if argument.default else "")
        for argument in layer.arguments
    }
    return _page(f"layer {layer.name}", layer.summary, "", facts, "args", arguments, f"images:\n  - {layer.name}")


def _explain_machine(machine: MachineEntry, catalog: Catalog) -> str:
    boots = [name for name, generator in catalog.generators.items() if generator.boots_on(machine)]
    facts = {"runs": str(machine.platform), "boots": ", ".join(boots) or "nothing that a generator here makes"}
    if machine.suites:
        facts["asserts too"] = f"{', '.join(machine.suites)}, where there is a login"
    return _page(f"machine {machine.name}", machine.summary, "", facts, "", {}, f"boot:\n  machines: [{machine.name}]")


def _explain_kind(kind: Kind) -> str:
    schema: dict[str, Any] = kind.options.model_json_schema()
    required = set(schema.get("required", ()))
    attributes = {
        name: _attribute_words(field, required=name in required)
        for name, field in sorted(schema["properties"].items(), key=lambda item: item[0] not in required)
    }
    example = f"assert:\n  {kind.name}:\n{textwrap.indent(kind.example.rstrip(), '    ')}"
    return _page(f"assertion kind {kind.name}", kind.summary, "", {}, "attributes", attributes, example)


def _attribute_words(field: Mapping[str, Any], *, required: bool) -> str:
    types = [str(field["type"])] if "type" in field else []
    for choice in field.get("anyOf", ()):
        for inner in choice.get("anyOf", (choice,)):
            kind = "a matcher" if "propertyNames" in inner else str(inner.get("type", ""))
            if kind not in {"", "null", *types}:
                types.append(kind)
    if {"string", "number", "boolean", "array"} <= set(types):
        types = ["a value", "a list", *(kind for kind in types if kind == "a matcher")]
    text = f"{field.get('description', '')} [{', '.join(types)}]".strip()
    return f"{text}; required" if required else text


def _explain_file(what: str, name: str, path: Path) -> str:
    return _page(f"{what} {name}", first_comment(path), "", {"file": str(path)}, "", {}, path.read_text("utf-8"))


def _page(
    title: str,
    summary: str,
    description: str,
    facts: Mapping[str, str],
    heading: str,
    rows: Mapping[str, str],
    example: str,
) -> str:
    parts = [f"{title}\n{textwrap.fill(summary, _WIDTH)}"]
    if description:
        parts.append(textwrap.fill(description, _WIDTH))
    if facts:
        parts.append(_table(facts))
    if rows:
        parts.append(f"{heading}\n{_table(rows)}")
    if example.strip():
        parts.append(textwrap.indent(example.rstrip(), "    "))
    return "\n\n".join(parts)


def _table(rows: Mapping[str, str]) -> str:
    width = min(max(len(name) for name in rows), 30) + 2
    lines = []
    for name, text in rows.items():
        wrapped = textwrap.wrap(text, max(_WIDTH - width - 2, 30)) or [""]
        lines.append(f"  {name:<{width}}{wrapped[0]}".rstrip())
        lines += [f"  {'':<{width}}{line}" for line in wrapped[1:]]
    return "\n".join(lines)
