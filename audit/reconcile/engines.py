"""The engines that published SQL runs on: TimescaleDB over the ledger, DuckDB over an export of it.

Both hold the evidence relations under the same names and types; everything after that is the same text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Protocol

from audit.reconcile.masses import ItemMasses
from audit.reconcile.parameters import Parameters
from audit.relations import RELATIONS, relation_sql
from store.analysis import Analysis, EvidenceScope

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
        return [with_whole_sums(row) for row in self.analysis.rows(text)]

    def stream(self, text: str) -> Iterator[Row]:
        """The rows of a query, a few at a time."""
        return (with_whole_sums(row) for row in self.analysis.stream(text))

    def close(self) -> None:
        """End the snapshot."""
        self.analysis.close()


def compute(
    engine: Engine, parameters: Parameters, masses: ItemMasses, names: Sequence[str] = RELATIONS
) -> Iterator[str]:
    """Compute the published relations one after the other; yields each one's name when it is there."""
    engine.define("parameters", parameters.sql)
    engine.define("bounds", masses.sql)
    for name in names:
        engine.keep(name, relation_sql(name))
        yield name


def with_whole_sums(row: Mapping[str, Any]) -> Row:
    """The row with its sums as integers: published SQL has no other decimals, see ``audit.relations``."""
    return {name: int(value) if isinstance(value, Decimal) else value for name, value in row.items()}
