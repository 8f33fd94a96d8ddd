"""Signed statements: what is accepted offline, and each thing that is not."""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.dsse import Envelope
from sigstore_models.bundle.v1 import Bundle

from metallize.build.generator import sha256_of
from metallize.errors import UsageError, VerificationFailed
from metallize.release import attest, naming
from metallize.release.attest import Attested, Policy
from metallize.release.keys import load_public, load_signer, make_key
from metallize.release.statement import statement_of, statements
from metallize.release.wares import papers_of
from tests.unit.release.wares import CONTENT, released, ware

BASE = "web_20261130.1_x86-64.raw"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
Change = Callable[[dict[str, Any]], None]


class Place:
    """A signed release, and what a person has who fetched it."""

    def __init__(self, folder: Path, content: bytes = CONTENT, file: str = "web.raw") -> None:
        self.keys = make_key(folder / "release")
        self.other = make_key(folder / "other")
        self.ware = ware(folder / "build", content, file)
        released(folder / "to", self.ware, attest=statements(load_signer(self.keys.private)))
        self.folder = folder / "to" / "stable"
        self.image = self.folder / (f"{BASE}.xz" if file == "web.raw" else f"web_20261130.1_x86-64{Path(file).suffix}")
        self.statements = attest.statements_beside(self.image)
        self.report = attest.report_beside(self.image)
        self.policy = Policy(keys=(load_public(self.keys.public),))

    def verify(self, image: Path | None = None, **policy: object) -> Attested:
        return attest.verify(image or self.image, self.statements, self.report, replace(self.policy, **policy))  # type: ignore[arg-type]  # of a test

    def every(self) -> list[dict[str, Any]]:
        lines = self.statements.read_text().splitlines()
        return [json.loads(b64decode(json.loads(line)["payload"])) for line in lines]

    def payloads(self) -> list[dict[str, Any]]:
        """Those of the machines."""
        return [each for each in self.every() if each["predicateType"] == TEST_RESULT]

    def decision(self) -> dict[str, Any]:
        [found] = [each for each in self.every() if each["predicateType"] != TEST_RESULT]
        return found

    def signed_anew(self, change: Change, *, key: Path | None = None, decision: Change | None = None) -> None:
        """As the signer would have signed something else: the machines' statements, and with a change its decision."""
        lines = []
        for payload in [*self.payloads(), *([self.decision()] if decision is not None else [])]:
            if payload["predicateType"] == TEST_RESULT:
                change(payload)
            elif decision is not None:
                decision(payload)
            envelope = Envelope(json.dumps(payload, sort_keys=True).encode(), "application/vnd.in-toto+json", {})
            envelope.sign(load_signer(key or self.keys.private))
            lines.append(json.dumps(envelope.to_dict()) + "\n")
        self.statements.unlink()
        self.statements.write_text("".join(lines))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def described(payload: dict[str, Any], kind: str) -> dict[str, Any]:
    [found] = [
        each for each in payload["predicate"]["configuration"] if each.get("annotations", {}).get("kind") == kind
    ]
    result: dict[str, Any] = found
    return result


