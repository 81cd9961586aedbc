"""How requests are cut into batches never changes a hash."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from ledger.batch import ChainKey, Halves, Head, Request, chain_batch, chain_keys, new_head
from ledger.chain import genesis, link
from ledger.rows import split_copy

CHAINS: list[ChainKey] = [("telemetry", "a"), ("telemetry", "b"), ("events", "a"), ("events", "ä")]


def _row(payload: bytes) -> Halves:
    """A tuple image of three fields, ``seq`` in the middle, as ``ledger.rows.Row`` has its halves."""
    before = (3).to_bytes(2, "big") + len(payload).to_bytes(4, "big") + payload + (8).to_bytes(4, "big")
    return before, b""


halves = st.binary(max_size=12).map(_row)
requests_lists = st.lists(
    st.dictionaries(st.sampled_from(CHAINS), st.lists(halves, max_size=4), max_size=len(CHAINS)), max_size=8
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
            for before, after in request.rows.get(key, ()):
                seq += 1
                row_hash = link(row_hash, before + seq.to_bytes(8, "big") + after)
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
    rows[key][index] = _row(sha256(rows[key][index][0]).digest())
    tampered = list(requests)
    tampered[number] = Request(requests[number].digest, rows, {}, requests[number].row_count)
    assert written([tampered])[1][key] != written([requests])[1][key]
