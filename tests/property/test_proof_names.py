"""What a proof says of its row is anybody's bytes: read, or taken for nothing, never an error."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from audit.proofs import RowNamed, row_named
from ledger.log_proofs import LogProof
from ledger.notes import Note

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.sampled_from(["stream", "chain", "seq", "row_hash"])


def named(extra: bytes | None) -> RowNamed | None:
    return row_named(LogProof(0, (), Note("", ()), extra))


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_name_no_row(extra: bytes) -> None:
    assert named(extra) is None
    assert named(None) is None


@given(st.text(max_size=20), st.text(max_size=20), st.integers(), st.binary(min_size=32, max_size=32))
def test_a_row_that_is_named_comes_back(stream: str, chain: str, seq: int, row_hash: bytes) -> None:
    row = RowNamed(stream, chain, seq, row_hash)
    assert named(json.dumps(row.to_json()).encode()) == row


@given(FIELDS, JSON)
def test_one_field_of_another_kind_names_no_row(field: str, value: object) -> None:
    good = RowNamed("events", "a", 1, bytes(32)).to_json()
    found = named(json.dumps(good | {field: value}).encode())
    assert found is None or found.to_json() == good | {field: value}
