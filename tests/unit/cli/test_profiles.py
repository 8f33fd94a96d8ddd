"""Profiles that are wrong are told with their places, before anything is done."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .conftest import GOOD, Call, write

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
    "substitution": ("linux-image-amd64", "$(reboot)", "2:19", "it holds `$`, which a shell gives a meaning"),
    "backticks": ("linux-image-amd64", "'`reboot`'", "2:19", "it holds ```"),
    "semicolon": ("linux-image-amd64", "b;reboot", "2:19", "it holds `;`"),
    "quote": ("linux-image-amd64", "b'lue", "2:19", "it holds `'`"),
    "line break": ("linux-image-amd64", '"b\\nRUN reboot"', "2:19", "it holds a line break"),
    "line break in a name": ("kernel_package", '"a\\nb"', "2:3", "a name is letters, digits and _"),
    "file above": ("web.iso", "../web.iso", "8:9", "it names a folder"),
    "layer above": ("debian-live", "../debian-live", "5:5", "it leaves its folder with `..`"),
    "suite above": ("login:", "suites: [../base.yaml]\n  login:", "11:12", "it leaves its folder"),
    "build folder above": ("args:", "metallize: {build_dir: ../x}\nargs:", "1:24", "it leaves its folder"),
}  # fmt: skip
READERS = ("build", "build --verify", "plan", "verify", "boot", "publish --to out")


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
        ("linux-image-amd64", "$(reboot)"),
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
        ("web.yml", "(did you mean `web.yaml`?)"),
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


@pytest.mark.parametrize("verb", ["plan", "build", "build --verify"])
def test_an_argument_and_a_password_that_nothing_takes_are_told_before_docker_is_asked(call: Call, verb: str) -> None:
    text = GOOD.replace("kernel_package: linux-image-amd64", "admin_pasword: s3cret")
    text = text.replace("debian-live.dockerfile", "debian-live.dockerfile\n  - admin-user.dockerfile")
    Path("web.yaml").write_text(text.replace("password: admin}", "password: s3cret}"))
    word, *options = verb.split()
    said = call(word, "web.yaml", *options)
    assert said.status == 2
    first, second, _ = said.err.splitlines()
    assert first.startswith("web.yaml:2:18: argument `admin_pasword`: no layer of the profile declares")
    assert first.endswith("(did you mean `admin_password`?)")
    assert second.startswith(
        "web.yaml:12:34: `boot.login.password` is not the password that admin-user.dockerfile gives"
    )
    assert "s3cret" not in said.err
    assert not Path("build").exists()
