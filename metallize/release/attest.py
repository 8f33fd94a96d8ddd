"""Whether statements prove that a file boots: judged offline, from the file, the statements and a public key alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import FormatError, VerificationError
from securesystemslib.signer import Key

from metallize.build.generator import sha256_of
from metallize.errors import UsageError, VerificationFailed
from metallize.proof import record_of
from metallize.release.packing import read_back
from metallize.release.statement import MACHINE, PAYLOAD_TYPE, PREDICATE_TYPE, PROFILE, REPORT, STATEMENT_TYPE

_MOST_BYTES = 64 << 20
_AHEAD = timedelta(minutes=10)
"""So far another host's clock may be ahead of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a signed statement says, as far as it is judged by."""

    subjects: frozenset[str]
    """The sha256 of each file that it is of."""
    machine: str
    result: str
    passed: int
    warned: tuple[str, ...]
    failed: tuple[str, ...]
    required: tuple[str, ...]
    profile_digest: str
    report_digest: str
    started: datetime
    firmware: str
    accelerator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is wanted of the statements."""

    keys: tuple[Key, ...]
    require: tuple[str, ...] = ()
    """Machines; without any those that the profile asked for when it was signed."""
    max_age: timedelta | None = None
    profile_digest: str | None = None
    allow_warned: bool = False
    now: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """What is proven."""

    sha256: str
    """Of what was booted, or of the file that unpacks to it."""
    statements: tuple[Statement, ...]
    """One for each machine that is wanted, in the order of their names."""


def statements_beside(image: Path) -> Path:
    """Where a release has the statements of a file."""
    return image.with_name(f"{image.name.removesuffix('.xz')}.intoto.jsonl")


def report_beside(image: Path) -> Path:
    """Where a release has its report."""
    return record_of(image.with_name(image.name.removesuffix(".xz")))


def verify(image: Path, statements: Path, report: Path | None, policy: Policy) -> Attested:
    """Raises VerificationFailed that says all that is lacking, UsageError where a file cannot be read."""
    found = tuple(signed_statements(statements, policy.keys))
    if not found:
        raise VerificationFailed(
            f"{statements} holds no statement that is signed with this key", hint="is it the signer's public key?"
        )
    digests = _digests_of(image)
    of_image = [each for each in found if not each.subjects.isdisjoint(digests)]
    if not of_image:
        raise VerificationFailed(f"{statements} states nothing of {image}: it tells of another image")
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
    if objections or not judged:
        raise VerificationFailed(f"{image}: {'; '.join(objections) or 'no machine is known'}")
    [sha256, *_] = [digest for digest in digests if any(digest in each.subjects for each in judged)]
    return Attested(sha256=sha256, statements=judged)


def _objections(statement: Statement, policy: Policy) -> Iterator[str]:
    on = f"on {statement.machine}"
    if statement.result not in ("PASSED", "WARNED") or statement.failed:
        yield f"{on} it did not pass: {statement.result}{_some(statement.failed)}"
    elif (statement.result == "WARNED" or statement.warned) and not policy.allow_warned:
        yield f"{on} it passed with warnings{_some(statement.warned)}, which --allow-warned would let through"
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


def _digests_of(image: Path) -> tuple[str, ...]:
    """Of the file, and of what it unpacks to."""
    try:
        with image.open("rb") as file:
            content = read_back(file)
    except ValueError as exc:
        raise VerificationFailed(f"{image} is damaged: {exc}", hint="fetch it again") from exc
    except OSError as exc:
        raise UsageError(f"{image}: {exc.strerror}", hint="an image's file is wanted") from exc
    return tuple(dict.fromkeys((content.image_sha256, content.sha256)))


# --- reading them ----------------------------------------------------------------------------------------------------


def signed_statements(path: Path, keys: Sequence[Key]) -> Iterator[Statement]:
    """Those that one of the keys has signed; all others count for nothing.

    Raises UsageError where there is no such file, VerificationFailed where one that is signed cannot be understood.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror}", hint="name the statements' file: --statements FILE") from exc
    if len(content) > _MOST_BYTES:
        raise VerificationFailed(f"{path} is larger than {_MOST_BYTES >> 20} MiB")
    for number, line in enumerate(content.splitlines(), 1):
        payload = _signed_payload(line, keys)
        if payload is None:
            continue
        try:
            yield _decoded(json.loads(payload))
        except (ValueError, LookupError, TypeError, RecursionError) as exc:
            raise VerificationFailed(f"{path}:{number}: it is signed, but is no statement of a boot: {exc}") from exc


def _signed_payload(line: bytes, keys: Sequence[Key]) -> bytes | None:
    try:
        envelope = Envelope.from_dict(json.loads(line))
        envelope.verify(list(keys), 1)
    except (VerificationError, FormatError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    payload: bytes = envelope.payload
    return payload if envelope.payload_type == PAYLOAD_TYPE else None


def _decoded(content: Any) -> Statement:
    for name, wanted in (("_type", STATEMENT_TYPE), ("predicateType", PREDICATE_TYPE)):
        if content[name] != wanted:
            raise ValueError(f"its {name} is {content[name]!r:.80}")
    predicate = content["predicate"]
    kinds = {each["annotations"]["kind"]: each for each in predicate["configuration"] if "annotations" in each}
    profile, machine, report = kinds[PROFILE], kinds[MACHINE], kinds[REPORT]
    told: Mapping[str, Any] = machine["annotations"]
    started = datetime.fromisoformat(_text(told["started"]))
    if started.tzinfo is None:
        raise ValueError("its time names no zone")
    return Statement(
        subjects=frozenset(_text(each["digest"]["sha256"]) for each in content["subject"]),
        machine=_text(machine["name"]),
        result=_text(predicate["result"]),
        passed=len(predicate["passedTests"]),
        warned=tuple(_text(each) for each in predicate["warnedTests"]),
        failed=tuple(_text(each) for each in predicate["failedTests"]),
        required=tuple(_text(each) for each in profile["annotations"]["required"]),
        profile_digest=_text(profile["digest"]["sha256"]),
        report_digest=_text(report["digest"]["sha256"]),
        started=started,
        firmware=_text(told["firmware"]),
        accelerator=_text(told["accelerator"]),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text is wanted, not {type(value).__name__}")
    return value