def test_a_statement_is_the_standards(place: Place) -> None:
    payloads = place.payloads()
    assert [described(payload, "machine")["name"] for payload in payloads] == ["ovmf", "seabios"]
    for payload in payloads:
        assert payload["_type"] == "https://in-toto.io/Statement/v1"
        assert payload["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
        assert payload["predicate"]["result"] == "PASSED"
        assert payload["predicate"]["passedTests"]
        assert {each["name"]: each["digest"]["sha256"] for each in payload["subject"]} == {
            BASE: place.ware.image.sha256,
            f"{BASE}.xz": sha256_of(place.image),
        }
    [line, *_] = [json.loads(each) for each in place.statements.read_text().splitlines()]
    assert set(line) == {"payload", "payloadType", "signatures"}


def test_openssl_verifies_what_was_signed(place: Place, tmp_path: Path) -> None:
    """A second implementation, and the encoding of DSSE written out by hand."""
    for line in place.statements.read_text().splitlines():
        envelope = json.loads(line)
        payload, kind = b64decode(envelope["payload"]), envelope["payloadType"].encode()
        (tmp_path / "pae").write_bytes(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
        (tmp_path / "sig").write_bytes(b64decode(envelope["signatures"][0]["sig"]))
        verify = ["openssl", "pkeyutl", "-verify", "-pubin", "-rawin", "-inkey", str(place.keys.public)]
        subprocess.run([*verify, "-in", "pae", "-sigfile", "sig"], cwd=tmp_path, check=True, capture_output=True)


def test_the_good_one_is_accepted_packed_unpacked_and_packed_by_others(place: Place, tmp_path: Path) -> None:
    assert [each.machine for each in place.verify().statements] == ["ovmf", "seabios"]
    (tmp_path / "raw").write_bytes(CONTENT)
    (tmp_path / "again.xz").write_bytes(lzma.compress(CONTENT, preset=3))
    for name in ("raw", "again.xz"):
        assert place.verify(tmp_path / name).sha256 == place.ware.image.sha256
    digest = described(place.payloads()[0], "profile")["digest"]["sha256"]
    age = datetime.now(UTC) - place.verify().statements[0].started + timedelta(hours=1)
    place.verify(require=("seabios",), profile_digest=digest, max_age=age)


def test_another_image(place: Place, tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(CONTENT + b"X")
    with pytest.raises(VerificationFailed, match="tells of another image"):
        place.verify(tmp_path / "raw")
    (tmp_path / "cut.xz").write_bytes(place.image.read_bytes()[:-20])
    with pytest.raises(VerificationFailed, match="is damaged"):
        place.verify(tmp_path / "cut.xz")


def test_another_key(place: Place) -> None:
    with pytest.raises(VerificationFailed, match="no statement that is signed with this key"):
        place.verify(keys=(load_public(place.other.public),))
    place.signed_anew(lambda _: None, key=place.other.private)
    with pytest.raises(VerificationFailed, match="no statement that is signed with this key"):
        place.verify()


def test_a_changed_report(place: Place) -> None:
    text = place.report.read_text()
    place.report.write_text(text.replace("passed", "Passed", 1))
    with pytest.raises(VerificationFailed, match="is not the report that was signed"):
        place.verify()


def test_a_changed_statement(place: Place) -> None:
    lines = []
    for line in place.statements.read_text().splitlines():
        envelope = json.loads(line)
        payload = b64decode(envelope["payload"]).replace(b'"name": "ovmf"', b'"name": "evil"')
        lines.append(json.dumps({**envelope, "payload": b64encode(payload).decode()}) + "\n")
    place.statements.write_text("".join(lines))
    with pytest.raises(VerificationFailed, match="no statement says that it passed on ovmf"):
        place.verify()


def test_a_machine_that_is_missing(place: Place) -> None:
    with pytest.raises(VerificationFailed, match="no statement says that it passed on raspi3b"):
        place.verify(require=("ovmf", "raspi3b"))
    place.statements.write_text("".join(place.statements.read_text().splitlines(keepends=True)[:1]))
    with pytest.raises(VerificationFailed, match="no statement says that it passed on seabios"):
        place.verify()
    place.verify(require=("ovmf",))


def test_a_statement_that_is_too_old_or_of_the_future(place: Place) -> None:
    with pytest.raises(VerificationFailed, match="too long ago"):
        place.verify(now=datetime.now(UTC) + timedelta(days=365), max_age=timedelta(days=30))
    place.signed_anew(
        lambda each: described(each, "machine")["annotations"].update(started="2999-01-01T00:00:00+00:00")
    )
    with pytest.raises(VerificationFailed, match="booted in the future"):
        place.verify()


def test_a_statement_for_another_profile(place: Place) -> None:
    with pytest.raises(VerificationFailed, match="another profile was asked for"):
        place.verify(profile_digest="0" * 64)
    payload = place.payloads()[0]

    def change(each: dict[str, Any]) -> None:
        if described(each, "machine") == described(payload, "machine"):
            described(each, "profile")["digest"]["sha256"] = "0" * 64

    place.signed_anew(change)
    with pytest.raises(VerificationFailed, match="profiles that ask different things"):
        place.verify()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"result": "FAILED"}, "did not pass: FAILED"),
        ({"result": "whatever"}, "did not pass"),
        ({"failedTests": ["ssh"]}, r"did not pass: PASSED \(ssh\)"),
        ({"passedTests": []}, "nothing was tested"),
        ({"warnedTests": ["a flaky one"]}, r"with warnings \(a flaky one\)"),
        ({"result": "WARNED"}, "with warnings"),
    ],
)
def test_what_was_not_passed(place: Place, changes: dict[str, Any], told: str) -> None:
    place.signed_anew(lambda each: each["predicate"].update(changes))
    with pytest.raises(VerificationFailed, match=told):
        place.verify()


def test_warnings_that_are_allowed(place: Place) -> None:
    place.signed_anew(lambda each: each["predicate"].update(result="WARNED", warnedTests=["a flaky one"]))
    place.verify(allow_warned=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda each: each.pop("subject"),
        lambda each: each.update(predicateType="https://slsa.dev/provenance/v1"),
        lambda each: each["predicate"].update(configuration=[]),
        lambda each: each["predicate"].update(passedTests=None),
        lambda each: described(each, "machine")["annotations"].update(started="yesterday"),
        lambda each: described(each, "machine")["annotations"].update(started="2026-11-30"),
    ],
)
def test_what_is_signed_and_is_no_statement_of_a_boot(place: Place, change: Change) -> None:
    place.signed_anew(change)
    with pytest.raises(VerificationFailed, match=r"jsonl:1: it is signed, but is no statement of a boot"):
        place.verify()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}\n",
        "[]\n",
        "\0\n",
        '{"payload": 1}\n',
        "[" * 100_000,
        '{"payload":"","payloadType":"","signatures":[{}]}',
    ],
)
def test_lines_that_are_no_envelopes(place: Place, text: str) -> None:
    good = place.statements.read_text()
    place.statements.unlink()
    place.statements.write_text(text)
    with pytest.raises(VerificationFailed, match="no statement that is signed"):
        place.verify()
    place.statements.write_text(f"{text}\n{good}")
    place.verify()


