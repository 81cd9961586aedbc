"""What all streams have in common, and that no released column moved."""

from __future__ import annotations

import hashlib

import pytest

from ledger.chain import genesis
from ledger.streams import STREAMS, Stream
from ledger.twin import disagreements_sql, image_sql, recomputed_sql

RELEASED = {
    "telemetry": "6705d10620d039c6167a79408f8c6515436ffff1e423b43defe99d2d9e2d2227",
    "transactions": "8ba2d12deadf57e005ad473f2a98ed7ca6565b0ae0042daf140fcfcec1e89912",
    "predictions": "35f13fded04e644d9801c727cc8683213dbe48945e93ec07005cb44c3d8cf1df",
    "events": "ef395fd70e904cf69e42c8f56e9e04400756bd6f9d500a709e771b25ff19e1de",
    "scale_tickets": "79660e9e4a54dd41ae502d9f9954a255945e6d92927d3067c5185fc91604982c",
    "reviews": "549930036e34c9e40cfcabde4c85f894baff1fb3783ab8c68009eb81d6ddaab6",
    "incidents": "9b265369366f10f8bdb86972d204f5e6f7e6eb11cdb84c6692abe7e5e1b3e891",
    "governance": "7e8bd75d2e69724a4db00e7e023de169520593e6b1cd0b4487882a80e15ac307",
}
"""SHA-256 of each released stream's columns.  A change here changes what was hashed: make a new stream."""


def fingerprint(stream: Stream) -> str:
    columns = [f"{column.name} {column.type} {column.nullable}" for column in stream.columns]
    return hashlib.sha256("\n".join([stream.chain_column, *columns]).encode()).hexdigest()


def test_the_columns_of_a_released_stream_are_frozen() -> None:
    assert {name: fingerprint(stream) for name, stream in STREAMS.items()} == RELEASED


@pytest.mark.parametrize("stream", STREAMS.values(), ids=lambda stream: stream.name)
def test_every_stream_has_the_common_columns_in_their_places(stream: Stream) -> None:
    head = [(column.name, column.type, column.nullable) for column in stream.columns[:5]]
    assert head == [
        ("event_time", "timestamptz", False),
        ("received_at", "timestamptz", False),
        (stream.chain_column, "text", False),
        ("seq", "int8", False),
        ("resource_digest", "bytea", False),
    ]
    assert [column.name for column in stream.columns[-2:]] == ["attributes", "row_hash"]
    assert not stream.columns[-1].nullable
    assert len(set(stream.column_names)) == len(stream.columns)


def test_every_chain_of_every_stream_starts_elsewhere() -> None:
    starts = {genesis(stream, chain) for stream in STREAMS for chain in ("", "a", "b", "a\n")}
    assert len(starts) == 4 * len(STREAMS)
    assert genesis("telemetry", "rvm-é") == hashlib.sha256("tally/v1\ntelemetry\nrvm-é".encode()).digest()


@pytest.mark.parametrize("stream", STREAMS.values(), ids=lambda stream: stream.name)
def test_the_sql_twin_hashes_every_column_but_the_hash(stream: Stream) -> None:
    image = image_sql(stream, "r")
    assert all(f'r."{column.name}"' in image for column in stream.hashed_columns)
    assert "row_hash" not in image
    assert f"FROM {stream.name} AS r" in recomputed_sql(stream)
    assert "IS DISTINCT FROM" in disagreements_sql(stream)
