"""Signed statements: what is accepted offline, and each thing that is not."""

from __future__ import annotations

import json
import lzma
import subprocess
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from metallize.build.generator import sha256_of
from metallize.errors import UsageError, VerificationFailed
from metallize.release.keys import load_public, load_signer, make_key
from metallize.release.statement import statements
from tests.unit.release.places import BASE, Change, Place, described
from tests.unit.release.wares import CONTENT, released


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


def test_the_channels_page_says_how_to_check_it(place: Place) -> None:
    page = (place.image.parent / "index.html").read_text()
    assert f"metallize attest verify {place.image.name} --key release.pub" in page


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


def test_keys(tmp_path: Path) -> None:
    keys = make_key(tmp_path / "k")
    assert keys.private.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="is there already"):
        make_key(tmp_path / "k")
    for load, path in ((load_signer, keys.public), (load_public, keys.private), (load_public, tmp_path / "none")):
        with pytest.raises(UsageError):
            load(path)
    assert load_signer(keys.private).public_key.keyid == load_public(keys.public).keyid
