"""boot.time: how long each stage, the whole boot and single units took, against their budgets; pure.

A budget is for a host of normal speed and is stretched by the measured slowness of this one. One whose stage or unit
was not seen does not hold, and says so: nobody would notice a budget that is never looked at.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import pairwise

from metallize.model.boot import TimeBudgets
from metallize.model.kind import Claim, Observation
from metallize.model.report import Result, Stage, StageTime

STAGES = (Stage.FIRMWARE, Stage.LOADER, Stage.KERNEL, Stage.INITRD, Stage.USERSPACE)
"""Those that last; login and ready are moments, and are counted from power-on."""
_NORMAL = 1.05
"""Below this, a host's slowness is not worth a word."""
_MICROSECONDS = 1e6


def judge_times(
    budgets: TimeBudgets, stages: Sequence[StageTime], ready: float | None, slowness: float, *, suffix: str = ""
) -> list[Result]:
    """One result for each budget of one boot; times are seconds since the machine was first switched on."""
    begun = stages[0].seconds if stages else 0.0
    taken: dict[Stage, float] = {this.stage: following.seconds - this.seconds for this, following in pairwise(stages)}
    reached = {item.stage: item.seconds - begun for item in stages}
    if ready is not None:
        reached[Stage.READY] = ready - begun
    results = []
    for stage in STAGES:
        budget = _budget(budgets, stage)
        if budget is not None:
            results.append(_result(f"time in {stage}", budget, taken.get(stage), slowness, suffix))
    for stage in (Stage.LOGIN, Stage.READY):
        budget = _budget(budgets, stage)
        if budget is not None:
            results.append(_result(f"time to {stage}", budget, reached.get(stage), slowness, suffix))
    return results


def unit_probe(unit: str) -> str:
    """When the unit began to start and when it was up, on the guest's monotonic clock (systemd's D-Bus interface)."""
    names = "LoadState,ActiveState,ExecMainStartTimestampMonotonic,InactiveExitTimestampMonotonic"
    return (
        f"systemctl show -p {names},ActiveEnterTimestampMonotonic,ExecMainExitTimestampMonotonic,Type "
        f"-- {shlex.quote(unit)}"
    )


def judge_units(
    budgets: Mapping[str, timedelta],
    observations: Sequence[Observation | None],
    slowness: float,
    *,
    observed: str,
    suffix: str = "",
) -> list[Result]:
    """One result for each unit with a budget, from what `unit_probe` printed."""
    results = []
    for (unit, budget), observation in zip(budgets.items(), observations, strict=True):
        lines = observation.stdout.splitlines() if observation else []
        fields = dict(line.split("=", 1) for line in lines if "=" in line)
        taken, why = _unit_seconds(fields)
        title = f"time of {unit}"
        results.append(_result(title, budget, taken, slowness, suffix, observed=observed, missing=why))
    return results


def _unit_seconds(fields: Mapping[str, str]) -> tuple[float | None, str]:
    """How long the start took, or why nobody knows."""
    if not fields:
        return None, "the guest did not say"
    if fields.get("LoadState") not in ("loaded", "masked"):
        return None, f"there is no such unit (LoadState={fields.get('LoadState', '')})"
    left = int(fields.get("InactiveExitTimestampMonotonic") or 0)
    entered = int(fields.get("ActiveEnterTimestampMonotonic") or 0)
    ended = int(fields.get("ExecMainExitTimestampMonotonic") or 0)
    if left and entered >= left:
        return (entered - left) / _MICROSECONDS, ""
    if left and fields.get("Type") == "oneshot" and ended >= left:
        return (ended - left) / _MICROSECONDS, ""  # a oneshot without RemainAfterExit= is never active
    return None, f"it was not started (ActiveState={fields.get('ActiveState', '')})"


def _budget(budgets: TimeBudgets, stage: Stage) -> timedelta | None:
    budget: timedelta | None = getattr(budgets, stage.value)
    return budget


def _result(
    title: str,
    budget: timedelta,
    taken: float | None,
    slowness: float,
    suffix: str,
    *,
    observed: str = "host",
    missing: str = "the console did not show it",
) -> Result:
    limit = budget.total_seconds() * slowness
    expected = f"within {limit:.1f} s"
    if slowness > _NORMAL:
        expected += (
            f" ({budget.total_seconds():g} s on a host of normal speed; this one is {slowness:.1f} times slower)"
        )
    holds = taken is not None and taken <= limit
    claim = Claim(
        attribute="seconds", expected=expected, actual=missing if taken is None else f"{taken:.1f} s", holds=holds
    )
    return Result(
        title=f"{title}{suffix}",
        kind="time",
        holds=holds,
        claims=(claim,),
        observed=observed,
        seconds=round(taken or 0.0, 3),
    )
