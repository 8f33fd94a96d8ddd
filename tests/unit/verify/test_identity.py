"""A later boot of a disk against the first."""

from __future__ import annotations

from metallize.model.kind import Observation
from metallize.model.report import Status
from metallize.verify.looks.identity import PROBE, Identity, judge_identity, read_identity
from tests.unit.verify.entries import entry

FIRST = "kept ext2/ext3\nmachine-id 0123\nkey ssh_host_ed25519_key.pub AAAA\nfirst-boot grow.service\n"
SECOND = "kept ext2/ext3\nmachine-id 0123\nkey ssh_host_ed25519_key.pub AAAA\n"


def read(text: str) -> Identity:
    found = read_identity(Observation(status=0, stdout=f"{text}end\n", stderr="", seconds=0))
    assert found is not None
    return found


def wrong(before: str, after: str) -> list[str]:
    result = judge_identity(entry(), read(before), read(after), observed="ssh")
    assert result.holds == all(claim.holds for claim in result.claims)
    return [claim.attribute for claim in result.claims if not claim.holds]


def test_the_same_machine_is_the_same() -> None:
    assert wrong(FIRST, SECOND) == []


def test_what_changes_is_named() -> None:
    assert wrong(FIRST, SECOND.replace("0123", "4567")) == ["machine-id"]
    assert wrong(FIRST, SECOND.replace("AAAA", "BBBB")) == ["ssh_host_ed25519_key.pub"]
    assert wrong(FIRST, "kept ext2/ext3\nmachine-id 0123\n") == ["ssh_host_ed25519_key.pub"]
    assert wrong(FIRST, FIRST) == ["first-boot units"]


def test_a_live_system_keeps_nothing() -> None:
    assert read(FIRST).persistent
    assert not read("kept overlayfs\n").persistent
    assert not read("kept tmpfs\n").persistent
    assert not read("kept\n").persistent


def test_no_answer_is_no_identity() -> None:
    assert read_identity(None) is None
    for before, after in ((None, read(SECOND)), (read(SECOND), None), (read("machine-id 0123\n"), read(SECOND))):
        assert judge_identity(entry(), before, after, observed="ssh").status is Status.UNSEEN


def test_half_an_answer_is_no_identity() -> None:
    whole = f"{FIRST}end\n"
    for cut in range(len(whole) - 1):
        half = Observation(status=0, stdout=whole[:cut], stderr="", seconds=0)
        assert read_identity(half) is None or whole[:cut].endswith("end"), cut
    assert read_identity(Observation(status=1, stdout=whole, stderr="", seconds=0)) is None


def test_the_probe_is_plain_sh() -> None:
    assert "ConditionFirstBoot" in PROBE
    assert "[[" not in PROBE
