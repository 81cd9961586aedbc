"""An export appears whole or not at all, and is read only as it was written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

import audit.reconcile.export
from audit.reconcile.duckdb_engine import DuckDbEngine
from audit.reconcile.engines import PostgresEngine, compute
from audit.reconcile.errors import BadExport, BadRequest
from audit.reconcile.manifest import MANIFEST, SCHEMA, read_export
from audit.reconcile.masses import item_masses
from audit.reconcile.published import SCRIPT, published
from audit.reconcile.run import export_ledger, reconcile_export
from store.analysis import EVIDENCE
from store.errors import StoreError
from tally.testing import Cluster, Database
from tests.evidence import PERIOD, asker, clean_fleet
from tests.ledger_writer import LedgerWriter


@pytest.fixture(scope="module")
def ledger(cluster: Cluster, template: str) -> Iterator[Database]:
    """A ledger with the clean fleet."""
    database = cluster.create(template)
    clean_fleet().write_ledger(LedgerWriter(database.collector_url))
    yield database
    cluster.drop(database.name)


@pytest.fixture(scope="module")
def original(ledger: Database, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original") / "export"
    export_ledger(ledger.audit_url, folder, PERIOD)
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy to tamper with."""
    return Path(shutil.copytree(original, tmp_path / "export"))


def in_manifest(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def tamper(folder: Path) -> None:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        change(manifest)
        (folder / MANIFEST).write_text(json.dumps(manifest))

    return tamper


def test_an_export_has_a_file_for_each_relation_and_every_text(folder: Path) -> None:
    parameters, masses, manifest = read_export(folder)
    assert (parameters, masses) == (PERIOD, item_masses())
    assert manifest["schema"] == SCHEMA
    assert manifest["ledger"] == {"intact": True, "break_count": 0, "breaks": []}
    assert set(manifest["rows"]) == set(EVIDENCE)
    expected = {SCRIPT, *(f"{name}.parquet" for name in EVIDENCE)}
    expected |= {f"sql/{name}.sql" for name in published(PERIOD, masses)}
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == expected | {MANIFEST}
    assert set(manifest["files"]) == expected


def test_the_same_ledger_gives_the_same_rows_and_texts(
    ledger: Database, folder: Path, tmp_path: Path
) -> None:
    export_ledger(ledger.audit_url, tmp_path / "again", PERIOD)
    assert reconcile_export(tmp_path / "again", asker()) == reconcile_export(folder, asker())


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (
            lambda f: (f / "deposits.parquet").write_bytes(b"PAR1"),
            "deposits.parquet: was altered after the export",
        ),
        (
            lambda f: (f / "sql" / "claims.sql").write_text("SELECT 1"),
            "claims.sql: was altered after the export",
        ),
        (lambda f: (f / "tickets.parquet").unlink(), "tickets.parquet: No such file or directory; export"),
        (lambda f: (f / MANIFEST).unlink(), "is it a folder of `tally export`?"),
        (lambda f: (f / MANIFEST).write_text("{"), "is it a folder of `tally export`?"),
        (lambda f: (f / MANIFEST).write_bytes(b"\xff\xfe"), "is it a folder of `tally export`?"),
        (lambda f: (f / MANIFEST).write_text("[]"), f"expected schema {SCHEMA}"),
        (in_manifest(lambda m: m.update(schema="tally-export/2")), f"expected schema {SCHEMA}"),
        (in_manifest(lambda m: m.pop("schema")), f"expected schema {SCHEMA}"),
        (
            in_manifest(lambda m: m["files"].update({"../../etc/passwd": {"sha256": "0"}})),
            "names '../../etc/passwd', which is not in the folder",
        ),
        (
            in_manifest(lambda m: m["files"].update({"/etc/passwd": {"sha256": "0"}})),
            "names '/etc/passwd', which is not in the folder",
        ),
        (
            in_manifest(lambda m: m["files"].update({"a\0b": {"sha256": "0"}})),
            "not as `tally export` writes it",
        ),
        (in_manifest(lambda m: m["files"].update({"sql": {"sha256": "0"}})), "Is a directory"),
        (in_manifest(lambda m: m.update(files=["a"])), "not as `tally export` writes it"),
        (in_manifest(lambda m: m["files"].update({SCRIPT: "0"})), "not as `tally export` writes it"),
        (in_manifest(lambda m: m.pop("item_masses")), "not as `tally export` writes it"),
        (in_manifest(lambda m: m["item_masses"].update(bounds=[["pet"]])), "not as `tally export` writes it"),
        (
            in_manifest(lambda m: m["parameters"].update(late_s="1; SELECT 1")),
            "late_s: expected a whole number",
        ),
        (
            in_manifest(lambda m: m["parameters"].update(low_confidence="(SELECT 1)")),
            "low_confidence: expected",
        ),
        (
            in_manifest(lambda m: m["parameters"].update(start=m["parameters"]["end"])),
            "leaves no time between",
        ),
        (in_manifest(lambda m: m.update(parameters=[])), "not as `tally export` writes it"),
    ],
)
def test_an_export_that_was_altered_is_refused_in_one_line(
    folder: Path, tamper: Callable[[Path], object], message: str
) -> None:
    tamper(folder)
    with pytest.raises(BadExport) as caught:
        reconcile_export(folder, asker())
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)


