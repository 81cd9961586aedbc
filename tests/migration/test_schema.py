"""The schema that migrations build is the one that ``ledger.streams`` defines."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from ledger.streams import STREAMS, ColumnType, Stream
from tally.testing import Database

POSTGRESQL_NAMES: dict[ColumnType, str] = {
    "timestamptz": "timestamp with time zone",
    "text": "text",
    "int8": "bigint",
    "float8": "double precision",
    "bytea": "bytea",
    "json": "json",
}
COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, c.collname,
    pg_get_expr(d.adbin, d.adrelid), a.attgenerated, a.attidentity
FROM pg_attribute AS a
LEFT JOIN pg_collation AS c ON c.oid = a.attcollation
LEFT JOIN pg_attrdef AS d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum"""


def rows(database: Database, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(database.admin_url) as connection:
        return connection.execute(query.encode(), parameters).fetchall()


def defined(stream: Stream) -> list[tuple[Any, ...]]:
    """What the catalogue should say: no default, nothing generated, text in byte order."""
    return [
        (
            column.name,
            POSTGRESQL_NAMES[column.type],
            not column.nullable,
            "C" if column.type == "text" else None,
            None,
            "",
            "",
        )
        for column in stream.columns
    ]


@pytest.mark.parametrize("name", STREAMS)
def test_a_table_has_its_streams_columns_in_their_order(name: str, pristine: Database) -> None:
    assert rows(pristine, COLUMNS, name) == defined(STREAMS[name])


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE reviews ADD COLUMN note text",
        "ALTER TABLE reviews RENAME COLUMN reviewer TO person",
        "ALTER TABLE reviews ALTER COLUMN material SET NOT NULL",
        "ALTER TABLE reviews ALTER COLUMN material SET DEFAULT 'pet'",
        'ALTER TABLE reviews ALTER COLUMN material TYPE text COLLATE "de-x-icu"',
        "ALTER TABLE reviews ALTER COLUMN attributes TYPE jsonb USING attributes::jsonb",
    ],
)
def test_a_table_that_was_changed_is_found(change: str, database: Database) -> None:
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("DROP VIEW reviews_chained")
        connection.execute(change.encode())
    assert rows(database, COLUMNS, "reviews") != defined(STREAMS["reviews"])


def test_every_stream_is_a_hypertable_by_its_devices_clock_and_nothing_else_is(pristine: Database) -> None:
    assert rows(
        pristine,
        "SELECT hypertable_name::text, column_name::text, time_interval::text, dimension_number, "
        "integer_interval FROM timescaledb_information.dimensions ORDER BY 1",
    ) == sorted((name, "event_time", "7 days", 1, None) for name in STREAMS)


def test_there_are_no_other_tables_nor_views(pristine: Database) -> None:
    found = rows(
        pristine,
        "SELECT relname::text, relkind::text FROM pg_class WHERE relnamespace = 'public'::regnamespace "
        "AND relkind IN ('r', 'v', 'm', 'p', 'f', 'S')",
    )
    expected = {(name, "r") for name in (*STREAMS, "resources", "chain_heads", "request_digests")}
    expected |= {("alembic_version", "r"), ("telemetry_hourly", "v")}
    expected |= {("review_queue", "r"), ("review_progress", "r")}
    expected |= {("seal_batches", "r"), ("seals", "r"), ("checkpoints", "r"), ("dropped_runs", "r")}
    expected |= {(f"{name}_chained", "v") for name in STREAMS}
    extension = {"pg_stat_statements", "pg_stat_statements_info"}
    assert {row for row in found if row[0] not in extension} == expected


def test_a_chain_is_found_by_an_index_and_heads_and_requests_are_unique(pristine: Database) -> None:
    found = {row[0] for row in rows(pristine, "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'")}
    for name, stream in STREAMS.items():
        index = f"CREATE INDEX {name}_chain ON public.{name} USING btree ({stream.chain_column}, seq)"
        assert index in found
    for table, key in (
        ("chain_heads", "(stream, chain)"),
        ("request_digests", "(digest)"),
        ("resources", "(digest)"),
        ("review_queue", "(prediction_id)"),
        ("review_progress", "(stream, chain)"),
        ("seal_batches", "(batch)"),
        ("seals", "(stream, chain, first_seq)"),
        ("checkpoints", "(size, witnessed)"),
        ("dropped_runs", "(stream, chain, first_seq)"),
    ):
        assert f"CREATE UNIQUE INDEX {table}_pkey ON public.{table} USING btree {key}" in found


def test_what_only_the_community_edition_has_is_used_only_there(pristine: Database) -> None:
    """The Apache edition has a plain view of the rollup's name; neither has a policy that drops data."""
    [(licence,)] = rows(pristine, "SELECT current_setting('timescaledb.license')")
    [(kind,)] = rows(pristine, "SELECT relkind::text FROM pg_class WHERE oid = 'telemetry_hourly'::regclass")
    jobs = [
        row[0]
        for row in rows(
            pristine,
            "SELECT proc_name::text FROM timescaledb_information.jobs WHERE proc_schema LIKE '%%functions'",
        )
    ]
    aggregates = rows(pristine, "SELECT view_name FROM timescaledb_information.continuous_aggregates")
    compressed = rows(
        pristine, "SELECT hypertable_name FROM timescaledb_information.hypertables WHERE compression_enabled"
    )
    assert kind == "v", "a continuous aggregate shows itself as a view too"
    assert "policy_retention" not in jobs
    if licence == "timescale":
        assert aggregates == [("telemetry_hourly",)]
        assert len(compressed) == 4
        assert {"policy_compression", "policy_refresh_continuous_aggregate"} <= set(jobs)
    else:
        assert not aggregates
        assert not compressed
        assert not {"policy_compression", "policy_refresh_continuous_aggregate"} & set(jobs)


def test_the_hourly_rollup_counts_what_was_read(pristine: Database) -> None:
    columns = [row[0] for row in rows(pristine, COLUMNS, "telemetry_hourly")]
    assert columns == ["bucket", "machine_id", "metric", "unit", "readings", "minimum", "maximum", "mean"]


@pytest.mark.parametrize("name", STREAMS)
def test_the_chained_view_is_the_table_and_the_hash_before(name: str, pristine: Database) -> None:
    columns = [row[0] for row in rows(pristine, COLUMNS, f"{name}_chained")]
    assert columns == [*STREAMS[name].column_names, "previous_hash"]
