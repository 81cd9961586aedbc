"""The entries of what was sealed, made again from the rows: for recovery, and for whoever verifies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from audit.sealing.batches import missing, split_hashes
from ledger.streams import STREAMS
from store.seals import Leaves, Seal, SealStore


class Lost(NamedTuple):
    """A seal whose rows are not what was sealed, and why."""

    seal: Seal
    reason: str


def sealed_entries(
    store: SealStore, seals: Sequence[Seal], first_leaf: int
) -> tuple[list[bytes], Lost | None]:
    """The entries of seals that follow each other from ``first_leaf`` on, up to the first that is not there.

    Raises:
        store.errors.StoreError: the database can't be read.
    """
    found: dict[int, Leaves] = {}
    for stream in {seal.stream for seal in seals} & STREAMS.keys():
        mine = [seal for seal in seals if seal.stream == stream]
        leaves = store.leaves(STREAMS[stream], [seal.range for seal in mine])
        found |= {seal.first_leaf: one for seal, one in zip(mine, leaves, strict=True)}
    entries: list[bytes] = []
    for seal in seals:
        if seal.first_leaf not in found:
            return entries, Lost(seal, f"there is no stream {seal.stream!r}")
        if seal.first_leaf != first_leaf + len(entries):
            expected = first_leaf + len(entries)
            return entries, Lost(seal, f"its first leaf should be {expected}, not {seal.first_leaf}")
        reason = missing(seal.range, found[seal.first_leaf])
        if reason is not None:
            return entries, Lost(seal, reason)
        entries += split_hashes(found[seal.first_leaf].hashes)
    return entries, None
