"""A command line that is wrong, and what programs read of one that is right."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from metallize import __version__, cli
from metallize.catalog import Catalog
from metallize.commands import line
from metallize.commands.parser import OTHERS, Later
from metallize.commands.shared import names_profile
from metallize.render import Colour
from tests.conftest import ROOT

from .conftest import Call, write


@pytest.mark.parametrize(
    ("words", "told", "hint"),
    [
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
        ("verify", "verify takes a PROFILE or an IMAGE, or --image FILE", "metallize verify --help"),
        ("verify web.yaml --image web.iso", "verify takes a PROFILE or an IMAGE", "metallize verify --help"),
        ("verify web.yaml", "there is no build/web.iso that its manifest tells of", "metallize build web.yaml"),
        ("verify --image gone.iso", "gone.iso: No such file or directory", "an image file to boot is wanted"),
        ("verify --image empty.iso", "empty.iso is empty", "an image file to boot is wanted"),
        ("verify --image .", ".: Is a directory", "an image file to boot is wanted"),
        ("verify web.yaml some.img", "`metallize verify` does not take `some.img`", "metallize verify --help"),
        ("verify gone.iso", "gone.iso: No such file or directory", "an image file to boot is wanted"),
        ("verify some.img --user x --set args.a=b", "--set goes with a profile, and some.img", "leave"),
        ("verify --image some.img --arg a=b", "--arg goes with a profile, and some.img is an image", "leave it out"),
        ("boot some.img --output web.iso", "--output goes with a profile, and some.img is an image", "leave it out"),
        ("serve some.img --extensions-dir .", "--extensions-dir goes with a profile", "leave it out"),
        ("serve some.img --build-dir .", "--build-dir goes with a profile, and some.img is none", "leave it out"),
        ("boot web.yaml --machine ovmf --machine seabios", "boot takes one --machine", "from another terminal"),
        ("build web.yaml --machine seabios", "--machine goes with --verify: without it nothing is booted", "add"),
        ("build web.yaml --accel tcg", "--accel goes with --verify: without it nothing is booted", "add --verify"),
        ("build web.yaml --capture", "--capture goes with --verify: without it nothing is booted", "add --verify"),
        ("build web.yaml --keep-running-on-failure", "goes with --verify: without it", "add --verify"),
        ("build web.yaml --junitxml x.xml", "--junitxml goes with --verify: without it nothing is", "add --verify"),
        ("verify web.yaml --junitxml .", "--junitxml .: it is a folder", "name a file"),
        ("doctor --set args.a=b", "does not take `--set`", "it means something to build, plan"),
        ("plan web.yaml --machine=ovmf", "does not take `--machine=ovmf`", "something to build, watch, verify"),
        ("list --build-dir x", "`metallize list` does not take `--build-dir`", "it means something to build"),
        ("build web.yaml -q -v", "-v: not allowed with argument --quiet/-q", "metallize build --help"),
        ("init x --kind cloudd", "invalid choice: 'cloudd' (there is disk, livecd, vm)", "metallize init --help"),
        ("init x --ci gitlub", "invalid choice: 'gitlub' (did you mean `gitlab`?)", "metallize init --help"),
        ("build web.yaml --color blue", "invalid choice: 'blue'", "metallize build --help"),
        ("build web.yaml --arg colour", "--arg colour: it is NAME=VALUE", "for example --arg hostname=web1"),
        ("build web.yaml --arg boot.x=1", "--arg boot.x=1: an argument's name has no dot", "--set boot.x=1"),
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


def test_an_argument_is_an_override_in_short(call: Call, no_engine: None) -> None:
    profile = write("  - debian-live.dockerfile\n", "  - debian-live.dockerfile\n  - hostname.dockerfile\n")
    short = call("plan", profile, "--arg", "hostname=red")
    assert short.status == 0
    assert "METALLIZE_HOSTNAME=red" in short.out
    assert short == call("plan", profile, "--set", "args.hostname=red")


def test_the_command_alone_says_what_there_is(call: Call) -> None:
    said = call()
    assert (said.status, said.err) == (0, "")
    headings = [text for text in said.out.splitlines() if text.endswith(":") and not text.startswith(" ")]
    assert headings[0] == "Make an image:"
    assert headings[-1] == "Options:"
    assert len(headings) >= 5
    for name in line.parser().commands:
        assert re.search(rf"^  {name} ", said.out, re.MULTILINE), name


def test_every_command_stands_in_a_group_and_its_module_has_it() -> None:
    top = line.parser()
    assert OTHERS not in dict(top.groups())
    for name, command in top.commands.items():
        later = command.get_default("run")
        assert isinstance(later, Later), name
        later.load()
        assert callable(getattr(sys.modules[f"metallize.commands.{later.module}"], later.function)), name


def test_every_option_says_what_it_is_for() -> None:
    for name, command in line.parser().commands.items():
        for action in command.actions:
            assert action.help, (name, action.dest)


@pytest.mark.parametrize(
    ("name", "content", "profile"),
    [
        ("web.yaml", b"\0", True),
        ("web.yml", None, True),
        ("web", None, True),
        ("web", b"images: [debian:trixie]\n", True),
        ("web.profile", "# \u4e16\n".encode() * 1000, True),
        ("web.iso", None, False),
        ("web.img", b"text", False),
        ("disk", b"\xeb\x3c\x90" + bytes(509), False),
        ("disk.bin", b"\xff\xfe\xff", False),
    ],
)
def test_what_is_a_profile_and_what_an_image(tmp_path: Path, name: str, content: bytes | None, profile: bool) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert names_profile(path) is profile


@pytest.mark.slow
def test_what_there_is_as_json(call: Call) -> None:
    [event] = call("list", "--json").events()
    assert event["event"] == "list"
    assert {"name": "ovmf", "summary": Catalog().machines["ovmf"].summary} in event["machines"]
    for section in ("profiles", "layers", "generators", "machines", "suites", "kinds"):
        assert event[section], section
        for entry in event[section]:
            [explained] = call("explain", entry["name"], "--json").events()
            assert (explained["event"], explained["name"]) == ("explain", entry["name"])
            assert entry["summary"] in [each["summary"] for each in explained["entries"]]


def test_a_layer_as_json_has_its_arguments(call: Call) -> None:
    [event] = call("explain", "hostname", "--json").events()
    [layer] = event["entries"]
    assert layer["what"] == "layer"
    assert [argument["name"] for argument in layer["arguments"]] == ["hostname"]


def test_a_plan_as_json_is_its_script(call: Call, no_engine: None) -> None:
    [event] = call("plan", write(), "--json").events()
    assert event["images"] == ["build/web.iso"]
    assert event["script"] == call("plan", write()).out


def test_colour_where_it_is_asked_for_and_nowhere_else(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b" not in call("build", "gone.yaml").err
    assert "\x1b[31merror:\x1b[0m" in call("build", "gone.yaml", "--color", "always").err
    assert "\x1b[31merror:\x1b[0m" in call("build", "gone.yaml", "--color=always").err
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert Colour.AUTO.on(sys.stderr)
    assert not Colour.NEVER.on(sys.stderr)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not Colour.AUTO.on(sys.stderr)
    assert Colour.ALWAYS.on(sys.stderr)


QUICK = """
import sys
from metallize.cli import main
sys.argv = ["metallize", *sys.argv[1:]]
try:
    main()
