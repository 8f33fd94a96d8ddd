"""Failures that are known, for a while; and what is flaky, which is not published unless somebody accepts it."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from metallize.errors import ExitCode, ProfileError, VerificationFailed
from metallize.night.flakes import flakes_of, require_steady
from metallize.night.history import append, history_path
from metallize.night.known import CLEAN_NIGHTS, MOST_DAYS, advice, read_known, with_known
from metallize.night.run import status_of
from tests.conftest import ROOT
from tests.documents import blocks
from tests.unit.night.attempts import attempt, of

TODAY = date(2026, 1, 10)
ENTRY = "- {match: the kernel panicked, reference: '#12', machines: [seabios], until: 2026-01-20}\n"
SHA = "d" * 64


def written(folder: Path, text: str) -> Path:
    path = folder / "known.yaml"
    path.write_text(text)
    return path


def test_an_entry_covers_its_failure_on_its_machines_until_its_day(tmp_path: Path) -> None:
    [entry] = read_known(written(tmp_path, ENTRY), TODAY)
    assert (entry.until, entry.extensions, entry.reference) == (date(2026, 1, 20), 0, "#12")
    failed = attempt(5, "FAIL")
    assert with_known(failed, [entry], date(2026, 1, 20)).known_issue == "#12"
    assert with_known(failed, [entry], date(2026, 1, 21)).known_issue == "", "its day has passed: it counts again"
    assert with_known(attempt(5, "FAIL", reason="no root"), [entry], TODAY).known_issue == ""
    assert with_known(attempt(5, "FAIL", cell=of("web", "ovmf")), [entry], TODAY).known_issue == ""
    assert with_known(attempt(5), [entry], TODAY).known_issue == ""
    assert read_known(tmp_path / "none.yaml") == ()


def test_a_signature_and_an_expression_match_too(tmp_path: Path) -> None:
    text = (
        "- {match: '/^kernel-(panic|oops): /', reference: owner/name#3, until: [2026-01-05, 2026-01-20], "
        "profiles: [web]}\n"
    )
    [entry] = read_known(written(tmp_path, text), TODAY)
    assert entry.extensions == 1
    failed = attempt(5, "FAIL", signature="kernel-oops: at N")
    assert with_known(failed, [entry], TODAY).known_issue == "owner/name#3"
    assert (
        with_known(attempt(5, "FAIL", signature="kernel-oops: at N", cell=of("db")), [entry], TODAY).known_issue == ""
    )


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("a: b\n", "1:1", "is a list of known failures, not a mapping"),
        ("- text\n", "1:3", "a known failure is a mapping, not text"),
        ("- {match: x, reference: '#1'}\n", "1:3", "the key `until` is missing"),
        ("- {match: x, reference: '#1', until: 2026-02-20}\n", "1:38", "more than 30 days ahead"),
        ("- {match: x, reference: '#1', until: soon}\n", "1:38", "`soon` is no date"),
        ("- {match: x, reference: '#1', until: [2026-01-09, 2026-01-08]}\n", "1:51", "which it extends"),
        ("- {match: x, reference: '#1', until: [2025-10-09, 2026-01-12]}\n", "1:51", "within 30 days after 2025-10-09"),
        ("- {match: x, reference: '#1', until: []}\n", "1:38", "until"),
        ("- {match: x, reference: later, until: 2026-01-20}\n", "1:25", "nothing that could be looked up"),
        ("- {match: '', reference: '#1', until: 2026-01-20}\n", "1:11", "match"),
        ("- {match: '/.*/', reference: '#1', until: 2026-01-20}\n", "1:11", "would be any failure"),
        ("- {match: '!x', reference: '#1', until: 2026-01-20}\n", "1:11", "would be any failure"),
        ("- {match: '/(/', reference: '#1', until: 2026-01-20}\n", "1:11", "match"),
        ("- {match: x, reference: '#1', until: 2026-01-20, machine: [a]}\n", "1:50", "did you mean `machines`?"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, text: str, place: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ProfileError) as caught:
        read_known(path, TODAY)
    told = [str(problem) for problem in caught.value.problems]
    assert any(each.startswith(f"{path}:{place}: ") and message in each for each in told), told


def test_the_example_of_the_docs_is_read(tmp_path: Path) -> None:
    [block] = [text for text in blocks((ROOT / "docs/nightly.md").read_text(), "yaml") if "match:" in text]
    [entry] = read_known(written(tmp_path, block), date(2026, 12, 2))
    assert (entry.extensions, entry.machines) == (1, ("ovmf",))


def test_an_expired_entry_is_read_and_told(tmp_path: Path) -> None:
    late = date(2026, 1, 10) + timedelta(days=MOST_DAYS)
    entries = read_known(written(tmp_path, ENTRY), late)
    assert advice(entries, [attempt(5, "FAIL")], late) == (
        f"{tmp_path}/known.yaml:1:3: #12: it has expired on 2026-01-20: the failure counts again",
    )
    [soon] = advice(entries, [attempt(5, "FAIL")], date(2026, 1, 18))
    assert "it expires on 2026-01-20" in soon
    assert advice(entries, [attempt(5, "FAIL")], TODAY) == ()


def test_after_many_clean_nights_its_removal_is_asked_for(tmp_path: Path) -> None:
    entries = read_known(written(tmp_path, ENTRY), TODAY)
    clean = [attempt(number) for number in range(2, 2 + CLEAN_NIGHTS)]
    assert advice(entries, [attempt(1, "FAIL"), *clean[:-1]], TODAY) == ()
    [told] = advice(entries, [attempt(1, "FAIL"), *clean], TODAY)
    assert told.endswith(f"#12: remove it: {CLEAN_NIGHTS} clean nights")
    [never] = advice(entries, clean, TODAY)
    assert "in which it matched nothing" in never
    assert advice(entries, [*clean, attempt(40, "FAIL")], TODAY) == ()
    assert advice(entries, [*(attempt(each, cell=of("web", "ovmf")) for each in range(2, 30))], TODAY) == ()


def test_a_known_failure_does_not_fail_the_night_and_a_flaky_one_needs_every_failure_known() -> None:
    known = attempt(1, "FAIL", known_issue="#12")
    assert status_of([known]) is ExitCode.DONE
    assert status_of([known, attempt(1, "FAIL", attempt=2)]) is ExitCode.FAILED_VERIFICATION
    assert status_of([known, attempt(1, "FAIL", cell=of("db"))]) is ExitCode.FAILED_VERIFICATION
    assert status_of([known, attempt(1, "ERROR", cell=of("db"))]) is ExitCode.MACHINERY


def test_bytes_that_failed_and_passed_do_not_go_out_unless_accepted(tmp_path: Path) -> None:
    append(
        history_path(tmp_path),
        [attempt(1, "FAIL", sha256=SHA), attempt(1, sha256=SHA, attempt=2), attempt(2, sha256=SHA), attempt(2, "FAIL")],
    )
    with pytest.raises(VerificationFailed, match=r"x\.img is flaky on seabios: these bytes failed in 1 of 2") as caught:
        require_steady(tmp_path, {SHA: "x.img"}, None)
    assert "--accept-flaky ISSUE" in str(caught.value.hint)
    [text] = require_steady(tmp_path, {SHA: "x.img"}, "#9")[SHA]
    assert text.startswith("night.flaky: x.img is flaky on seabios")
    assert text.endswith("accepted as #9")
    assert require_steady(tmp_path, {"e" * 64: "y.img"}, None) == {}
    assert require_steady(tmp_path / "no history", {SHA: "x.img"}, None) == {}
    assert flakes_of([attempt(1), attempt(2, "MISS")], "x") == ()
