"""The command line as its users meet it: exit statuses, messages, and what is never touched."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from metallize import __version__, cli, verification
from metallize.catalog import Catalog
from metallize.command import run
from metallize.config import load_profile
from metallize.pipeline import Options, requests_of
from metallize.store import Stored
from tests.conftest import ROOT

GOOD = """\
args:
  colour: blue
images:
  - debian:trixie
  - debian-live.dockerfile
output:
  generator: livecd
  file: web.iso
boot:
  machines: [seabios]
  login: {user: admin, password: admin}
  assert:
    service: {ssh: {enabled: true}}
"""
BAD = {
    # what: (replaced, by, line:column, what is said)
    "wrong key": ("images:", "image:", "3:1", "unknown key `image` (did you mean `images`?)"),
    "wrong type": ("machines: [seabios]", "cpus: many", "10:9", "a whole number is wanted here, not text: `many`"),
    "duplicate key": ("output:", "args: {}\noutput:", "6:1", "duplicate key `args`; it stands first at 1:1"),
    "unknown layer": ("-live.", "-lvie.", "5:5", "(did you mean `debian-live.dockerfile`?)"),
    "unknown generator": ("livecd", "lifecd", "7:14", "unknown generator `lifecd` (did you mean `livecd`?)"),
    "unknown machine": ("seabios", "seabois", "10:14", "unknown machine `seabois` (did you mean `seabios`?)"),
    "unknown kind": ("service:", "sevice:", "13:5", "unknown assertion kind `sevice` (did you mean `service`?)"),
    "empty assertion": ("{enabled: true}", "{}", "13:15", "`ssh` has no attributes"),
    "empty list": ("service: {ssh: {enabled: true}}", "user: {x: {exists: true, groups: []}}", "13:38", "an empty"),
    "substitution": ("blue", "$(reboot)", "2:11", "it holds `$`, which a shell gives a meaning"),
    "backticks": ("blue", "'`reboot`'", "2:11", "it holds ```"),
    "semicolon": ("blue", "b;reboot", "2:11", "it holds `;`"),
    "quote": ("blue", "b'lue", "2:11", "it holds `'`"),
    "line break": ("blue", '"b\\nRUN reboot"', "2:11", "it holds a line break"),
    "line break in a name": ("colour", '"a\\nb"', "2:3", "a name is letters, digits and _"),
    "file above": ("web.iso", "../web.iso", "8:9", "it names a folder"),
    "layer above": ("debian-live", "../debian-live", "5:5", "it leaves its folder with `..`"),
    "suite above": ("login:", "suites: [../base.yaml]\n  login:", "11:12", "it leaves its folder"),
    "build folder above": ("args:", "metallize: {build_dir: ../x}\nargs:", "1:24", "it leaves its folder"),
}  # fmt: skip
READERS = ("build", "build --verify", "plan", "verify", "boot", "publish --to out")


@dataclass(frozen=True)
class Said:
    status: int
    out: str
    err: str

    def events(self) -> list[dict[str, Any]]:
        """Standard output, of which every line must be a JSON object."""
        return [json.loads(line) for line in self.out.splitlines()]


Call = Callable[..., Said]


@pytest.fixture
def engine_address(tmp_path: Path) -> Iterator[socket.socket]:
    """Where an engine would be asked: it listens, never answers, and tells whether anybody came."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "engine.sock"))
        listening.listen()
        listening.settimeout(30)
        yield listening


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], engine_address: socket.socket
) -> Iterator[Call]:
    """`main()` in an empty folder with no Docker engine; at the end, nobody has asked for one unless told so."""
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{engine_address.getsockname()}")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def call(*words: str | Path) -> Said:
        capsys.readouterr()
        status = cli.main([str(word) for word in words])
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return Said(status=int(status), out=told.out, err=told.err)

    yield call
    for number, handler in handlers.items():
        signal.signal(number, handler)
    engine_address.setblocking(False)
    with pytest.raises(BlockingIOError):
        engine_address.accept()


