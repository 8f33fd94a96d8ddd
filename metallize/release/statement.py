"""What is stated of an image: on this machine these bytes did all that was asked of them.

One in-toto statement (v1, test-result v0.1) for each machine, in a DSSE envelope, one envelope a line. What the
standard has no field for stands in the annotations of its resource descriptors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from securesystemslib.dsse import Envelope
from securesystemslib.signer import Signer

from metallize.errors import VerificationFailed
from metallize.proof import Boot, Proof, record_of
from metallize.release.packing import Content
from metallize.release.wares import Papers, Ware

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://in-toto.io/attestation/test-result/v0.1"
PROFILE, MACHINE, REPORT = "profile", "machine", "report"
"""What a resource descriptor of the configuration is, by its annotation `kind`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attest:
    """Signs the statements of one image after the other."""

    signer: Signer

    def __call__(self, ware: Ware, papers: Papers, payload: str, content: Content) -> bytes:
        """Every statement of an image, an envelope a line."""
        lines = []
        for name in sorted(papers.proof.required):
            if not papers.proof.boots[name].report.get("started"):
                raise VerificationFailed(
                    f"the record of {ware.image.path} does not say when it was booted on {name}",
                    hint="verify it again with this metallize",
                )
            statement = statement_of(ware, papers, payload, content, papers.proof.boots[name])
            envelope = Envelope(json.dumps(statement, sort_keys=True).encode(), PAYLOAD_TYPE, {})
            envelope.sign(self.signer)
            lines.append(json.dumps(envelope.to_dict(), sort_keys=True) + "\n")
        return "".join(lines).encode()


def statements(signer: Signer) -> Attest:
    """What a release's terms take."""
    return Attest(signer=signer)


def profile_digest(proof: Proof) -> str:
    """Of everything that a profile asks, on all of its machines."""
    asked = "".join(f"{machine} {digest}\n" for machine, digest in sorted(proof.required.items()))
    return hashlib.sha256(asked.encode()).hexdigest()


def statement_of(ware: Ware, papers: Papers, payload: str, content: Content, boot: Boot) -> dict[str, Any]:
    """The statement of one boot. The same boot gives the same bytes, whenever they are made."""
    subject = {payload: content.sha256}
    subject.setdefault(payload.removesuffix(".xz"), ware.image.sha256)
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in sorted(subject.items())],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "result": "PASSED" if boot.passed else "FAILED",
            "configuration": _configuration(ware, papers, boot),
            **_tests(boot),
        },
    }


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
    }


def _tests(boot: Boot) -> dict[str, list[str]]:
    """By title. What the profile skips was not tested, and is in none of them."""
    found: dict[str, list[str]] = {"passedTests": [], "warnedTests": [], "failedTests": []}
    for result in boot.report.get("results", ()):
        title, status = str(result["title"]), str(result["status"])
        if status == "skipped":
            continue
        kind = {"held": "passedTests", "failed": "failedTests", "unseen": "failedTests"}.get(status, "warnedTests")
        found[kind].append(title)
    return found
