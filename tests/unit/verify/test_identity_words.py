"""Answers about a system's identity that are shorter or odder than a healthy guest's, and what is said of them."""

from __future__ import annotations

import pytest

from metallize.model.kind import Observation
from metallize.model.report import Status
from metallize.verify.looks.identity import judge_identity, read_identity
from tests.unit.verify.entries import entry
from tests.unit.verify.test_identity import FIRST, SECOND, read


@pytest.mark.parametrize("line", ["kept", "machine-id", "key", "key name", "other words here"])
def test_a_line_without_its_value_says_nothing(line: str) -> None:
    found = read(f"{line}\n")
    assert (found.filesystem, found.machine_id, found.keys, found.first_boot_units) == ("", "", {}, ())


def test_each_line_says_what_it_begins_with_and_blank_ones_nothing() -> None:
    found = read(f"\n{FIRST}\n")
    assert (found.filesystem, found.machine_id) == ("ext2/ext3", "0123")
    assert found.keys == {"ssh_host_ed25519_key.pub": "AAAA"}
    assert found.first_boot_units == ("grow.service",)


@pytest.mark.parametrize("kind", ["overlayfs", "overlay", "tmpfs", "ramfs", "squashfs", "rootfs", "aufs"])
def test_what_lives_in_memory_keeps_nothing(kind: str) -> None:
    before = read(f"kept {kind}\nmachine-id 1\n")
    result = judge_identity(entry(), before, read("kept overlay\nmachine-id 2\n"), observed="ssh")
    assert result.status is Status.HELD
    assert "a live system" in result.note


def test_which_boot_did_not_answer_is_said() -> None:
    whole = read(SECOND)
    for before, after, said in (
        (None, whole, "before"),
        (read("machine-id 1\n"), whole, "before"),
        (whole, None, "after"),
    ):
        assert f"asked the boot {said} it" in judge_identity(entry(), before, after, observed="ssh").note


def test_units_that_ran_again_are_named() -> None:
    again = judge_identity(entry(), read(FIRST), read(f"{FIRST}first-boot b.service\n"), observed="ssh").claims[-1]
    assert (again.actual, again.holds) == ("grow.service, b.service", False)
    none = judge_identity(entry(), read(FIRST), read(SECOND), observed="ssh").claims[-1]
    assert (none.actual, none.holds) == ("none", True)


def test_an_empty_answer_is_no_identity() -> None:
    assert read_identity(Observation(status=0, stdout="", stderr="", seconds=0)) is None


@pytest.mark.parametrize(("before", "after"), [("", ""), ("machine-id 1", ""), ("", "machine-id 1")])
def test_a_machine_id_that_was_not_told_is_not_the_same(before: str, after: str) -> None:
    result = judge_identity(
        entry(), read(f"kept ext2/ext3\n{before}\n"), read(f"kept ext2/ext3\n{after}\n"), observed="ssh"
    )
    assert result.status is Status.UNSEEN
    claim = result.claims[0]
    assert (claim.attribute, claim.holds, claim.unseen) == ("machine-id", False, True)
    same = judge_identity(
        entry(), read("kept ext2/ext3\nmachine-id 1\n"), read("kept ext2/ext3\nmachine-id 1\n"), observed=""
    )
    assert (same.claims[0].holds, same.claims[0].unseen) == (True, False)
