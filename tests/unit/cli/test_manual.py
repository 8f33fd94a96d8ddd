"""Completion as shells have it, and the manual page as man reads it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from metallize.catalog import Catalog
from metallize.commands import line
from metallize.commands.options import NAMES
from tests.conftest import ROOT

from .conftest import Call
from .test_looking import PASSED, run

TRY = """
source ./completion
try() {
  COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
  _shtab_metallize
  printf '%s\\n' "${COMPREPLY[@]}"
}
try "$@"
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "some"),
    [
        (["pu"], ["publish"]),
        (["build", "debian13-l"], ["debian13-livecd"]),
        (["build", "x.yaml", "--machine", "ovmf-"], ["ovmf-secureboot"]),
        (["explain", "debian-li"], ["debian-live.dockerfile"]),
        (["boot", "x.yaml", "--acc"], ["--accel"]),
        (["boot", "x.yaml", "--accel", "k"], ["kvm"]),
        (["flash", "web.y"], ["web.yaml"]),
        (["releases", "s"], ["s3://"]),
        (["publish", "x.yaml", "--to", "s"], ["s3://"]),
        (["init", "--dockerfile", "web."], ["web.dockerfile", "web.yaml"]),
        (["init", "--context", "web"], ["web-files"]),
        (["build", "web"], ["web-files", "web.yaml"]),
        (["verify", "web"], ["web-files", "web.dockerfile", "web.yaml"]),
        (["diff", "web.y"], ["web.yaml"]),
        (["nightly", "--keys", "w"], ["web-files"]),
        (["attest", "x", "--key", "web.y"], ["web.yaml"]),
    ],
)
def test_bash_completes(call: Call, words: list[str], some: list[str]) -> None:
    for name in ("web.yaml", "web.dockerfile"):
        Path(name).touch()
    Path("web-files").mkdir()
    Path("completion").write_text(call("completion", "bash").out)
    program = Path("metallize")
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m metallize "$@"\n')
    program.chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", TRY, "bash", "./metallize", *words],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert sorted(set(done.stdout.split())) == some
    assert done.stderr == ""


ZSH = """\
PS1=; autoload -Uz compinit && compinit -D
eval "$(./metallize completion zsh)" && path=($PWD $path) && print re''ady
"""


@pytest.mark.slow
def test_zsh_completes(call: Call) -> None:
    """In a terminal, with its own key: what zsh makes of a line is to be had no other way."""
    Path("web.yaml").touch()
    Path("files").mkdir()
    run("20261129T000000Z", report=PASSED)
    program = Path("metallize")
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m metallize "$@"\n')
    program.chmod(0o755)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"}
    with pexpect.spawn("zsh", ["-f", "-i"], env=env, encoding="utf-8", timeout=60, dimensions=(50, 200)) as zsh:
        zsh.send(ZSH)
        zsh.expect("ready\r\n")
        for typed, completed in (
            ("pub", "publish "),
            ("build debian13-l", "debian13-livecd "),
            ("build we", "web.yaml "),
            ("init --dockerfile w", "web.yaml "),
            ("init --context f", "files/"),
            ("build x.yaml --machine ovmf-", "ovmf-secureboot "),
            ("explain debian-li", "debian-live.dockerfile "),
            ("boot x.yaml --acce", "--accel "),
            ("publish x.yaml --to s", "s3://"),
            ("boot x.yaml --accel k", "kvm "),
            ("logs my", "my\\ profile,\u00fc "),
        ):
            zsh.send(f"metallize {typed}\t")
            zsh.expect_exact(completed)
            zsh.sendcontrol("u")


def test_every_command_and_option_is_in_the_completion(call: Call) -> None:
    for shell in ("bash", "zsh"):
        text = call("completion", shell).out
        for name, command in line.parser().commands.items():
            assert name in text
            for option in command.options:
                assert option in text, (shell, option)


def test_names_that_are_completed(call: Call) -> None:
    run("20261129T000000Z", report=PASSED)
    Path("mine.dockerfile").write_text("FROM x\n")
    catalog = Catalog()
    wanted = {"profiles": "debian13-livecd", "machines": "ovmf", "layers": "mine.dockerfile", "all": "file",
              "runs": "my profile,\u00fc", "destinations": "s3://"}  # fmt: skip
    assert set(wanted) == set(NAMES)
    for kind, name in wanted.items():
        said = call("completion", "--names", kind)
        assert said.status == 0
        assert name in said.out.splitlines()
    assert call("completion", "--names", "machines").out.splitlines() == list(catalog.machines)


def test_a_shell_that_is_not_known(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    said = call("completion")
    assert said.status == 2
    assert "no completion for fish" in said.err
    assert "invalid choice: 'fish'" in call("completion", "fish").err
    monkeypatch.setenv("SHELL", "/bin/bash")
    assert call("completion").out == call("completion", "bash").out
    assert "--names means nothing beside a shell" in call("completion", "bash", "--names", "runs").err


def test_the_manual_page_has_every_command_and_option(call: Call) -> None:
    said = call("man")
    assert said.status == 0
    text = said.out.replace("\\-", "-")
    for name, command in line.parser().commands.items():
        assert f".SS metallize {name}\n" in text
        for option in command.options:
            assert option in {"-h", "--help"} or rf"\fB{option}\fR" in text, option
    assert ".SH EXIT STATUS" in text
    assert "141 nobody read the output" in text


@pytest.mark.skipif(shutil.which("man") is None, reason="this host has no man")
def test_man_reads_the_page_without_a_warning(call: Call) -> None:
    done = subprocess.run(
        ["man", "-l", "--warnings", "-"],
        input=call("man").out,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8"},
    )
    assert done.stderr == ""
    assert "metallize prune" in done.stdout
