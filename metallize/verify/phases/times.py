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
from metallize.model.kind import Claim, Observation, lines_of, whole_number
from metallize.model.report import Entry, Result, Stage, StageTime
from metallize.verify.checklist import Turn
from metallize.verify.request import VerifyRequest
from metallize.verify.session import BootSession

STAGES = (Stage.FIRMWARE, Stage.LOADER, Stage.KERNEL, Stage.INITRD, Stage.USERSPACE)
"""Those that last."""
MOMENTS = (Stage.LOGIN, Stage.READY)
"""Counted from power-on."""
_NORMAL = 1.05
"""Below this, a host's slowness is not worth a word."""
_MICROSECONDS = 1e6


def plan(request: VerifyRequest, turn: Turn) -> tuple[Entry, ...]:
    """One for each budget."""
    budgets = request.boot.time
    stages = [
        turn.entry(f"time/stage/{stage}", f"time {'to' if stage in MOMENTS else 'in'} {stage}", "time")
        for stage in (*STAGES, *MOMENTS)
        if _budget(budgets, stage) is not None
    ]
    return (*stages, *(turn.entry(f"time/unit/{unit}", f"time of {unit}", "time") for unit in budgets.units))


def run(session: BootSession) -> None:
    """Settle those of the stages; those of units were looked at with the rest of the system."""
    watch = session.guest.watch
    session.checklist.settle(
        *judge_times(
            session.entries("time/stage"),
            session.request.boot.time,
            watch.stages,
            session.ready_seconds,
            session.slowness,
        )
    )


def judge_times(
    entries: Sequence[Entry],
    budgets: TimeBudgets,
    stages: Sequence[StageTime],
    ready: float | None,
    slowness: float,
) -> list[Result]:
    """One result for each budget of one boot; times are seconds since the machine was first switched on. Pure."""
    begun = stages[0].seconds if stages else 0.0
    taken: dict[Stage, float] = {this.stage: following.seconds - this.seconds for this, following in pairwise(stages)}
    reached = {item.stage: item.seconds - begun for item in stages}
    if ready is not None:
        reached[Stage.READY] = ready - begun
    results = []
    for entry in entries:
        stage = Stage(entry.id.rpartition("/")[2])
        budget = _budget(budgets, stage)
        if budget is not None:
            seconds = (reached if stage in MOMENTS else taken).get(stage)
            results.append(_result(entry, budget, seconds, slowness))
    return results


def unit_probe(unit: str) -> str:
    """When the unit began to start and when it was up, on the guest's monotonic clock (systemd's D-Bus interface)."""
    names = "LoadState,ActiveState,ExecMainStartTimestampMonotonic,InactiveExitTimestampMonotonic"
    return (
        f"systemctl show -p {names},ActiveEnterTimestampMonotonic,ExecMainExitTimestampMonotonic,Type "
        f"-- {shlex.quote(unit)} && echo end"
    )


def judge_units(
    entries: Sequence[Entry],
    budgets: Mapping[str, timedelta],
    observations: Sequence[Observation | None],
    slowness: float,
    *,
    observed: str,
) -> list[Result]:
    """One result for each unit with a budget, from what `unit_probe` printed; pure."""
    results = []
    for entry, (unit, budget), observation in zip(entries, budgets.items(), observations, strict=True):
        lines = lines_of(observation.stdout) if observation is not None and observation.status == 0 else []
        lines = lines if lines[-1:] == ["end"] else []
        fields = dict(line.split("=", 1) for line in lines if "=" in line)
        if not fields:
            results.append(entry.unseen(f"asked systemctl about {unit}: the guest did not say", observed=observed))
            continue
        taken, why = _unit_seconds(fields)
        results.append(_result(entry, budget, taken, slowness, observed=observed, missing=why))
    return results


def _unit_seconds(fields: Mapping[str, str]) -> tuple[float | None, str]:
    """How long the start took, or why nobody knows."""
    if fields.get("LoadState") not in ("loaded", "masked"):
        return None, f"there is no such unit (LoadState={fields.get('LoadState', '')})"
    left = _microseconds(fields, "InactiveExitTimestampMonotonic")
    entered = _microseconds(fields, "ActiveEnterTimestampMonotonic")
    ended = _microseconds(fields, "ExecMainExitTimestampMonotonic")
    if left and entered >= left:
        return (entered - left) / _MICROSECONDS, ""
    if left and fields.get("Type") == "oneshot" and ended >= left:
        return (ended - left) / _MICROSECONDS, ""  # a oneshot without RemainAfterExit= is never active
    return None, f"it was not started (ActiveState={fields.get('ActiveState', '')})"


def _microseconds(fields: Mapping[str, str], name: str) -> int:
    """A moment on the guest's clock; 0 where there was none, as systemd has it, or where it is no number."""
    return max(0, whole_number(fields.get(name, "")) or 0)


def _budget(budgets: TimeBudgets, stage: Stage) -> timedelta | None:
    budget: timedelta | None = getattr(budgets, stage.value)
    return budget


def _result(
    entry: Entry,
    budget: timedelta,
    taken: float | None,
    slowness: float,
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
    return entry.judged(claim, observed=observed, seconds=taken or 0.0)
