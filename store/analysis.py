"""A transaction in which published SQL is run over the ledger: one snapshot, nothing of it is ever committed.

What a query gives can be kept as a table for the next one.  Such tables lie in the schema ``audit_scratch``,
unlogged, and disappear with the transaction.  They are no temporary tables, because parallel workers can't
read those, and the joins of millions of rows should use every processor.  Where only some machines are
looked at, their rows are copied first, and everything else is computed from the copies.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from store.closing import Closing
from store.queries import query
from store.reader import translated_reading

SCRATCH: Final = "audit_scratch"
EVIDENCE: Final = (
    "deposits",
    "predictions",
    "heartbeats",
    "temperatures",
    "tickets",
    "reviews",
    "governance",
    "calibrations",
    "corrections",
)
"""The relations that published SQL starts from."""
KEYED: Final = frozenset({"deposits", "predictions"})
"""Those with ``transaction_key`` besides: an integer that an engine makes of the id, never exported."""
_DELAY_LATER: Final = frozenset({"predictions"})
"""Those whose ``delay_us`` published SQL asks of few rows: where rows are copied, it is computed then."""
_FEW: Final = frozenset({"calibrations", "corrections"})
"""Few rows among many that are no evidence."""
_BELONGING: Final[dict[str, LiteralString]] = {
    "tickets": "lot_id IN (SELECT lot_id FROM deposits)",
    "reviews": "EXISTS (SELECT FROM (SELECT transaction_id FROM deposits UNION ALL "
    "SELECT transaction_id FROM predictions) AS own WHERE own.transaction_id = evidence.transaction_id)",
}
"""Rows of other chains, and which of them belong to some machines' deposits and predictions."""


@dataclass(frozen=True, slots=True)
class EvidenceScope:
    """Which rows are evidence: event times from ``since`` to ``until``, of some sites or machines or all."""

    since: datetime
    until: datetime
    sites: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()


