"""A published log on a web server, read as its folder is: C2SP tlog-tiles over HTTP.

Nothing that is read is trusted: whoever reads checks hashes and signatures.  Here, only time and size of
what a server may send are bounded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

import httpx

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
        with WebLog(str(where)) as web:
            yield web
    else:
        yield LogFiles(Path(where))


class WebLog:
    """A log below an address."""

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")
        self._client = httpx.Client(timeout=ANSWER_S, follow_redirects=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

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
        most = _most_bytes(path)
        content = b""
        try:
            with self._client.stream("GET", f"{self._address}/{path}") as reply:
                if reply.status_code in {httpx.codes.NOT_FOUND, httpx.codes.GONE}:
                    return None
                if reply.status_code != httpx.codes.OK:
                    raise LogDamaged(f"{self._address}/{path}: answered {reply.status_code}, expected 200")
                for piece in reply.iter_bytes():
                    content += piece
                    if len(content) > most:
                        raise LogDamaged(f"{self._address}/{path}: longer than {most} bytes")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            said = str(error) or type(error).__name__
            raise LogDamaged(f"{self._address}/{path} can't be read: {said}") from error
        return content


def _most_bytes(path: str) -> int:
    """What the file of a path has at most."""
    if not path.startswith("tile/"):
        return MOST_NOTE_BYTES
    each = 2 + MOST_ENTRY_BYTES if path.startswith("tile/entries/") else HASH_LENGTH
    return TILE_WIDTH * each
