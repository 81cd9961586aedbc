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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import adbc_driver_manager
import adbc_driver_postgresql
import duckdb

from audit.reconcile.engines import PostgresEngine
from audit.reconcile.errors import BadRequest, first_line
from audit.reconcile.manifest import MANIFEST, SCHEMA, sha256_of
from audit.reconcile.masses import ItemMasses
from audit.reconcile.parameters import Parameters
from audit.reconcile.published import SCRIPT, published, script
from store.analysis import EVIDENCE


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
        str(path.relative_to(folder)): {"sha256": sha256_of(path), "bytes": path.stat().st_size}
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
        raise BadRequest(f"{name}: {first_line(error)}") from error
    assert counted is not None, "a count has a row"
    return int(counted[0])


def _run(connection: adbc_driver_manager.AdbcConnection, text: str) -> None:
    with adbc_driver_manager.AdbcStatement(connection) as statement:
        statement.set_sql_query(text)
        statement.execute_update()
