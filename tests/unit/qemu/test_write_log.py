"""A log of what a guest wrote, replayed: as QEMU writes it, and as it may be broken."""

from __future__ import annotations

import os
import random
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from metallize.qemu.write_log import Cut, Replay, WriteLog, cuts, read_log

SECTOR = 512
DISK = 1 << 20


def logged(path: Path, entries: Sequence[tuple[int, int, int]], *, count: int | None = None) -> int:
    """A log of entries, each with a first sector, how many, and flags; each wrote its number and one, all over."""
    parts = [struct.pack("<QQQI", 0x6A736677736872, 1, len(entries) if count is None else count, SECTOR)]
    for number, (first, sectors, flags) in enumerate(entries, 1):
        parts.append(struct.pack("<QQQQ", first, sectors, flags, 0))
        if sectors and not flags & 4:
            parts.append(bytes([number % 255 + 1]) * (sectors * SECTOR))
    path.write_bytes(b"".join(part.ljust(-(-len(part) // SECTOR) * SECTOR, b"\0") for part in parts))
    return os.open(path, os.O_RDONLY)


def disk(path: Path, content: bytes = bytes(DISK)) -> int:
    path.write_bytes(content)
    return os.open(path, os.O_RDWR)


def test_what_qemu_logs_replays_to_what_it_wrote(tmp_path: Path) -> None:
    """Requests of every kind through QEMU's own block layer; the replay ends in the same bytes."""
    base, after, log = tmp_path / "base", tmp_path / "after", tmp_path / "log"
    base.write_bytes(random.Random(1).randbytes(DISK))  # noqa: S311 - no secret
    after.write_bytes(base.read_bytes())
    log.touch()
    node = (
        f"driver=blklogwrites,discard=unmap,file.driver=file,file.filename={after},log.driver=file,log.filename={log}"
    )
    asked = (
        "write -P 171 4096 8192", "flush", "write -z 65536 65536", "write -P 1 8192 512", "flush",
        "discard 131072 65536", "write -f -P 7 512 512", "write -P 3 900k 60k", "flush",
    )  # fmt: skip
    argv = ["qemu-io", "--image-opts", node, *(word for each in asked for word in ("-c", each))]
    subprocess.run(argv, check=True, capture_output=True)
    number = os.open(log, os.O_RDONLY)
    found = read_log(number)
    assert [write.at for write in found.writes] == [4096, 65536, 8192, 131072, 512, 900 * 1024]
    assert found.flushes[0] == 1
    assert found.flushes[-1] == 6
    copy = os.open(base, os.O_RDWR)
    with Replay(found, copy).at(Cut(flushed=6)):
        now = os.pread(copy, DISK, 0)
    was = after.read_bytes()
    assert now[:131072] == was[:131072]
    assert now[131072 : 131072 + 65536] == bytes(65536), "a discard leaves nothing that anybody may count on"
    assert now[131072 + 65536 :] == was[131072 + 65536 :]


def test_a_cut_shows_what_came_to_the_disk_and_is_taken_back(tmp_path: Path) -> None:
    entries = [(0, 2, 0), (0, 0, 1), (1, 2, 0), (8, 1, 4), (2, 2, 0), (0, 0, 1)]
    log = read_log(logged(tmp_path / "log", entries))
    assert (len(log.writes), log.flushes) == (4, (1, 4))
    number = disk(tmp_path / "disk", b"\xff" * DISK)
    replay = Replay(log, number)
    before = os.pread(number, DISK, 0)
    for cut, wanted in (
        (Cut(flushed=0), "ffff ffff"),
        (Cut(flushed=0, reached=(0,), torn=512), "02ff ffff"),
        (Cut(flushed=1, reached=(1, 3)), "0204 0606"),
        (Cut(flushed=1, reached=(3,), torn=512), "0202 06ff"),
    ):
        with replay.at(cut):
            now = os.pread(number, DISK, 0)
            assert bytes(now[at * SECTOR] for at in range(4)).hex() == wanted.replace(" ", "")
            assert now[8 * SECTOR] == 0xFF
    assert os.pread(number, DISK, 0)[2 * SECTOR :] == before[2 * SECTOR :]
    with replay.at(Cut(flushed=4)):
        assert os.pread(number, 4 * SECTOR, 0) == b"\2" * SECTOR + b"\4" * SECTOR + b"\6" * 2 * SECTOR
        assert os.pread(number, 2 * SECTOR, 8 * SECTOR) == bytes(SECTOR) + b"\xff" * SECTOR
    with pytest.raises(AssertionError, match="further than that"), replay.at(Cut(flushed=1)):
        pass


def long_log(tmp_path: Path, writes: int = 400) -> WriteLog:
    dice = random.Random(3)  # noqa: S311 - no secret
    entries = [
        (0, 0, 1) if dice.random() < 0.1 else (dice.randrange(DISK // SECTOR - 8), dice.randint(1, 8), 0)
        for _ in range(writes)
    ]
    return read_log(logged(tmp_path / "log", entries))


def test_cuts_are_the_same_for_a_seed_and_none_breaks_a_disks_promise(tmp_path: Path) -> None:
    log = long_log(tmp_path)
    found = cuts(log, 1000, 7)
    assert found == cuts(log, 1000, 7)
    assert found != cuts(log, 1000, 8)
    assert list(found) == sorted(found, key=lambda each: each.flushed)
    marks = {0, *log.flushes}
    for each in found:
        assert each.flushed in marks
        following = min((mark for mark in marks if mark > each.flushed), default=len(log.writes))
        assert all(each.flushed <= number < following for number in each.reached)
        assert list(each.reached) == sorted(each.reached)
        if each.torn is not None:
            assert 0 <= each.torn < log.writes[each.reached[-1]].size
            assert each.torn % SECTOR == 0
    assert 250 < sum(not each.reached for each in found) < 900
    assert sum(each.torn is not None for each in found) > 100
    assert len({each.flushed for each in found}) == len(marks)


def test_a_thousand_cuts_are_replayed_within_seconds(tmp_path: Path) -> None:
    log = long_log(tmp_path, 2000)
    number = disk(tmp_path / "disk")
    replay, model = Replay(log, number), bytearray(DISK)
    done = 0
    for cut in cuts(log, 1000, 1):
        for write in log.writes[done : cut.flushed]:
            model[write.at : write.at + write.size] = b"".join(log.data(write))
        done = cut.flushed
        wanted = bytearray(model)
        for each in cut.reached:
            write = log.writes[each]
            size = cut.torn if cut.torn is not None and each == cut.reached[-1] else write.size
            wanted[write.at : write.at + size] = b"".join(log.data(write, size))
        with replay.at(cut):
            assert os.pread(number, DISK, 0) == wanted
    assert os.pread(number, DISK, 0) == model


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda content: b"", "is empty"),
        (lambda content: b"x" + content[1:], "no log of writes"),
        (lambda content: content[:8] + b"\2" + content[9:], "no log of writes"),
        (lambda content: content[:24] + b"\0\0\0\0" + content[28:], "no log of writes"),
        (lambda content: content[:16] + b"\xff" * 8 + content[24:], "no log of writes"),
        (lambda content: content[:-1], "in the middle of one"),
        (lambda content: content[:16] + b"\7" + content[17:], "before its last entry"),
        (lambda content: content[:1032] + b"\xff" * 8 + content[1040:], "in the middle of one"),
    ],
)
def test_a_log_that_is_none(tmp_path: Path, change: object, told: str) -> None:
    os.close(logged(tmp_path / "log", [(0, 0, 1), (0, 2, 0)]))
    path = tmp_path / "log"
    path.write_bytes(change(path.read_bytes()))  # type: ignore[operator]  # of the table above
    number = os.open(path, os.O_RDONLY)
    with pytest.raises(ValueError, match=told):
        read_log(number)