@pytest.fixture
def no_engine(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """DOCKER_HOST leads nowhere."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/engine.sock")


@pytest.fixture
def no_programs(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PATH is an empty folder."""
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


def write(old: str = "", new: str = "", name: str = "web.yaml") -> Path:
    assert old in GOOD
    path = Path(name)
    path.write_text(GOOD.replace(old, new, 1))
    return path


# Profiles that are wrong


@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_bad_input_is_refused_with_its_place_before_docker_is_asked(
    call: Call, case: tuple[str, str, str, str]
) -> None:
    old, new, place, told = case
    said = call("build", write(old, new), "--verify")
    assert said.status == 2
    assert said.out == ""
    assert any(line.startswith(f"web.yaml:{place}: ") and told in line for line in said.err.splitlines()), said.err
    assert said.err.endswith("nothing was built\n")
    assert not Path("build").exists()


@pytest.mark.parametrize("verb", READERS)
def test_every_command_that_reads_a_profile_tells_all_that_is_wrong_with_it(call: Call, verb: str) -> None:
    text = GOOD
    for old, new in (
        ("blue", "$(reboot)"),
        ("-live.", "-lvie."),
        ("livecd", "lifecd"),
        ("web.iso", "../web.iso"),
        ("seabios", "seabois"),
        ("service:", "sevice:"),
    ):
        text = text.replace(old, new)
    Path("web.yaml").write_text(f"{text}colour: red\nargs: {{}}\n")
    word, *options = verb.split()
    said = call(word, "web.yaml", *options)
    assert said.status == 2
    *problems, last = said.err.splitlines()
    assert [int(line.split(":")[1]) for line in problems] == [2, 5, 7, 8, 10, 13, 14, 15]
    assert all(re.match(r"web\.yaml:\d+:\d+: \S", line) for line in problems)
    assert last == "error: 8 problems; nothing was built"


def test_a_layer_that_drops_those_below_it_is_refused_too(call: Call) -> None:
    Path("own.dockerfile").write_text("FROM debian:trixie\nRUN true\n")
    said = call("build", write("debian-live.dockerfile", "own.dockerfile"))
    assert said.status == 2
    assert "web.yaml:5:5: own.dockerfile does not stand on the layers below it" in said.err


def test_layers_without_a_base_are_refused_before_docker_is_asked(call: Call) -> None:
    Path("web.yaml").write_text("images: [debian-live.dockerfile]\noutput: {generator: livecd, file: web.iso}\n")
    said = call("plan", "web.yaml")
    assert said.status == 2
    assert "web.yaml:1:10: debian-live.dockerfile stands on the image below it, and there is none" in said.err


def test_a_suite_that_is_wrong_is_told_with_its_own_place(call: Call) -> None:
    Path("goss.yaml").write_text("file:\n  /etc/passwd: {exist: true}\n")
    said = call("plan", write("  assert:", "  suites: [goss.yaml]\n  assert:"))
    assert said.status == 2
    assert "goss.yaml:2:17: unknown key `exist` (did you mean `exists`?)" in said.err


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nowhere/web.yaml", "nowhere/web.yaml:1:1: there is no such file"),
        ("wbe.yaml", "(did you mean `web.yaml`?)"),
        ("debian13-livcd", "no shipped profile of that name (did you mean `debian13-livecd`?)"),
        (".", "this is a folder, not a file"),
        ("", "this is a folder, not a file"),
    ],
)
def test_a_profile_that_is_not_there(call: Call, name: str, told: str) -> None:
    write()
    said = call("build", name)
    assert said.status == 2
    assert told in said.err


@pytest.mark.parametrize("name", ["debian13-livecd", "debian13-livecd.yaml"])
def test_a_shipped_profile_goes_by_its_name(call: Call, no_engine: None, name: str) -> None:
    said = call("plan", name)
    assert said.status == 0
    assert "debian13-livecd.iso: made from" in said.out


def test_a_file_of_that_name_comes_before_the_shipped_one(call: Call, no_engine: None) -> None:
    said = call("plan", write(name="debian13-livecd.yaml"))
    assert said.status == 0
    assert "web.iso: made from" in said.out


# The command line that is wrong


