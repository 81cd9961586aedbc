"""A database superuser who tampers with a test's ledger, and can put everything back."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql
from psycopg.abc import Params

from audit.breaks import BreakKind
from audit.report import Report
from ledger.chain import genesis, link
from ledger.rows import encode_row
from ledger.streams import STREAMS

Found = tuple[BreakKind, str, str, int | None, int | None]
"""A break as tests compare it: kind, stream, chain, first and last seq."""


def found(report: Report) -> list[Found]:
    """The breaks of a report, every one of them."""
    assert report.unnamed == 0, "a test's report names everything"
    return [(one.kind, one.stream, one.chain, one.seq, one.last_seq) for one in report.breaks]


class Attacker:
    """A superuser's session in which triggers do not fire; remembers the ledger as it was at its start."""

    TABLES = (*STREAMS, "chain_heads", "resources")

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self.run("SET session_replication_role = replica")
        for table in self.TABLES:
            self.run(f"CREATE TEMPORARY TABLE kept_{table} AS SELECT * FROM {table}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def run(self, statement: str | sql.Composed, values: Params | None = None) -> int:
        """Run a statement; returns how many rows it touched."""
        query = statement.encode() if isinstance(statement, str) else statement
        return self._connection.execute(query, values).rowcount

    def rows(self, statement: str, values: Params | None = None) -> list[tuple[object, ...]]:
        """The rows of a query."""
        return self._connection.execute(statement.encode(), values).fetchall()

    def restore(self, *tables: str) -> None:
        """Put these tables, or all, back as they were."""
        for table in tables or self.TABLES:
            self.run(f"DELETE FROM {table}")
            self.run(f"INSERT INTO {table} SELECT * FROM kept_{table}")

    def alter(self, stream: str, chain: str, seq: int, column: str, expression: str) -> None:
        """Set one column of one row; the row may have to move to another chunk."""
        names = ", ".join(STREAMS[stream].column_names)
        changed = ", ".join(expression if name == column else name for name in STREAMS[stream].column_names)
        where = f"WHERE {STREAMS[stream].chain_column} = %s AND seq = %s"
        with self._connection.transaction():
            self.run(
                f"CREATE TEMPORARY TABLE moving ON COMMIT DROP AS SELECT * FROM {stream} {where}",
                (chain, seq),
            )
            assert self.run(f"DELETE FROM {stream} {where}", (chain, seq)) == 1
            self.run(f"INSERT INTO {stream} ({names}) SELECT {changed} FROM moving")

    def rechain(self, stream: str, chain: str, first: int = 1, *, move_head: bool = True) -> None:
        """Recompute the hashes of a chain from row ``first`` on, and its head, as its true writer would."""
        definition = STREAMS[stream]
        names = definition.column_names
        column = definition.chain_column
        rows = self.rows(
            f"SELECT {', '.join(f'{name}::text' if name == 'attributes' else name for name in names)} "
            f"FROM {stream} WHERE {column} = %s ORDER BY seq",
            (chain,),
        )
        previous = genesis(stream, chain)
        seq = 0
        for row in rows:
            values = dict(zip(names, row, strict=True))
            seq = int(str(values.pop("seq")))
            stored = values.pop("row_hash")
            assert isinstance(stored, bytes)
            if seq >= first:
                image = encode_row(definition, values).image(seq)  # type: ignore[arg-type]
                stored = link(previous, image)
                self.run(
                    f"UPDATE {stream} SET row_hash = %s WHERE {column} = %s AND seq = %s",
                    (stored, chain, seq),
                )
            previous = stored
        if move_head:
            self.run(
                "UPDATE chain_heads SET seq = %s, row_hash = %s WHERE stream = %s AND chain = %s",
                (seq, previous, stream, chain),
            )
