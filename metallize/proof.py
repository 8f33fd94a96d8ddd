"""What proves that an image boots, and the only reader and writer of the record of it, FILE.verification.json.

A proof is bound to the image's bytes, on each machine to all that was asked there, and to the judge: the code and the
rules that decide. Boots of some machines add up to a whole one for as long as these three stay the same, and until
then the image counts as not verified, whoever asks. It says as well what it was made on, which decides nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from metallize import __version__
from metallize.asked import Asked, Part, asked_of
from metallize.deciding import is_one_judge, judge
from metallize.errors import HostError, VerificationFailed
from metallize.files.json_file import as_mapping, as_text, read_mapping
from metallize.model.report import BootReport, Status, Verdict
from metallize.qemu.firmware import firmware_name
from metallize.report.as_json import report_to_json
from metallize.verify.request import VerifyRequest

SCHEMA = 2
"""Of the record. What has another proves nothing: it is not known what was asked, and who judged."""
RECORD = ".verification.json"
"""What a record's name ends in, behind the image's."""
NOT_VERIFIED = "has not been verified"
NOBODY = "nobody: metallize was replaced meanwhile"
"""In the judge's place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """What became of the image on one machine."""

    asked: Asked
    judge: str
    report: Mapping[str, Any]
    """report.json, with what it ran on."""
    firmware: str

    @property
    def machine(self) -> str:
        return str(self.report["machine"])

    @property
    def passed(self) -> bool:
        return bool(self.report["verdict"] == Verdict.PASSED)

    def as_json(self) -> dict[str, Any]:
        parts = [[part.what, part.digest] for part in self.asked.parts]
        return {**self.report, "proof": {"judge": self.judge, "asked": parts, "firmware": self.firmware}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What is known of one image."""

    sha256: str = ""
    """Of the bytes that were booted; empty where none are known of."""
    plan: str = ""
    profile: str = ""
    required: Mapping[str, str]
    """The machines that the profile boots it on, each with the id of what it asks there."""
    boots: Mapping[str, Boot]
    """By machine."""
    trouble: str = ""
    """Why the record proves nothing."""
    changed: frozenset[str] = frozenset()
    """The machines that were added since it was loaded."""

    @classmethod
    def load(cls, image: Path) -> Proof:
        """What is recorded beside an image; where that is nothing, or cannot be read, `trouble` says so."""
        path = record_of(image)
        try:
            return _decoded(read_mapping(path))
        except FileNotFoundError:
            return nothing(NOT_VERIFIED)
        except (OSError, ValueError, LookupError, TypeError) as exc:
            return nothing(f"{NOT_VERIFIED}: {path} cannot be read ({_why(exc)})")

    def of(self, sha256: str) -> Proof:
        """What is known of these bytes: nothing, where the record is of others."""
        return self if self.sha256 == sha256 else nothing(NOT_VERIFIED)

    def joined(self, other: Proof) -> Proof:
        """With the other's boots of the same bytes, but for the machines on which this has newer ones."""
        if other.sha256 != self.sha256:
            return self if self.sha256 else other
        ours = {name: boot for name, boot in self.boots.items() if name in self.changed or name not in other.boots}
        return replace(self, boots={**other.boots, **ours})

    def holds(self, request: VerifyRequest) -> bool:
        """Whether the bytes have held on this machine all that is asked, before the judge of today."""
        boot = self._answer(request)
        return boot is not None and boot.passed

    def refutes(self, request: VerifyRequest) -> bool:
        """Whether it is known that they do not hold what is asked."""
        boot = self._answer(request)
        return boot is not None and not boot.passed

    def _answer(self, request: VerifyRequest) -> Boot | None:
        boot = self.boots.get(request.machine_entry)
        same = boot is not None and boot.judge == judge() and boot.asked.id == asked_of(request).id
        return boot if same else None

    def missing(self, requests: Sequence[VerifyRequest]) -> tuple[VerifyRequest, ...]:
        """What has still to be booted."""
        return tuple(request for request in requests if not self.holds(request))

    def covers(self, sha256: str, requests: Sequence[VerifyRequest]) -> bool:
        """Whether these bytes have held all that is asked, on every machine; nothing asked is nothing proven."""
        return bool(requests) and self.sha256 == sha256 and not self.missing(requests)

    def with_boots(self, sha256: str, requests: Sequence[VerifyRequest], reports: Sequence[BootReport]) -> Proof:
        """With what these boots of the bytes showed. Raises HostError where the key to log in with cannot be read."""
        known = self if self.sha256 == sha256 else nothing()
        boots = {
            request.machine_entry: Boot(
                asked=asked_of(request),
                judge=judge() if is_one_judge() else NOBODY,
                report={**report_to_json(report), "machine": request.machine_entry},
                firmware=firmware_name(request.machine, own_keys=request.overrides.own_keys),
            )
            for request, report in zip(requests, reports, strict=True)
        }
        changed = known.changed | frozenset(boots)
        return replace(known, sha256=sha256, boots={**known.boots, **boots}, changed=changed, trouble="")

    def asking(self, requests: Sequence[VerifyRequest], *, plan: str, profile: str) -> Proof:
        """The same for a profile that asks all of this, on these machines."""
        required = {request.machine_entry: asked_of(request).id for request in requests}
        return replace(self, required=required, plan=plan, profile=profile)

    @property
    def lacking(self) -> tuple[str, ...]:
        """The machines on which, by the record itself, the image has not held all that its profile asked."""
        judges = {boot.judge for name, boot in self.boots.items() if name in self.required}
        held = {name for name, boot in self.boots.items() if boot.passed and boot.asked.id == self.required.get(name)}
        return tuple(name for name in self.required if name not in held or len(judges) > 1)

    @property
    def whole(self) -> bool:
        """Whether it says of itself that the image passed everywhere, before whatever judge."""
        return bool(self.sha256 and self.required) and not self.lacking

    @property
    def verdict(self) -> str:
        """passed, failed or incomplete."""
        failed = any(not boot.passed for name, boot in self.boots.items() if name in self.required)
        return "failed" if failed else "passed" if self.whole else "incomplete"

    def objections(self, image: Path, sha256: str, requests: Sequence[VerifyRequest] | None) -> Iterator[str]:
        """Why the bytes of this image are not proven to boot, each a sentence; none where they are.

        What must hold is what the requests ask, or without any what the record says that the profile asked.
        """
        if self.trouble:
            yield f"{image} {self.trouble}"
            return
        if self.sha256 != sha256:
            yield (
                f"{image} is not the file that was verified: its sha256 is {sha256[:12]}, that one's was "
                f"{self.sha256[:12]}"
            )
            return
        wanted = self.required if requests is None else {each.machine_entry: asked_of(each) for each in requests}
        if not wanted:
            yield f"{image} {NOT_VERIFIED}: no machine is known on which it would have to boot"
        failed = [name for name in wanted if name in self.boots and not self.boots[name].passed]
        if failed:
            yield f"{image} failed its verification on {', '.join(failed)}"
        there = [name for name in wanted if name in self.boots and self.boots[name].passed]
        missing = [name for name in wanted if name not in self.boots]
        if missing and there:
            yield f"{image} was verified on {', '.join(there)} only, and is not yet verified on {', '.join(missing)}"
        elif missing:
            yield f"{image} is not yet verified on {', '.join(missing)}"
        if any(self.boots[name].judge != judge() for name in there):
            yield f"{image} was judged by other rules than those of this metallize ({__version__})"
        for name in there:
            changes = _changes(wanted[name], self.boots[name].asked)
            if changes:
                yield f"what the profile asks of {image} on {name} has changed since it was verified: {changes}"

    def save(self, image: Path) -> Proof:
        """Write it down beside an image, whole or not at all; what another process has recorded meanwhile stays.

        Returns what is recorded now. Raises HostError where it cannot be written.
        """
        path = record_of(image)
        try:
            with _alone_in(path.parent):
                joined = replace(self.joined(Proof.load(image)), changed=frozenset())
                text = json.dumps(joined.as_json(), indent=1, sort_keys=True, allow_nan=False)
                part = path.with_name(f".{path.name}.part")
                part.unlink(missing_ok=True)
                try:
                    with part.open("x", encoding="utf-8", errors="backslashreplace") as file:
                        file.write(f"{text}\n")
                        file.flush()
                        os.fsync(file.fileno())
                    part.replace(path)
                finally:
                    part.unlink(missing_ok=True)
        except OSError as exc:
            raise HostError(
                f"{path} cannot be written: {exc.strerror or exc}", hint="see df -h and the rights"
            ) from exc
        return joined

    def as_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "metallize": __version__,
            "sha256": self.sha256,
            "plan": self.plan,
            "profile": self.profile,
            "verdict": self.verdict,
            "required": dict(self.required),
            "recorded": datetime.now(UTC).isoformat(timespec="seconds"),
            "machines": [boot.as_json() for _, boot in sorted(self.boots.items())],
        }