except SystemExit:
    pass
print(*sorted(sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize("words", [["--version"], [], ["build", "--help"], ["--help"]])
def test_what_reads_no_profile_imports_next_to_nothing(words: list[str]) -> None:
    """The times of a busy host say little: what takes them does."""
    done = subprocess.run([sys.executable, "-c", QUICK, *words], capture_output=True, text=True, cwd=ROOT, check=True)
    loaded = done.stderr.split()
    assert "metallize.commands.line" in loaded
    for slow in ("pydantic", "yaml", "docker", "rich", "paramiko", "re2", "metallize.pipeline", "asyncio", "json"):
        assert slow not in loaded


@pytest.mark.slow
def test_a_build_imports_nothing_that_only_a_boot_needs() -> None:
    program = "import sys, metallize.commands.building; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    loaded = done.stdout.split()
    assert "metallize.verify.requests" in loaded
    for slow in ("metallize.verify.machine", "metallize.verify.beside", "metallize.qemu.vm", "metallize.shells.ssh"):
        assert slow not in loaded
    for slow in ("boto3", "securesystemslib", "virt.firmware", "pefile", "dask"):
        assert slow not in loaded


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


@pytest.mark.parametrize("text", ["yesterday", "1.5", "99999999999"])
def test_a_date_that_is_none_is_bad_input_before_anything_is_built(
    call: Call, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    said = call("build", write())
    assert said.status == 2
    assert f"SOURCE_DATE_EPOCH in the environment is `{text}`" in said.err
    assert "  next: " in said.err
