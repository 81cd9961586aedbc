"""Millions of deposits with their predictions, put into a database without a collector.

Only for a benchmark's own database: rows are made by ``INSERT ... SELECT generate_series`` as its owner, with
the triggers off that keep a ledger append-only, in minutes instead of an hour.  Their hashes are no hashes,
so nothing of this verifies; what is measured on it is reconciliation alone.

The rows are as wide as real ones.  Of 1,000 deposits of a machine one is recorded twice, one is lost, one has
no prediction, one is declared as another material and one arrives three hours late; of 50 one is unsure and
was confirmed by a human.  Heartbeats come every 30 s, temperatures every 15 min.  Lots of 500 are weighed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, LiteralString

import psycopg
from psycopg import sql

HEARTBEAT_S: Final = 30
START: Final = datetime(2026, 1, 5, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Shape:
    """So many machines at so many sites, for so many days, with so many deposits a day each."""

    machines: int = 200
    sites: int = 100
    days: int = 20
    per_day: int = 2_500

    @property
    def deposits(self) -> int:
        """How many deposits, lost ones included."""
        return self.machines * self.days * self.per_day

    @property
    def end(self) -> datetime:
        """The end of the period (exclusive)."""
        return START + timedelta(days=self.days)


_VALUES: Final[LiteralString] = """
    SELECT m, k, day.at + ((k - 1) % {per_day}) * interval '1 second' * (86400.0 / {per_day})
            + ((m * 37) % 1000) * interval '1 millisecond' AS at,
        'fleet-rvm-' || lpad(m::text, 4, '0') AS machine,
        'fleet-site-' || lpad((m % {sites})::text, 3, '0') AS site,
        'fleet-rvm-' || lpad(m::text, 4, '0') || '-282109b4-' || lpad(k::text, 8, '0') AS transaction,
        1 + ((m * 7 + k) % 8)::int AS kind,
        (array['pet','hdpe','pp','aluminium_cans','steel_cans','glass','corrugated','mixed_paper'])
            [1 + ((m * 7 + k) % 8)::int] AS material,
        (array[220,380,120,136,420,2700,1800,450])[1 + ((m * 7 + k) % 8)::int]
            * (80 + (m * k) % 41) / 100 * 100 AS mass,
        decode(md5(m || '-' || k) || md5(k || '-' || m), 'hex') AS hash,
        md5(m || '-' || k) || md5(k || '-' || m) AS hex
    FROM (SELECT {at}::timestamptz AS at) AS day,
        generate_series(1::bigint, {machines}::bigint) AS m,
        generate_series({first}::bigint, {last}::bigint) AS k
