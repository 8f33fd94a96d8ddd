"""build/nightly/index.sqlite: the history in order of time and by image, derived from history.jsonl, rebuilt at will.

It holds nothing that the history has not: one that is missing, damaged, of another version, or of another history is
made anew, and one that is behind reads what was added. Where it cannot be written it is kept in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from metallize.night.attempt import Attempt
from metallize.night.history import History, history_path, parse
from metallize.night.lines import attempt_of, line_of

FILE = "index.sqlite"
VERSION = 1
_TAIL_BYTES = 4096
"""So much before the end of what was read must still be there, or it is another history."""
_WAIT_SECONDS = 30.0
"""Another night's reading of a year takes less."""
_TABLES = """
CREATE TABLE source (version INTEGER, read_bytes INTEGER, tail TEXT, lines INTEGER);
CREATE TABLE attempts (
  run TEXT PRIMARY KEY, night TEXT, profile TEXT, output TEXT, machine TEXT, host TEXT, sha256 TEXT, status TEXT,
  attempt INTEGER, started TEXT, confirms TEXT, line TEXT
) WITHOUT ROWID;
CREATE INDEX by_image ON attempts (sha256);
CREATE TABLE unreadable (number INTEGER);
"""
_ORDER = "ORDER BY night, started, attempt, run"


@dataclass(frozen=True, slots=True)
class Index:
    """An index that is up to date; what it returns is in the order of time."""

    _connection: sqlite3.Connection

    def history(self) -> History:
        """All attempts."""
        numbers = tuple(int(number) for (number,) in self._rows("SELECT number FROM unreadable ORDER BY number"))
        return History(attempts=self._attempts(), unreadable=numbers)

    def of_image(self, sha256: str) -> tuple[Attempt, ...]:
        """All boots of an image."""
        return self._attempts("WHERE sha256 = ?", (sha256,))

    def _attempts(self, where: str = "", values: Sequence[str] = ()) -> tuple[Attempt, ...]:
        rows = self._rows(f"SELECT line FROM attempts {where} {_ORDER}", values)  # noqa: S608 - the words are ours
        return tuple(attempt_of(line) for (line,) in rows)

    def _rows(self, query: str, values: Sequence[str] = ()) -> Iterator[tuple[str, ...]]:
        with closing(self._connection.execute(query, values)) as cursor:
            yield from cursor


@contextmanager
def opened(build_dir: Path) -> Iterator[Index]:
    """The index of a build folder's history, brought up to date. Raises HostError where the history cannot be read."""
    path = history_path(build_dir)
    with contextlib.ExitStack() as stack:
        yield Index(stack.enter_context(closing(_current(path))))


def _current(path: Path) -> sqlite3.Connection:
    """A connection to what the history says: of the file, of the file made anew, else in memory."""
    file = path.with_name(FILE)
    if path.parent.is_dir():
        for fresh in (False, True):
            try:
                if fresh:
                    for name in (file, *(file.with_name(f"{FILE}{end}") for end in ("-wal", "-shm", "-journal"))):
                        name.unlink(missing_ok=True)
                return _updated(sqlite3.connect(file, timeout=_WAIT_SECONDS, isolation_level=None), path)
            except (sqlite3.Error, OSError, ValueError, TypeError):
                continue
    return _updated(sqlite3.connect(":memory:", isolation_level=None), path)


def _updated(connection: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    """Read what the index has not. Raises sqlite3.Error or ValueError, closed, where it is no index of ours."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in filter(str.strip, _TABLES.split(";")):
                connection.execute(statement)
            connection.execute("INSERT INTO source VALUES (?, 0, '', 0)", (VERSION,))
        data = path.read_bytes() if path.is_file() else b""
        _add(connection, data, *_read_so_far(connection, data))
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def _read_so_far(connection: sqlite3.Connection, data: bytes) -> tuple[int, int]:
    """How many bytes and lines of this history the index has. Raises ValueError where it is not an index of it."""
    if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise ValueError("it is damaged")
    version, read_bytes, tail, lines = connection.execute("SELECT * FROM source").fetchone()
    if version != VERSION:
        raise ValueError("it is of another version")
    if read_bytes > len(data) or tail != _tail(data[:read_bytes]):
        raise ValueError("it is of another history")
    return read_bytes, lines


def _add(connection: sqlite3.Connection, data: bytes, start: int, lines: int) -> None:
    """The whole lines behind those that were read; a last one without its newline is read again next time."""
    end = data.rfind(b"\n") + 1
    new = parse(data[start:end])
    for attempt in new.attempts:
        _insert(connection, attempt)
    connection.executemany("INSERT INTO unreadable VALUES (?)", [(lines + number,) for number in new.unreadable])
    if start < end:
        connection.execute(
            "UPDATE source SET read_bytes = ?, tail = ?, lines = ?",
            (end, _tail(data[:end]), lines + data.count(b"\n", start, end)),
        )


def _insert(connection: sqlite3.Connection, attempt: Attempt) -> None:
    """Put it in, or leave what is there of the same run: the last in the alphabet counts, as where files are read."""
    cell = attempt.cell
    connection.execute(
        "INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run) DO UPDATE SET "
        "night = excluded.night, profile = excluded.profile, output = excluded.output, machine = excluded.machine, "
        "host = excluded.host, sha256 = excluded.sha256, status = excluded.status, attempt = excluded.attempt, "
        "started = excluded.started, confirms = excluded.confirms, line = excluded.line "
        "WHERE excluded.line > attempts.line",
        (attempt.run, attempt.night, cell.profile, cell.output, cell.machine, attempt.host.id, attempt.sha256,
         str(attempt.status), attempt.attempt, attempt.started, attempt.confirms, line_of(attempt)),
    )  # fmt: skip


def _tail(data: bytes) -> str:
    return hashlib.sha256(data[-_TAIL_BYTES:]).hexdigest() if data else ""
