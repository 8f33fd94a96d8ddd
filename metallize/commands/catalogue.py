"""list, explain and schema: what there is, and what it takes."""

from __future__ import annotations

import argparse
import json
import sys

from metallize.catalog import explain_as_json, list_as_json, render_explain, render_list
from metallize.catalog.schemas import write_schemas
from metallize.commands.saying import out
from metallize.commands.shared import catalog_of
from metallize.config import profile_schema
from metallize.errors import ExitCode, HostError
from metallize.render import JsonLines


def list_all(options: argparse.Namespace) -> int:
    """`metallize list`."""
    if options.json:
        JsonLines(sys.stdout).write({"event": "list", **list_as_json(catalog_of(options))})
    else:
        out(render_list(catalog_of(options)))
    return ExitCode.DONE


def explain(options: argparse.Namespace) -> int:
    """`metallize explain NAME`."""
    if options.json:
        found = explain_as_json(catalog_of(options), options.name)
        JsonLines(sys.stdout).write({"event": "explain", "name": options.name, "entries": found})
    else:
        out(render_explain(catalog_of(options), options.name))
    return ExitCode.DONE


def schema(options: argparse.Namespace) -> int:
    """`metallize schema`: that of a profile, or with --write all of them, into files."""
    if options.write is not None:
        try:
            written = write_schemas(catalog_of(options), options.write)
        except OSError as exc:
            raise HostError(f"--write {options.write}: {exc.strerror}", hint="name a folder to write to") from exc
        for path in written:
            out(str(path))
        return ExitCode.DONE
    out(json.dumps(profile_schema(catalog_of(options).vocabulary()), indent=2))
    return ExitCode.DONE
