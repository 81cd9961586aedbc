"""Chaining a batch: rows of many requests become bytes to COPY and heads to move.

Pure, so that how requests are cut into batches can't change a hash: a row's hash depends on the rows before
it in its chain alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import groupby
from operator import itemgetter
from struct import Struct
from typing import Final

from ledger.chain import HASH_BYTES, genesis
from ledger.rows import COPY_HEADER, COPY_TRAILER, HASH_FIELD_LENGTH
from ledger.streams import STREAMS

ChainKey = tuple[str, str]
"""A stream and the chain in it."""

Halves = tuple[bytes, bytes]
"""A row's image before and after its ``seq``, as ``ledger.rows.Row`` has them."""

Pack = Callable[..., bytes]
"""What ``reading_pack`` returns."""

Reading = tuple[Pack, int, bytes, bytes, float, bytes]
"""A telemetry row in parts, which one call of its ``Pack`` puts together with the hash before it and its
``seq``: event_time (microseconds since 2000-01-01), the bytes from there to ``seq``, the bytes from there to
a float8, the float8, the bytes after it.

In most rows nothing but time and value is new.  This way they are written once, as what is hashed and copied.
"""

START: Final = len(STREAMS["telemetry"].columns).to_bytes(2, "big") + (8).to_bytes(4, "big")
"""How the image of a reading starts: its count of fields and the length word of event_time."""


@lru_cache(maxsize=4096)
def reading_pack(before: int, middle: int, after: int) -> Pack:
    """The ``Pack`` of readings with parts of these lengths in bytes.

    It takes the hash before the row, the start of its image, and the parts in their order.
    """
    return Struct(f">{HASH_BYTES}s{len(START)}sq{before}sq{middle}sd{after}s").pack


@dataclass(frozen=True, slots=True)
class Head:
    """The last row of a chain; ``seq`` 0 and the genesis hash for a chain without rows."""

    seq: int
    row_hash: bytes


def new_head(key: ChainKey) -> Head:
    """The head of a chain that has no row yet."""
    return Head(0, genesis(*key))


@dataclass(frozen=True, slots=True)
class Request:
    """What one OTLP request adds, all or nothing.

    ``digest`` names the request for exactly-once; ``resources`` maps digest to canonical content; ``days``
    are the streams and days of event time (since 2000-01-01) that its rows may fall on; ``size_bytes`` is
    about what it takes in memory.
    """

    digest: bytes
    rows: Mapping[ChainKey, Sequence[Halves | Reading]]
    resources: Mapping[bytes, bytes]
    row_count: int
    days: frozenset[tuple[str, int]] = frozenset()
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Chained:
    """A batch ready to be written on top of ``before``: a binary COPY file for each stream."""

    before: Mapping[ChainKey, Head]
    after: Mapping[ChainKey, Head]
    copies: Mapping[str, bytes]
    rows: Mapping[str, int]


def chain_keys(requests: Sequence[Request]) -> list[ChainKey]:
    """The chains that the requests add to, in the order in which every writer locks them."""
    return sorted({key for request in requests for key, rows in request.rows.items() if rows})


def chain_batch(requests: Sequence[Request], heads: Mapping[ChainKey, Head]) -> Chained:
    """Chain the requests' rows, in the order given, on top of ``heads``, which has every chain of theirs.

    A chain's rows lie together, so that reading a chain back touches few pages.
    """
    keys = chain_keys(requests)
    after: dict[ChainKey, Head] = {}
    copies: dict[str, bytes] = {}
    counts: dict[str, int] = {}
    for stream, chains in groupby(keys, key=itemgetter(0)):
        # On the wire the hash of a row stands right before the image of the next, as it does in what is
        # hashed: so each piece is both.  Only the first of a chain follows something else.
        pieces: list[bytes] = []
        before = COPY_HEADER
        for key in chains:
            first = len(pieces)
            after[key] = head = link_rows(_rows(requests, key), heads[key], pieces)
            pieces[first] = before + pieces[first][HASH_BYTES:]
            before = head.row_hash
        counts[stream] = len(pieces)
        pieces.append(before + COPY_TRAILER)
        copies[stream] = HASH_FIELD_LENGTH.join(pieces)
    return Chained({key: heads[key] for key in keys}, after, copies, counts)


def _rows(requests: Sequence[Request], key: ChainKey) -> Iterator[Sequence[Halves | Reading]]:
    return (request.rows[key] for request in requests if key in request.rows)


def link_rows(groups: Iterator[Sequence[Halves | Reading]], head: Head, pieces: list[bytes]) -> Head:
    """Append to ``pieces`` each row's image with the hash before it in front; returns the new head."""
    seq, previous = head.seq, head.row_hash
    append = pieces.append
    for rows in groups:
        for row in rows:
            seq += 1
            if len(row) == 2:
                linked = previous + row[0] + seq.to_bytes(8, "big") + row[1]
            else:
                pack, event_us, before, middle, value, after = row
                linked = pack(previous, START, event_us, before, seq, middle, value, after)
            previous = sha256(linked).digest()
            append(linked)
    return Head(seq, previous)
