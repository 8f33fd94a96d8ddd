"""A host without Docker or QEMU."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from metallize.command import run

from .conftest import Call, write


def test_a_plan_needs_no_engine_and_says_so(call: Call, no_engine: None) -> None:
    said = call("plan", write())
    assert said.status == 0
    assert "# No container engine answered, so what is cached is not known." in said.out
    run(["sh", "-n"], stdin=said.out)


def test_a_build_without_an_engine_says_where_it_looked(call: Call, no_engine: None) -> None:
    said = call("build", write())
    assert said.status == 3
    assert "no Docker engine answers at unix:///nowhere/engine.sock" in said.err
    assert "next: start it" in said.err
    assert not any(path.is_file() and not path.name.endswith(".lock") for path in Path("build").rglob("*"))


@pytest.mark.parametrize("words", ["verify --image some.img", "boot some.img", "build web.yaml --verify"])
def test_without_qemu_its_package_is_named_before_anything_else_is_done(
    call: Call, no_programs: None, words: str
) -> None:
    write()
    Path("some.img").write_bytes(b"boot me")
    said = call(*words.split())
    assert said.status == 3
    assert "`qemu-system-x86_64` is not installed" in said.err
    assert "apt-get install qemu-system-x86" in said.err
    assert not Path("build").exists()


def test_the_doctor_of_a_host_with_nothing(call: Call, no_engine: None, no_programs: None) -> None:
    said = call("doctor")
    assert said.status == 3
    for subject in ("Docker engine", "qemu-system-x86_64", "qemu-img"):
        assert re.search(rf"^MISS {subject}: .*\n +mend: \S", said.out, re.MULTILINE), said.out
    assert re.search(r"^opt  mmdebstrap: .*\n +mend: sudo apt-get install mmdebstrap$", said.out, re.MULTILINE)
    findings = call("doctor", "--json").events()
    assert {finding["event"] for finding in findings} == {"finding"}
    assert {finding["subject"] for finding in findings if not finding["fine"] and finding["needed"]} >= {"qemu-img"}
    assert all(finding["mend"] for finding in findings if not finding["fine"])
