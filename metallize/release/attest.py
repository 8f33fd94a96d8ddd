"""Whether statements prove that a file boots: judged offline, from the file, the statements and a public key alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from securesystemslib.signer import Key

from metallize.build.generator import sha256_of
from metallize.errors import UsageError, VerificationFailed
from metallize.proof import record_of
from metallize.release.signing.decoding import digests_of
from metallize.release.signing.signed import Decision, Statement, signed_statements

_AHEAD = timedelta(minutes=10)
"""So far another host's clock may be ahead of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is wanted of the statements."""

    keys: tuple[Key, ...]
    require: tuple[str, ...] = ()
    """Machines; without any those that the profile asked for when it was signed."""
    max_age: timedelta | None = None
    profile_digest: str | None = None
    allow_warned: bool = False
    allow_quarantined: bool = False
    decided: bool = False
    """Whether a decision of the gate must be among the statements; one that is there is judged in any case."""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """What is proven."""

    sha256: str
    """Of what was booted, or of the file that unpacks to it."""
    statements: tuple[Statement, ...]
    """One for each machine that is wanted, in the order of their names."""
    decision: Decision | None
    """The gate's, on these statements; None where no decision of it is there."""


def statements_beside(image: Path) -> Path:
    """Where a release has the statements of a file."""
    return image.with_name(f"{image.name.removesuffix('.xz')}.intoto.jsonl")


def report_beside(image: Path) -> Path:
    """Where a release has its report."""
    return record_of(image.with_name(image.name.removesuffix(".xz")))


def verify(image: Path, statements: Path, report: Path | None, policy: Policy) -> Attested:
    """Raises VerificationFailed that says all that is lacking, UsageError where a file cannot be read."""
    return verify_digests(str(image), digests_of(image), statements, report, policy)


def verify_digests(
    image: str, digests: Iterable[str], statements: Path, report: Path | None, policy: Policy
) -> Attested:
    """The same for an image of which no more is here than its digests: the file's, or what it unpacks to."""
    found = tuple(signed_statements(statements, policy.keys))
    if not found:
        raise VerificationFailed(
            f"{statements} holds no statement that is signed with this key", hint="is it the signer's public key?"
        )
    digest = next((each for each in digests if any(each in one.subjects for one in found)), None)
    if digest is None:
        raise VerificationFailed(f"{statements} states nothing of {image}: it tells of another image")
    of_image = [each for each in found if isinstance(each, Statement) and digest in each.subjects]
    decisions = [each for each in found if isinstance(each, Decision) and digest in each.subjects]
    newest: dict[str, Statement] = {}
    for each in sorted(of_image, key=lambda each: each.started):
        newest[each.machine] = each
    wanted = sorted(policy.require or {name for each in of_image for name in each.required})
    judged = tuple(newest[name] for name in wanted if name in newest)
    objections = [f"no statement says that it passed on {name}" for name in wanted if name not in newest]
    objections += [why for each in judged for why in _objections(each, policy)]
    if len({each.profile_digest for each in judged}) > 1:
        objections.append("the statements are for profiles that ask different things")
    objections += _report_objections(report, judged)
    decision = next((each for each in decisions if each.covers(judged)), None)
    if decision is None and judged and (decisions or policy.decided):
        objections.append("no decision of the gate rests on these statements")
    elif decision is not None and decision.result != "PASSED":
        objections.append(f"the gate has refused it: {decision.result}")
    if objections or not judged:
        raise VerificationFailed(f"{image}: {'; '.join(objections) or 'no machine is known'}")
    return Attested(sha256=digest, statements=judged, decision=decision)


def _objections(statement: Statement, policy: Policy) -> Iterator[str]:
    on = f"on {statement.machine}"
    if statement.result not in ("PASSED", "WARNED") or statement.failed:
        yield f"{on} it did not pass: {statement.result}{_some(statement.failed)}"
    elif (statement.result == "WARNED" or statement.warned) and not policy.allow_warned:
        yield f"{on} it passed with warnings{_some(statement.warned)}, which --allow-warned would let through"
    elif statement.quarantined and not policy.allow_quarantined:
        yield f"{on} tests are left out{_some(statement.quarantined)}, which --allow-quarantined would let through"
    elif not statement.passed:
        yield f"{on} nothing was tested"
    if policy.max_age is not None and statement.started < policy.now - policy.max_age:
        yield f"{on} it was booted on {statement.started:%Y-%m-%d}, which is too long ago"
    if statement.started > policy.now + _AHEAD:
        yield f"{on} it was booted in the future, by this host's clock: {statement.started.isoformat()}"
    if policy.profile_digest is not None and statement.profile_digest != policy.profile_digest:
        yield f"{on} another profile was asked for: its digest is {statement.profile_digest[:12]}"


def _some(titles: Sequence[str]) -> str:
    return f" ({', '.join(titles[:3])}{', ...' if len(titles) > 3 else ''})" if titles else ""  # noqa: PLR2004 - a few


def _report_objections(report: Path | None, judged: Sequence[Statement]) -> list[str]:
    if report is None:
        return []
    try:
        digest = sha256_of(report)
    except OSError as exc:
        raise UsageError(f"{report}: {exc.strerror}", hint="the report of the same release is wanted") from exc
    if any(each.report_digest != digest for each in judged):
        return [f"{report} is not the report that was signed"]
    return []
