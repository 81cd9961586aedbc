"""What a witness has cosigned: of each log the latest head, in SQLite (WAL, synchronous=FULL).

A head is on disk before its cosignature leaves.  It is looked at and replaced in one transaction that holds
the write lock: no two requests, in threads or in processes that share the file, go on from the same head.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from witness.errors import BadConfiguration, StateUnavailable
from witness.protocol import Head

FILE: Final = "state.sqlite"
_APPLICATION_ID: Final = 0x7A117A55
_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE heads (
    origin TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    note TEXT NOT NULL  -- as it was cosigned, our line included
);
"""
_BUSY_S: Final = 5.0
"""Our choice: a transaction takes milliseconds; a log gives up after some seconds."""


class Held:
    """A log's head while nobody else can replace it."""

    def __init__(self, database: sqlite3.Connection, origin: str, head: Head | None) -> None:
        self._database = database
        self._origin = origin
        self.head = head

    def replace(self, head: Head) -> None:
        """Make this the latest; it is so, durably, when the block that holds the head is left."""
        self._database.execute(
            "INSERT INTO heads (origin, size, root, note) VALUES (?, ?, ?, ?) ON CONFLICT (origin) "
            "DO UPDATE SET size = excluded.size, root = excluded.root, note = excluded.note",
            (self._origin, head.size, head.root, head.note),
        )


class State:
    """The heads in a file.  Methods may be called from any thread; several processes may share the file.

    Attributes:
        new: the file was made just now.  A witness that has lost its state would cosign a second history,
            so whoever starts it should know.

    Raises:
        BadConfiguration: the file can't be opened, or is none of ours.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._database = sqlite3.connect(
                path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise BadConfiguration(f"the state {path} can't be opened: {error}") from error
        try:
            self.new = self._open(path)
            _sync_folder(folder)
        except (OSError, sqlite3.Error) as error:
            self._database.close()
            raise BadConfiguration(f"the state {path} can't be opened: {error}") from error
        except BaseException:
            self._database.close()
            raise

    def _open(self, path: Path) -> bool:
        """Make the file ours if it is empty; whether it was."""
        with self._lock, self._transaction():
            (application_id,) = self._database.execute("PRAGMA application_id").fetchone()
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
            (tables,) = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            new = bool(application_id == 0 and tables == 0)
            if new:
                # A crash in here leaves an empty file, which the next start takes for a new one.
                self._database.execute(_SCHEMA)
                self._database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                self._database.execute(f"PRAGMA user_version = {_VERSION}")
        if not new and (application_id, version) != (_APPLICATION_ID, _VERSION):
            raise BadConfiguration(f"{path} is no state of a witness, version {_VERSION}")
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        return new

    def close(self) -> None:
        """Close the file; heads that were replaced stay so."""
        with self._lock:
            self._database.close()

    def latest(self, origin: str) -> Head | None:
        """The latest cosigned head of a log; None if there is none.

        Raises:
            StateUnavailable: the file can't be read.
        """
        with self._lock:
            try:
                return self._read(origin)
            except sqlite3.Error as error:
                raise StateUnavailable(f"the state can't be read: {error}") from error

    @contextlib.contextmanager
    def held(self, origin: str) -> Iterator[Held]:
        """Hold a log's head, to look at it and perhaps replace it; an error inside leaves it as it was.

        Raises:
            StateUnavailable: the file can't be read or written, or another process holds it for too long.
        """
        with self._lock:
            try:
                with self._transaction():
                    yield Held(self._database, origin, self._read(origin))
            except sqlite3.Error as error:
                raise StateUnavailable(f"the state can't be written: {error}") from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            # If this fails, the head may be the new or the old one.  No cosignature has left either way, and
            # the log's next request is told which size counts.
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def _read(self, origin: str) -> Head | None:
        row = self._database.execute(
            "SELECT size, root, note FROM heads WHERE origin = ?", (origin,)
        ).fetchone()
        return None if row is None else Head(*row)


def _sync_folder(folder: Path) -> None:
    """Make the file's name as durable as what is in it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
