"""The engines that published SQL runs on: TimescaleDB over the ledger, DuckDB over an export of it.

Both hold the evidence relations under the same names and types; everything after that is the same text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

import duckdb

from audit.reconcile.errors import BadExport
from audit.reconcile.masses import ItemMasses
from audit.reconcile.parameters import Parameters
from audit.relations import RELATIONS, relation_sql
from store.analysis import EVIDENCE, Analysis, EvidenceScope

Row = Mapping[str, Any]

_NEARLY_ALL_GROUPS: Final = frozenset({"repeated_deposits", "repeated_predictions"})
"""Relations with nearly as many groups as rows."""


class Engine(Protocol):
    """What computes."""

    def define(self, name: str, text: str) -> None:
        """Make a view."""

    def keep(self, name: str, text: str) -> None:
        """Run a query and keep its rows under that name."""

    def rows(self, text: str) -> list[Row]:
        """All rows of a query, by column name."""

    def stream(self, text: str) -> Iterator[Row]:
        """The rows of a query, a few at a time."""

    def close(self) -> None:
        """Let go of everything."""


class PostgresEngine:
    """The ledger itself, in one snapshot."""

    def __init__(self, url: str, parameters: Parameters) -> None:
        self.analysis = Analysis(url)
        self.analysis.open_evidence(
            EvidenceScope(parameters.since, parameters.until, parameters.sites, parameters.machines)
        )

    def define(self, name: str, text: str) -> None:
        """Make a view."""
        self.analysis.define(name, text)

    def keep(self, name: str, text: str) -> None:
        """Run a query and keep its rows under that name."""
        self.analysis.keep(name, text, sorting=name in _NEARLY_ALL_GROUPS)

    def rows(self, text: str) -> list[Row]:
        """All rows of a query, by column name."""
        return [_whole(row) for row in self.analysis.rows(text)]

    def stream(self, text: str) -> Iterator[Row]:
        """The rows of a query, a few at a time."""
        return (_whole(row) for row in self.analysis.stream(text))

    def close(self) -> None:
        """End the snapshot."""
        self.analysis.close()


class DuckDbEngine:
    """An export: a folder with a Parquet file for each evidence relation."""

    def __init__(self, folder: Path, memory_mib: int = 1536, threads: int | None = None) -> None:
        """``memory_mib``: what DuckDB may take before it uses disk.

        The database is in memory, so nothing in it needs to be temporary; another cursor, on which rows are
        streamed, would not see what is.

        Raises:
            BadExport: a relation's file is missing or can't be read.
        """
        self._connection = duckdb.connect(
            config={"memory_limit": f"{memory_mib}MiB", "autoinstall_known_extensions": False}
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
                self._connection.execute(
                    f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{quoted}')"  # noqa: S608 - quoted above
                )
            except duckdb.Error as error:
                raise BadExport(f"{path}: {_first_line(error)}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

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
        return [_whole(dict(zip(names, row, strict=True))) for row in cursor.fetchall()]

    def stream(self, text: str) -> Iterator[Row]:
        """The rows of a query, a few at a time."""
        cursor = self._connection.cursor().execute(text)
        names = [column[0] for column in cursor.description or ()]
        while batch := cursor.fetchmany(10_000):
            for row in batch:
                yield _whole(dict(zip(names, row, strict=True)))

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def _run(self, text: str) -> duckdb.DuckDBPyConnection:
        try:
            return self._connection.execute(text)
        except duckdb.Error as error:
            raise BadExport(f"the export can't be computed: {_first_line(error)}") from error


def compute(
    engine: Engine, parameters: Parameters, masses: ItemMasses, names: Sequence[str] = RELATIONS
) -> Iterator[str]:
    """Compute the published relations one after the other; yields each one's name when it is there."""
    engine.define("parameters", parameters.sql)
    engine.define("bounds", masses.sql)
    for name in names:
        engine.keep(name, relation_sql(name))
        yield name


def _whole(row: Mapping[str, Any]) -> Row:
    """The row with its sums as integers: published SQL has no other decimals, see ``audit.relations``."""
    return {name: int(value) if isinstance(value, Decimal) else value for name, value in row.items()}


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
