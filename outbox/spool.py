"""The spool: requests on disk, in SQLite (WAL, synchronous=FULL), from ``put`` until they are answered.

Small requests are sent together: protobuf messages of one type, one after the other, are one message with the
parts of all.  Which ones go together is written down before they are sent, so a batch that is sent again,
by this process or the next, has the same bytes, and the collector recognises it.

A request that can never be taken is kept beside, in ``refused``, with the reason: none is dropped in silence.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from outbox.errors import OutboxError, OutboxFull, OutboxUnusable
from outbox.sender import Signal

_APPLICATION_ID: Final = 0x7A11B0C5
_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE waiting (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    signal TEXT NOT NULL,
    body BLOB NOT NULL,
    put_at REAL NOT NULL,  -- seconds since 1970
    batch INTEGER          -- id of the first request that it is sent with
);
CREATE INDEX waiting_batch ON waiting (batch, id);
CREATE TABLE total (requests INTEGER NOT NULL, size_bytes INTEGER NOT NULL);
INSERT INTO total VALUES (0, 0);
CREATE TRIGGER waiting_more AFTER INSERT ON waiting BEGIN
    UPDATE total SET requests = requests + 1, size_bytes = size_bytes + length(new.body); END;
CREATE TRIGGER waiting_less AFTER DELETE ON waiting BEGIN
    UPDATE total SET requests = requests - 1, size_bytes = size_bytes - length(old.body); END;
CREATE TABLE refused (
    id INTEGER PRIMARY KEY,
    signal TEXT NOT NULL,
    body BLOB NOT NULL,
    put_at REAL NOT NULL,
    refused_at REAL NOT NULL,
    reason TEXT NOT NULL
);
"""
BATCH_REQUESTS: Final = 512
"""As many are sent together at most."""
_BATCH_BYTES: Final = 1 << 20
"""A request longer than this is sent alone."""
_BUSY_S: Final = 10.0

_Run = Callable[..., sqlite3.Cursor]
"""Executes a statement with its values, in a transaction."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What is sent as one request; ``count`` requests were put."""

    number: int
    signal: Signal
    body: bytes
    count: int


@dataclass(frozen=True, slots=True)
class Depth:
    """How much is waiting; ``oldest_s`` is the age of the oldest request in seconds, 0 for none."""

    requests: int
    size_bytes: int
    oldest_s: float
    refused: int


