"""Services that crash and are started again: to systemd none of them has failed as long as it tries."""

from __future__ import annotations

import re

from metallize.model.kind import Claim, Observation
from metallize.model.report import Result

_STATES = "running,activating,deactivating,reloading,failed"
RESTARTS_PROBE = f"""\
[ -d /run/systemd/system ] || exit 0
set --
for u in $(systemctl list-units --type=service --state={_STATES} --plain --no-legend --no-pager); do
  case $u in *.service) set -- "$@" "$u" ;; esac
done
[ $# = 0 ] || systemctl show -p Id -p SubState -p Result -p NRestarts -- "$@" |
  awk -v RS= -v ORS='\\n\\n' '/NRestarts=[1-9]/'
"""
"""Of all loaded services only those that run, or are about to: showing one costs an emulated guest 15 ms."""
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
