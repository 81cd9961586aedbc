"""The published texts that a result depends on, and all of them as one script for an export."""

from __future__ import annotations

from typing import Final

from audit.invariants import rules
from audit.reconcile.masses import ItemMasses
from audit.reconcile.parameters import Parameters
from audit.relations import RELATIONS, relation_sql
from store.analysis import EVIDENCE, KEYED

SCRIPT: Final = "reconcile.sql"


def published(parameters: Parameters, masses: ItemMasses) -> dict[str, str]:
    """Every text that the result depends on, by name."""
    return (
        {"parameters": parameters.sql + "\n", "bounds": masses.sql + "\n"}
        | {name: relation_sql(name) for name in RELATIONS}
        | {f"invariant_{rule.name}": rule.sql for rule in rules() if rule.sql}
    )


def script(parameters: Parameters, masses: ItemMasses) -> str:
    """All of it as one script for DuckDB's command line, run in the export's folder."""
    texts = published(parameters, masses)
    lines = [
        "-- duckdb -init reconcile.sql, in this folder.  Prints what the report's tables are made of.",
        "SET TimeZone = 'UTC';",
    ]
    lines += [
        f"CREATE OR REPLACE TEMPORARY VIEW {name} AS {from_parquet(name, f'{name}.parquet')};"
        for name in EVIDENCE
    ]
    for name in ("parameters", "bounds"):
        lines.append(f"CREATE OR REPLACE TEMPORARY VIEW {name} AS {texts[name].strip()};")
    for name in RELATIONS:
        lines.append(f"CREATE OR REPLACE TEMPORARY TABLE {name} AS\n{texts[name].rstrip()};")
    lines.append(
        "SELECT class, count(*) AS records, sum(mass_mg) AS mass_mg, sum(mass_mg * claimed) AS claimed_mg\n"
        "FROM exceptions GROUP BY class ORDER BY class;"
    )
    lines.append(
        "SELECT material, sum(deposits) AS deposits, sum(mass_mg) AS reported_mg FROM claims\n"
        "GROUP BY material ORDER BY material;"
    )
    lines.append(
        "SELECT material, sum(deposits) AS matched, sum(mass_mg) AS matched_mg FROM matched\n"
        "GROUP BY material ORDER BY material;"
    )
    for rule in rules():
        if rule.sql:
            lines.append(
                f"SELECT '{rule.name}' AS invariant, count(*) AS exceptions "  # noqa: S608
                f"FROM (\n{_uncommented(rule.sql)}\n);"
            )
    return "\n".join(lines) + "\n"


def _uncommented(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith("--"))


def from_parquet(name: str, path: str) -> str:
    """An evidence relation for DuckDB; ``path`` as it stands in quotes.

    The key comes first: of two columns of a name the first keeps it, whatever a file brings along.
    """
    key = "hash(transaction_id) AS transaction_key, " if name in KEYED else ""
    return f"SELECT {key}* FROM read_parquet('{path}')"  # noqa: S608 - quoted by the caller
