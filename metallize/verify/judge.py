"""From what the probes of a profile's assertions printed to results; pure but for the kinds' own judgement."""

from __future__ import annotations

from dataclasses import replace

from metallize.model.assertion import Assertion
from metallize.model.kind import Claim, Kind, Observation
from metallize.model.report import Entry, Result


def judge_assertion(
    entry: Entry,
    assertion: Assertion,
    kind: Kind,
    observation: Observation | None,
    *,
    observed: str,
    problem: str = "",
) -> Result:
    """One assertion's result; one that was never observed is unseen, for the `problem` where one is known."""
    if assertion.skip:
        return entry.skipped("the profile says skip")
    where = observed if kind.probe(assertion.resource, assertion.options) else "host"
    if observation is None:
        return entry.unseen(f"its probe gave no answer{f': {problem}' if problem else ''}", observed=where)
    claims = tuple(kind.judge(assertion.resource, assertion.options, observation))
    return entry.judged(*claims, observed=where, seconds=observation.seconds)


def login_result(
    title: str, kind: str, *, expected: str, actual: str, holds: bool, seconds: float, note: str = ""
) -> Result:
    """The result of an attempt to log in, of which `as_entry` makes an entry's."""
    claim = Claim(attribute="login", expected=expected, actual=actual, holds=holds)
    entry = Entry(id="", title=title, kind=kind, phase="")
    return entry.judged(claim, observed="ssh" if kind == "ssh" else "serial", seconds=seconds, note=note)


def as_entry(entry: Entry, result: Result) -> Result:
    """A result that was judged by itself, as that of an entry of the checklist."""
    return replace(result, id=entry.id, title=entry.title, kind=entry.kind, phase=entry.phase)


def because(result: Result, reason: str) -> Result:
    """The result with its reason before its own note; one that holds needs none."""
    return replace(result, note=f"{reason}\n{result.note}".strip()) if reason and not result.holds else result
