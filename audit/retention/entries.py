"""The log's entries of rows that were dropped: from the published log, as no row can give them any more.

The published entries are not believed for what they are: whoever makes a tree of them compares its root with
a signed head.  A dropped run's last hash has to be the published entry of its last row.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Final

from audit.errors import LogDamaged
from audit.sealing.batches import missing
from audit.sealing.log_files import LogFiles
from audit.sealing.reading import Lost
from ledger.checkpoints import Checkpoint
from ledger.errors import BadNote, BadProof
from ledger.streams import STREAMS
from ledger.tiles import HASH_LENGTH, TILE_WIDTH, decode_entries, entries_path, tile_width
from store.retention import DroppedRun, some_runs
from store.seals import Leaves, Range, Seal, SealStore

_TILES: Final = 64


class _Unpublished(Exception):
    """Why an entry can't be had."""


class DroppedEntries:
    """Completes what is found of seals by the entries of rows that were dropped, up to a drop's number."""

    def __init__(self, store: SealStore, log: LogFiles | None, drops: int) -> None:
        self._store = store
        self._log = log
        self._drops = drops
        self._why: dict[Seal, str] = {}
        self._tile = functools.lru_cache(maxsize=_TILES)(self._read_tile)

    def completed(self, found: Mapping[Seal, Leaves]) -> dict[Seal, Leaves]:
        """The leaves of those seals that are whole with the published entries.

        Raises:
            store.errors.StoreError: the database can't be read.
        """
        self._why.clear()
        complete: dict[Seal, Leaves] = {}
        for seal, leaves in found.items():
            if missing(seal.range, leaves) is None:
                continue
            runs = [
                run
                for run in some_runs(self._store, seal.stream, seal.chain, seal.chain, self._drops)
                if run.first_seq <= seal.last_seq and run.last_seq >= seal.first_seq
            ]
            if not runs:
                continue
            try:
                complete[seal] = self._with_runs(seal, runs)
            except _Unpublished as error:
                self._why[seal] = str(error)
        return complete

    def explained(self, lost: Lost) -> Lost:
        """With the reason why a seal could not be completed, if it was tried."""
        return lost._replace(reason=self._why.get(lost.seal, lost.reason))

    def _with_runs(self, seal: Seal, runs: list[DroppedRun]) -> Leaves:
        """Rows where there are any, entries where there are none."""
        hashes = bytearray()
        at = seal.first_seq
        for run in [*runs, None]:
            first = seal.last_seq + 1 if run is None else max(run.first_seq, seal.first_seq)
            if at < first:
                hashes += self._rows(seal, Range(seal.chain, at, first - 1))
                at = first
            if run is not None:
                last = min(run.last_seq, seal.last_seq)
                if last < at:
                    continue  # runs that overlap, which no drop makes
                hashes += self._dropped_part(seal, run, Range(seal.chain, at, last))
                at = last + 1
        return Leaves(seal.first_seq, seal.last_seq, seal.range.rows, bytes(hashes), seal.sites)

    def _rows(self, seal: Seal, asked: Range) -> bytes:
        (leaves,) = self._store.leaves(STREAMS[seal.stream], [asked])
        wrong = missing(asked, leaves)
        if wrong is not None:
            raise _Unpublished(wrong)
        return leaves.hashes

    def _dropped_part(self, seal: Seal, run: DroppedRun, asked: Range) -> bytes:
        """Of a dropped run: the rows if they are still there, else the published entries."""
        (leaves,) = self._store.leaves(STREAMS[seal.stream], [asked])
        hashes = leaves.hashes
        if missing(asked, leaves) is not None:
            first = seal.first_leaf + asked.first_seq - seal.first_seq
            hashes = b"".join(self._entry(leaf) for leaf in range(first, first + asked.rows))
        if asked.last_seq == run.last_seq and hashes[-HASH_LENGTH:] != run.last_hash:
            raise _Unpublished(
                f"row {run.last_seq} was dropped, and the hash that is kept of it is not the published one"
            )
        return hashes

    def _entry(self, leaf: int) -> bytes:
        entries = self._tile(leaf // TILE_WIDTH)
        place = leaf % TILE_WIDTH
        if place >= len(entries) or len(entries[place]) != HASH_LENGTH:
            raise _Unpublished(f"the published log has no row's entry as leaf {leaf}, whose row was dropped")
        return entries[place]

    def _read_tile(self, number: int) -> tuple[bytes, ...]:
        if self._log is None:
            raise _Unpublished("rows were dropped, and only the published log (--log) has their entries")
        try:
            note = self._log.note()
            if note is None:
                raise _Unpublished(
                    f"rows were dropped, and {self._log.folder} has no published log: name it with --log"
                )
            width = tile_width(0, number, Checkpoint.parse(note.text).size)
            return tuple(decode_entries(self._log.read(entries_path(number, width)), width)) if width else ()
        except (LogDamaged, BadNote, BadProof) as error:
            raise _Unpublished(
                f"rows were dropped, and the published log can't give their entries: {error}"
            ) from error
