"""What docs/nightly.md shows of CI systems, and what `metallize matrix` prints for them: they take it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from metallize.night.matrix.formats import Format
from metallize.night.matrix.printing import printed
from metallize.night.matrix.value import Matrix
from tests.conftest import ROOT, Cli
from tests.contract.test_ci_page import GITHUB, GITLAB, read, require_taken

PAGE = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/nightly.md").read_text(), re.DOTALL)

pytestmark = pytest.mark.slow


def block(words: str) -> Any:
    [found] = [text for text in PAGE if words in text]
    return read(found)


def test_the_workflow_is_githubs() -> None:
    workflow = block("fromJSON")
    require_taken(GITHUB, workflow)
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert not [step for step in steps if "${{" in step.get("run", "")], "what comes from outside is no script's part"
    assert workflow["jobs"]["boot"]["if"] == "contains(needs.matrix.outputs.cells, 'machine')"
    assert "machine" not in printed(Matrix(), Format.GITHUB)


def test_the_pipeline_is_gitlabs() -> None:
    require_taken(GITLAB, block("trigger:"))


def test_so_is_the_child_pipeline_that_is_printed(cli: Cli) -> None:
    text = cli("matrix", "debian13-livecd", "debian13-ext4", "--format", "gitlab").stdout
    require_taken(GITLAB, yaml.safe_load(text))
    require_taken(GITLAB, yaml.safe_load(f"default: {{tags: [kvm]}}\n{text}"))
    require_taken(GITLAB, yaml.safe_load(printed(Matrix(), Format.GITLAB)))
