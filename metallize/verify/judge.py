"""From what the probes printed to results; pure but for the kinds' own judgement, which is pure too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from metallize.model.assertion import Assertion
from metallize.model.kind import Claim, Kind, Observation
from metallize.model.report import Result

SYSTEM_PROBES = (
    "cat /proc/sys/kernel/random/boot_id",
    "[ -d /run/systemd/system ] && systemctl is-system-running || echo none",
    "[ -d /run/systemd/system ] && systemctl list-units --state=failed --plain --no-legend --no-pager",
    "[ -d /run/systemd/system ] && systemctl list-jobs --plain --no-legend --no-pager",
)
"""What every batch asks before the profile's own assertions."""


def is_skipped(assertion: Assertion) -> bool:
    return bool(getattr(assertion.options, "skip", False))


def judge_assertion(
    assertion: Assertion, kind: Kind, observation: Observation | None, *, observed: str, suffix: str = ""
) -> Result:
    """One assertion's result; one that was never observed does not hold."""
    title = getattr(assertion.options, "title", None) or assertion.title
    claims: tuple[Claim, ...]
    if is_skipped(assertion):
        claims = (
            Claim(attribute="skip", expected="", actual="", holds=True, note="the profile says skip", skipped=True),
        )
    elif observation is None:
        claims = (Claim(attribute="observed", expected="an answer", actual="the guest gave none", holds=False),)
    else:
        claims = tuple(kind.judge(assertion.resource, assertion.options, observation))
    return Result(
        title=f"{title}{suffix}",
        kind=assertion.kind,
        holds=all(claim.holds for claim in claims),
        claims=claims,
        observed=observed if kind.probe(assertion.resource, assertion.options) else "host",
        seconds=observation.seconds if observation else 0.0,
        location=str(assertion.location),
    )


def judge_system(
    observations: Sequence[Observation | None],
    *,
    observed: str,
    allowed: Mapping[str, bool],
    suffix: str = "",
) -> tuple[Result, ...]:
    """Whether the init system came to rest, and which units failed; nothing where there is no systemd."""
    _, state, failed, jobs = (item.stdout.strip() if item else "" for item in observations)
    if state in ("", "none", "offline", "unknown"):
        return ()
    results = [
        Result(
            title=f"unit {line.split()[0]}{suffix}",
            kind="unit",
            holds=False,
            claims=(Claim(attribute="state", expected="not failed", actual="failed", holds=False),),
            observed=observed,
            note=" ".join(line.split()[4:]),
        )
        for line in failed.splitlines()
        if line.split() and not allowed.get(line.split()[0], False)
    ]
    running = state == "running" or (state == "degraded" and not results)
    if not running and not results:
        waiting = "; ".join(" ".join(line.split()[1:]) for line in jobs.splitlines()[:5])
        claim = Claim(attribute="state", expected="running", actual=state, holds=False, note=waiting)
        results.append(
            Result(title=f"system is running{suffix}", kind="system", holds=False, claims=(claim,), observed=observed)
        )
    elif running:
        claim = Claim(attribute="state", expected="running", actual=state, holds=True)
        results.append(
            Result(title=f"system is running{suffix}", kind="system", holds=True, claims=(claim,), observed=observed)
        )
    return tuple(results)


def login_result(
    title: str, kind: str, *, expected: str, actual: str, holds: bool, seconds: float, note: str = ""
) -> Result:
    """The result of an attempt to log in."""
    claim = Claim(attribute="login", expected=expected, actual=actual, holds=holds)
    return Result(
        title=title,
        kind=kind,
        holds=holds,
        claims=(claim,),
        observed="ssh" if kind == "ssh" else "serial",
        seconds=round(seconds, 3),
        note=note,
    )


def judge_time(budget: timedelta, ready_seconds: float, slowness: float, *, suffix: str = "") -> Result:
    """boot.time.ready against the time that the guest needed, scaled by the host's slowness."""
    limit = budget.total_seconds() * slowness
    claim = Claim(
        attribute="ready",
        expected=f"within {limit:.1f} s ({budget.total_seconds():g} s on a host of normal speed)",
        actual=f"{ready_seconds:.1f} s",
        holds=ready_seconds <= limit,
    )
    return Result(
        title=f"time ready{suffix}",
        kind="time",
        holds=claim.holds,
        claims=(claim,),
        observed="host",
        seconds=round(ready_seconds, 3),
    )
