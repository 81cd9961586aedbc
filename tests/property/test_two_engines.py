"""Whatever machines send: TimescaleDB on the ledger and DuckDB on its export give the same, to the byte."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from audit.errors import AuditError
from audit.invariants import rules
from audit.reconcile.duckdb_engine import DuckDbEngine
from audit.reconcile.engines import Engine, PostgresEngine, compute
from audit.reconcile.manifest import read_export
from audit.reconcile.masses import item_masses
from audit.reconcile.parameters import Parameters
from audit.reconcile.results import results
from audit.reconcile.run import export_ledger, reconcile_export, reconcile_ledger, report_on
from audit.relations import RELATIONS
from audit.reporting.as_json import render
from audit.reporting.model import CLASSES
from collector.event_mapping import MAX_MASS_MG
from store.analysis import EVIDENCE, KEYED
from tally.testing import Cluster, Database
from tests.evidence import COLUMNS, PERIOD, Fleet, asker, in_microseconds, in_order
from tests.ledger_writer import LedgerWriter
from tests.odd_fleets import KNOWN, busy_fleet, odd_fleets


@contextmanager
def exported(database: Database, fleet: Fleet, parameters: Parameters = PERIOD) -> Iterator[Path]:
    """The fleet in a ledger, and an export of it."""
    fleet.write_ledger(LedgerWriter(database.collector_url))
    folder = Path(tempfile.mkdtemp(prefix="tally-two-engines-"))
    try:
        export_ledger(database.audit_url, folder / "export", parameters, verified=False)
        yield folder / "export"
    finally:
        shutil.rmtree(folder)


NAMES = (*EVIDENCE, *RELATIONS, *(f"rule_{rule.name}" for rule in rules() if rule.sql))


@dataclass(frozen=True)
class Computed:
    """Every relation and every rule's rows, and the report's bytes, or why there is none."""

    rows: dict[str, list[dict[str, Any]]]
    report: str


def compute_all(engine: Engine, parameters: Parameters, texts: Callable[[str], str]) -> Computed:
    """``texts``: the query for a relation's rows."""
    for _ in compute(engine, parameters, item_masses()):
        pass
    found = results(engine)
    try:
        report = render(report_on(parameters, found, None, item_masses(), asker())).decode()
    except AuditError as error:
        report = f"{type(error).__name__}: {error}"
    return Computed({name: in_order(engine.rows(texts(name))) for name in NAMES}, report)


def check_same(database: Database, fleet: Fleet, parameters: Parameters = PERIOD) -> Computed:
    """What both engines say of a fleet."""
    with exported(database, fleet, parameters) as folder:
        read, _, _ = read_export(folder)
        assert read == parameters
        texts: dict[str, str] = {}
        with DuckDbEngine(folder, threads=1) as engine:

            def noted(name: str) -> str:
                return texts.setdefault(name, in_microseconds(engine, name))

            by_export = compute_all(engine, read, noted)
        ledger = PostgresEngine(database.audit_url, parameters)
        try:
            by_ledger = compute_all(ledger, parameters, texts.__getitem__)
        finally:
            ledger.close()
    for name, rows in by_ledger.rows.items():
        assert by_export.rows[name] == rows, name
    assert by_export.report == by_ledger.report
    return by_ledger


@given(odd_fleets())
@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
def test_both_engines_give_the_same_rows_and_the_same_report(
    cluster: Cluster, template: str, fleet: Fleet
) -> None:
    database = cluster.create(template)
    try:
        computed = check_same(database, fleet)
    finally:
        cluster.drop(database.name)
    if {deposit["material"] for deposit in fleet.deposits} <= {None, *KNOWN}:
        assert computed.report.startswith("{"), "nothing that a machine sends stops a report"


def test_values_at_the_limits_stop_neither_engine(database: Database) -> None:
    computed = check_same(database, busy_fleet())
    report = json.loads(computed.report)
    pet = next(line for line in report["by_material"] if line["material"] == "pet")
    assert pet["reported"]["mass"]["mg"] > 4 * MAX_MASS_MG
    assert {line["name"] for line in report["by_class"] if line["count"]} == set(CLASSES)
    assert [rule["name"] for rule in report["invariants"] if rule["status"] == "PASSED"] == []
    assert sorted(row["lost"] for row in computed.rows["gaps"]) == [2, 2**63 - 12, 2**63 - 12]


def test_an_export_is_what_the_tests_write_as_parquet(database: Database, tmp_path: Path) -> None:
    fleet = busy_fleet()
    fleet.write_parquet(tmp_path / "made")
    with (
        exported(database, fleet) as folder,
        DuckDbEngine(folder) as real,
        DuckDbEngine(tmp_path / "made") as made,
    ):
        for name in EVIDENCE:
            described = {row["column_name"]: row["column_type"] for row in real.rows(f"DESCRIBE {name}")}
            assert ("transaction_key" in described) == (name in KEYED), name
            described.pop("transaction_key", None)
            assert described == COLUMNS[name], name
            text = in_microseconds(real, name)
            assert list(map(dict, made.rows(text))) == list(map(dict, real.rows(text))), name


@pytest.mark.parametrize(
    "parameters",
    [PERIOD, replace(PERIOD, machines=("M2",), sites=("hall",)), replace(PERIOD, materials=("glass",))],
    ids=["all", "a machine", "a material"],
)
def test_the_report_from_an_export_is_the_one_from_the_ledger(
    database: Database, tmp_path: Path, parameters: Parameters
) -> None:
    busy_fleet().write_ledger(LedgerWriter(database.collector_url))
    report = reconcile_ledger(database.audit_url, parameters, asker())
    export_ledger(database.audit_url, tmp_path / "export", parameters)
    assert report.ledger.intact
    assert render(reconcile_export(tmp_path / "export", asker())) == render(report)
