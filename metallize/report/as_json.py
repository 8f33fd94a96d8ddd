"""A boot's report as plain data, for report.json and for the record of a proof."""

from __future__ import annotations

from dataclasses import asdict

from metallize.model.report import BootReport

SCHEMA = 2
"""Of report.json: it grows with fields that are added, and not when one keeps its meaning (docs/report.md)."""

JsonValue = str | int | float | bool | None | list["JsonValue"] | dict[str, "JsonValue"]


def report_to_json(report: BootReport) -> dict[str, JsonValue]:
    """Every field under its own name; paths are text, times are seconds."""
    data = _plain(asdict(report))
    if not isinstance(data, dict):
        raise TypeError("a report is a mapping")
    return {"schema": SCHEMA, **data}


def _plain(value: object) -> JsonValue:
    match value:
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case bool() | int() | float() | None:
            return value
        case _:
            return str(value)
