"""list, explain and schema: what there is, and what it takes."""

from __future__ import annotations

import argparse
import json

from metallize.catalog import render_explain, render_list
from metallize.commands.shared import catalog_of, out
from metallize.config import profile_schema
from metallize.errors import ExitCode


def list_all(options: argparse.Namespace) -> int:
    """`metallize list`."""
    out(render_list(catalog_of(options)))
    return ExitCode.DONE


def explain(options: argparse.Namespace) -> int:
    """`metallize explain NAME`."""
    out(render_explain(catalog_of(options), options.name))
    return ExitCode.DONE


def schema(options: argparse.Namespace) -> int:
    """`metallize schema`."""
    out(json.dumps(profile_schema(catalog_of(options).vocabulary()), indent=2))
    return ExitCode.DONE
