"""Every fault of a generated fleet is found and put into its right class, and nothing else is found.

The fleet goes through a real collector into a real TimescaleDB; the published SQL runs there and, over an
export, on DuckDB.  ``tally.bench.reconciliation_score`` compares with the generator's manifest.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from audit.esg.factors import AvoidedFactors, built_in
from audit.reconcile.build import Asker
from audit.reconcile.duckdb_engine import DuckDbEngine
from audit.reconcile.engines import Engine, PostgresEngine, compute
from audit.reconcile.manifest import read_export
from audit.reconcile.masses import item_masses
from audit.reconcile.parameters import Parameters, micros, moment_of
from audit.reconcile.results import results
from audit.reconcile.run import export_ledger, report_on, verify_ledger
from audit.reporting.as_json import render
from audit.reporting.model import Report
from generator import api
from tally.bench.reconciliation_score import (
    Expected,
    Found,
    contradictions,
    esg_difference,
    expected_of,
    found_by,
    score,
)
from tally.testing import Cluster, CollectorProcess, Database

SEEDS: Final = (7, 23)
DAYS: Final = 2
ASKER: Final = Asker("Fleet Ltd", "deposits of consumers", AvoidedFactors(built_in().named("epa-warm", "15")))
Manifest = list[dict[str, Any]]
CHANGES: Final[tuple[tuple[str, Callable[[dict[str, Any]], None]], ...]] = (
    ("duplicated_deposit", lambda of: of.update(extra_records=3)),
    ("wrong_material", lambda of: of.update(declared_material="cork")),
    ("lost_deposit", lambda of: of.update(prediction_sent=not of["prediction_sent"])),
    ("clock_skew", lambda of: of.update(shift_ms=1)),
)
"""A kind of fault, and another truth than what was played."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the generator that was taken by a collector."""

    database: Database
    spec: api.FleetSpec
    manifest: Manifest
    folder: Path

    @property
    def start(self) -> datetime:
        return self.spec.start

    @property
    def end(self) -> datetime:
        return self.spec.start + timedelta(seconds=self.spec.duration_s)

    @property
    def whole(self) -> Parameters:
        return Parameters(start=self.start, end=self.end)

    def faults(self, kind: str) -> Manifest:
        return [line for line in self.manifest if line["record"] == "fault" and line["kind"] == kind]


@pytest.fixture(scope="module", params=SEEDS)
def run(
    request: pytest.FixtureRequest,
    cluster: Cluster,
    template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Run]:
    """A fleet of some thousand deposits with every kind of fault."""
    folder = tmp_path_factory.mktemp("fleet")
    spec = api.FleetSpec(
        seed=request.param,
        machines=5,
        sites=2,
        duration_s=DAYS * 86_400,
        step_s=300,
        window_s=1_200,
        deposits_per_day=400,
        at_least=3,
    )
    database = cluster.create(template)
    with CollectorProcess(database, folder) as collector:
        target = api.Target(grpc_port=collector.grpc_port, http_port=collector.http_port)
        report = api.backfill(spec, target, folder / "manifest.jsonl")
    assert report.good
    manifest = api.read_manifest(folder / "manifest.jsonl")
    [summary] = [line for line in manifest if line["record"] == "summary"]
    assert min(summary["faults"].values()) >= 3
    assert summary["deposits"] > 3_000
    yield Run(database, spec, manifest, folder)
    cluster.drop(database.name)


def reconciled(engine: Engine, parameters: Parameters, ledger: dict[str, Any] | None) -> tuple[Report, Found]:
    """The report, and what the engine found."""
    for _ in compute(engine, parameters, item_masses()):
        pass
    report = report_on(parameters, results(engine), ledger, item_masses(), ASKER)
    return report, found_by(engine)


def on_postgres(
    run: Run, parameters: Parameters, ledger: dict[str, Any] | None = None
) -> tuple[Report, Found]:
    engine = PostgresEngine(run.database.audit_url, parameters)
    try:
        return reconciled(engine, parameters, ledger)
    finally:
        engine.close()


def on_duckdb(folder: Path) -> tuple[Report, Found]:
    parameters, _, manifest = read_export(folder)
    with DuckDbEngine(folder) as engine:
        return reconciled(engine, parameters, manifest["ledger"])


def agrees(expected: Expected, report: Report, found: Found) -> None:
    scored = score(expected, found)
    assert (scored.missing, scored.false) == ((), ())
    assert contradictions(report, found) == []


