"""Which rows are sealed next, and what their leaves are: a fixed order, and a bound on how many at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from ledger.heads import merged_sites
from ledger.streams import STREAMS
from ledger.tiles import HASH_LENGTH
from store.reader import nameable
from store.seals import Leaves, Moved, Range, Seal

MOST_ROWS: Final = 1 << 18
"""Of a batch: its hashes, tiles and entries take 25 MiB.  Our choice."""


class LeftOut(NamedTuple):
    """A chain that can't be sealed, and why."""

    stream: str
    chain: str
    reason: str


def next_ranges(moved: Iterable[Moved], most_rows: int = MOST_ROWS) -> dict[str, list[tuple[Moved, Range]]]:
    """The rows of the next batch by stream: streams by name, chains by their bytes, seqs upwards."""
    found: dict[str, list[tuple[Moved, Range]]] = {}
    left = most_rows
    for one in sorted(moved, key=lambda m: (m.stream.encode(), m.chain.encode("utf-8", "surrogateescape"))):
        if left == 0:
            break
        if one.stream in STREAMS and nameable(one.chain):
            last = min(one.seq, one.sealed_seq + left)
            left -= last - one.sealed_seq
            found.setdefault(one.stream, []).append((one, Range(one.chain, one.sealed_seq + 1, last)))
    return found


def sealed_as(
    number: int, first_leaf: int, found: Mapping[str, Sequence[tuple[Moved, Range, Leaves]]]
) -> tuple[list[Seal], list[bytes], list[LeftOut]]:
    """The seals of a batch and the entries of its rows; a chain whose rows are not all there is left out."""
    seals: list[Seal] = []
    entries: list[bytes] = []
    left_out: list[LeftOut] = []
    for stream, chains in found.items():
        for moved, asked, leaves in chains:
            reason = missing(asked, leaves)
            if reason is not None:
                left_out.append(LeftOut(stream, asked.chain, reason))
                continue
            leaf = first_leaf + len(entries)
            row_hash = leaves.hashes[-HASH_LENGTH:]
            seals.append(
                Seal(
                    number,
                    stream,
                    asked.chain,
                    asked.first_seq,
                    asked.last_seq,
                    leaf,
                    row_hash,
                    merged_sites(moved.sites, leaves.sites),
                )
            )
            entries += split_hashes(leaves.hashes)
    return seals, entries, left_out


def missing(asked: Range, leaves: Leaves) -> str | None:
    """What is wrong with the rows of a range; None if each is there once, with a hash of 32 bytes."""
    if (leaves.rows, leaves.first_seq, leaves.last_seq) != (asked.rows, asked.first_seq, asked.last_seq):
        return (
            f"rows {asked.first_seq} to {asked.last_seq} should be there, each once; {leaves.rows} were found"
        )
    if len(leaves.hashes) != asked.rows * HASH_LENGTH:
        return f"of rows {asked.first_seq} to {asked.last_seq}, not every row_hash has {HASH_LENGTH} bytes"
    return None


def split_hashes(hashes: bytes) -> list[bytes]:
    """Hashes that stand one after the other, one by one."""
    return [hashes[at : at + HASH_LENGTH] for at in range(0, len(hashes), HASH_LENGTH)]
