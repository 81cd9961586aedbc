"""An export: the evidence of a period as Parquet, with the published SQL and everything else that it needs.

Whoever holds the folder computes the same tables as the operator, without the operator: with ``tally
reconcile --export``, or with any DuckDB by running ``reconcile.sql``.  The folder appears whole or not at
all.  ``export.json`` names every file with its SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import adbc_driver_manager
import adbc_driver_postgresql
import duckdb

from audit.invariants import rules
from audit.reconcile.engines import PostgresEngine
from audit.reconcile.errors import BadExport, BadRequest
from audit.reconcile.masses import ItemMass, ItemMasses
from audit.reconcile.parameters import Parameters, parameters_from_json
from audit.relations import RELATIONS, relation_sql
from audit.reporting.model import LedgerBreak
from store.analysis import EVIDENCE

SCHEMA: Final = "tally-export/1"
MANIFEST: Final = "export.json"
SCRIPT: Final = "reconcile.sql"
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: rows by relation, and the manifest's digest."""

    folder: Path
    rows: dict[str, int]
    digest: str


def export(
    url: str,
    folder: Path,
    parameters: Parameters,
    masses: ItemMasses,
    ledger: dict[str, Any],
    *,
    progress: Callable[[str], None] = lambda _name: None,
) -> Exported:
    """Write the evidence of a period.

    Args:
        url: the database, with the rights of ``tally_audit``.
        folder: what to make; its parent must be there, itself not.
        parameters: period and scope; they are part of the export.
        masses: the bounds of item masses; they are part of the export.
        ledger: what verification said of the ledger.
        progress: hears the name of each relation before it is written.

    Raises:
        BadRequest: the folder is there already, or can't be made.
        store.errors.StoreError: the database can't be read.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 - a link stays a link
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadRequest(f"{folder}: is there already; choose another folder")
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise BadRequest(f"{folder}: {error.strerror}; choose a place that can be written") from error
    try:
        written = _write(url, temporary, parameters, masses, ledger, progress=progress)
        temporary.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        temporary.rename(folder)
    except OSError as error:
        raise BadRequest(f"{folder}: {error.strerror}; choose a place that can be written") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Exported(folder, written[0], written[1])


def _write(
    url: str,
    folder: Path,
    parameters: Parameters,
    masses: ItemMasses,
    ledger: dict[str, Any],
    *,
    progress: Callable[[str], None],
) -> tuple[dict[str, int], str]:
    engine = PostgresEngine(url, parameters)
    try:
        rows = {}
        for name in EVIDENCE:
            progress(name)
            rows[name] = _write_relation(engine, url, folder, name)
    finally:
        engine.close()
    (folder / "sql").mkdir()
    for name, text in published(parameters, masses).items():
        (folder / "sql" / f"{name}.sql").write_text(text, encoding="utf-8")
    (folder / SCRIPT).write_text(script(parameters, masses), encoding="utf-8")
    files = {
        str(path.relative_to(folder)): {"sha256": _sha256(path), "bytes": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    manifest = {
        "schema": SCHEMA,
        "parameters": parameters.to_json(),
        "item_masses": {
            "digest": masses.digest,
            "bounds": [[b.material, b.least_mg, b.most_mg] for b in masses.bounds],
        },
        "ledger": ledger,
        "rows": rows,
        "files": files,
    }
    content = (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode()
    (folder / MANIFEST).write_bytes(content)
    return rows, hashlib.sha256(content).hexdigest()


def _write_relation(engine: PostgresEngine, url: str, folder: Path, name: str) -> int:
    """One relation, in the ledger's order, straight from PostgreSQL's binary COPY to Parquet."""
    text = engine.analysis.evidence_sql(name)
    path = folder / f"{name}.parquet"
    try:
        with (
            adbc_driver_postgresql.connect(url) as database,
            adbc_driver_manager.AdbcConnection(database) as connection,
        ):
            connection.set_autocommit(False)
            for setting in engine.analysis.joining_sql():
                _run(connection, setting)
            with adbc_driver_manager.AdbcStatement(connection) as statement:
                statement.set_sql_query(text)
                stream, _ = statement.execute_query()
                with duckdb.connect() as parquet:
                    parquet.execute("SET TimeZone = 'UTC'")
                    parquet.execute("SET threads = 1")
                    parquet.from_arrow(stream).write_parquet(str(path), compression="zstd")
                    counted = parquet.execute("SELECT count(*) FROM read_parquet(?)", [str(path)]).fetchone()
    except (adbc_driver_manager.Error, duckdb.Error) as error:
        raise BadRequest(f"{name}: {_first_line(error)}") from error
    assert counted is not None, "a count has a row"
    return int(counted[0])


def _run(connection: adbc_driver_manager.AdbcConnection, text: str) -> None:
    with adbc_driver_manager.AdbcStatement(connection) as statement:
        statement.set_sql_query(text)
        statement.execute_update()


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
        f"CREATE OR REPLACE TEMPORARY VIEW {name} AS SELECT * FROM read_parquet('{name}.parquet');"  # noqa: S608
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


def read_export(folder: Path) -> tuple[Parameters, ItemMasses, dict[str, Any]]:
    """Parameters, bounds and the manifest of an export, every file of which is as it was written.

    Raises:
        BadExport: it is none, or was altered.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise BadExport(f"{path}: can't be read ({why}); is it a folder of `tally export`?") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise BadExport(f"{path}: expected schema {SCHEMA}")
    try:
        if unnamed := {f"{name}.parquet" for name in EVIDENCE} - manifest["files"].keys():
            raise BadExport(f"{path}: has no SHA-256 of {min(unnamed)}; export the period again")
        _check_ledger(manifest["ledger"])
        for name, said in manifest["files"].items():
            file = folder / name
            if not file.resolve().is_relative_to(folder.resolve()):
                raise BadExport(f"{path}: names {name!r}, which is not in the folder")
            if _sha256(file) != said["sha256"]:
                raise BadExport(
                    f"{file}: was altered after the export; its SHA-256 is not the one in {MANIFEST}"
                )
        bounds = tuple(
            ItemMass(str(m), int(low), int(high)) for m, low, high in manifest["item_masses"]["bounds"]
        )
        masses = ItemMasses(bounds, str(manifest["item_masses"]["digest"]))
        return parameters_from_json(manifest["parameters"]), masses, manifest
    except OSError as error:
        raise BadExport(f"{error.filename}: {error.strerror}; export the period again") from error
    except BadRequest as error:
        raise BadExport(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BadExport(f"{path}: not as `tally export` writes it ({error})") from error


def _check_ledger(said: Mapping[str, Any]) -> None:
    """What verification said is a word, a count and the breaks, as it writes them; else a ValueError."""
    if not any(said["intact"] is word for word in (True, False, None)):
        raise ValueError("ledger: intact is neither true, false nor null")
    if type(said.get("break_count", 0)) is not int:
        raise ValueError("ledger: break_count is no number")
    for one in said.get("breaks", ()):
        LedgerBreak(**one)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
