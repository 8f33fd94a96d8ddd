"""What the gate has decided of an image: that it may go out, on which statements that rests, and what was overruled.

An in-toto statement (v1) whose predicate is a verification summary of SLSA (v1), the type for decisions like this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from packageurl import PackageURL

from metallize import __version__

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
DECISION_TYPE = "https://slsa.dev/verification_summary/v1"
GATE = "urn:metallize:gate"
"""The verifier: `metallize publish`, whoever runs it; the key says who that is."""
BOOTED = "METALLIZE_BOOTED"
"""The level: it held all that its profile asks, on all of its machines. The standard leaves such names to verifiers."""
WAIVED = "urn:metallize:waived"
"""Rules of the profile's `release` that said no, and were overruled. No field of the standard has a place for it."""


def decision_of(
    *,
    profile: str,
    profile_digest: str,
    resource: str,
    subjects: Mapping[str, str],
    decided: str,
    inputs: Mapping[str, str],
    waived: Sequence[str],
) -> dict[str, Any]:
    """The statement that it may go out.

    `inputs` are the digests of the statements that it rests on (of the envelopes' payloads), by machine. `decided` is
    when the last of their boots began: what is decided depends on no later moment, and so neither do the bytes.
    """
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in sorted(subjects.items())],
        "predicateType": DECISION_TYPE,
        "predicate": {
            "verifier": {"id": GATE, "version": {"metallize": __version__}},
            "timeVerified": decided,
            "resourceUri": PackageURL(type="generic", name=resource).to_string(),
            "policy": {"uri": f"urn:metallize:profile:{profile}", "digest": {"sha256": profile_digest}},
            "inputAttestations": [
                {"uri": f"urn:metallize:machine:{machine}", "digest": {"sha256": digest}}
                for machine, digest in sorted(inputs.items())
            ],
            "verificationResult": "PASSED",
            "verifiedLevels": [BOOTED],
            WAIVED: list(waived),
        },
    }
