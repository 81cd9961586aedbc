"""What the demo asks of the ledger to compare it with what was sent."""

from __future__ import annotations

import time
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

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


def shadow_answers(url: str, version: str, wanted: int, *, within_s: float = 10.0) -> dict[str, int]:
    """Answers in shadow of a model version, and those that agree with the champion's.

    Waits until there are ``wanted``, or no more come for a while: a busy service leaves some out.
    """
    deadline, before = time.monotonic() + within_s, 0
    with psycopg.connect(url, autocommit=True) as connection:
        while True:
            row = connection.execute(
                "SELECT count(*), count(*) FILTER (WHERE attributes->>'prediction.material' = "
                "attributes->>'prediction.champion') FROM events "
                "WHERE event_name = 'inference.shadow' AND attributes->>'model.version' = %s",
                (version,),
            ).fetchone()
            assert row is not None, "an aggregate has a row"
            if row[0] >= wanted or 0 < before == row[0] or time.monotonic() > deadline:
                return {"answers": row[0], "agree": row[1]}
            before = row[0]
            time.sleep(1.0)


def review_row(url: str, review_id: str, *, within_s: float = 10.0) -> dict[str, Any] | None:
    """The row of a review: its place in the ledger, its hash in hexadecimal, decision and reviewer.

    It may still be in the service's outbox; None if it is not there in time.
    """
    deadline = time.monotonic() + within_s
    with psycopg.connect(url, row_factory=dict_row, autocommit=True) as connection:
        while True:
            row = connection.execute(
                "SELECT machine_id, seq, encode(row_hash, 'hex') AS hash, decision, material, reviewer "
                "FROM reviews WHERE review_id = %s",
                (review_id,),
            ).fetchone()
            if row is not None or time.monotonic() > deadline:
                return row
            time.sleep(0.1)
