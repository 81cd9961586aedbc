"""``ledger`` agrees with vectors that no code of this repository derived."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ledger.chain import genesis, link
from ledger.rows import Value, decode_image, encode_row
from ledger.streams import STREAMS, Stream

FOLDER = Path(__file__).parents[2] / "vectors"
VECTORS: list[dict[str, Any]] = json.loads((FOLDER / "rows.json").read_text())


def values_of(stream: Stream, written: dict[str, Any]) -> dict[str, Value]:
    """A vector's values as ``ledger`` takes them."""
    values: dict[str, Value] = {}
    for column in stream.hashed_columns:
        value = written[column.name]
        if value is not None and column.type == "timestamptz":
            value = datetime.fromisoformat(value)
        elif column.type == "bytea":
            value = bytes.fromhex(value)
        values[column.name] = value
    return values


def named(vector: dict[str, Any]) -> str:
    return f"{vector['stream']}-{vector['values']['seq']}"


@pytest.mark.parametrize("vector", VECTORS, ids=named)
def test_a_row_has_the_bytes_and_the_hash_of_its_vector(vector: dict[str, Any]) -> None:
    stream = STREAMS[vector["stream"]]
    values = values_of(stream, vector["values"])
    seq = values.pop("seq")
    assert isinstance(seq, int)
    image = encode_row(stream, values).image(seq)
    assert image.hex() == vector["image"]
    assert link(bytes.fromhex(vector["previous_hash"]), image).hex() == vector["row_hash"]


@pytest.mark.parametrize("vector", VECTORS, ids=named)
def test_a_vectors_bytes_have_its_values(vector: dict[str, Any]) -> None:
    stream = STREAMS[vector["stream"]]
    decoded = decode_image(stream, bytes.fromhex(vector["image"]))
    assert repr(decoded) == repr(values_of(stream, vector["values"]))  # repr, because -0.0 equals 0.0


def test_each_stream_has_a_chain_of_vectors_from_its_genesis() -> None:
    for stream in STREAMS.values():
        chain = [vector for vector in VECTORS if vector["stream"] == stream.name]
        assert len(chain) >= 2
        previous = genesis(stream.name, chain[0]["values"][stream.chain_column]).hex()
        for seq, vector in enumerate(chain, start=1):
            assert (vector["values"]["seq"], vector["previous_hash"]) == (seq, previous)
            previous = vector["row_hash"]


def test_the_vectors_cover_nulls_and_values_of_every_column() -> None:
    for stream in STREAMS.values():
        rows = [vector["values"] for vector in VECTORS if vector["stream"] == stream.name]
        for column in stream.hashed_columns:
            assert any(row[column.name] is not None for row in rows), column
            assert not column.nullable or any(row[column.name] is None for row in rows), column


def test_the_vectors_are_those_that_the_shell_derives() -> None:
    bash = shutil.which("bash")
    assert bash is not None, "every Debian has bash"
    derived = subprocess.run(
        [bash, str(FOLDER / "derive.sh")], capture_output=True, text=True, check=True
    ).stdout
    assert derived == (FOLDER / "rows.json").read_text()