"""

_DAY: Final[tuple[LiteralString, ...]] = (
    # The repeated record has a place in the chain far behind the others.
    """
    INSERT INTO transactions
    SELECT at, now(), machine, k + copy * 100000000, '\\x00', transaction, k, site,
        CASE WHEN k % 1000 = 37 THEN 'glass' ELSE material END, 1, mass, mass + 150000, 150000, 'weighed',
        'lot-' || machine || '-282109b4-' || lpad((k / 500)::text, 4, '0'),
        CASE WHEN k % 1000 <> 47 AND copy = 0 THEN '{{}}' ELSE
            format('{{"tally.otlp":{{"observed_time_unix_nano":"%s"}}}}',
                cast(extract(epoch FROM at) * 1000 AS bigint)
                    + CASE WHEN copy = 1 THEN 90000 ELSE 10800000 END || '000000') END::json, hash
    FROM ({values}) AS v, generate_series(0, CASE WHEN k % 1000 = 7 THEN 1 ELSE 0 END) AS copy
    WHERE k % 1000 <> 27
    """,
    """
    INSERT INTO predictions
    SELECT at - interval '400 ms', now(), machine, k, '\\x00', 'pred-' || transaction, transaction, site,
        'simulated-material-classifier', '1.0.0', md5('a') || md5('b'), hex, material,
        CASE WHEN k % 50 = 3 THEN 0.6 ELSE 0.8 + (m * k % 1000) / 5000.0 END, 0.75,
        format('{{"prediction.top":[{{"label":"pet","p":0.91}},{{"label":"hdpe","p":0.06}},'
            '{{"label":"glass","p":0.02}}],"tally.otlp":{{"observed_time_unix_nano":"%s"}}}}',
            cast(extract(epoch FROM at) * 1000 AS bigint) || '000000')::json, hash
    FROM ({values}) AS v WHERE k % 1000 <> 17
    """,
    """
    INSERT INTO reviews
    SELECT at + interval '1 hour', now(), 'fleet-review-desk-1', m * 1000000 + k, '\\x00',
        'review-' || transaction, transaction, 'pred-' || transaction, 'confirmed', material, 'reviewer-a',
        '{{}}', hash
    FROM ({values}) AS v WHERE k % 50 = 3
    """,
)

_ONCE: Final[tuple[LiteralString, ...]] = (
    """
    INSERT INTO events
    SELECT {at}::timestamptz + (m % {heartbeat} + {heartbeat} * k) * interval '1 second', now(),
        'fleet-rvm-' || lpad(m::text, 4, '0'), k + 2, '\\x00', 'machine.heartbeat',
        'fleet-site-' || lpad((m % {sites})::text, 3, '0'), 9, NULL, '{{}}', '\\x00'
    FROM generate_series(0::bigint, {days} * 86400 / {heartbeat} - 1) AS k,
        generate_series(1, {machines}) AS m
    """,
    """
    INSERT INTO events
    SELECT {at}::timestamptz, now(), 'fleet-rvm-' || lpad(m::text, 4, '0'), 1, '\\x00', 'machine.calibrated',
        'fleet-site-' || lpad((m % {sites})::text, 3, '0'), 9, NULL,
        format('{{"calibration.instrument":"scale","calibration.certificate":"cal-%s",'
            '"calibration.valid_from_unix":"1735689600",'
            '"calibration.valid_until_unix":"1893456000"}}', m)::json, '\\x00'
    FROM generate_series(1, {machines}) AS m
    """,
    """
    INSERT INTO telemetry
    SELECT {at}::timestamptz + (m % 900 + 900 * k) * interval '1 second', now(),
        'fleet-rvm-' || lpad(m::text, 4, '0'), k + 1, '\\x00', 'hw.temperature', 'Cel', 'gauge', NULL,
        20 + (k % 17) / 10.0, NULL, '{{"hw.id":"cabinet"}}', '\\x00'
    FROM generate_series(0::bigint, {days} * 96 - 1) AS k, generate_series(1, {machines}) AS m
    """,
    """
    INSERT INTO governance
    SELECT {at}::timestamptz - interval '1 day' + n * interval '1 hour',
        {at}::timestamptz - interval '1 day' + n * interval '1 hour',
        'simulated-material-classifier', n, '\\x00', (array['trained','evaluated','approved','promoted'])[n],
        '1.0.0', CASE WHEN n < 3 THEN 'trainer' ELSE 'approver' END, md5('a') || md5('b'), '{{}}', '\\x00'
    FROM generate_series(1, 4) AS n
    """,
    """
    INSERT INTO scale_tickets
    SELECT max(event_time) + interval '3 hours', now(), 'fleet-plant-scale-1', row_number() OVER (), '\\x00',
        'ticket-' || lot_id, lot_id, min(site_id), 'plant', NULL, sum(mass_mg)::bigint / 10000 * 10000,
        NULL, NULL, '{{}}', '\\x00'
    FROM transactions WHERE seq < 100000000 GROUP BY lot_id HAVING count(*) >= 499
    """,
)
_TABLES: Final = (
    "transactions",
    "predictions",
    "reviews",
    "events",
    "telemetry",
    "scale_tickets",
    "governance",
)


def load(admin_url: str, shape: Shape, progress: Callable[[str], None] = lambda _what: None) -> None:
    """Fill an empty, migrated database."""
    common = {
        "machines": sql.Literal(shape.machines),
        "sites": sql.Literal(shape.sites),
        "days": sql.Literal(shape.days),
        "per_day": sql.Literal(shape.per_day),
        "heartbeat": sql.Literal(HEARTBEAT_S),
    }
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        for day in range(shape.days):
            values = sql.SQL(_VALUES).format(
                **common,
                at=sql.Literal((START + timedelta(days=day)).isoformat()),
                first=sql.Literal(day * shape.per_day + 1),
                last=sql.Literal((day + 1) * shape.per_day),
            )
            for text in _DAY:
                connection.execute(sql.SQL(text).format(values=values))
            progress(f"loaded day {day + 1} of {shape.days}")
        for text in _ONCE:
            connection.execute(sql.SQL(text).format(**common, at=sql.Literal(START.isoformat())))
        for table in _TABLES:
            connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(table)))
