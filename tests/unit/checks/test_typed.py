"""A value that no guest could ever show is a mistake at its line and column; what goss takes is taken."""

# ruff: noqa: E501 - one case a line

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from metallize.checks.values import Value
from metallize.config import load_suite
from metallize.errors import ProfileError

from .conftest import vocabulary

WRONG = {
    "service: {ssh: {running: yess}}": "1:26: true or false is wanted here, not text: `yess` (write true or false)",
    "service: {ssh: {enabled: 1}}": "1:26: true or false is wanted here, not a number: `1`",
    "service: {ssh: {running: [true]}}": "1:26: true or false is wanted here, not a list (write true or false)",
    "service: {ssh: {running: {not: nope}}}": "1:32: true or false is wanted here, not text: `nope`",
    "service: {ssh: {running: {gt: 1}}}": "1:27: `gt` cannot look at true or false",
    "command: {a: {exit-status: zero}}": "1:28: a number is wanted here, not text: `zero`",
    "command: {a: {exit-status: true}}": "1:28: a number is wanted here, not true or false: `true`",
    "command: {a: {exit-status: [0, 1]}}": "1:28: a number is wanted here, not a list (join several with `or: [...]`)",
    "command: {a: {exit-status: {or: [0, one]}}}": "1:37: a number is wanted here, not text: `one`",
    "command: {a: {exit-status: {equal: one}}}": "1:36: a number is wanted here, not text: `one`",
    "command: {a: {exit-status: 0, stdout: true}}": '1:39: text is wanted here, not true (write "true" for the text)',
    "http: {http://localhost/: {status: OK}}": "1:36: a number is wanted here, not text: `OK`",
    "file: {/a: {exists: true, mode: rw-r--r--}}": '1:33: a mode is wanted here, not text: `rw-r--r--` (write its octal digits, like "0644")',
    "file: {/a: {exists: true, mode: 0888}}": "1:33: a mode is wanted here",
    "file: {/a: {exists: true, owner: true}}": "1:34: text is wanted here, not true",
    "file: {/a: {exists: true, size: 1K}}": "1:33: a number is wanted here, not text: `1K`",
    "file: {/a: {exists: true, filetype: direktory}}": "1:37: a type of file is wanted here, not text: `direktory` (did you mean `directory`?)",
    "file: {/a: {exists: true, sha256: abc}}": "1:35: the 64 hexadecimal digits of a sha256 are wanted here, not text: `abc`",
    f"file: {{/a: {{exists: true, md5: {'AB' * 16}}}}}": "(write them in small letters)",
    "user: {a: {exists: true, uid: root}}": "1:31: a number is wanted here, not text: `root`",
    "user: {a: {exists: true, groups: [true]}}": "1:35: text is wanted here, not true",
    "mount: {/: {exists: true, usage: 90%}}": "1:34: a number is wanted here, not text: `90%`",
    "kernel-param: {a.b: {value: true}}": "1:29: text is wanted here, not true",
    "port: {tcp:22: {listening: 'on the wire'}}": "1:28: true or false is wanted here, not text: `on the wire`",
    "interface: {lo: {exists: true, mtu: large}}": "1:37: a number is wanted here, not text: `large`",
}  # fmt: skip
RIGHT = (
    "service: {ssh: {running: yes, enabled: 'true'}}",
    "service: {ssh: {running: {or: [on, {not: off}]}, enabled: {match-regexp: tr}}}",
    "command: {a: {exit-status: '0', stdout: 5, stderr: ''}}",
    "command: {a: {exit-status: {and: [{ge: 0}, {not: '3'}]}, stdout: [yes, 1]}}",
    "command: {a: {exit-status: {match-regexp: '[01]'}, stdout: {gt: 5}}}",
    "file: {/a: {exists: true, mode: 0644, uid: '0', owner: 0}}",
    "file: {/a: {exists: true, mode: {or: [0o644, '755', 4755]}, filetype: {not: directory}}}",
    f"file: {{/a: {{exists: true, sha256: {{have-prefix: ab}}, md5: {'1' * 32}}}}}",
    "kernel-param: {net.a: {value: 1}, net.b: {value: yes}, net.c: {value: {ge: 2}}}",
    "matching: {a: {content: true, matches: true}}",
)


def problems(tmp_path: Path, text: str) -> str:
    suite = tmp_path / "goss.yaml"
    suite.write_text(f"{text}\n")
    with pytest.raises(ProfileError) as caught:
        load_suite(suite, vocabulary=vocabulary())
    return str(caught.value).replace(f"{suite}:", "")


@pytest.mark.parametrize("text", WRONG)
def test_a_value_of_another_type_is_told_with_its_place(tmp_path: Path, text: str) -> None:
    told = problems(tmp_path, text)
    place, _, words = WRONG[text].partition(": ") if WRONG[text][0].isdigit() else ("", "", WRONG[text])
    assert told.startswith(place), told
    assert words in told, told
    assert "\n" not in told, told


@pytest.mark.parametrize("text", RIGHT)
def test_what_goss_takes_is_taken(tmp_path: Path, text: str) -> None:
    suite = tmp_path / "goss.yaml"
    suite.write_text(f"{text}\n")
    assert load_suite(suite, vocabulary=vocabulary())


def test_all_of_them_in_one_run(tmp_path: Path) -> None:
    resources = {"service": {"ssh": {"running": "yess", "enabled": 3}}, "command": {"x": {"exit-status": "none"}}}
    assert len(problems(tmp_path, yaml.safe_dump(resources)).splitlines()) == 3


def test_a_mode_means_the_same_wherever_it_stands(tmp_path: Path) -> None:
    """`0644` in `or` is no 420 either."""
    suite = tmp_path / "goss.yaml"
    suite.write_text("file: {/a: {exists: true, mode: {or: [0644, 755]}}}\n")
    [assertion] = load_suite(suite, vocabulary=vocabulary())
    mode = assertion.options.mode  # type: ignore[attr-defined]
    assert mode.holds("0644")
    assert mode.holds("0755")
    assert not mode.holds("0420")


@pytest.mark.parametrize(
    ("text", "seen", "other"),
    [
        ("service: {ssh: {running: {equal: yes}}}", True, False),
        ("service: {ssh: {running: 'true'}}", True, False),
        ("service: {ssh: {running: {not: yes}}}", False, True),
        ("file: {/a: {exists: true, mode: {equal: 0644}}}", "0644", "0420"),
        ("user: {a: {exists: true, uid: {equal: '0'}}}", "0", "1"),
        ("command: {a: {exit-status: {equal: 0}}}", 0, 1),
    ],
)
def test_equal_compares_what_is_meant(tmp_path: Path, text: str, seen: Value, other: Value) -> None:
    suite = tmp_path / "goss.yaml"
    suite.write_text(f"{text}\n")
    [assertion] = load_suite(suite, vocabulary=vocabulary())
    names = ("running", "mode", "uid", "exit_status")
    [matcher] = [found for name in names if (found := getattr(assertion.options, name, None)) is not None]
    assert matcher.holds(seen)
    assert not matcher.holds(other)
