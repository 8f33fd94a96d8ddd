"""The JSON Schemas of every kind of file that people write, on disk: what an editor's modeline names."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metallize.catalog.entries import Catalog
from metallize.catalog.generator_file import generator_schema
from metallize.config import profile_schema, project_schema, suite_schema

FOLDER = ".metallize"
"""Where `metallize schema --write` writes them, in the folder where it is called."""


def modeline(kind: str, up: str = "") -> str:
    """The comment by which yaml-language-server finds the schema of a file, which is `up` (../) folders away."""
    return f"# yaml-language-server: $schema={up}{FOLDER}/{kind}.schema.json"


def schemas(catalog: Catalog) -> Mapping[str, dict[str, Any]]:
    """Every schema, by the kind of file that it is of."""
    vocabulary = catalog.vocabulary()
    return {
        "profile": profile_schema(vocabulary),
        "suite": suite_schema(vocabulary),
        "project": project_schema(vocabulary),
        "generator": generator_schema(),
    }


def write_schemas(catalog: Catalog, folder: Path) -> tuple[Path, ...]:
    """Write each to KIND.schema.json, whole or not at all; returns the files. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for kind, schema in schemas(catalog).items():
        path = folder / f"{kind}.schema.json"
        aside = folder / f".{path.name}.{os.getpid()}"
        aside.write_text(json.dumps(schema, indent=1) + "\n", encoding="utf-8")
        aside.replace(path)
        written.append(path)
    return tuple(written)
