"""The log as plain files, for any static web server or object store: C2SP tlog-tiles.

``checkpoint`` is the head that was signed last, with the cosignatures that it has so far;
``checkpoint.witnessed`` is the last one that the policy's quorum has cosigned; ``tile/...`` are the tree.  A
file appears whole or not at all.  A tile is written once: content that differs from what is there is refused,
never put in its place.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from audit.errors import LogDamaged
from ledger.errors import BadNote
from ledger.notes import Note, parse_note
from ledger.tiles import (
    HASH_LENGTH,
    TILE_WIDTH,
    decode_entries,
    encode_entries,
    entries_path,
    hashes_at,
    tile_path,
)

CHECKPOINT: Final = "checkpoint"
WITNESSED: Final = "checkpoint.witnessed"
_LEVELS: Final = 8
_SYNC_EACH: Final = 64
"""Up to so many files are made durable one by one; more of them by one call for the whole system."""


class LogFiles:
    """The log's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, path: str) -> bytes:
        """A file of the log; of a partial tile that is full by now, the beginning of the full one.

        Raises:
            LogDamaged: it is not there or can't be read.
        """
        full, _, width = path.partition(".p/")
        try:
            if width and not (self.folder / path).exists():
                return beginning(path, (self.folder / full).read_bytes())
            return (self.folder / path).read_bytes()
        except OSError as error:
            raise LogDamaged(f"{self.folder / path}: {error.strerror}") from error

    def note(self, name: str = CHECKPOINT) -> Note | None:
        """A published checkpoint; None if there is none.

        Raises:
            LogDamaged: what lies there is no signed note.
        """
        if not self._has(name):
            return None
        try:
            return parse_note(self.read(name))
        except BadNote as error:
            raise LogDamaged(f"{self.folder / name}: {error}") from error

    @property
    def has_tiles(self) -> bool:
        """Whether there is any tree.

        Raises:
            LogDamaged: the folder can't be read.
        """
        return self._has("tile")

    def _has(self, name: str) -> bool:
        try:
            return (self.folder / name).exists()
        except OSError as error:
            raise LogDamaged(f"{self.folder / name}: {error.strerror}") from error

    def put_tiles(self, files: Mapping[str, bytes]) -> None:
        """Write tiles and bundles, durable when this returns.

        A crash within leaves some of them, whole, and perhaps files that end in ``.part``, which nobody reads
        and the next call for the same path writes anew.

        Raises:
            LogDamaged: another content lies at a path, or it can't be written.
        """
        try:
            few = len(files) <= _SYNC_EACH
            places = [self._put(path, content, sync=few) for path, content in files.items()]
            if few:
                within = {folder for place in places for folder in place.relative_to(self.folder).parents}
                for folder in within:
                    _sync_folder(self.folder / folder)
            else:
                os.sync()
        except OSError as error:
            raise LogDamaged(f"{error.filename or self.folder}: {error.strerror}") from error

    def _put(self, path: str, content: bytes, *, sync: bool) -> Path:
        place = self.folder / path
        if place.exists():
            if place.read_bytes() != content:
                raise LogDamaged(f"{place} has another content than the tree: tiles never change")
            return place
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f"{place.name}.part")
        with part.open("wb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        part.replace(place)
        return place

    def drop_partial(self, size: int) -> None:
        """Remove the partial tiles of those that the tree of ``size`` leaves has in full.

        It looks at the last full tile of each level: earlier ones were looked at when they became full.  A
        crash within, or more than one tile at a time, leaves some behind, which do no harm.
        """
        for level in range(_LEVELS):
            number = hashes_at(level, size) // TILE_WIDTH - 1
            if number < 0:
                return
            for full in (tile_path(level, number), *((entries_path(number),) if level == 0 else ())):
                shutil.rmtree(self.folder / f"{full}.p", ignore_errors=True)

    def put_note(self, note: Note, name: str = CHECKPOINT) -> None:
        """Publish a checkpoint, durable when this returns; a crash within leaves the one before it.

        Raises:
            LogDamaged: it can't be written, or nobody could read it.
        """
        place = self.folder / name
        content = str(note).encode()
        try:
            parse_note(content)
        except BadNote as error:
            raise LogDamaged(
                f"{place} is left as it is, as the new one could not be read: {error}"
            ) from error
        part = place.with_name(f".{name}.{secrets.token_hex(4)}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(place)
            _sync_folder(self.folder)
        except OSError as error:
            raise LogDamaged(f"{place}: {error.strerror}") from error


def beginning(path: str, full: bytes) -> bytes:
    """What a partial tile's path names, out of the full tile's content."""
    width = int(path.rpartition("/")[2])
    if "/entries/" not in path:
        return full[: width * HASH_LENGTH]
    return encode_entries(decode_entries(full, TILE_WIDTH)[:width])


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
