"""DuckDB over an export, as an engine.  Apart from the others, since DuckDB is slow to import."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb

from audit.reconcile.engines import Row, with_whole_sums
from audit.reconcile.errors import BadExport, first_line
from audit.reconcile.published import from_parquet
from store.analysis import EVIDENCE
from store.closing import Closing


class DuckDbEngine(Closing):
    """An export: a folder with a Parquet file for each evidence relation."""

    def __init__(self, folder: Path, memory_mib: int = 1792, threads: int | None = None) -> None:
        """``memory_mib``: what DuckDB may take before it uses disk.

        The database is in memory, so nothing in it needs to be temporary; another cursor, on which rows are
        streamed, would not see what is.

        Raises:
            BadExport: a relation's file is missing or can't be read.
        """
        self._connection = duckdb.connect(
            config={
                "memory_limit": f"{memory_mib}MiB",
                "autoinstall_known_extensions": False,
                "preserve_insertion_order": False,  # what has an order says so
            }
        )
        self._connection.execute("SET GLOBAL TimeZone = 'UTC'")
        if threads is not None:
            self._connection.execute(f"SET threads = {threads:d}")
        for name in EVIDENCE:
            path = folder / f"{name}.parquet"
            if not path.is_file():
                raise BadExport(f"{folder}: {name}.parquet is missing; export the period again")
            quoted = str(path).replace("'", "''")
            try:
                self._connection.execute(f"CREATE VIEW {name} AS {from_parquet(name, quoted)}")
            except duckdb.Error as error:
                raise BadExport(f"{path}: {first_line(error)}") from error

    def define(self, name: str, text: str) -> None:
        """Make a view."""
        self._run(f"CREATE VIEW {name} AS {text}")

    def keep(self, name: str, text: str) -> None:
        """Run a query and keep its rows under that name."""
        self._run(f"CREATE TABLE {name} AS {text}")

    def rows(self, text: str) -> list[Row]:
        """All rows of a query, by column name."""
        cursor = self._run(text)
        names = [column[0] for column in cursor.description or ()]
        return [with_whole_sums(dict(zip(names, row, strict=True))) for row in cursor.fetchall()]

    def stream(self, text: str) -> Iterator[Row]:
        """The rows of a query, a few at a time."""
        cursor = self._connection.cursor().execute(text)
        names = [column[0] for column in cursor.description or ()]
        while batch := cursor.fetchmany(10_000):
            for row in batch:
                yield with_whole_sums(dict(zip(names, row, strict=True)))

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def _run(self, text: str) -> duckdb.DuckDBPyConnection:
        try:
            return self._connection.execute(text)
        except duckdb.Error as error:
            raise BadExport(f"the export can't be computed: {first_line(error)}") from error
