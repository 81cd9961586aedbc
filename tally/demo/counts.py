"""What the demo asks of the ledger to compare it with what was sent."""

from __future__ import annotations

import psycopg
from psycopg import sql

from ledger.streams import STREAMS


def rows_by_stream(url: str) -> dict[str, int]:
    """Rows in each stream."""
    counts: dict[str, int] = {}
    with psycopg.connect(url) as connection:
        for name in STREAMS:
            row = connection.execute(
                sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))
            ).fetchone()
            assert row is not None, "an aggregate has a row"
            counts[name] = row[0]
    return counts


def oddities_in_time(url: str, machine: str) -> dict[str, int]:
    """Rows of a machine's telemetry, in their order of arrival: repeated times and backward clock jumps."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*), count(*) - count(DISTINCT event_time), "
            "count(*) FILTER (WHERE event_time < before) "
            "FROM (SELECT event_time, lag(event_time) OVER (ORDER BY seq) AS before "
            "FROM telemetry WHERE machine_id = %s) AS readings",
            (machine,),
        ).fetchone()
    assert row is not None, "an aggregate has a row"
    return {"rows": row[0], "repeated_timestamps": row[1], "backward_jumps": row[2]}
