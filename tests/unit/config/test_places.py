"""A key that is right but stands at the wrong depth is told where it belongs; a misspelt one is still a misspelt one."""
# ruff: noqa: E501 - one case a line

from __future__ import annotations

import time
from pathlib import Path

import pytest

from metallize.config import Vocabulary, load_suite
from metallize.config.reading.places import Places, profile_places
from metallize.errors import ProfileError

from .conftest import GOOD, Problems

MISPLACED = {
    "of the machine, at the top": ("boot:\n", "memory: 1G\nboot:\n", "9:1", "unknown key `memory` (it belongs in `boot`)"),
    "of the output, at the top": ("boot:\n", "kernel_boot_params: a\nboot:\n", "9:1", "(it belongs in `output`)"),
    "two sections take it": ("boot:\n", "user: admin\nboot:\n", "9:1", "(it belongs in `boot.assert` or in `boot.login` or in `boot.ssh`)"),
    "of the settings": ("boot:\n", "build_dir: x\nboot:\n", "9:1", "(it belongs in `metallize`)"),
    "of a machine": ("boot:\n", "media: cd\nboot:\n", "9:1", "(it belongs in `boot.machines.NAME`)"),
    "an assertion kind": ("boot:\n", "service: {ssh: {running: true}}\nboot:\n", "9:1", "(it belongs in `boot.assert`)"),
    "a kind in boot": ("  assert:\n", "  port: {tcp:22: {listening: true}}\n  assert:\n", "12:3", "(it belongs in `boot.assert`)"),
    "assert at the top": ("boot:\n", "assert: {}\nboot:\n", "9:1", "unknown key `assert` (it belongs in `boot`)"),
    "an option of the generator": ("  file:", "  level: 3\n  file:", "8:3", "unknown key `level` (it belongs in `output.options`)"),
    "an option at the top": ("boot:\n", "volume_id: X\nboot:\n", "9:1", "(it belongs in `output.options`)"),
    "an argument of a layer": ("boot:\n", "kernel_package: x\nboot:\n", "9:1", "(it belongs in `args`)"),
    "a section in another": ("  file:", "  boot: {}\n  file:", "8:3", "(it belongs at the top)"),
    "deeper than it belongs": ("password: admin}", "password: admin, memory: 2G}", "11:41", "(it belongs in `boot`)"),
    "misspelt, and not misplaced": ("  machines:", "  machine:", "10:3", "(did you mean `machines`?)"),
    "nobody's": ("boot:\n", "colour: red\nboot:\n", "9:1", "(there is args, base, boot, "),
    "a kind left out": ("service: {ssh: {enabled: true}}", "ssh: {enabled: true, running: true}", "13:5",
        "unknown assertion kind `ssh` (it looks like a resource: it belongs one level deeper, in its kind: `service`)"),
    "an attribute for a kind": ("service: {ssh: {enabled: true}}", "listening: true", "13:5", "(it is an attribute of `port`: it belongs two levels deeper"),
    "an attribute for a resource": ("{ssh: {enabled: true}}", "{enabled: true}", "13:15", "(it is an attribute: it belongs one level deeper, in a resource of `service`;"),
    "a kind in a resource": ("{enabled: true}", "{enabled: true, port: {}}", "13:36", "(it is an assertion kind: it belongs beside `service`,"),
    "a key of boot among the kinds": ("service:", "machines: {}\n    service:", "13:5", "unknown assertion kind `machines` (it belongs in `boot`)"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISPLACED)
def test_a_key_at_the_wrong_depth_is_told_where_it_belongs(problems: Problems, case: str) -> None:
    old, new, place, words = MISPLACED[case]
    assert old in GOOD
    found = [str(each).partition("p.yaml:")[2] for each in problems(GOOD.replace(old, new, 1))]
    assert any(each.startswith(f"{place}: ") and words in each for each in found), found
    assert len([each for each in found if each.startswith(f"{place}: ")]) == 1, found


def test_a_suite_tells_the_depth_too(tmp_path: Path, vocabulary: Vocabulary) -> None:
    suite = tmp_path / "goss.yaml"
    suite.write_text("ssh:\n  running: true\n")
    with pytest.raises(ProfileError, match=r"goss.yaml:1:1: .*it belongs one level deeper, in its kind: `"):
        load_suite(suite, vocabulary=vocabulary)


def test_every_place_that_is_named_is_one() -> None:
    """Each section of the index takes the key that it is named for, in the shipped models."""
    places = profile_places()
    assert places.hint("memory") == "it belongs in `boot`"
    assert places.hint("status") == "it belongs in `boot.reach.NAME`"
    assert places.hint("output") == "it belongs at the top"
    assert places.hint("nobody") is None
    assert Places().hint("memory") is None


def test_a_key_of_any_length_is_told_at_once(problems: Problems) -> None:
    started = time.monotonic()
    [found] = problems(f"{GOOD}? {'memory' * 50_000}\n: 1\n")
    assert "unknown key `memorymemory" in str(found)
    assert len(str(found)) < 400
    assert time.monotonic() - started < 10  # a quadratic look takes minutes
