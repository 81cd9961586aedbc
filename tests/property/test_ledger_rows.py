"""Rows of any values: through the real database and back, hashed alike by Python and by PostgreSQL."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.twin import verify_twin
from audit.verify import verify
from ledger.canonical import Json, canonical_json
from ledger.chain import genesis, link
from ledger.errors import DecodingError
from ledger.rows import HASH_FIELD_LENGTH, Value, decode_image, encode_row
from ledger.streams import STREAMS, Column, Stream
from store.reader import LedgerReader, Place, after_chain
from tally.testing import Cluster, Database
from tests.ledger_writer import SENDER_DIGEST, LedgerWriter, sample
from tests.memory_ledger import MemoryLedger, places

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
integers = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 2**63 - 1, -(2**63)])
floats = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([-0.0, 0.0, 5e-324])
moments = st.datetimes().map(lambda moment: moment.replace(tzinfo=UTC, fold=0)) | st.sampled_from(
    [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), datetime(1999, 12, 31, tzinfo=UTC)]
)
# A hypertable makes a chunk for each week that it meets: a few weeks, on both sides of 1970 and of 2000.
event_times = st.builds(
    lambda start, offset: start + timedelta(microseconds=offset),
    st.sampled_from([datetime(year, 1, 1, tzinfo=UTC) for year in (1901, 1970, 2000, 2026)]),
    st.integers(-1_000_000, 1_000_000),
)
json_values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | integers | floats | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
attributes = st.dictionaries(text, json_values, max_size=4).map(lambda value: canonical_json(value).decode())


def column_values(column: Column) -> st.SearchStrategy[Value]:
    """Any value that the column can hold."""
    by_type: dict[str, st.SearchStrategy[Value]] = {
        "timestamptz": event_times if column.name == "event_time" else moments,
        "text": text,
        "int8": integers,
        "float8": floats,
        "bytea": st.just(SENDER_DIGEST),
        "json": attributes,
    }
    return by_type[column.type] | st.none() if column.nullable else by_type[column.type]


def rows_of(stream: Stream) -> st.SearchStrategy[list[dict[str, Value]]]:
    columns = {column.name: column_values(column) for column in stream.hashed_columns if column.name != "seq"}
    return st.lists(st.fixed_dictionaries(columns), min_size=1, max_size=6)


cases = st.sampled_from(list(STREAMS.values())).flatmap(
    lambda stream: st.tuples(st.just(stream), rows_of(stream))
)
examples = itertools.count()


@pytest.fixture(scope="module")
def ledger(cluster: Cluster, template: str) -> Iterator[Database]:
    database = cluster.create(template)
    yield database
    cluster.drop(database.name)


@given(case=cases, name=text)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_rows_come_back_from_the_database_byte_for_byte_and_value_for_value(
    case: tuple[Stream, list[dict[str, Value]]], name: str, ledger: Database
) -> None:
    stream, rows = case
    chain = f"{next(examples)} {name}"
    written = [row | {stream.chain_column: chain} for row in rows]
    LedgerWriter(ledger.admin_url).append(stream.name, written)

    with LedgerReader(ledger.audit_url) as reader:
        read = list(reader.rows(stream, Place(chain, 1), after_chain(chain)))
        computed = [row[2] for row in reader.twin_rows(stream, Place(chain, 1), after_chain(chain))]
    images = [encode_row(stream, row).image(seq) for seq, row in enumerate(written, start=1)]
    assert [row[:-36] for row in read] == images
    assert computed == [row[-32:] for row in read]

    selected = _selected(ledger, stream, chain)
    for seq, (row, image) in enumerate(zip(written, images, strict=True), start=1):
        expected = row | {"seq": seq}
        assert repr(decode_image(stream, image)) == repr({name: expected[name] for name in selected[seq - 1]})
        assert repr(selected[seq - 1]) == repr({name: expected[name] for name in selected[seq - 1]})

    report = verify(ledger.audit_url, [stream.name], machine=chain)
    assert (report.ok, report.rows) == (True, len(rows))


def _selected(ledger: Database, stream: Stream, chain: str) -> list[dict[str, object]]:
    columns = [f"{name}::text" if name == "attributes" else name for name in stream.column_names[:-1]]
    with psycopg.connect(ledger.audit_url, options="-c timezone=UTC") as connection:
        cursor = connection.cursor(binary=True)
        cursor.execute(
            f"SELECT {', '.join(columns)} FROM {stream.name} "
            f"WHERE {stream.chain_column} = %s ORDER BY seq".encode(),
            (chain,),
        )
        return [
            {
                name: value.astimezone(UTC) if isinstance(value, datetime) else value
                for name, value in zip(stream.column_names, row, strict=False)
            }
            for row in cursor
        ]


def test_after_all_of_that_the_twin_agrees_on_everything(ledger: Database) -> None:
    assert verify_twin(ledger.audit_url).ok
    assert verify(ledger.audit_url).ok


@given(seq=st.integers(1, 5), position=st.integers(0, 10**6), bit=st.integers(0, 7))
@settings(max_examples=300, deadline=None)
def test_any_flipped_bit_of_a_row_is_found(seq: int, position: int, bit: int) -> None:
    ledger = MemoryLedger()
    ledger.fill("rvm-1", 5)
    index = ledger.place("rvm-1", seq)
    row = bytearray(ledger.rows[index])
    row[position % len(row)] ^= 1 << bit
    ledger.rows[index] = bytes(row)
    try:
        broken = places(ledger.verify(ledger.whole()))
    except (DecodingError, UnicodeDecodeError):
        return  # no tuple any more
    assert broken


@given(case=cases, seq=st.integers(1, 2**62), position=st.integers(0, 10**6), bit=st.integers(0, 7))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_flipped_bit_of_an_image_or_of_the_hash_before_gives_another_hash(
    case: tuple[Stream, list[dict[str, Value]]], seq: int, position: int, bit: int
) -> None:
    stream, rows = case
    previous, image = bytes(range(32)), encode_row(stream, rows[0]).image(seq)
    hashed = bytearray(previous + image)
    hashed[position % len(hashed)] ^= 1 << bit
    assert link(bytes(hashed[:32]), bytes(hashed[32:])) != link(previous, image)


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=5),
    stream=st.sampled_from(["telemetry", "governance"]),
)
@settings(max_examples=25, deadline=None)
def test_how_rows_are_cut_into_transactions_changes_no_byte(
    sizes: list[int], stream: str, ledger: Database
) -> None:
    definition, chain = STREAMS[stream], f"{next(examples)} in parts"
    writer = LedgerWriter(ledger.admin_url)
    first = 1
    for size in sizes:
        writer.fill(stream, chain, size, first)
        first += size
    previous = genesis(stream, chain)
    expected = []
    for seq in range(1, first):
        image = encode_row(definition, sample(definition, chain, seq)).image(seq)
        previous = link(previous, image)
        expected.append(image + HASH_FIELD_LENGTH + previous)
    with LedgerReader(ledger.audit_url) as reader:
        assert list(reader.rows(definition, Place(chain, 1), after_chain(chain))) == expected
