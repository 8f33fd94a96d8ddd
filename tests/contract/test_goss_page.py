"""docs/goss.md names every kind, attribute and matcher there is, and its examples are goss files that load."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from metallize.catalog import Catalog
from metallize.checks.decoding import MATCHERS
from metallize.config import load_suite
from metallize.model.kind import Include, Kind
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "goss.md").read_text()
VOCABULARY = Catalog().vocabulary()
SECTIONS = dict(re.findall(r"^### (\S+)\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL))
KINDS = sorted(VOCABULARY.kinds.values(), key=lambda kind: kind.name)


def test_the_page_has_a_section_for_each_kind_in_order() -> None:
    assert list(SECTIONS) == [kind.name for kind in KINDS]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kinds_section_names_its_attributes(kind: Kind) -> None:
    attributes = {info.alias or name for name, info in kind.options.model_fields.items()}
    common = {"title", "meta", "skip"}
    assert all(f"`{name}`" in PAGE.partition("### ")[0] for name in common)
    section = SECTIONS[kind.name]
    missing = {name for name in attributes - common if not re.search(rf"`{name}`|[{{ ]{name}: ", section)}
    assert not missing
    [example] = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    used = set(re.findall(r"[{, ]([a-z_-]+[0-9]*): ", example))
    assert used & attributes, "its example shows it"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kinds_example_is_a_goss_file(kind: Kind, tmp_path: Path) -> None:
    [example] = re.findall(r"```yaml\n(.*?)```", SECTIONS[kind.name], re.DOTALL)
    path = tmp_path / "goss.yaml"
    path.write_text(example)
    if issubclass(kind.options, Include):
        (tmp_path / "more").mkdir()
        for name in ("more/a.yaml", "web.json"):
            (tmp_path / name).write_text('{"matching": {"x": {"content": 1, "matches": 1}}}')
    found = load_suite(path, vocabulary=VOCABULARY)
    assert found
    assert {item.kind for item in found} == {"matching" if kind.name == "gossfile" else kind.name}


def test_the_page_names_every_matcher() -> None:
    matchers = PAGE.partition("\n## Matchers\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([a-z-]+): ", matchers))
    assert named == set(MATCHERS)
