"""A published log on a web server, read as its folder is: C2SP tlog-tiles over HTTP.

Nothing that is read is trusted: whoever reads checks hashes and signatures.  Here, only time and size of
what a server may send are bounded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Final, Protocol

from audit.bounded_http import Unanswered, bounded_exchange
from audit.errors import LogDamaged
from audit.sealing.log_files import CHECKPOINT, LogFiles, beginning
from ledger.errors import BadNote, BadProof
from ledger.notes import MOST_BYTES as MOST_NOTE_BYTES
from ledger.notes import Note, parse_note
from ledger.tiles import HASH_LENGTH, MOST_ENTRY_BYTES, TILE_WIDTH

ANSWER_S: Final = 10.0
"""How long a server may take for a file.  Our choice."""


class Log(Protocol):
    """Where a log is read from.

    Raises (every method):
        audit.errors.LogDamaged: what is asked for is not there, can't be read, or is no such file.
    """

    def read(self, path: str) -> bytes:
        """A file of the log; of a partial tile that is full by now, the beginning of the full one."""

    def note(self, name: str = CHECKPOINT) -> Note | None:
        """A published checkpoint; None if there is none."""


@contextlib.contextmanager
def open_log(where: str | Path) -> Iterator[Log]:
    """The log in a folder, or below an ``http://`` or ``https://`` address."""
    if str(where).startswith(("http://", "https://")):
        yield WebLog(str(where))
    else:
        yield LogFiles(Path(where))


class WebLog:
    """A log below an address."""

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")

    def read(self, path: str) -> bytes:
        """A file of the log; of a partial tile that is full by now, the beginning of the full one."""
        content = self._get(path)
        if content is None and ".p/" in path:
            full = self._get(path.partition(".p/")[0])
            try:
                content = None if full is None else beginning(path, full)
            except BadProof as error:
                raise LogDamaged(f"{self._address}/{path}: {error}") from error
        if content is None:
            raise LogDamaged(f"{self._address}/{path}: the server has no such file")
        return content

    def note(self, name: str = CHECKPOINT) -> Note | None:
        """A published checkpoint; None if there is none."""
        content = self._get(name)
        try:
            return None if content is None else parse_note(content)
        except BadNote as error:
            raise LogDamaged(f"{self._address}/{name}: {error}") from error

    def _get(self, path: str) -> bytes | None:
        """A file; None if the server has none of that path."""
        url = f"{self._address}/{path}"
        try:
            status, content = bounded_exchange("GET", url, timeout_s=ANSWER_S, most_bytes=_most_bytes(path))
        except Unanswered as error:
            raise LogDamaged(f"{url} can't be read: {error}") from error
        if status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
            return None
        if status != HTTPStatus.OK:
            raise LogDamaged(f"{url}: answered {status}, expected 200")
        return content


def _most_bytes(path: str) -> int:
    """What the file of a path has at most."""
    if not path.startswith("tile/"):
        return MOST_NOTE_BYTES
    each = 2 + MOST_ENTRY_BYTES if path.startswith("tile/entries/") else HASH_LENGTH
    return TILE_WIDTH * each
