"""Services that crash and are started again: to systemd none of them has failed as long as it tries."""

from __future__ import annotations

import re

from metallize.model.kind import Claim, Observation
from metallize.model.report import Result

RESTARTS_PROBE = (
    "[ -d /run/systemd/system ] && systemctl show -p Id -p SubState -p Result -p NRestarts '*.service' "
    "| awk -v RS= -v ORS='\\n\\n' '/NRestarts=[1-9]/'"
)
MANY_RESTARTS = 3
"""A service that waits for another may need a second start; this often is a loop."""
_COMES_BACK = re.compile(r"getty@")
"""A getty is started again after each logout."""


def judge_restarts(observation: Observation | None, *, observed: str, suffix: str = "") -> tuple[Result, ...]:
    """A result for each service that is in a loop of restarts; none where all is well. Pure."""
    blocks = re.split(r"\n{2,}", observation.stdout.strip()) if observation else []
    units = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks]
    return tuple(
        Result(
            title=f"unit {unit['Id']}{suffix}",
            kind="unit",
            holds=False,
            claims=(
                Claim(
                    attribute="restarts",
                    expected="none",
                    actual=unit["NRestarts"],
                    holds=False,
                    note=f"it ended and was started again, and again: {unit.get('SubState')}, {unit.get('Result')}",
                ),
            ),
            observed=observed,
        )
        for unit in units
        if "Id" in unit and not _COMES_BACK.search(unit["Id"]) and _loops(unit)
    )


def _loops(unit: dict[str, str]) -> bool:
    waits = unit.get("SubState") == "auto-restart" and unit.get("Result") not in ("success", None)
    return waits or int(unit.get("NRestarts", "0")) >= MANY_RESTARTS
