"""What is stated of an image: on this machine these bytes did all that was asked of them.

One in-toto statement (v1, test-result v0.1) for each machine, then that of the gate, in DSSE envelopes, one envelope a
line. What the standard has no field for stands in the annotations of its resource descriptors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from securesystemslib.dsse import Envelope
from securesystemslib.signer import Signer

from metallize.build.generator import sha256_of
from metallize.errors import VerificationFailed
from metallize.proof import Boot, Proof, record_of
from metallize.release.packing import Content
from metallize.release.signing.bundle import bundle_text
from metallize.release.signing.decision import STATEMENT_TYPE, decision_of
from metallize.release.signing.decoding import DISKS, disk_digest
from metallize.release.wares import Papers, Ware

PAYLOAD_TYPE = "application/vnd.in-toto+json"
PREDICATE_TYPE = "https://in-toto.io/attestation/test-result/v0.1"
PROFILE, MACHINE, REPORT = "profile", "machine", "report"
"""What a resource descriptor of the configuration is, by its annotation `kind`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """All that is stated of an image, as files of its release."""

    lines: bytes
    """Every envelope, one a line: the machines' in the order of their names, the gate's decision last."""
    bundles: Mapping[str, bytes]
    """Each of them for cosign, by machine; the decision by the empty name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attest:
    """Signs the statements of one image after the other."""

    signer: Signer

    def __call__(self, ware: Ware, papers: Papers, payload: str, content: Content, waived: Sequence[str]) -> Signed:
        """Every statement of an image. `waived` are the rules of its profile that somebody has overruled."""
        for name in sorted(papers.proof.required):
            if not papers.proof.boots[name].report.get("started"):
                raise VerificationFailed(
                    f"the record of {ware.image.path} does not say when it was booted on {name}",
                    hint="verify it again with this metallize",
                )
        subjects = _subjects(ware, payload, content)
        encoded = {
            name: _encoded(statement_of(ware, papers, subjects, papers.proof.boots[name]))
            for name in sorted(papers.proof.required)
        }
        encoded[""] = _encoded(
            decision_of(
                profile=ware.profile,
                profile_digest=profile_digest(papers.proof),
                resource=payload,
                subjects=subjects,
                decided=max(str(papers.proof.boots[name].report["started"]) for name in papers.proof.required),
                inputs={name: hashlib.sha256(each).hexdigest() for name, each in encoded.items()},
                waived=waived,
            )
        )
        envelopes = {name: self._signed(each) for name, each in encoded.items()}
        lines = "".join(json.dumps(each.to_dict(), sort_keys=True) + "\n" for each in envelopes.values())
        key = self.signer.public_key.keyid
        return Signed(
            lines=lines.encode(), bundles={name: bundle_text(each, key).encode() for name, each in envelopes.items()}
        )

    def _signed(self, payload: bytes) -> Envelope:
        envelope = Envelope(payload, PAYLOAD_TYPE, {})
        envelope.sign(self.signer)
        return envelope


def statements(signer: Signer) -> Attest:
    """What a release's terms take."""
    return Attest(signer=signer)


def profile_digest(proof: Proof) -> str:
    """Of everything that a profile asks, on all of its machines."""
    asked = "".join(f"{machine} {digest}\n" for machine, digest in sorted(proof.required.items()))
    return hashlib.sha256(asked.encode()).hexdigest()


def statement_of(ware: Ware, papers: Papers, subjects: Mapping[str, str], boot: Boot) -> dict[str, Any]:
    """The statement of one boot. The same boot gives the same bytes, whenever they are made."""
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in sorted(subjects.items())],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "result": "PASSED" if boot.passed else "FAILED",
            "configuration": _configuration(ware, papers, boot),
            **_tests(boot),
        },
    }


def _subjects(ware: Ware, payload: str, content: Content) -> Mapping[str, str]:
    """What is fetched, what was booted, and for a disk in a container of its own the disk as a guest sees it."""
    subjects = {payload: content.sha256}
    subjects.setdefault(payload.removesuffix(".xz"), ware.image.sha256)
    if ware.format in DISKS:
        subjects[f"{payload}.raw"] = disk_digest(ware.image.path, ware.format)
        if sha256_of(ware.image.path) != ware.image.sha256:
            raise VerificationFailed(
                f"{ware.image.path} is not the file that was verified", hint="has somebody written to it meanwhile?"
            )
    return subjects


def _encoded(statement: Mapping[str, Any]) -> bytes:
    return json.dumps(statement, sort_keys=True).encode()


def _configuration(ware: Ware, papers: Papers, boot: Boot) -> list[dict[str, Any]]:
    required = sorted(papers.proof.required)
    return [
        _descriptor(
            ware.profile, profile_digest(papers.proof), kind=PROFILE, required=required, plan=papers.proof.plan
        ),
        _descriptor(boot.machine, boot.asked.id, kind=MACHINE, **_environment(boot)),
        _descriptor(record_of(ware.image.path).name, hashlib.sha256(papers.record).hexdigest(), kind=REPORT),
        *(_descriptor(part.what, part.digest) for part in boot.asked.parts),
    ]


def _descriptor(name: str, sha256: str, **annotations: Any) -> dict[str, Any]:
    return {
        "name": name,
        "digest": {"sha256": sha256},
        **({"annotations": annotations} if annotations else {}),
    }


def _environment(boot: Boot) -> dict[str, Any]:
    """What it was booted on, when, and by which rules it was judged."""
    accelerator = boot.report.get("accelerator")
    return {
        "firmware": boot.firmware,
        "accelerator": str(accelerator.get("name", "")) if isinstance(accelerator, Mapping) else "",
        "qemu": str(boot.report.get("qemu", "")),
        "media": str(boot.report.get("media", "")),
        "started": str(boot.report.get("started", "")),
        "judge": boot.judge,
        "quarantined": [str(each["title"]) for each in boot.report.get("results", ()) if _quarantined(each)],
    }


def _quarantined(result: Mapping[str, Any]) -> bool:
    """Whether the profile or a suite names it, and says to leave it out; what a machine cannot be asked is no test."""
    return bool(result["status"] == "skipped" and result.get("location"))


def _tests(boot: Boot) -> dict[str, list[str]]:
    """By title. What the profile skips was not tested, and is in none of them: the machine's annotations have it."""
    found: dict[str, list[str]] = {"passedTests": [], "warnedTests": [], "failedTests": []}
    for result in boot.report.get("results", ()):
        title, status = str(result["title"]), str(result["status"])
        if status == "skipped":
            continue
        kind = {"held": "passedTests", "failed": "failedTests", "unseen": "failedTests"}.get(status, "warnedTests")
        found[kind].append(title)
    return found
