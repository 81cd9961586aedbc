"""How requests are cut into batches never changes a hash."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from ledger.batch import (
    START,
    ChainKey,
    Halves,
    Head,
    Reading,
    Request,
    chain_batch,
    chain_keys,
    new_head,
    reading_pack,
)
from ledger.chain import genesis, link
from ledger.rows import split_copy

CHAINS: list[ChainKey] = [("telemetry", "a"), ("telemetry", "b"), ("events", "a"), ("events", "ä")]


def _row(payload: bytes) -> Halves:
    """A tuple image of three fields, ``seq`` in the middle, as ``ledger.rows.Row`` has its halves."""
    before = (3).to_bytes(2, "big") + len(payload).to_bytes(4, "big") + payload + (8).to_bytes(4, "big")
    return before, b""


def _reading(event_us: int, payload: bytes, value: float) -> Reading:
    """A telemetry row in parts; its texts are null, which only the table would mind."""
    null = b"\xff" * 4
    before = null * 2 + (8).to_bytes(4, "big")
    middle = len(payload).to_bytes(4, "big") + payload + null * 4 + (8).to_bytes(4, "big")
    after = null * 2
    return reading_pack(len(before), len(middle), len(after)), event_us, before, middle, value, after


def _image(row: Halves | Reading, seq: int) -> bytes:
    """The tuple image of a row, by the definition."""
    if len(row) == 2:
        return row[0] + seq.to_bytes(8, "big") + row[1]
    _, event_us, before, middle, value, after = row
    return (
        START
        + struct.pack(">q", event_us)
        + before
        + struct.pack(">q", seq)
        + middle
        + struct.pack(">d", value)
        + after
    )


times = st.integers(-(2**63), 2**63 - 1)
numbers = st.floats(allow_nan=False) | st.integers(-(2**53), 2**53)
halves = st.binary(max_size=12).map(_row)
readings = st.builds(_reading, times, st.binary(max_size=12), numbers)
requests_lists = st.lists(
    st.dictionaries(st.sampled_from(CHAINS), st.lists(halves | readings, max_size=4), max_size=len(CHAINS)),
    max_size=8,
).map(
    lambda many: [
        Request(number.to_bytes(4, "big"), rows, {}, sum(map(len, rows.values())))
        for number, rows in enumerate(many)
    ]
)


def cut(requests: Sequence[Request], places: set[int]) -> list[list[Request]]:
    """The requests in batches that start at the places named."""
    starts = [0, *sorted(place for place in places if 0 < place < len(requests)), len(requests)]
    return [list(requests[first:end]) for first, end in itertools.pairwise(starts)]


def written(batches: Sequence[Sequence[Request]]) -> tuple[dict[str, list[bytes]], dict[ChainKey, Head]]:
    """All tuples that are copied, sorted, and the heads that are left."""
    heads: dict[ChainKey, Head] = {}
    tuples: dict[str, list[bytes]] = {}
    for batch in batches:
        keys = chain_keys(batch)
        chained = chain_batch(batch, {key: heads.get(key) or new_head(key) for key in keys})
        assert chained.before.keys() == chained.after.keys() == set(keys)
        heads |= chained.after
        for stream, copy in chained.copies.items():
            found = list(split_copy(copy))
            assert len(found) == chained.rows[stream]
            tuples.setdefault(stream, []).extend(found)
    return {stream: sorted(found) for stream, found in tuples.items()}, heads


@given(requests_lists, st.sets(st.integers(0, 8)))
def test_batch_boundaries_change_no_row_no_hash_and_no_head(
    requests: list[Request], places: set[int]
) -> None:
    together = written([requests])
    assert written(cut(requests, places)) == together
    assert written([[request] for request in requests]) == together


@given(requests_lists)
def test_a_batch_is_what_the_definition_of_a_chain_says(requests: list[Request]) -> None:
    _, heads = written([requests])
    for key in chain_keys(requests):
        seq, row_hash = 0, genesis(*key)
        for request in requests:
            for row in request.rows.get(key, ()):
                seq += 1
                row_hash = link(row_hash, _image(row, seq))
        assert heads[key] == Head(seq, row_hash)


@given(requests_lists.filter(lambda requests: any(request.row_count for request in requests)), st.data())
def test_a_changed_byte_changes_the_head(requests: list[Request], data: st.DataObject) -> None:
    """The tampered twin: batching changes nothing, but any change of a row does."""
    place = data.draw(
        st.sampled_from(
            [
                (number, key, index)
                for number, request in enumerate(requests)
                for key, rows in request.rows.items()
                for index in range(len(rows))
            ]
        )
    )
    number, key, index = place
    rows = {k: list(v) for k, v in requests[number].rows.items()}
    rows[key][index] = _row(sha256(_image(rows[key][index], 0)).digest())
    tampered = list(requests)
    tampered[number] = Request(requests[number].digest, rows, {}, requests[number].row_count)
    assert written([tampered])[1][key] != written([requests])[1][key]
