"""Signed statements as values: what one of the keys has signed is decoded strictly, all else counts for nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import FormatError, VerificationError
from securesystemslib.signer import Key

from metallize.errors import UsageError, VerificationFailed
from metallize.release.signing.decision import DECISION_TYPE, STATEMENT_TYPE, WAIVED
from metallize.release.statement import MACHINE, PAYLOAD_TYPE, PREDICATE_TYPE, PROFILE, REPORT

_MOST_BYTES = 64 << 20


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
    quarantined: tuple[str, ...]
    """What the profile names, and leaves out."""
    profile_digest: str
    report_digest: str
    started: datetime
    firmware: str
    accelerator: str
    digest: str
    """Of itself, by which a decision names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the gate has decided."""

    subjects: frozenset[str]
    result: str
    profile_digest: str
    inputs: frozenset[str]
    """The digests of the statements that it rests on."""
    waived: tuple[str, ...]
    """The rules that said no, and were overruled."""

    def covers(self, judged: Sequence[Statement]) -> bool:
        """Whether it rests on all of these, and on what they were asked."""
        return all(each.digest in self.inputs and each.profile_digest == self.profile_digest for each in judged)


def signed_statements(path: Path, keys: Sequence[Key]) -> Iterator[Statement | Decision]:
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
            yield _decoded(json.loads(payload), hashlib.sha256(payload).hexdigest())
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


def _decoded(content: Any, digest: str) -> Statement | Decision:
    for name, wanted in (("_type", {STATEMENT_TYPE}), ("predicateType", {PREDICATE_TYPE, DECISION_TYPE})):
        if content[name] not in wanted:
            raise ValueError(f"its {name} is {content[name]!r:.80}")
    return _statement(content, digest) if content["predicateType"] == PREDICATE_TYPE else _decision(content)


def _decision(content: Any) -> Decision:
    predicate = content["predicate"]
    return Decision(
        subjects=frozenset(_text(each["digest"]["sha256"]) for each in content["subject"]),
        result=_text(predicate["verificationResult"]),
        profile_digest=_text(predicate["policy"]["digest"]["sha256"]),
        inputs=frozenset(_text(each["digest"]["sha256"]) for each in predicate["inputAttestations"]),
        waived=tuple(_text(each) for each in predicate.get(WAIVED, ())),
    )


def _statement(content: Any, digest: str) -> Statement:
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
        quarantined=tuple(_text(each) for each in told.get("quarantined", ())),
        profile_digest=_text(profile["digest"]["sha256"]),
        report_digest=_text(report["digest"]["sha256"]),
        started=started,
        firmware=_text(told["firmware"]),
        accelerator=_text(told["accelerator"]),
        digest=digest,
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text is wanted, not {type(value).__name__}")
    return value