def test_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.parquet"
    (folder / "tickets.parquet").rename(elsewhere)
    (folder / "tickets.parquet").symlink_to(elsewhere)
    with pytest.raises(BadExport, match="which is not in the folder"):
        read_export(folder)


def test_no_folder_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadExport, match="is it a folder of `tally export`"):
        read_export(tmp_path / "nothing")


def test_a_relation_that_is_missing_or_no_parquet_is_refused_by_name(folder: Path) -> None:
    (folder / "heartbeats.parquet").write_text("no parquet")
    with pytest.raises(BadExport, match=r"heartbeats\.parquet: "):
        DuckDbEngine(folder)
    (folder / "deposits.parquet").unlink()
    with pytest.raises(BadExport, match=r"deposits\.parquet is missing; export the period again"):
        DuckDbEngine(folder)


def test_a_relation_with_other_columns_is_refused(folder: Path) -> None:
    shutil.copy(folder / "tickets.parquet", folder / "deposits.parquet")
    manifest = json.loads((folder / MANIFEST).read_bytes())
    manifest["files"]["deposits.parquet"] = manifest["files"]["tickets.parquet"]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BadExport, match=r"deposits\.parquet: .*transaction_id"):
        reconcile_export(folder, asker())


def test_a_key_that_an_export_brings_along_is_not_used(tmp_path: Path) -> None:
    fleet = clean_fleet()
    fleet.repeat(fleet.deposits[0])
    folder = fleet.write_parquet(tmp_path / "made")
    with duckdb.connect() as forger:
        made = f"read_parquet('{folder}/deposits.parquet')"
        rows = f"SELECT *, row_number() OVER () AS transaction_key FROM {made}"
        forger.execute(f"COPY ({rows}) TO '{tmp_path}/keyed.parquet'")
    (tmp_path / "keyed.parquet").replace(folder / "deposits.parquet")
    with DuckDbEngine(folder) as engine:
        for _ in compute(engine, PERIOD, item_masses()):
            pass
        roles = [row["role"] for row in engine.rows("SELECT role FROM deposit_roles ORDER BY role")]
    assert roles == ["duplicate", "first"]


# --- writing ---


def test_what_is_there_already_is_not_replaced(ledger: Database, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "mine").write_text("mine")
    with pytest.raises(BadRequest, match="is there already; choose another folder"):
        export_ledger(ledger.audit_url, target, PERIOD, verified=False)
    assert [path.name for path in target.iterdir()] == ["mine"]
    with pytest.raises(BadRequest, match="is there already; choose another folder"):
        export_ledger(ledger.audit_url, target / "mine", PERIOD, verified=False)
    assert (target / "mine").read_text() == "mine"


def test_an_empty_folder_may_be_the_target(ledger: Database, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    export_ledger(ledger.audit_url, tmp_path / "target", PERIOD, verified=False)
    _, _, manifest = read_export(tmp_path / "target")
    assert manifest["ledger"] == {"intact": None}
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_a_target_without_a_parent_is_refused(ledger: Database, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="No such file or directory; choose a place that can be written"):
        export_ledger(ledger.audit_url, tmp_path / "no" / "where", PERIOD, verified=False)


@pytest.mark.parametrize(
    "failure", [BadRequest("the disk is full"), KeyboardInterrupt(), OSError(28, "No space")]
)
def test_a_failure_leaves_nothing_behind(
    ledger: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    real = audit.reconcile.export._write_relation
    written = []

    def failing(*arguments: Any) -> int:
        written.append(arguments)
        if len(written) == 4:
            raise failure
        return real(*arguments)

    monkeypatch.setattr(audit.reconcile.export, "_write_relation", failing)
    expected = BadRequest if isinstance(failure, OSError) else type(failure)
    with pytest.raises(expected):
        export_ledger(ledger.audit_url, tmp_path / "export", PERIOD, verified=False)
    assert len(written) == 4
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_told_in_one_line(
    ledger: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = audit.reconcile.export._write_relation

    def astray(engine: PostgresEngine, url: str, folder: Path, name: str) -> int:
        return real(engine, url, folder / "missing", name)

    monkeypatch.setattr(audit.reconcile.export, "_write_relation", astray)
    with pytest.raises(BadRequest, match="deposits: IO Error") as caught:
        export_ledger(ledger.audit_url, tmp_path / "export", PERIOD, verified=False)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_that_is_not_there_leaves_nothing_behind(cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        export_ledger(cluster.database("nowhere").audit_url, tmp_path / "export", PERIOD, verified=False)
    assert list(tmp_path.iterdir()) == []
