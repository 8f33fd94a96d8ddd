"""The JSON Schema of a profile (draft 2020-12), made from the models, the generators and the assertion kinds."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from metallize.config.project import DEFAULTS
from metallize.config.vocabulary import Vocabulary
from metallize.model.boot import Boot, MachineOverrides
from metallize.model.catalogue import Generator, Option, OptionType
from metallize.model.profile import Base, Output, Platform, Settings
from metallize.model.rules import ReleaseRules

Schema = dict[str, Any]
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_OWN_KEYS: Schema = {"^x-": {"description": "your own, for YAML anchors; it means nothing to metallize"}}
_SIZE: Schema = {
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "string", "pattern": r"^\d+(\.\d+)?\s*[KMGTkmgt]?(i?B)?$"},
    ]
}


def _assertions(vocabulary: Vocabulary) -> Schema:
    return {
        "type": "object",
        "description": "goss's vocabulary: kind, resource, attributes",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {
            kind.name: {
                "type": "object",
                "description": kind.summary,
                "minProperties": 1,
                "additionalProperties": {"$ref": f"#/$defs/{kind.options.__name__}"},
            }
            for kind in sorted(vocabulary.kinds.values(), key=lambda kind: kind.name)
        },
    }


def suite_schema(vocabulary: Vocabulary) -> Schema:
    """The schema of a file of assertions: a suite, or a goss file."""
    models: list[type[BaseModel]] = [
        kind.options for kind in sorted(vocabulary.kinds.values(), key=lambda kind: kind.name)
    ]
    return {
        "$schema": _DRAFT,
        "title": "metallize suite",
        **_assertions(vocabulary),
        "patternProperties": _OWN_KEYS,
        "$defs": _definitions(models),
    }


def project_schema(vocabulary: Vocabulary) -> Schema:
    """The schema of metallize-project.yaml: sections of a profile, of which none has to be whole."""
    profile = profile_schema(vocabulary)
    definitions = profile["$defs"]
    sections = {key: profile["properties"][key] for key in DEFAULTS}
    return {
        "$schema": _DRAFT,
        "title": "metallize project",
        "description": "What the profiles in this folder and below have in common; each is laid over it.",
        "type": "object",
        "additionalProperties": False,
        "patternProperties": _OWN_KEYS,
        "properties": {
            "shared": {
                "type": "array",
                "description": "folders in which layers, suites and profiles to extend are looked for too",
                "items": {"type": "string"},
            },
            **sections,
        },
        "$defs": definitions,
    }


def profile_schema(vocabulary: Vocabulary) -> Schema:
    """The schema that editors use; `metallize schema` prints it."""
    kinds = sorted(vocabulary.kinds.values(), key=lambda kind: kind.name)
    models: list[type[BaseModel]] = [
        Base,
        Output,
        Boot,
        ReleaseRules,
        Settings,
        MachineOverrides,
        *(kind.options for kind in kinds),
    ]
    definitions = _definitions(models)
    _extend_output(definitions["Output"], vocabulary)
    definitions["OneOutput"] = _one_output(definitions["Output"])
    _extend_boot(definitions["Boot"], vocabulary)
    definitions["Action"]["properties"]["assert"] = {"$ref": "#/$defs/Assertions"}
    definitions["Assertions"] = _assertions(vocabulary)
    return {
        "$schema": _DRAFT,
        "title": "metallize profile",
        "description": "An OS image: the dockerfiles it is made of, what is made of them, and how it must boot.",
        "type": "object",
        "additionalProperties": False,
        "patternProperties": _OWN_KEYS,
        # What a parent says already, or an entry of `outputs` says too, may be left out.
        "if": {"not": {"anyOf": [{"required": ["extends"]}, {"required": ["outputs"]}]}},
        "then": {"properties": {"output": _WHOLE_OUTPUT}},
        "anyOf": [
            {"required": ["images", "output"]},
            {"required": ["images", "outputs"]},
            {"required": ["extends"]},
        ],
        "properties": {
            "extends": {
                "type": "string",
                "description": "a profile beside this one, or a shipped one by its name, that this one changes",
            },
            "platform": {
                "enum": [str(platform) for platform in Platform],
                "description": "what the image runs on; default: the host's",
            },
            "args": {
                "type": ["object", "null"],
                "description": "every layer gets them as --build-arg METALLIZE_<NAME>",
                "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]{0,63}$"},
                "additionalProperties": {"type": ["string", "number", "boolean"]},
            },
            "base": {"anyOf": [{"$ref": "#/$defs/Base"}, {"type": "null"}]},
            "images": {
                "type": "array",
                "description": "stacked with FROM, bottom first; the first may be an image reference",
                "minItems": 1,
                "items": {
                    "anyOf": [
                        {"type": "string"},
                        {
                            "type": "object",
                            "description": "a layer, and the folder, from this file's, that is its build context",
                            "required": ["layer"],
                            "additionalProperties": False,
                            "properties": {"layer": {"type": "string"}, "context": {"type": "string"}},
                        },
                    ]
                },
            },
            "output": {"$ref": "#/$defs/Output"},
            "outputs": {
                "type": "array",
                "description": "several images of one stack: each takes what output takes, over it, and its own boot",
                "minItems": 1,
                "items": {"$ref": "#/$defs/OneOutput"},
            },
            "boot": {"$ref": "#/$defs/Boot"},
            "release": {"anyOf": [{"$ref": "#/$defs/ReleaseRules"}, {"type": "null"}]},
            "metallize": {"anyOf": [{"$ref": "#/$defs/Settings"}, {"type": "null"}]},
        },
        "$defs": definitions,
    }


_WHOLE_OUTPUT: Schema = {
    "required": ["generator"],
    "anyOf": [{"required": ["file"]}, {"required": ["output-file"]}],
}


def _extend_output(output: Schema, vocabulary: Vocabulary) -> None:
    """Name the generators, tie each one's options to it, and allow the original's spelling of `file`."""
    generators = sorted(vocabulary.generators.values(), key=lambda generator: generator.name)
    output["properties"]["generator"] |= {"enum": [generator.name for generator in generators]}
    output["properties"]["output-file"] = {"type": "string", "description": "the original's name of `file`"}
    output.pop("required", None)
    output["allOf"] = [
        {
            "if": {"required": ["generator"], "properties": {"generator": {"const": generator.name}}},
            "then": {"properties": {"options": _options(generator)}},
        }
        for generator in generators
    ]


def _one_output(output: Schema) -> Schema:
    """An entry of `outputs`, with a `boot` of its own."""
    rest = {key: value for key, value in output.items() if key != "title"}
    return {**rest, "properties": {**output["properties"], "boot": {"$ref": "#/$defs/Boot"}}}


def _options(generator: Generator) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {option.name: _option(option) for option in generator.options.values()},
    }


def _option(option: Option) -> Schema:
    schema: Schema = dict(_SIZE) if option.type is OptionType.SIZE else {"type": str(option.type)}
    schema["description"] = option.description
    if option.default is not None:
        schema["default"] = option.default
    if option.choices:
        schema["enum"] = list(option.choices)
    if option.type in {OptionType.INTEGER, OptionType.NUMBER}:
        bounds = {"minimum": option.minimum, "maximum": option.maximum}
        schema |= {name: bound for name, bound in bounds.items() if bound is not None}
    if option.pattern is not None:
        schema["pattern"] = option.pattern
    return schema


def _extend_boot(boot: Schema, vocabulary: Vocabulary) -> None:
    """Allow machines as a list, and add `assert`, which the model does not keep."""
    names = sorted(vocabulary.machines)
    properties = boot["properties"]
    overrides = {"anyOf": [{"$ref": "#/$defs/MachineOverrides"}, {"type": "null"}]}
    properties["machines"] = {
        "description": properties["machines"].get("description", ""),
        "anyOf": [
            {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"enum": names}},
            {"type": "object", "minProperties": 1, "additionalProperties": overrides},
        ],
    }
    properties["suites"]["minItems"] = 1
    properties["reach"]["minProperties"] = 1
    properties["steps"]["minItems"] = 1
    properties["power_cut"]["anyOf"].insert(0, {"type": "boolean"})
    properties["assert"] = {"$ref": "#/$defs/Assertions"}
    properties["actions"]["minItems"] = 1
    seed = properties["seed"]
    seed["minProperties"] = 1
    seed["additionalProperties"] = {"type": ["string", "object", "array"]}
    properties["groups"] = {
        "type": "object",
        "description": "what is done to the ready guest and what must hold then, each from the same snapshot",
        "minProperties": 1,
        "additionalProperties": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": False,
            "properties": {
                "run": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "string"},
                    "description": "commands for the guest's shell, as root; each must end with status 0",
                },
                "assert": {"$ref": "#/$defs/Assertions"},
            },
        },
    }


def _definitions(models: Sequence[type[BaseModel]]) -> Schema:
    """The schemas of models and of all that they are made of, by name; the caller's own."""
    made: Schema = json.loads(_as_json(tuple(models)))
    return made


@cache
def _as_json(models: tuple[type[BaseModel], ...]) -> str:
    """They take longer to be made than all else of a schema, and two schemas have the same."""
    _, made = models_json_schema([(model, "validation") for model in models], ref_template="#/$defs/{model}")
    return json.dumps(_readable(made["$defs"]))


def _readable(schema: Any) -> Any:
    """Durations among the defaults as a profile writes them: PT5M is 5m."""
    if isinstance(schema, dict):
        return {
            key: value[2:].lower()
            if key == "default" and isinstance(value, str) and re.fullmatch(r"PT[0-9HMS]+", value)
            else _readable(value)
            for key, value in schema.items()
        }
    return [_readable(item) for item in schema] if isinstance(schema, list) else schema