def nothing(trouble: str = "") -> Proof:
    """No proof at all."""
    return Proof(required={}, boots={}, trouble=trouble)


def record_of(image: Path) -> Path:
    """Where the proof of an image is written down."""
    return image.with_name(f"{image.name}{RECORD}")


def runs_in(records: Iterable[Path]) -> frozenset[Path]:
    """The run folders that records name, whatever they prove; one that cannot be read names none."""
    found: set[Path] = set()
    for record in records:
        try:
            machines = read_mapping(record).get("machines")
        except (OSError, ValueError):
            continue
        for each in machines if isinstance(machines, list) else ():
            folder = each.get("run_folder") if isinstance(each, dict) else None
            if isinstance(folder, str) and folder:
                found.add(Path(folder).resolve())
    return frozenset(found)


def records_in(build_dir: Path) -> Iterator[Mapping[str, Any]]:
    """What is recorded of the images of a build folder, and of those that are kept aside; none that cannot be read."""
    for path in sorted([*build_dir.glob(f"*{RECORD}"), *build_dir.glob(f".metallize/*.kept/*{RECORD}")]):
        try:
            yield read_mapping(path)
        except (OSError, ValueError):
            continue


def withdraw(image: Path) -> None:
    """Take the record away before another image comes into the place."""
    with _alone_in(image.parent):
        record_of(image).unlink(missing_ok=True)


