"""The entries of what was sealed, made again from the rows: for recovery, and for whoever verifies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from audit.sealing.batches import missing, split_hashes
from ledger.heads import statement_entry
from ledger.streams import STREAMS
from store.seals import Leaves, Seal, Sealed, SealStore


class Lost(NamedTuple):
    """A seal whose rows are not what was sealed, and why."""

    seal: Seal
    reason: str


def found_rows(store: SealStore, seals: Sequence[Seal]) -> dict[Seal, Leaves]:
    """What is found of the rows of each seal, if its stream exists.

    Raises:
        store.errors.StoreError: the database can't be read.
    """
    found: dict[Seal, Leaves] = {}
    for stream in sorted({seal.stream for seal in seals} & STREAMS.keys()):
        mine = [seal for seal in seals if seal.stream == stream]
        leaves = store.leaves(STREAMS[stream], [seal.range for seal in mine])
        found |= dict(zip(mine, leaves, strict=True))
    return found


def batch_entries(
    sealed: Sealed, seals: Sequence[Seal], found: dict[Seal, Leaves]
) -> tuple[list[bytes], Lost | None]:
    """The entries of a batch, its statement's last; up to the first that is not there, and what is not."""
    entries: list[bytes] = []
    for seal in seals:
        expected = sealed.batch.first_leaf + len(entries)
        if seal not in found:
            return entries, Lost(seal, f"there is no stream {seal.stream!r}")
        if seal.first_leaf != expected:
            return entries, Lost(seal, f"its first leaf should be {expected}, not {seal.first_leaf}")
        wrong = missing(seal.range, found[seal])
        if wrong is not None:
            return entries, Lost(seal, wrong)
        entries += split_hashes(found[seal].hashes)
    entries.append(statement_entry(sealed.heads_digest))
    return entries, None
