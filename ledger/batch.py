"""Chaining a batch: rows of many requests become bytes to COPY and heads to move.

Pure, so that how requests are cut into batches can't change a hash: a row's hash depends on the rows before
it in its chain alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from ledger.chain import genesis
from ledger.rows import COPY_HEADER, COPY_TRAILER, HASH_FIELD_LENGTH

ChainKey = tuple[str, str]
"""A stream and the chain in it."""

Halves = tuple[bytes, bytes]
"""A row's image before and after its ``seq``, as ``ledger.rows.Row`` has them."""


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
    rows: Mapping[ChainKey, Sequence[Halves]]
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
    parts: dict[str, list[bytes]] = {}
    counts: dict[str, int] = {}
    for key in keys:
        head = heads[key]
        seq, previous = head.seq, head.row_hash
        out = parts.setdefault(key[0], [COPY_HEADER])
        append = out.append
        for request in requests:
            for before, rest in request.rows.get(key, ()):
                seq += 1
                image = before + seq.to_bytes(8, "big") + rest
                previous = sha256(previous + image).digest()
                append(image)
                append(HASH_FIELD_LENGTH)
                append(previous)
        counts[key[0]] = counts.get(key[0], 0) + seq - head.seq
        after[key] = Head(seq, previous)
    copies = {stream: b"".join([*out, COPY_TRAILER]) for stream, out in parts.items()}
    return Chained({key: heads[key] for key in keys}, after, copies, counts)
