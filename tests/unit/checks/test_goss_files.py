"""Whole goss files, modelled after goss's documentation and what its integration tests cover, with recorded looks.

A file of system kinds stands beside a `.seen.yaml`: for each resource what a probe printed where it `passes` and
where it `fails`, and then which `attributes` fail, with the note that says why.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from metallize.config import load_suite
from metallize.model.assertion import Assertion
from metallize.model.kind import Claim, Observation
from tests.unit.checks.conftest import kinds, vocabulary

FILES = Path(__file__).parent / "goss"
SEEN: dict[str, dict[str, Any]] = yaml.safe_load((FILES / "host.json.seen.yaml").read_text())
HOST = {f"{item.kind} {item.resource}": item for item in load_suite(FILES / "host.json", vocabulary=vocabulary())}


def judged(item: Assertion, seen: Any) -> dict[str, Claim]:
    fields = {"status": 0, "stdout": "", "stderr": "", "seconds": 0.1, **(seen if isinstance(seen, dict) else {})}
    if isinstance(seen, str):
        fields["stdout"] = seen
    claims = kinds()[item.kind].judge(item.resource, item.options, Observation(**fields))
    return {claim.attribute: claim for claim in claims}


def test_every_resource_of_the_file_has_a_recorded_look() -> None:
    assert list(HOST) == list(dict.fromkeys(HOST))
    assert set(HOST) == set(SEEN)
    assert {item.kind for item in HOST.values()} == set(kinds()) - {"gossfile", "matching"}
    assert {name for name, item in HOST.items() if item.skip} == {name for name in SEEN if "fails" not in SEEN[name]}
    names = {item.location.path.name for item in HOST.values()}
    assert names == {"host.json", "shared-system.yaml", "network.yaml"}


@pytest.mark.parametrize("name", [name for name, item in HOST.items() if not item.skip])
def test_a_resource_passes_and_fails(name: str) -> None:
    item, seen = HOST[name], SEEN[name]
    passes = judged(item, seen["passes"])
    assert passes
    assert [claim for claim in passes.values() if not claim.holds] == []
    failed = {name: claim for name, claim in judged(item, seen["fails"]).items() if not claim.holds}
    assert {attribute: claim.note for attribute, claim in failed.items()} == seen["attributes"]
    assert all(claim.expected and claim.actual and claim.expected != claim.actual for claim in failed.values())


def matching(name: str) -> list[Any]:
    found = load_suite(FILES / name, vocabulary=vocabulary())
    assert found, "of no items nothing would be tested"
    return [pytest.param(item, id=f"{item.resource}") for item in found]


@pytest.mark.parametrize("item", [*matching("matching.yaml"), *matching("transforms.yaml")])
def test_a_matcher_accepts(item: Assertion) -> None:
    assert kinds()[item.kind].probe(item.resource, item.options) == ""
    claim = judged(item, "")["matches"]
    assert claim.holds, claim


@pytest.mark.parametrize("item", [*matching("matching-failing.yaml"), *matching("transforms-failing.yaml")])
def test_a_matcher_refuses(item: Assertion) -> None:
    claim = judged(item, "")["matches"]
    assert not claim.holds
    assert claim.expected
    assert claim.actual
