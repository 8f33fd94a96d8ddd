"""Recorded consoles: what must be found in them, however their bytes are cut, and whatever comes in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from metallize.console.rules import Rule, built_in_rules
from metallize.model.report import Severity, Stage
from tests.unit.console.feed import Fed, lead_to

CORPUS: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "corpus.yaml").read_text(encoding="utf-8"))
STALL_SECONDS = 20.0
FAILING = {Severity.FATAL, Severity.STALL, Severity.FAULT}
LINE_RULES = [rule for rule in built_in_rules() if not rule.prompt and rule.stage is not Stage.QEMU]
NOISE = b"[   33.123456] kvm_amd: Nested Paging disabled\r\n"


def name(entry: dict[str, Any]) -> str:
    return str(entry["name"])


def begun(entry: dict[str, Any]) -> Fed:
    return Fed().feed(lead_to(Stage(entry["after"])))


@pytest.mark.parametrize("entry", CORPUS, ids=name)
def test_what_is_found(entry: dict[str, Any]) -> None:
    fed = begun(entry).feed(entry["text"].encode())
    failure = fed.failure(STALL_SECONDS)
    found = [*([failure] if failure else []), *fed.watch.findings]
    bad = [item for item in found if item.severity in FAILING]
    assert entry.get("stages", "") in " ".join(str(item.stage) for item in fed.watch.stages)
    if "rule" not in entry:
        assert [item.rule for item in bad] == []
        return
    assert bad
    first = bad[0]
    assert first.rule == entry["rule"]
    assert entry.get("cause", "") in first.cause
    assert first.stage == entry.get("stage", first.stage)
    assert any(entry.get("context", "") in line for line in first.context)
    assert first.remedy


@pytest.mark.slow
@pytest.mark.parametrize("cuts", [8, pytest.param(150, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("entry", CORPUS, ids=name)
def test_cut_byte_by_byte_and_at_many_places(entry: dict[str, Any], cuts: int) -> None:
    text = entry["text"].encode()
    whole = begun(entry).feed(text).outcome(STALL_SECONDS)
    assert begun(entry).bytewise(text).outcome(STALL_SECONDS) == whole
    for at in range(1, len(text), max(1, len(text) // cuts)):
        assert begun(entry).feed(text[:at], text[at:]).outcome(STALL_SECONDS) == whole


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.sampled_from(CORPUS), st.data())
def test_cut_anywhere_and_often(entry: dict[str, Any], data: st.DataObject) -> None:
    text = entry["text"].encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    reads = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert begun(entry).feed(*reads).outcome(STALL_SECONDS) == begun(entry).feed(text).outcome(STALL_SECONDS)


def seen_by(rule: Rule, data: bytes) -> bool:
    """Whether a boot that could still meet the rule finds it in these bytes."""
    stage = Stage.KERNEL if rule.until.rank >= Stage.KERNEL.rank else Stage.FIRMWARE
    fed = Fed().feed(lead_to(stage), data)
    failure = fed.failure(STALL_SECONDS)
    found = {item.rule for item in (*([failure] if failure else []), *fed.watch.findings)}
    return rule.id in found


@pytest.mark.slow
@pytest.mark.parametrize(
    "rule", [rule for rule in LINE_RULES if rule.severity is not Severity.PROGRESS], ids=lambda rule: rule.id
)
def test_every_example_is_found_through_what_a_console_does_to_it(rule: Rule) -> None:
    for example in rule.examples:
        line = example.encode()
        assert seen_by(rule, line + b"\r\n")
        assert seen_by(rule, b"[ *** ] (1 of 2) A start job is running for X (5s / no limit)\r\x1b[K" + line + b"\r\n")
        for at in range(1, len(line), max(1, len(line) // 7)):
            assert seen_by(rule, line[:at] + b"\x1b[0;1;39m" + line[at:] + b"\x1b[0m\r\n")
            assert seen_by(rule, line[:at] + b"\x1b]0;title\x07" + line[at:] + b"\r\n")
    for example in rule.near_misses:
        assert not seen_by(rule, example.encode() + b"\r\n")


@pytest.mark.slow
@pytest.mark.parametrize("rule_id", ["unit-failed", "emergency-mode", "unit-dependency", "initrd-root-missing"])
def test_a_line_that_the_kernel_cuts_is_put_together(rule_id: str) -> None:
    [rule] = [rule for rule in LINE_RULES if rule.id == rule_id]
    line = rule.examples[0].encode()
    for at in range(1, len(line)):
        for noise in (NOISE, NOISE * 3):
            assert seen_by(rule, line[:at] + noise + line[at:] + b"\r\n"), line[:at]


def test_the_corpus_names_rules_that_there_are() -> None:
    assert {entry["rule"] for entry in CORPUS if "rule" in entry} <= {rule.id for rule in built_in_rules()}
