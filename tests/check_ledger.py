"""``check_ledger(url)``: is everything that was committed still there, chained and reachable?

Two implementations that share no code look at the whole ledger: ``audit.verify`` (Python) and the SQL twin
(PostgreSQL's own send functions), and the heads are compared with the rows once more in plain SQL.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg

from audit.report import Report
from audit.verify import verify
from ledger.streams import STREAMS, Stream
from ledger.twin import disagreements_sql

_GAPS = """
SELECT {chain} AS chain, count(*) AS rows, min(seq) AS first, max(seq) AS last, count(DISTINCT seq) AS places
FROM {stream} GROUP BY {chain}
HAVING min(seq) <> 1 OR max(seq) <> count(*) OR count(DISTINCT seq) <> count(*)"""
_HEADS = """
SELECT coalesce(heads.chain, rows.chain), heads.seq, rows.seq
FROM (SELECT chain, seq, row_hash FROM chain_heads WHERE stream = %(stream)s) AS heads
FULL JOIN (
    SELECT DISTINCT ON ({chain}) {chain} AS chain, seq, row_hash FROM {stream} ORDER BY {chain}, seq DESC
) AS rows ON rows.chain = heads.chain
WHERE (heads.seq, heads.row_hash) IS DISTINCT FROM (rows.seq, rows.row_hash)"""


class BrokenLedger(AssertionError):
    """The ledger is not whole; the message has every finding."""


def check_ledger(url: str) -> Report:
    """Verify the whole ledger at ``url`` (a login that may read it); returns the audit's report.

    Raises:
        BrokenLedger: a hash, a head, a place in a chain or a description is not as it must be.
    """
    report = verify(url, processes=1)
    findings = [f"audit: {found}" for found in report.breaks]
    findings += [f"audit: {rows} rows of {stream}: {kind}" for stream, kind, rows in report.counts]
    with psycopg.connect(url) as connection:
        for stream in STREAMS.values():
            findings += _in_sql(connection, stream)
    if findings:
        raise BrokenLedger("\n".join(findings))
    return report


def _in_sql(connection: psycopg.Connection, stream: Stream) -> Iterator[str]:
    names = {"stream": stream.name, "chain": stream.chain_column}
    rows, disagreeing = connection.execute(disagreements_sql(stream).encode()).fetchall()[0]
    if disagreeing:
        yield f"SQL twin: {disagreeing} of {rows} rows of {stream.name} have another hash"
    for gap in connection.execute(_GAPS.format(**names).encode()):
        yield f"{stream.name}: chain, rows, first, last, places = {gap}"
    for head in connection.execute(_HEADS.format(**names).encode(), {"stream": stream.name}):
        yield f"{stream.name}: chain, head's seq, last row's seq = {head}"