class Analysis(Closing):
    """One connection, one snapshot.

    Raises (every method):
        StoreUnavailable: the database can't be reached, or the connection broke.
        StoreError: the database refuses: no ledger there, or no right to read it.
    """

    def __init__(self, url: str, memory_mib: int = 512) -> None:
        """``memory_mib``: what sorts and joins may take, all processes together, before they use disk."""
        self._token = secrets.token_hex(4)
        self._evidence: dict[str, str] = {}
        self._in_part = False
        self.sites_found: frozenset[str] = frozenset()
        with translated_reading():
            self._connection = psycopg.connect(url, autocommit=True, application_name="tally audit")
            try:
                self._connection.execute(query("analysis_session"))
                self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
                self._connection.execute(
                    sql.SQL("SET LOCAL work_mem = {}").format(sql.Literal(f"{max(memory_mib // 4, 1)}MB"))
                )
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """End the connection, and with it everything that was made on it."""
        self._connection.close()

    def snapshot(self) -> str:
        """The snapshot's name, for other connections; good as long as this one is open."""
        (row,) = self.rows("SELECT pg_export_snapshot() AS name")
        return str(row["name"])

    def open_evidence(self, scope: EvidenceScope) -> None:
        """Make the evidence relations (``EVIDENCE``) of that scope, under their plain names.

        Views of the ledger; what is a small part of it, as some machines' rows are, is copied first.
        """
        machines = self._machines_of(scope)
        self._in_part = machines is not None
        if self._in_part:  # a rough look at each table is enough where all are small, and one worker
            self._execute(sql.SQL("SET LOCAL default_statistics_target = 10"))
            self._execute(sql.SQL("SET LOCAL max_parallel_workers_per_gather = 1"))
        values = {
            "since": sql.Literal(scope.since.astimezone(UTC).isoformat()),
            "until": sql.Literal(scope.until.astimezone(UTC).isoformat()),
            "machines": sql.Literal(machines),
        }
        delay = sql.SQL(query("delay_of_arrival"))
        for name in EVIDENCE:
            evidence = sql.SQL(query(f"evidence_{name}"))
            text = evidence.format(**values, delay_us=delay)
            self._evidence[name] = text.as_string(self._connection)
            later = self._in_part and name in _DELAY_LATER
            if later:
                text = evidence.format(**values, delay_us=sql.SQL("attributes"))
            if self._in_part and name in _BELONGING:
                belonging = sql.SQL(_BELONGING[name])
                text = sql.SQL("SELECT * FROM ({}) AS evidence WHERE {}").format(text, belonging)
            if name in KEYED:
                key = sql.SQL("hashtextextended(transaction_id, 0) AS transaction_key")
                text = sql.SQL("SELECT evidence.*, {} FROM ({}) AS evidence").format(key, text)
            if later:
                self._keep(f"{name}_sent", text)
                text = self._with_delay(f"{name}_sent", delay)
            if name in _FEW or (self._in_part and not later):
                self._keep(name, text)
            else:
                self._execute(sql.SQL("CREATE TEMPORARY VIEW {} AS {}").format(sql.Identifier(name), text))

    def _with_delay(self, copy: str, delay: sql.SQL) -> sql.Composed:
        """The rows of a copy that has ``attributes`` where ``delay_us`` is asked for."""
        name = sql.Identifier(copy)
        with translated_reading():
            cursor = self._connection.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(name))
        columns = [sql.Identifier(column.name) for column in cursor.description or ()]
        late = sql.Identifier("delay_us")
        return sql.SQL("SELECT {} FROM (SELECT *, {} AS attributes FROM {}) AS copy").format(
            sql.SQL(", ").join(sql.SQL("{} AS {}").format(delay, c) if c == late else c for c in columns),
            late,
            name,
        )

    def _machines_of(self, scope: EvidenceScope) -> list[str] | None:
        """The machines of the scope, None for all: a site is the machines with any record there."""
        if not scope.sites:
            return list(scope.machines) or None
        values = {"sites": list(scope.sites), "since": scope.since, "until": scope.until}
        found: set[tuple[str, str]] = set()
        for stream in ("transactions", "predictions", "events"):
            text = sql.SQL(query("analysis_site_machines")).format(stream=sql.Identifier(stream))
            with translated_reading():
                found.update(self._connection.execute(text, values).fetchall())
        self.sites_found = frozenset(site for site, _ in found)
        machines = {machine for _, machine in found}
        return sorted(m for m in machines if not scope.machines or m in scope.machines)

    def evidence_sql(self, name: str) -> str:
        """The text of an evidence relation, for another connection; its rows in the order of the ledger."""
        chain = "model_id" if name == "governance" else "machine_id"
        text = f"SELECT * FROM ({self._evidence[name]}) AS evidence"  # noqa: S608
        if self._in_part and name in _BELONGING:
            given = ", ".join(f"{other} AS ({self._evidence[other]})" for other in sorted(KEYED))
            text = f"WITH {given}\n{text} WHERE {_BELONGING[name]}"
        return f"{text} ORDER BY {chain}, seq"

    def joining_sql(self) -> list[str]:
        """What another connection's transaction runs first, to read this one's snapshot."""
        name = sql.Literal(self.snapshot()).as_string(self._connection)
        return [
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            f"SET TRANSACTION SNAPSHOT {name}",
            query("analysis_session"),
        ]

    def define(self, name: str, text: str) -> None:
        """Make a view of that name."""
        self._execute(
            sql.SQL("CREATE TEMPORARY VIEW {} AS {}").format(sql.Identifier(name), sql.SQL(_plain(text)))
        )

    def keep(self, name: str, text: str, *, sorting: bool = False) -> None:
        """Run a query and keep its rows under that name for the next ones.

        ``sorting``: group by sorting, which workers share, not by hashing, which one process does alone:
        faster where there are nearly as many groups as rows.
        """
        self._execute(sql.SQL("SET LOCAL enable_hashagg = {}").format(sql.Literal(not sorting)))
        self._keep(name, sql.SQL(_plain(text)))

    def _keep(self, name: str, text: sql.Composable) -> None:
        if self._in_part:  # so few rows that no worker is missed, and temporary tables are faster to make
            self._execute(sql.SQL("CREATE TEMPORARY TABLE {} AS {}").format(sql.Identifier(name), text))
            self._execute(sql.SQL("ANALYZE {}").format(sql.Identifier(name)))
            return
        table = sql.Identifier(SCRATCH, f"{name}_{self._token}")
        self._execute(sql.SQL("CREATE UNLOGGED TABLE {} AS {}").format(table, text))
        self._execute(sql.SQL("ANALYZE {}").format(table))
        self._execute(
            sql.SQL("CREATE TEMPORARY VIEW {} AS SELECT * FROM {}").format(sql.Identifier(name), table)
        )

    def rows(self, text: str) -> list[dict[str, Any]]:
        """All rows of a query, by column name."""
        with translated_reading(), self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(sql.SQL(_plain(text))).fetchall()

    def stream(self, text: str) -> Iterator[dict[str, Any]]:
        """The rows of a query, some thousands at a time."""
        name = f"s{secrets.token_hex(4)}"
        with translated_reading(), self._connection.cursor(name=name, row_factory=dict_row) as cursor:
            cursor.itersize = 10_000
            yield from cursor.execute(sql.SQL(_plain(text)))

    def known_sites(self) -> list[str]:
        """Every site that a deposit names."""
        return [str(row["site_id"]) for row in self.rows(query("analysis_sites"))]

    def known_machines(self, names: Sequence[str]) -> set[str]:
        """Those of ``names`` that have any chain."""
        with translated_reading():
            found = self._connection.execute(query("analysis_machines"), {"names": list(names)}).fetchall()
        return {str(row[0]) for row in found}

    def _execute(self, statement: sql.SQL | sql.Composed) -> None:
        with translated_reading():
            self._connection.execute(statement)


def _plain(text: str) -> str:
    """Published SQL without its comments."""
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))


def deposit_row(url: str, machine: str, seq: int) -> tuple[str, str, str, int] | None:
    """Hash (hex), transaction, material and mass (milligrams) of a deposit; None if there is none.

    Raises:
        StoreUnavailable, StoreError: the database can't be read.
    """
    with (
        translated_reading(),
        psycopg.connect(url, autocommit=True, application_name="tally audit") as connection,
    ):
        connection.execute(query("analysis_session"))
        row = connection.execute(query("analysis_deposit"), {"machine": machine, "seq": seq}).fetchone()
    return None if row is None else (str(row[0]), str(row[1]), str(row[2]), int(row[3]))