def failed(reports: Sequence[BootReport]) -> VerificationFailed:
    """The error for reports of which at least one did not pass."""
    names = ", ".join(report.machine for report in reports if not report.passed)
    return VerificationFailed(f"the image failed its verification on {names}", reports=reports)


# --- the record ------------------------------------------------------------------------------------------------------


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Held by whoever writes a record in this folder, for the moment that it takes; opened again by the kernel."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _decoded(content: Mapping[str, Any]) -> Proof:
    """A proof from what the record holds. Raises ValueError, LookupError or TypeError for what it cannot hold."""
    if content.get("schema") != SCHEMA:
        raise ValueError("an older or a newer metallize wrote it, and it does not say who judged")
    boots = [_boot(as_mapping(each)) for each in content["machines"]]
    if len({boot.machine for boot in boots}) < len(boots):
        raise ValueError("it tells of a machine twice")
    return Proof(
        sha256=as_text(content["sha256"]),
        plan=as_text(content["plan"]),
        profile=as_text(content["profile"]),
        required={name: as_text(asked) for name, asked in as_mapping(content["required"]).items()},
        boots={boot.machine: boot for boot in boots},
    )


def _boot(content: Mapping[str, Any]) -> Boot:
    proof = as_mapping(content["proof"])
    _require_sense(content)
    report = {name: value for name, value in content.items() if name != "proof"}
    return Boot(
        asked=Asked(parts=tuple(Part(what=as_text(what), digest=as_text(digest)) for what, digest in proof["asked"])),
        judge=as_text(proof["judge"]),
        report={**report, "machine": as_text(report["machine"]), "verdict": Verdict(report["verdict"])},
        firmware=as_text(proof["firmware"]),
    )


def _require_sense(content: Mapping[str, Any]) -> None:
    """Raises ValueError, LookupError or TypeError where a boot passed by its verdict, and its results say otherwise."""
    if content["verdict"] != Verdict.PASSED:
        return
    wrong = [result for result in content["results"] if not Status(as_mapping(result)["status"]).good]
    if wrong or not content["results"] or content["failure"] is not None:
        raise ValueError("a boot passed by its verdict, and not by its results")


def _why(exc: Exception) -> str:
    text = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
    return f"it lacks {text}" if isinstance(exc, KeyError) else text[:200]


def _changes(wanted: Asked | str, before: Asked) -> str:
    if isinstance(wanted, Asked):
        return wanted.changes(before)
    return "" if wanted == before.id else "it was asked for something else there"
