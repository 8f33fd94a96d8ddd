"""From what the probes printed to results; pure but for the kinds' own judgement, which is pure too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metallize.model.assertion import Assertion
from metallize.model.kind import Claim, Kind, Observation
from metallize.model.report import Result

_STATE = """\
if [ ! -d /run/systemd/system ]; then s=none; else s=${metallize_state:-$(systemctl is-system-running)}; fi
echo "${s:-none}" >"$METALLIZE_SCRATCH/state"
echo "${s:-none}"
"""
_UNLESS_RUNNING = 'read -r s <"$METALLIZE_SCRATCH/state"; case $s in running | none) exit 0 ;; esac;'
_LAST_WORDS = """\
systemctl list-units --state=failed --plain --no-legend --no-pager | head -n 5 | while read -r u _; do
  echo "unit $u"
  journalctl -b --no-pager -o cat -n 2 "_SYSTEMD_UNIT=$u" 2>/dev/null | cut -c 1-300
done
"""
"""What the programs of a failed unit said, not what systemd says of it."""
SYSTEM_PROBES = (
    "read -r id </proc/sys/kernel/random/boot_id && echo $id",
    _STATE,
    f"{_UNLESS_RUNNING} systemctl list-units --state=failed --plain --no-legend --no-pager",
    f"{_UNLESS_RUNNING} systemctl list-jobs --plain --no-legend --no-pager",
    f"{_UNLESS_RUNNING} {_LAST_WORDS}",
)
"""What every batch asks before the profile's own assertions. A system that is running has no failed unit."""


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
    """Whether the init system came to rest, and which units failed; nothing where there is no systemd.

    `degraded` is explained by the units that failed, and holds where console.allow names all of them. Anything else
    but `running` is named with the jobs that still run: `starting` is a unit that hangs while it starts.
    """
    _, state, failed, jobs, words_said = (item.stdout.strip() if item else "" for item in observations)
    if state in ("", "none", "offline", "unknown"):
        return ()
    units = [line.split() for line in failed.splitlines() if line.split()]
    said = last_words(words_said)
    results = [
        Result(
            title=f"unit {words[0]}{suffix}",
            kind="unit",
            holds=False,
            claims=(Claim(attribute="state", expected="not failed", actual="failed", holds=False),),
            observed=observed,
            note=": ".join(text for text in (" ".join(words[4:]), said.get(words[0], "")) if text),
        )
        for words in units
        if not allowed.get(words[0], False)
    ]
    if state == "degraded" and results:
        return tuple(results)  # they say it all
    forgiven = [words[0] for words in units if allowed.get(words[0], False)]
    holds = state in ("running", "degraded")
    note = f"degraded by {', '.join(forgiven)}, which console.allow names" if holds and forgiven else ""
    claim = Claim(
        attribute="state", expected="running", actual=state, holds=holds, note="" if holds else explain_jobs(jobs)
    )
    system = Result(
        title=f"system is running{suffix}",
        kind="system",
        holds=holds,
        claims=(claim,),
        observed=observed,
        note=note,
    )
    return (*results, system)


def last_words(text: str) -> dict[str, str]:
    """What each failed unit's programs said last, by the unit's name; pure."""
    said: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("unit "):
            lines = said.setdefault(line.removeprefix("unit "), [])
        elif line.strip():
            lines.append(line.strip())
    return {unit: "; ".join(lines) for unit, lines in said.items() if lines}


def explain_jobs(listed: str) -> str:
    """Systemctl list-jobs in words: what still runs, and how many jobs wait for it; pure."""
    jobs = [line.split() for line in listed.splitlines() if len(line.split()) >= 4]  # noqa: PLR2004 - job unit type state
    running = [f"{unit} ({kind} job)" for _, unit, kind, state, *_ in jobs if state == "running"]
    waiting = [unit for _, unit, _, state, *_ in jobs if state == "waiting"]
    if not jobs:
        return "no job is left: see the journal"
    said = f"still running: {', '.join(running[:5])}" if running else "no job runs"
    return said + (f"; waiting: {', '.join(waiting[:5])}{' ...' if len(waiting) > 5 else ''}" if waiting else "")  # noqa: PLR2004 - a line


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