@pytest.mark.parametrize(
    ("words", "told", "hint"),
    [
        ("", "the following arguments are required: COMMAND", "metallize --help"),
        ("buidl web.yaml", "there is no command `buidl`", "did you mean `build`?"),
        ("frobnicate", "there is no command `frobnicate`", "there is base, boot, build"),
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


# What the machine reads


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
    commands = cli.commands_of(cli.parser())
    assert len(commands) >= 10
    for words in (["--version"], ["--help"], *([name, "--help"] for name in commands)):
        with pytest.raises(SystemExit) as ended:
            cli.main(words)
        assert ended.value.code == 0
        told = capsys.readouterr().out
        assert f"metallize {__version__}\n" == told or told.startswith("usage: metallize")


# Without Docker, without QEMU


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


# Publishing


def stored(verdict: str | None, booted: bytes = b"image", machines: tuple[str, ...] = ()) -> None:
    """An image in the build folder, and what was found of the bytes that were booted, on these machines or all."""
    image, sha256 = Path("build/web.iso"), hashlib.sha256(booted).hexdigest()
    image.parent.mkdir()
    image.write_bytes(b"image")
    Path(f"{image}.manifest.json").write_text(json.dumps({"sha256": sha256, "format": "iso"}))
    if verdict is None:
        return
    catalog = Catalog()
    profile = load_profile(write(), vocabulary=catalog.vocabulary())
    stored = Stored(path=image, manifest={"sha256": sha256, "format": "iso"})
    requests = requests_of(profile, catalog, stored, Options(machines=machines), image.parent)
    record = {
        "metallize": __version__,
        "id": verification.identity(sha256, requests),
        "verdict": verdict,
        "sha256": sha256,
        "machines": [{"machine": request.machine_entry} for request in requests],
    }
    Path(f"{image}.verification.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("verdict", "booted", "told"),
    [
        (None, b"image", "build/web.iso has not been verified"),
        ("failed", b"image", "build/web.iso failed its verification"),
        ("passed", b"another", "build/web.iso is not the file that was verified"),
    ],
)
def test_what_is_not_verified_is_not_published(call: Call, verdict: str | None, booted: bytes, told: str) -> None:
    stored(verdict, booted)
    said = call("publish", write(), "--to", "out")
    assert said.status == 1
    assert told in said.err
    assert not Path("out").exists()


def test_what_is_verified_is_published_with_its_papers(call: Call) -> None:
    stored("passed")
    said = call("publish", write(), "--to", "out", "--json")
    assert said.status == 0
    [event] = said.events()
    assert event["event"] == "result"
    assert event["files"] == [f"out/web.iso{end}" for end in ("", ".manifest.json", ".verification.json")]
    assert Path("out/web.iso").read_bytes() == b"image"
    assert sorted(path.name for path in Path("out").iterdir()) == [Path(name).name for name in event["files"]]


@pytest.mark.parametrize(
    ("old", "new", "machines", "told"),
    [
        ("", "", ("seabios",), "was verified on seabios only, and its profile boots it on ovmf too"),
        (
            "enabled: true",
            "running: true",
            (),
            "what the profile asks of build/web.iso has changed since it was verified",
        ),
        ("boot:\n", "boot:\n  reboot: true\n", (), "what the profile asks of build/web.iso has changed"),
    ],
    ids=["a machine left out", "another assertion", "a reboot too"],
)
def test_less_than_the_profile_asks_is_not_enough(
    call: Call, monkeypatch: pytest.MonkeyPatch, old: str, new: str, machines: tuple[str, ...], told: str
) -> None:
    monkeypatch.setitem(globals(), "GOOD", GOOD.replace("[seabios]", "[seabios, ovmf]"))
    stored("passed", machines=machines)
    said = call("publish", write(old, new), "--to", "out")
    assert said.status == 1
    assert told in said.err
    assert "metallize verify" in said.err
    assert not Path("out").exists()


def test_an_image_of_which_no_paper_tells_is_not_published(call: Call) -> None:
    stored("passed")
    Path("build/web.iso.manifest.json").write_text("{}")
    said = call("publish", write(), "--to", "out")
    assert said.status == 1
    assert "build/web.iso.manifest.json does not tell of build/web.iso" in said.err


# The process


def test_a_reader_that_goes_away_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "metallize", "list"], stdout=writer, stderr=subprocess.PIPE, cwd=ROOT, check=False
    )
    os.close(writer)
    assert done.returncode == 0
    assert done.stderr == b""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_command_ends_with_130(
    number: signal.Signals, engine_address: socket.socket, tmp_path: Path
) -> None:
    (tmp_path / "web.yaml").write_text(GOOD)
    env = {**os.environ, "DOCKER_HOST": f"unix://{engine_address.getsockname()}", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "metallize", "build", "web.yaml"],
        cwd=tmp_path,
        env=env,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        connection, _ = engine_address.accept()
        with connection:
            process.send_signal(number)
            _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert told == "\ninterrupted; nothing was left behind\n"