class Spool:
    """The requests in a file.  Its methods may be called from any thread; several processes may share it.

    Args:
        path: the file; it is made if it is not there, its folder too.
        most_bytes: how much may wait, in bytes of requests.

    Raises:
        OutboxUnusable: the file can't be opened, or is none of ours.
    """

    def __init__(
        self, path: Path, *, most_bytes: int = 256 << 20, clock: Callable[[], float] = time.time
    ) -> None:
        self._path = path
        self._most_bytes = most_bytes
        self._clock = clock
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(
                path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise OutboxUnusable(f"the outbox {path} can't be opened: {error}") from error
        try:
            self._open()
        except BaseException:
            self._database.close()
            raise

    def put(self, signal: Signal, *bodies: bytes) -> None:
        """Keep requests; they are on disk when this returns, all of them or, if it raises, none.

        Raises:
            OutboxFull: more would be waiting than may.
            OutboxUnusable: the file can't be written.
        """
        size_bytes = sum(map(len, bodies))
        with self._transaction() as run:
            (waiting_bytes,) = run("SELECT size_bytes FROM total").fetchone()
            if waiting_bytes + size_bytes > self._most_bytes:
                raise OutboxFull(f"{waiting_bytes} bytes are waiting for the collector in {self._path}")
            now = self._clock()
            for body in bodies:
                run("INSERT INTO waiting (signal, body, put_at) VALUES (?, ?, ?)", signal, body, now)

    def next_batch(self) -> Batch | None:
        """The oldest batch, the same until it is ``done``, ``split`` or refused; None if nothing waits."""
        with self._transaction() as run:
            (number,) = run("SELECT min(batch) FROM waiting").fetchone()
            if number is None:
                number = self._form(run)
            if number is None:
                return None
            rows = run("SELECT signal, body FROM waiting WHERE batch = ? ORDER BY id", number).fetchall()
        signal = cast("Signal", rows[0][0])
        return Batch(number, signal, b"".join(body for _, body in rows), len(rows))

    def done(self, batch: Batch) -> None:
        """The collector has committed a batch."""
        with self._transaction() as run:
            run("DELETE FROM waiting WHERE batch = ?", batch.number)

    def split(self, batch: Batch) -> None:
        """Send the requests of a batch one by one: the collector refuses it, and some may be good."""
        with self._transaction() as run:
            run("UPDATE waiting SET batch = id WHERE batch = ?", batch.number)

    def refuse(self, batch: Batch, reason: str) -> None:
        """The collector will never take this batch, or not all of it: keep it beside, with the reason."""
        with self._transaction() as run:
            run(
                "INSERT INTO refused SELECT id, signal, body, put_at, ?, ? FROM waiting WHERE batch = ?",
                self._clock(),
                reason,
                batch.number,
            )
            run("DELETE FROM waiting WHERE batch = ?", batch.number)

    def depth(self) -> Depth:
        """How much is waiting."""
        with self._transaction() as run:
            requests, size_bytes = run("SELECT requests, size_bytes FROM total").fetchone()
            oldest = run("SELECT put_at FROM waiting ORDER BY id LIMIT 1").fetchone()
            (refused,) = run("SELECT count(*) FROM refused").fetchone()
        oldest_s = 0.0 if oldest is None else max(0.0, self._clock() - oldest[0])
        return Depth(requests, size_bytes, oldest_s, refused)

    def close(self) -> None:
        """Close the file; what waits stays in it."""
        with self._lock:
            self._database.close()

    def _open(self) -> None:
        try:
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            with self._transaction() as run:
                (application,) = run("PRAGMA application_id").fetchone()
                (version,) = run("PRAGMA user_version").fetchone()
                (tables,) = run("SELECT count(*) FROM sqlite_schema").fetchone()
                if tables == 0:
                    for statement in _SCHEMA.split(";\n"):
                        run(statement)
                    run(f"PRAGMA application_id = {_APPLICATION_ID}")
                    run(f"PRAGMA user_version = {_VERSION}")
                elif (application, version) != (_APPLICATION_ID, _VERSION):
                    raise OutboxUnusable(f"{self._path} is not an outbox of this version")
        except sqlite3.Error as error:
            raise OutboxUnusable(f"the outbox {self._path} can't be opened: {error}") from error

    def _form(self, run: _Run) -> int | None:
        """Write down which requests go together: the oldest, and those of its signal that follow it."""
        rows = run(
            "SELECT id, signal, length(body) FROM waiting ORDER BY id LIMIT ?", BATCH_REQUESTS
        ).fetchall()
        if not rows:
            return None
        first, signal, size_bytes = rows[0]
        last = first
        for number, other, length in rows[1:]:
            size_bytes += length
            if other != signal or size_bytes > _BATCH_BYTES:
                break
            last = number
        run("UPDATE waiting SET batch = ? WHERE id BETWEEN ? AND ?", first, first, last)
        return cast("int", first)

    @contextmanager
    def _transaction(self) -> Iterator[_Run]:
        with self._lock:
            try:
                self._database.execute("BEGIN IMMEDIATE")
                try:
                    yield self._run
                    self._database.execute("COMMIT")
                except BaseException:
                    if self._database.in_transaction:
                        self._database.execute("ROLLBACK")
                    raise
            except OutboxError:
                raise
            except sqlite3.Error as error:
                raise OutboxUnusable(f"the outbox {self._path} can't be used: {error}") from error

    def _run(self, statement: str, *values: object) -> sqlite3.Cursor:
        return self._database.execute(statement, values)