def test_the_newest_boot_of_a_machine_counts(place: Place) -> None:
    good = place.statements.read_text()

    def change(each: dict[str, Any]) -> None:
        each["predicate"]["result"] = "FAILED"
        started = described(each, "machine")["annotations"]
        started["started"] = (datetime.fromisoformat(started["started"]) + timedelta(seconds=1)).isoformat()

    place.signed_anew(change)
    place.statements.write_text(good + place.statements.read_text())
    with pytest.raises(VerificationFailed, match="did not pass"):
        place.verify()


def test_the_same_image_is_stated_in_the_same_bytes(place: Place, tmp_path: Path) -> None:
    released(tmp_path / "two", place.ware, attest=statements(load_signer(place.keys.private)))
    assert (tmp_path / "two" / "stable" / place.statements.name).read_bytes() == place.statements.read_bytes()


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


@pytest.mark.parametrize(
    "pack",
    [
        ("xz", "--keep", "--stdout"),
        ("gzip", "--stdout"),
        ("bzip2", "--stdout"),
        ("zstd", "--stdout", "--quiet"),
    ],
    ids=lambda pack: pack[0],
)
def test_what_others_have_packed(place: Place, tmp_path: Path, pack: tuple[str, ...]) -> None:
    (tmp_path / "a disk, packed").write_bytes(CONTENT)
    packed = tmp_path / "-packed ü"
    with packed.open("wb") as file:
        subprocess.run([*pack, tmp_path / "a disk, packed"], stdout=file, check=True)
    assert place.verify(packed).sha256 == place.ware.image.sha256
    packed.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(VerificationFailed, match="is damaged"):
        place.verify(packed)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["qcow2", "vmdk", "vhdx"])
def test_a_disk_that_was_converted(tmp_path: Path, form: str) -> None:
    """Of whole MiB, because some formats know no smaller parts."""
    content = CONTENT[: 4 << 20]
    place = Place(tmp_path, content)
    (tmp_path / "disk.raw").write_bytes(content)
    converted = tmp_path / f"my disk, converted.{form}"
    subprocess.run(["qemu-img", "convert", "-q", "-O", form, tmp_path / "disk.raw", converted], check=True)
    assert place.verify(converted).sha256 == place.ware.image.sha256
    packed = tmp_path / "packed.gz"
    packed.write_bytes(gzip.compress(converted.read_bytes()))
    assert place.verify(packed).sha256 == place.ware.image.sha256
    (tmp_path / "disk.raw").write_bytes(content[:-1] + b"?")
    subprocess.run(["qemu-img", "convert", "-q", "-O", form, tmp_path / "disk.raw", converted], check=True)
    with pytest.raises(VerificationFailed, match="tells of another image"):
        place.verify(converted)


@pytest.mark.slow
def test_a_release_in_a_container_and_the_raw_disk_that_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "disk.raw").write_bytes(CONTENT[: 4 << 20])
    subprocess.run(
        ["qemu-img", "convert", "-q", "-O", "qcow2", tmp_path / "disk.raw", tmp_path / "disk.qcow2"], check=True
    )
    place = Place(tmp_path, (tmp_path / "disk.qcow2").read_bytes(), "web.qcow2")
    assert place.verify().sha256 == place.ware.image.sha256
    assert place.verify(tmp_path / "disk.raw").sha256 == sha256_of(tmp_path / "disk.raw")


@pytest.mark.slow
def test_a_disk_that_stands_on_another_file_proves_nothing(place: Place, tmp_path: Path) -> None:
    """What is signed is below it today, and something else tomorrow."""
    (tmp_path / "disk.raw").write_bytes(CONTENT)
    overlay = tmp_path / "overlay.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "disk.raw", overlay], check=True)
    with pytest.raises(VerificationFailed, match="stands on other files"):
        place.verify(overlay)


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


def test_keys(tmp_path: Path) -> None:
    keys = make_key(tmp_path / "k")
    assert keys.private.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="is there already"):
        make_key(tmp_path / "k")
    for load, path in ((load_signer, keys.public), (load_public, keys.private), (load_public, tmp_path / "none")):
        with pytest.raises(UsageError):
            load(path)
    assert load_signer(keys.private).public_key.keyid == load_public(keys.public).keyid
