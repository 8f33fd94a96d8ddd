"""goss files as suites."""

from __future__ import annotations

from pathlib import Path

import pytest

from metallize.config import Vocabulary, load_suite
from metallize.errors import ProfileError

GOSS = """\
port:
  tcp:22:
    listening: true
    ip:
    - 0.0.0.0
service:
  sshd:
    enabled: true
    running: true
user:
  sshd:
    title: UID must be between 50-100, GID doesn't matter. home is flexible
    meta:
      desc: Ensure sshd is enabled and running since it's needed for system management
      sev: 5
    exists: true
    uid:
      and:
        gt: 50
        lt: 100
    home:
      or:
      - /var/empty/sshd
      - /var/run/sshd
"""


def _problems(path: Path, text: str, vocabulary: Vocabulary) -> list[str]:
    path.write_text(text)
    with pytest.raises(ProfileError) as caught:
        load_suite(path, vocabulary=vocabulary)
    return [f"{item.location.line}:{item.location.column}: {item.message}" for item in caught.value.problems]


def test_a_goss_file_is_a_suite(tmp_path: Path, vocabulary: Vocabulary) -> None:
    path = tmp_path / "goss.yaml"
    path.write_text(GOSS.replace("and:\n        gt: 50\n        lt: 100", "and: [{gt: 50}, {lt: 100}]"))
    found = load_suite(path, vocabulary=vocabulary)
    assert [(item.kind, item.resource, item.location.line) for item in found] == [
        ("port", "tcp:22", 2),
        ("service", "sshd", 7),
        ("user", "sshd", 11),
    ]
    assert found[2].title.startswith("UID must be between")
    assert not found[2].skip


def test_retries_are_read(tmp_path: Path, vocabulary: Vocabulary) -> None:
    path = tmp_path / "goss.yaml"
    path.write_text(
        "command:\n  x: {exit-status: 0, retry_count: 3, retry_delay: 500}\n  y: {exit-status: 0, retry_delay: 2s}\n"
    )
    first, second = load_suite(path, vocabulary=vocabulary)
    assert (first.retry.count, first.retry.delay.total_seconds()) == (3, 0.5)
    assert second.retry.delay.total_seconds() == 2


def test_an_empty_list_passes_in_a_goss_file(tmp_path: Path, vocabulary: Vocabulary) -> None:
    path = tmp_path / "goss.yaml"
    path.write_text("file: {/etc/passwd: {exists: true, contents: []}}\n")
    assert len(load_suite(path, vocabulary=vocabulary)) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file:\n{{range .Vars}}\n  x: {exists: true}\n{{end}}\n", "2:1: Go templates are not supported"),
        ("gossfile:\n  other.yaml: {}\n", "2:3: no file matches `other.yaml`"),
        ("registry:\n  x: {exists: true}\n", "1:1: goss's `registry` is Windows's"),
        ("files:\n  /x: {exists: true}\n", "1:1: unknown assertion kind `files`"),
        ("file:\n  /x: {exists: true}\nfile:\n  /y: {exists: true}\n", "3:1: duplicate key `file`"),
        ("{}\n", "1:1: no assertions"),
        ("- file\n", "1:1: assertions are a mapping of kinds"),
        ("user: {x: {exists: true, uid: {gt: 1, lt: 2}}}\n", "1:31: one matcher is wanted here, not 2: gt, lt"),
        ("user: {x: {exists: true, uid: {gt: a}}}\n", "1:36: `gt`: a number is wanted here"),
        ("file: {/x: {exists: true, contents: [{x: 1}]}}\n", "1:38: text is wanted here"),
        ("file: {/x: {exists: true, contents: [true]}}\n", "1:38: text is wanted here, not true"),
        ("file: {/x: {exists: true, size: {xml: {}}}}\n", "1:34: goss's `xml` matcher is not supported"),
        ("file: {/x: {exists: true, owner: {gjson: {a.@pretty: 1}}}}\n", "1:43: the gjson path `a.@pretty`"),
        ("package: {x: {installed: true, versions: {semver-constraint: newest}}}\n", "1:62: `semver-constraint`"),
        ("file: {x: {exists: true}}\n", "1:8: file `x`: a file is named by its absolute path"),
        ("file: {/x: {exists: true, meta: 1}}\n", "1:33: `meta`: a mapping is wanted here"),
        ("command: {x: {exit-status: 0, retry_count: many}}\n", "1:44: `retry_count`: a whole number is wanted"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_named_with_its_line(
    tmp_path: Path, vocabulary: Vocabulary, text: str, said: str
) -> None:
    problems = _problems(tmp_path / "goss.yaml", text, vocabulary)
    assert any(problem.startswith(said) for problem in problems), problems
