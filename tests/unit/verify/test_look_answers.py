"""Answers of a look that are longer, shorter or odder than a healthy guest's."""

from __future__ import annotations

import pytest

from metallize.model.kind import Observation
from metallize.verify.looks.look import IN_ORDER, PROBES, Root, read_look
from tests.unit.verify.test_system import BLOCKS, INODES, root, seen, unit


def seen_root(*lines: str) -> Root:
    found = seen(root=root(*lines)).root
    assert found is not None
    return found


def test_what_goes_by_an_earlier_answer_comes_after_it() -> None:
    assert [number for number, probe in enumerate(PROBES) if "$METALLIZE_SCRATCH/state" in probe] == [1, 2, 3, 4]
    assert IN_ORDER == 5


def test_a_word_may_have_words_after_it() -> None:
    assert seen(state="a line with many words\ninit my own init\nstate running\n").init == "my own init"


def test_services_are_counted_where_the_answer_says_so() -> None:
    assert seen(restarts="unit NRestarts=7\nservices 21\nend\n").services == 21
    assert seen(restarts="unit NRestarts=7\nend\n").services is None


@pytest.mark.parametrize(
    "line",
    [
        "said Id=x.service NRestarts=7",
        "unit NRestarts=7 SubState=running",
        "unit Id= NRestarts=7",
        "unit Id=x.service SubState=running",
        "unit Id=x.service NRestarts=many",
    ],
    ids=["another's words", "no name", "an empty name", "no count", "no number"],
)
def test_a_line_that_does_not_say_what_was_restarted_says_nothing(line: str) -> None:
    look = seen(restarts=f"services 2\n{line}\nend\n")
    assert (look.services, look.restarted) == (2, {})


def test_a_value_may_have_an_equals_sign_and_a_word_may_have_none() -> None:
    line = unit("x@a=b.service", 2).replace("unit ", "unit odd ")
    assert list(seen(restarts=f"services 2\n{line}end\n").restarted) == ["x@a=b.service"]


def test_words_that_are_blank_are_none() -> None:
    assert seen(said="said x.service  \nsaid y.service  hot \nend\n").said == {"y.service": "hot"}


@pytest.mark.parametrize("first", ["ext4", "", " "])
def test_a_root_without_its_options_was_not_seen(first: str) -> None:
    assert seen(root=root(first, BLOCKS, INODES)).root is None


def test_only_fstabs_own_line_says_how_the_root_is_wanted() -> None:
    assert seen_root("ext4 rw", BLOCKS, INODES, "a word", "fstab defaults").wanted_writable
    assert not seen_root("ext4 rw", BLOCKS, INODES, "a ro", "fstab ro").wanted_writable
    assert not seen_root("ext4 rw", BLOCKS, INODES, "a rw").wanted_writable


def test_a_root_is_full_from_a_thousandth_on_and_of_blocks_first() -> None:
    def full(blocks: str, inodes: str = INODES) -> str:
        return seen_root("ext4 rw", blocks, inodes).full

    assert full("/dev/vda3 700000 0 700 99%") == ": 700 of 700000 are free"
    assert full("/dev/vda3 700000 0 701 99%") == ""
    assert full("/dev/vda3 700000 693000 0") == ": 0 of 700000 are free", "df may leave out the last columns"
    assert full("/dev/vda3 700000 many 0 100% /") == ": 0 of 700000 are free"
    assert full("/dev/vda3 700000 0 0 100% /", "/dev/vda3 46000 46000 0 100% /") == ": 0 of 700000 are free"


@pytest.mark.parametrize("line", ["/dev/vda3 700000 0", "/dev/vda3 many 0 0 100% /", "/dev/vda3 700000 0 none 100% /"])
def test_a_line_of_df_that_is_no_line_of_df_says_nothing(line: str) -> None:
    assert seen_root("ext4 rw", line, INODES).full == ""


@pytest.mark.parametrize(("count", "read"), [("0", 0), ("1", 1), ("2", 2), ("-1", None), ("many", None)])
def test_a_count_is_none_or_more(count: str, read: int | None) -> None:
    assert seen(restarts=f"services {count}\nend\n").services == read
    restarted = seen(restarts=f"services 2\nunit Id=x.service NRestarts={count}\nend\n").restarted
    assert {name: service.restarts for name, service in restarted.items()} == (
        {} if read is None else {"x.service": read}
    )


def test_the_smallest_filesystem_may_be_full() -> None:
    assert seen_root("ext4 rw", "/dev/vda3 1 1 0 100% /", INODES).full == ": 0 of 1 are free"
    assert seen_root("ext4 rw", "/dev/vda3 0 0 0 - /", INODES).full == "", "a filesystem that does not count its blocks"


def test_why_nobody_answered_is_the_lines_fault_first() -> None:
    complains = Observation(status=1, stdout="", stderr="sh: one\nsh: two\n", seconds=0.1)
    assert read_look([complains] * len(PROBES), "the line was cut").why == "the line was cut"
    assert read_look([complains] * len(PROBES)).why == "sh: two"
    assert read_look([None] * len(PROBES)).why == "the guest gave no answer"
