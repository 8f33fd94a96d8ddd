"""A command line that is wrong, and what programs read of one that is right."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from metallize import __version__, cli
from metallize.commands import line
from tests.conftest import ROOT

from .conftest import Call, write


@pytest.mark.parametrize(
    ("words", "told", "hint"),
    [
        ("", "the following arguments are required: COMMAND", "metallize --help"),
        ("buidl web.yaml", "there is no command `buidl`", "did you mean `build`?"),
        ("frobnicate", "there is no command `frobnicate`", "metallize --help"),
        ("build", "the following arguments are required: PROFILE", "metallize build --help"),
        ("build web.yaml --verfy", "`metallize build` does not take `--verfy`", "did you mean `--verify`?"),
        ("build web.yaml --machne=ovmf", "does not take `--machne=ovmf`", "did you mean `--machine`?"),
        ("plan web.yaml other.yaml", "`metallize plan` does not take `other.yaml`", "metallize plan --help"),
        ("build web.yaml --accel hvf", "invalid choice: 'hvf'", "metallize build --help"),
        ("build web.yaml --set", "expected one argument", "metallize build --help"),
        ("build web.yaml --set args.colour", "--set args.colour: it is KEY=VALUE", "--set args.hostname=web1"),
        ("build web.yaml --set =blue", "--set =blue: it is KEY=VALUE", "--set args.hostname=web1"),
        ("build web.yaml --build-dir web.yaml", "--build-dir web.yaml: it is a file", "name a folder"),
        ("build web.yaml --extensions-dir more", "--extensions-dir more: there is no such folder", ""),
        ("build web.yaml --verify --machine ovfm", "there is no machine `ovfm`", "did you mean `ovmf`?"),
        ("verify", "verify takes a PROFILE, or --image FILE", "metallize verify --help"),
        ("verify web.yaml --image web.iso", "verify takes a PROFILE, or --image FILE", "metallize verify --help"),
        ("verify web.yaml", "there is no build/web.iso that its manifest tells of", "metallize build web.yaml"),
        ("verify --image gone.iso", "gone.iso: No such file or directory", "an image file to boot is wanted"),
        ("verify --image empty.iso", "empty.iso is empty", "an image file to boot is wanted"),
        ("verify --image .", ".: Is a directory", "an image file to boot is wanted"),
        ("verify web.yaml --assert x.yaml", "--assert goes with --image", "under boot.suites"),
        ("verify web.yaml --user admin", "--user goes with --image", "under boot.login and boot.ssh"),
        ("verify web.yaml --require ready", "--require goes with --image", "under boot.console.require"),
        ("verify web.yaml --display", "--display goes with --image", "under boot.display"),
        ("verify --image some.img --require [", "--require [: it is no regular expression", "gets a backslash"),
        ("verify --image some.img --require=", "--require is empty", "say what is to come"),
        ("verify --image some.img --password x", "--password goes with --user", "say whose it is"),
        ("verify --image some.img --machine seaboss", "there is no machine `seaboss`", "did you mean `seabios`?"),
        ("boot some.img --machine seaboss", "there is no machine `seaboss`", "did you mean `seabios`?"),
        ("boot web.yaml", "there is no build/web.iso that its manifest tells of", "metallize build web.yaml"),
        ("publish web.yaml", "the following arguments are required: --to", "metallize publish --help"),
        ("explain livecdd", "nothing is called `livecdd`", "did you mean `livecd`?"),
        ("base debian:trixie --platform linux/riscv64", "invalid choice: 'linux/riscv64'", "metallize base --help"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_told_with_the_next_step(call: Call, words: str, told: str, hint: str) -> None:
    write()
    Path("empty.iso").touch()
    Path("some.img").write_bytes(b"boot me")
    said = call(*words.split())
    assert said.status == 2
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert told in said.err
    assert hint in said.err.partition("\n  next: ")[2]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("args.colour=a;b", "--set args.colour=a;b:1:13: argument `colour`: it holds `;`"),
        ("arg.colour=red", "--set arg.colour=red:1:1: unknown key `arg` (did you mean `args`?)"),
        ("output.file=../x.iso", "--set output.file=../x.iso:1:13: `file`: "),
        ("output.generator=extt4", "--set output.generator=extt4:1:18: unknown generator `extt4`"),
        ("output=x", "--set output=x:1:1: `output`: it is a list or a mapping"),
        ("images.9=x", "--set images.9=x:1:1: `images.9`: the list has no item `9`"),
    ],
)
def test_a_wrong_override_is_told_as_such(call: Call, text: str, told: str) -> None:
    said = call("build", write(), "--set", text)
    assert said.status == 2
    assert told in said.err


def test_overrides_reach_the_plan(call: Call, no_engine: None) -> None:
    said = call("plan", write(), "--set", "output.file=other.iso", "--set", "output.options.level=3")
    assert said.status == 0
    assert "Output: build/other.iso" in said.out
    assert '"level": 3' in said.out


def test_problems_as_json(call: Call) -> None:
    said = call("build", write("livecd", "lifecd"), "--json")
    assert said.status == 2
    [event] = said.events()
    assert event["event"] == "error"
    assert event["exit"] == 2
    assert event["problems"] == [
        {"path": "web.yaml", "line": 7, "column": 14, "message": "unknown generator `lifecd`",
         "hint": "did you mean `livecd`?"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "status"), [("buidl --json", 2), ("verify --json", 2), ("publish web.yaml --to out --json", 1)]
)
def test_errors_as_json(call: Call, words: str, status: int) -> None:
    write()
    said = call(*words.split())
    assert said.status == status
    [event] = said.events()
    assert (event["event"], event["exit"]) == ("error", status)
    assert event["message"]
    assert event["hint"]


def test_the_schema_is_one_and_the_shipped_profiles_follow_it(call: Call) -> None:
    said = call("schema")
    assert said.status == 0
    schema = json.loads(said.out)
    jsonschema.Draft202012Validator.check_schema(schema)
    profiles = sorted((ROOT / "profiles").glob("*.yaml"))
    assert profiles
    for path in profiles:
        jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(path.read_text()))


def test_version_and_help_of_every_command(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    commands = line.parser().commands
    assert len(commands) >= 10
    for words in (["--version"], ["--help"], *([name, "--help"] for name in commands)):
        with pytest.raises(SystemExit) as ended:
            cli.main(words)
        assert ended.value.code == 0
        told = capsys.readouterr().out
        assert f"metallize {__version__}\n" == told or told.startswith("usage: metallize")
