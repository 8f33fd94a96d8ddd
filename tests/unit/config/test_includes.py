"""gossfile: files that include files, as goss finds and merges them, and what is said where it goes wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from metallize.config import Vocabulary, load_profile, load_suite
from metallize.errors import ProfileError
from tests.unit.config.conftest import GOOD

ONE = "command: {%s: {exit-status: 0}}\n"


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / next(iter(files))


def resources(path: Path, vocabulary: Vocabulary) -> list[str]:
    return [item.resource for item in load_suite(path, vocabulary=vocabulary)]


def problems(path: Path, vocabulary: Vocabulary) -> list[str]:
    with pytest.raises(ProfileError) as caught:
        load_suite(path, vocabulary=vocabulary)
    return [
        f"{each.location}: {each.message}".replace(f"{path.parent}/", "") + (f" ({each.hint})" if each.hint else "")
        for each in caught.value.problems
    ]


def test_paths_are_relative_to_the_file_that_includes(tmp_path: Path, vocabulary: Vocabulary) -> None:
    path = write(
        tmp_path,
        {
            "top/goss.yaml": "gossfile: {a label: {file: in/b.yaml}, ../c.yaml: {}}\n" + ONE % "own",
            "top/in/b.yaml": "gossfile: {d.json: {}}\n" + ONE % "b",
            "top/in/d.json": '{\n\t"command": {"d": {"exit-status": 0}}\n}\n',
            "c.yaml": ONE % "c",
        },
    )
    assert resources(path, vocabulary) == ["own", "c", "b", "d"]
    found = load_suite(path, vocabulary=vocabulary)
    assert [item.location.path.name for item in found] == ["goss.yaml", "c.yaml", "b.yaml", "d.json"]


def test_a_pattern_names_files_and_skip_leaves_them_out(tmp_path: Path, vocabulary: Vocabulary) -> None:
    files = {
        "goss.yaml": f"gossfile: {{'d/[^x]*.yaml': {{}}, '{tmp_path}/abs/*': {{}}, 'none*.yaml': {{skip: yes}}}}\n",
        "d/a.yaml": ONE % "a",
        "d/b.yaml": ONE % "b",
        "d/x.yaml": "this: is not looked at\n",
        "d/below/c.yaml": "neither: is this\n",
        "abs/.hidden": ONE % "hidden",
    }
    assert resources(write(tmp_path, files), vocabulary) == ["hidden", "a", "b"]


def test_what_is_said_last_counts(tmp_path: Path, vocabulary: Vocabulary) -> None:
    path = write(
        tmp_path,
        {
            "goss.yaml": "gossfile: {b.yaml: {}, a.yaml: {}}\ncommand: {x: {exit-status: 0}, y: {exit-status: 0}}\n",
            "a.yaml": "command: {x: {exit-status: 1}}\n",
            "b.yaml": "command: {x: {exit-status: 2}}\nservice: {x: {running: true}}\n",
        },
    )
    found = {(item.kind, item.resource): item for item in load_suite(path, vocabulary=vocabulary)}
    assert len(found) == 3
    assert str(getattr(found["command", "x"].options, "exit_status")) == "2"  # noqa: B009 - the protocol has no such name
    assert found["command", "x"].location.path.name == "b.yaml"


def test_the_same_file_may_be_included_twice(tmp_path: Path, vocabulary: Vocabulary) -> None:
    files = {
        "goss.yaml": "gossfile: {a.yaml: {}, b.yaml: {}}\n",
        "a.yaml": "gossfile: {c.yaml: {}}\n",
        "b.yaml": "gossfile: {c.yaml: {}}\n",
        "c.yaml": ONE % "c",
    }
    assert resources(write(tmp_path, files), vocabulary) == ["c"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"goss.yaml": "gossfile:\n  a.yaml: {}\n", "a.yaml": "gossfile: {b: {file: goss.yaml}}\n"},
            "a.yaml:1:22: `goss.yaml` includes itself: goss.yaml -> a.yaml -> goss.yaml (included at goss.yaml:2:3)",
        ),
        (
            {"goss.yaml": "gossfile:\n  '*.yaml': {}\n"},
            "goss.yaml:2:3: `*.yaml` includes itself: goss.yaml -> goss.yaml (take it out of the pattern",
        ),
        (
            {"goss.yaml": "gossfile:\n  a.yaml: {}\n", "a.yaml": "file:\n  /x: {exist: true}\n"},
            "a.yaml:2:8: unknown key `exist` (included at goss.yaml:2:3) (did you mean `exists`?)",
        ),
        (
            {"goss.yaml": "gossfile:\n  a.yaml: {}\n", "a.yaml": "file:\n  {{ .Vars.x }}: {exists: true}\n"},
            "a.yaml:2:3: Go templates are not supported: `{{ .Vars.x }}: {exists: true}` (included at",
        ),
        ({"goss.yaml": "gossfile:\n  x:\n    file: no.yaml\n"}, "goss.yaml:3:11: no file matches `no.yaml`"),
        ({"goss.yaml": "gossfile:\n  no*.yaml: {}\n"}, "goss.yaml:2:3: no file matches `no*.yaml`"),
        ({"goss.yaml": "gossfile:\n  a.yaml:\n"}, "goss.yaml:2:3: `a.yaml` takes a mapping of attributes, not nothing"),
        ({"goss.yaml": "gossfile:\n  a.yaml: {path: x}\n", "a.yaml": ONE}, "goss.yaml:2:12: unknown key `path`"),
        ({"goss.yaml": "gossfile:\n  d: {}\n", "d/x": ""}, "d:1:1: this is a folder, not a file (included at"),
        ({"goss.json": '{"file": {"/x": {"exist": true}}}\n'}, "goss.json:1:18: unknown key `exist`"),
    ],
)
def test_what_is_wrong_is_named_with_both_places(
    tmp_path: Path, vocabulary: Vocabulary, files: Mapping[str, str], said: str
) -> None:
    found = problems(write(tmp_path, files), vocabulary)
    assert any(each.startswith(said) for each in found), found


def test_a_profile_may_include_too_and_suites_may_be_json(tmp_path: Path, vocabulary: Vocabulary) -> None:
    more = "service: {ssh: {enabled: true}}\n    gossfile: {more.yaml: {}}\n  suites: [s.json]"
    path = write(
        tmp_path,
        {
            "p.yaml": GOOD.replace("service: {ssh: {enabled: true}}", more),
            "more.yaml": "file: {/x: {exists: true, contents: []}}\n",
            "s.json": '{"gossfile": {"t.yaml": {}}}',
            "t.yaml": ONE % "t",
        },
    )
    profile = load_profile(path, vocabulary=vocabulary)
    assert [item.resource for item in profile.assertions] == ["t", "ssh", "/x"]


def test_json_may_write_a_character_as_two_escapes(tmp_path: Path, vocabulary: Vocabulary) -> None:
    path = write(tmp_path, {"goss.json": '{"command": {"echo \\ud83d\\ude00": {"exit-status": 0}}}'})
    assert resources(path, vocabulary) == ["echo \U0001f600"]
    path.write_text('{"command": {"echo \\ude00": {"exit-status": 0}}}')
    assert problems(path, vocabulary) == [
        "goss.json:1:14: it holds one half of a character that is written as two escapes"
    ]


def test_templates_in_a_profile_say_what_to_do(tmp_path: Path, vocabulary: Vocabulary) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(GOOD.replace("ssh:", "'{{ .Vars.name }}':"))
    with pytest.raises(ProfileError) as caught:
        load_profile(path, vocabulary=vocabulary)
    [problem] = caught.value.problems
    assert (problem.location.line, problem.hint) == (13, "run `goss render` and use what it prints")