def test_every_fault_is_found_and_nothing_else_on_both_engines(run: Run, tmp_path: Path) -> None:
    expected = expected_of(run.manifest, run.whole)
    assert not expected.may, "of a whole run everything is known"
    ledger, found = on_postgres(run, run.whole, verify_ledger(run.database.audit_url))
    agrees(expected, ledger, found)
    export_ledger(run.database.audit_url, tmp_path / "export", run.whole)
    exported, found = on_duckdb(tmp_path / "export")
    agrees(expected, exported, found)
    assert render(exported) == render(ledger)
    difference = esg_difference(run.manifest, ledger)
    assert difference.mass_mg == 0
    assert difference.co2e_g < Decimal("0.001")


def test_the_score_tells_a_manifest_that_is_not_of_this_run(run: Run) -> None:
    report, found = on_postgres(run, run.whole)
    for kind in api.FaultKind:
        [*_, last] = run.faults(kind.value)
        manifest = [line for line in run.manifest if line is not last]
        scored = score(expected_of(manifest, run.whole), found)
        assert scored.false, f"a {kind} that the manifest does not have"
        assert not scored.missing
    for name, change in CHANGES:
        changed = copy.deepcopy(run.manifest)
        [first, *_] = [line for line in changed if line.get("kind") == name]
        change(first["parameters"])
        scored = score(expected_of(changed, run.whole), found)
        assert scored.missing or scored.false, name
    other = copy.deepcopy(run.manifest)
    [first, *_] = [line for line in other if line.get("kind") == "lost_prediction"]
    first["parameters"]["mass_mg"] += 1
    assert esg_difference(other, report).mass_mg == 1


def test_a_day_of_the_run_has_the_faults_of_that_day(run: Run, tmp_path: Path) -> None:
    second = Parameters(start=run.start + timedelta(days=1), end=run.end)
    ledger, found = on_postgres(run, second)
    agrees(expected_of(run.manifest, second), ledger, found)
    export_ledger(run.database.audit_url, tmp_path / "export", second, verified=False)
    exported, found = on_duckdb(tmp_path / "export")
    agrees(expected_of(run.manifest, second), exported, found)
    assert render(exported) == render(ledger)


def test_a_border_through_a_late_arrival_and_a_wrong_clock_parts_what_it_cuts(run: Run) -> None:
    """On each side exactly the deposits are named whose event and arrival the border parts."""
    times = deposit_times(run)
    [late, *_] = run.faults("late_arrival")
    [skew, *_] = [fault for fault in run.faults("clock_skew") if members(fault)]
    for fault in (late, skew):
        transaction = members(fault)[0]
        cut = moment_of(sum(times[transaction]) // 2)
        named: set[str] = set()
        for parameters in (Parameters(start=run.start, end=cut), Parameters(start=cut, end=run.end)):
            report, found = on_postgres(run, parameters)
            agrees(expected_of(run.manifest, parameters), report, found)
            across = {finding[1] for finding in found.findings if finding[0] == "out_of_period"}
            assert across == set(out_of_period(times, parameters))
            named |= across
        assert transaction in named


def members(fault: dict[str, Any]) -> list[str]:
    """The transactions of a fault."""
    return [str(row["transaction_id"]) for row in fault["rows"] if row["stream"] == "transactions"]


def deposit_times(run: Run) -> dict[str, tuple[int, int]]:
    """When each deposit happened by its machine's clock, and when its first record arrived; microseconds."""
    with psycopg.connect(run.database.audit_url) as connection:
        rows = connection.execute(
            """
            SELECT DISTINCT ON (transaction_id) transaction_id,
                CAST(extract(epoch FROM event_time) * 1000000 AS bigint),
                CAST(attributes #>> '{tally.otlp,observed_time_unix_nano}' AS bigint) / 1000
            FROM transactions ORDER BY transaction_id, seq
            """
        )
        return {str(name): (event, event if arrived is None else arrived) for name, event, arrived in rows}


def out_of_period(times: dict[str, tuple[int, int]], parameters: Parameters) -> Iterator[str]:
    """Deposits that claim the period and arrived before it, or that arrived in it and claim another."""
    begin, end = micros(parameters.start), micros(parameters.end)
    for transaction, (event, arrived) in times.items():
        claimed = begin <= event < end
        if (claimed and arrived < begin) or (not claimed and begin <= arrived < end):
            yield transaction
