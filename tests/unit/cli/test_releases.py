"""Releases on the command line: published, listed, promoted, taken back; and judged by their statements."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Call, write
from .test_publish import stored


def versions(channel: str) -> list[str]:
    return [each["version"] for each in json.loads(Path(f"out/{channel}/releases.json").read_text())["releases"]]


@pytest.mark.slow
def test_a_release_from_its_profile_to_whoever_checks_it(call: Call) -> None:
    stored(passed=True)
    profile = write("file: web.iso\n", "file: web.iso\n  name: shop\n  version: 1.10\n")
    assert call("keygen", "release").out.splitlines() == ["release.key", "release.pub"]
    said = call("publish", profile, "--to", "out", "--channel", "beta", "--sign-key", "release.key")
    assert said.status == 0, said.err
    names = [Path(line).name for line in said.out.splitlines()]
    assert names[0] == "shop_1.10_x86-64.iso"
    assert all(Path("out/beta", name).is_file() for name in names)
    said = call("promote", "out", "1.10", "--channel", "stable")
    assert said.out == "shop_1.10 is offered in stable\n"
    said = call("releases", "out")
    assert [line.split()[:2] for line in said.out.splitlines()] == [["beta", "shop_1.10"], ["stable", "shop_1.10"]]
    assert "passed on seabios" in said.out
    image = "out/stable/shop_1.10_x86-64.iso"
    said = call("attest", "verify", image, "--key", "release.pub", "--require", "seabios", "--json")
    assert said.status == 0, said.err
    assert [each["machine"] for each in said.events()[-1]["statements"]] == ["seabios"]
    said = call("attest", "verify", image, "--key", "release.pub", "--require", "ovmf,seabios")
    assert (said.status, said.out) == (1, "")
    assert "no statement says that it passed on ovmf" in said.err
    assert call("pin", "out", "1.10").out == "1.10 is pinned in beta, stable\n"
    said = call("retract", "out", "shop_1.10", "--channel", "stable", "--why", "it overheats")
    assert said.status == 0
    assert (versions("beta"), versions("stable")) == (["1.10"], [])
    assert "no longer there: it overheats, today" in call("releases", "out").out


def test_json_tells_of_every_release(call: Call) -> None:
    stored(passed=True)
    said = call("publish", write(), "--to", "out", "--channel", "stable", "--json")
    result = said.events()[-1]
    assert (result["event"], result["name"], result["new"]) == ("result", "web", True)
    [release] = call("releases", "out", "--json").events()
    assert (release["event"], release["channel"], release["version"]) == ("release", "stable", result["version"])
    again = call("publish", write(), "--to", "out", "--channel", "stable", "--json").events()[-1]
    assert (again["new"], again["files"]) == (False, result["files"])


def test_a_rule_of_the_profile_stops_it_and_is_overruled(call: Call) -> None:
    stored(passed=True)
    profile = write("boot:", "release: {licences: {deny: [unknown]}}\nboot:")
    said = call("publish", profile, "--to", "out", "--channel", "stable")
    assert said.status == 1
    assert "release.licences.deny: 1 package under licences it denies: base-files (unknown)" in said.err
    assert "--waive licences.deny" in said.err
    assert not Path("out/stable").exists()
    said = call("publish", profile, "--to", "out", "--channel", "stable", "--waive", "licences.deny")
    assert said.status == 0, said.err
    [release] = json.loads(Path("out/stable/releases.json").read_text())["releases"]
    assert [each.partition(": ")[0] for each in release["waived"]] == ["release.licences.deny"]


def test_what_is_not_verified_is_not_released(call: Call) -> None:
    stored(passed=False)
    said = call("publish", write(), "--to", "out", "--channel", "stable")
    assert said.status == 1
    assert "failed its verification on seabios" in said.err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("publish web.yaml --to out --keep 3", "--keep goes with --channel"),
        ("publish web.yaml --to out --sign-key k", "--sign-key goes with --channel"),
        ("publish web.yaml --to out --waive size", "--waive goes with --channel"),
        ("publish web.yaml --to out --url https://a.example", "--url goes with --channel"),
        ("publish web.yaml --to out --best-before 14d", "--best-before goes with --channel"),
        ("publish web.yaml --to out --channel a --waive ports", "invalid choice: 'ports'"),
        ("publish web.yaml --to out --channel A", "is no channel's name"),
        ("publish web.yaml --to ftp://x/y --channel a", "no destination of the kind ftp"),
        ("publish web.yaml --to s3://a/b", "s3://a/b takes releases alone"),
        ("publish web.yaml --to s3:// --channel a", "s3://: it is no place in a bucket"),
        ("publish web.yaml --to out --channel a --keep 0", "no number of releases"),
        ("publish web.yaml --to out --channel a --keep-for 3", "`3` is no age"),
        ("publish web.yaml --to out --channel a --sign-key none.key", "none.key: No such file"),
        ("promote out 1 --channel a", "there is no release 1"),
        ("promote out 1 --channel a --from b", "out has no channel b"),
        ("retract out 1", "there is no release 1"),
        ("pin out 1 --channel b", "out has no channel b"),
        ("attest verify none.iso --key none.pub", "none.pub: No such file"),
        ("attest verify none.iso", "--key"),
    ],
)
def test_what_is_wrong_on_the_command_line(call: Call, words: str, told: str) -> None:
    stored(passed=True)
    write()
    said = call(*words.split())
    assert said.status == 2, said.err
    assert told in said.err
    assert not Path("out").exists() or words.startswith(("promote", "publish"))


def test_nothing_is_released_yet(call: Call) -> None:
    said = call("releases", "nowhere")
    assert (said.status, said.out) == (0, "")
    assert "nothing is released in nowhere" in said.err
    assert not Path("nowhere").exists()
