"""The catalogue as plain data: what `list --json` and `explain NAME --json` print."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from metallize.catalog.describe import first_comment, require_known
from metallize.catalog.entries import Catalog
from metallize.model.catalogue import Generator, Layer, MachineEntry
from metallize.model.kind import Kind

JsonValue = str | int | float | bool | None | list["JsonValue"] | dict[str, "JsonValue"]


def list_as_json(catalog: Catalog) -> dict[str, JsonValue]:
    """Every name with its summary, by section."""
    sections = {
        "profiles": [(name, first_comment(path)) for name, path in catalog.profiles.items()],
        "layers": [(name, layer.summary) for name, layer in catalog.layers.items()],
        "generators": [(name, generator.summary) for name, generator in catalog.generators.items()],
        "machines": [(name, machine.summary) for name, machine in catalog.machines.items()],
        "suites": [(name, first_comment(path)) for name, path in catalog.suites.items()],
        "kinds": [(name, kind.summary) for name, kind in catalog.kinds.items()],
    }
    return {title: [{"name": name, "summary": text} for name, text in rows] for title, rows in sections.items()}


def explain_as_json(catalog: Catalog, name: str) -> list[JsonValue]:
    """All there is to say of a name, of each thing that has it. Raises UsageError as `render_explain` does."""
    require_known(catalog, name)
    return [entry for key, entry in _entries(catalog) if name in {key, key.removesuffix(".dockerfile")}]


def _entries(catalog: Catalog) -> Iterable[tuple[str, dict[str, JsonValue]]]:
    for name, generator in catalog.generators.items():
        yield name, _generator(generator, catalog)
    for name, layer in catalog.layers.items():
        yield name, _layer(layer)
    for name, machine in catalog.machines.items():
        yield name, _machine(machine, catalog)
    for name, kind in catalog.kinds.items():
        yield name, _kind(kind)
    for what, paths in (("suite", catalog.suites), ("profile", catalog.profiles)):
        for name, path in paths.items():
            yield (
                name,
                {
                    "what": what,
                    "name": name,
                    "summary": first_comment(path),
                    "file": str(path),
                    "content": path.read_text("utf-8"),
                },
            )


def _generator(generator: Generator, catalog: Catalog) -> dict[str, JsonValue]:
    options: list[JsonValue] = [
        {
            "name": option.name,
            "type": option.type,
            "description": option.description,
            "default": option.default,
            "choices": list(option.choices),
            "minimum": option.minimum,
            "maximum": option.maximum,
        }
        for option in generator.options.values()
    ]
    return {
        "what": "generator",
        "name": generator.name,
        "summary": generator.summary,
        "description": generator.description,
        "formats": list(generator.formats),
        "platforms": list(generator.platforms),
        "machines": [machine.name for machine in catalog.machines.values() if generator.boots_on(machine)],
        "folder": str(generator.folder),
        "options": options,
        "example": generator.example,
    }


def _layer(layer: Layer) -> dict[str, JsonValue]:
    arguments: list[JsonValue] = [
        {"name": argument.key, "description": argument.description, "default": argument.default}
        for argument in layer.arguments
    ]
    return {
        "what": "layer",
        "name": layer.name,
        "summary": layer.summary,
        "supports": list(layer.supports),
        "file": str(layer.path),
        "arguments": arguments,
    }


def _machine(machine: MachineEntry, catalog: Catalog) -> dict[str, JsonValue]:
    return {
        "what": "machine",
        "name": machine.name,
        "summary": machine.summary,
        "platform": machine.platform,
        "firmware": machine.firmware,
        "generators": [name for name, generator in catalog.generators.items() if generator.boots_on(machine)],
        "suites": list(machine.suites),
    }


def _kind(kind: Kind) -> dict[str, JsonValue]:
    schema: dict[str, Any] = kind.options.model_json_schema()
    return {
        "what": "kind",
        "name": kind.name,
        "summary": kind.summary,
        "attributes": schema,
        "example": kind.example,
    }
