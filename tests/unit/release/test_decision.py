"""The decision of the gate, tests that are left out, and both as bundles."""

from __future__ import annotations

import hashlib
import json
import subprocess
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sigstore_models.bundle.v1 import Bundle

from metallize.errors import VerificationFailed
from metallize.release import naming
from metallize.release.keys import load_public
from metallize.release.statement import statement_of
from metallize.release.wares import papers_of
from tests.unit.release.places import BASE, Place, described


def test_the_decision_names_what_it_rests_on(place: Place) -> None:
    decision = place.decision()
    assert decision["predicateType"] == "https://slsa.dev/verification_summary/v1"
    assert decision["subject"] == place.payloads()[0]["subject"]
    predicate = decision["predicate"]
    assert predicate["verificationResult"] == "PASSED"
    assert predicate["policy"]["digest"] == described(place.payloads()[0], "profile")["digest"]
    lines = [json.loads(line) for line in place.statements.read_text().splitlines()]
    assert [each["digest"]["sha256"] for each in predicate["inputAttestations"]] == [
        hashlib.sha256(b64decode(line["payload"])).hexdigest() for line in lines[:-1]
    ]
    assert predicate["timeVerified"] == described(place.payloads()[0], "machine")["annotations"]["started"]
    found = place.verify(decided=True).decision
    assert found is not None
    assert found.waived == ()


def test_statements_without_a_decision(place: Place) -> None:
    """An older release has none: it is judged by its boots, unless a decision is asked for."""
    place.signed_anew(lambda _: None)
    assert place.verify().decision is None
    with pytest.raises(VerificationFailed, match="no decision of the gate rests on these statements"):
        place.verify(decided=True)


def test_a_decision_on_other_statements_or_against_it(place: Place) -> None:
    place.signed_anew(lambda _: None, decision=lambda each: each["predicate"].update(verificationResult="FAILED"))
    with pytest.raises(VerificationFailed, match="the gate has refused it: FAILED"):
        place.verify()
    place.signed_anew(
        lambda each: described(each, "machine")["annotations"].update(started="2026-11-28T11:00:00+00:00"),
        decision=lambda each: each["predicate"].update(verificationResult="PASSED"),
    )
    with pytest.raises(VerificationFailed, match="no decision of the gate rests on these statements"):
        place.verify()


def test_a_decision_for_another_profile(place: Place) -> None:
    place.signed_anew(
        lambda _: None, decision=lambda each: each["predicate"]["policy"]["digest"].update(sha256="0" * 64)
    )
    with pytest.raises(VerificationFailed, match="no decision of the gate rests on these statements"):
        place.verify()


def test_a_quarantined_test(place: Place) -> None:
    def change(each: dict[str, Any]) -> None:
        described(each, "machine")["annotations"].update(quarantined=["port 80"])

    place.signed_anew(change)
    with pytest.raises(VerificationFailed, match=r"on ovmf tests are left out \(port 80\), which --allow-quarantined"):
        place.verify()
    place.verify(allow_quarantined=True)


def test_what_the_profile_leaves_out_is_quarantined(place: Place) -> None:
    papers = papers_of(place.ware)
    boot = papers.proof.boots["ovmf"]
    entry = {"title": "port 80", "status": "skipped", "location": "web.yaml:3:1"}
    of_the_system = {"title": "units", "status": "skipped", "location": ""}
    boot = replace(boot, report={**boot.report, "results": [*boot.report["results"], entry, of_the_system]})
    statement = statement_of(place.ware, papers, {}, boot)
    assert described(statement, "machine")["annotations"]["quarantined"] == ["port 80"]
    assert "port 80" not in json.dumps({**statement["predicate"], "configuration": []})


def test_every_statement_is_a_bundle_too(place: Place, tmp_path: Path) -> None:
    """By the models of sigstore's own protobuf schema, and by openssl over what they have read."""
    lines = [json.loads(line) for line in place.statements.read_text().splitlines()]
    for line, part in zip(lines, ("ovmf.", "seabios.", ""), strict=True):
        text = (place.folder / f"{BASE}.{part}sigstore.json").read_text()
        bundle = Bundle.from_json(text)
        assert bundle.media_type == "application/vnd.dev.sigstore.bundle.v0.3+json"
        envelope = bundle.dsse_envelope
        assert envelope is not None
        assert bundle.verification_material.public_key is not None
        assert bundle.verification_material.public_key.hint == load_public(place.keys.public).keyid
        [signature] = envelope.signatures
        kind = envelope.payload_type.encode()
        payload = envelope.payload
        assert payload == b64decode(line["payload"])
        (tmp_path / "pae").write_bytes(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
        (tmp_path / "sig").write_bytes(signature.sig)
        verify = ["openssl", "pkeyutl", "-verify", "-pubin", "-rawin", "-inkey", str(place.keys.public)]
        subprocess.run([*verify, "-in", "pae", "-sigfile", "sig"], cwd=tmp_path, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("machine", "named"), [("ovmf", "ovmf."), ("", ""), ("a b", "a+20b."), ("a/b", "a+2fb."), ("a.b", "a+2eb.")]
)
def test_papers_are_named_by_machine(machine: str, named: str) -> None:
    assert naming.part(machine) == named
