"""Reconciliation: whether it finds every fault of many fleets and nothing else, and how long it takes.

``faults`` plays fleets with every kind of fault through a collector and scores what is found on TimescaleDB
and, over an export, on DuckDB.  ``ten_million_deposits`` measures the commands on a large ledger, ``report``
the report of 100,000 deposits in all formats.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from audit.esg.factors import AvoidedFactors, built_in
from audit.reconcile.build import Asker
from audit.reconcile.duckdb_engine import DuckDbEngine
from audit.reconcile.engines import Engine, PostgresEngine, compute
from audit.reconcile.manifest import read_export
from audit.reconcile.masses import item_masses
from audit.reconcile.parameters import Parameters
from audit.reconcile.results import results
from audit.reconcile.run import export_ledger, report_on
from audit.reporting.as_json import render
from audit.reporting.model import Report
from generator import api
from tally.bench.bench_stack import BenchStack, generate
from tally.bench.figures import Figure
from tally.bench.memory import Measured, run_measured
from tally.bench.reconciliation_data import START, Shape, load
from tally.bench.reconciliation_score import (
    Found,
    contradictions,
    esg_difference,
    expected_of,
    found_by,
    score,
)
from tally.errors import ServiceFailed
from tally.testing import Database

_MEBIBYTE: Final = 1 << 20
_DAYS: Final = 2
_MACHINES: Final = 20
_OPINIONS: Final = (0, 1)
"""Exit codes of the commands: the figures can be confirmed, or they can't."""
_ROUNDS: Final = 3


@dataclass(slots=True)
class _Tally:
    """What came of the fleets, added up."""

    deposits: int = 0
    faults: int = 0
    missing: int = 0
    false: int = 0
    differing: int = 0
    mass_mg: int = 0
    co2e_g: Decimal = Decimal(0)


def faults(stack: BenchStack, *, seeds: int, per_day: int) -> list[Figure]:
    """Fleets of 20 machines for two days, one a seed, each with at least three faults of every kind."""
    tally = _Tally()
    for seed in range(1, seeds + 1):
        with stack.database() as database:
            manifest = _play(stack, database, seed, per_day)
            _score(stack, database, manifest, tally)
    of = f"{seeds} seeds, {tally.deposits:,} deposits, {tally.faults:,} faults of every kind; "
    return [
        Figure("faults not found", tally.missing, "", 0, "at most", of + "on PostgreSQL and on DuckDB"),
        Figure("false findings", tally.false, "", 0, "at most", "what no fault explains, on both"),
        Figure(
            "reports that differ by engine", tally.differing, "", 0, "at most", "of the same period, in bytes"
        ),
        Figure(
            "mass off the ground truth",
            tally.mass_mg,
            "mg",
            0,
            "at most",
            "reported and supported, the most of any material or total",
        ),
        Figure(
            "CO2e off the ground truth",
            float(tally.co2e_g * 1_000),
            "mg",
            1,
            "at most",
            "the same, against Decimal arithmetic without the rounding of factors",
        ),
    ]


def _play(stack: BenchStack, database: Database, seed: int, per_day: int) -> Sequence[dict[str, Any]]:
    path = stack.directory / "manifest.jsonl"
    with stack.collector(database) as collector:
        generate(
            collector,
            "backfill",
            *("--seed", str(seed), "--machines", str(_MACHINES), "--sites", "4"),
            *("--duration", f"{_DAYS}d", "--deposits", str(per_day), "--at-least", "3"),
            *("--step", "300s", "--window", "600s", "--manifest", str(path)),
        )
    return api.read_manifest(path)


def _score(stack: BenchStack, database: Database, manifest: Sequence[dict[str, Any]], tally: _Tally) -> None:
    start = datetime.fromisoformat(manifest[0]["spec"]["start"])
    parameters = Parameters(start=start, end=start + timedelta(days=_DAYS))
    expected = expected_of(manifest, parameters)
    folder = stack.directory / "export"
    export_ledger(database.audit_url, folder, parameters, verified=False)
    try:
        reports = []
        for report, found in (_on_postgres(database, parameters), _on_duckdb(folder)):
            scored = score(expected, found)
            tally.missing += len(scored.missing)
            tally.false += len(scored.false) + len(contradictions(report, found))
            difference = esg_difference(manifest, report)
            tally.mass_mg = max(tally.mass_mg, difference.mass_mg)
            tally.co2e_g = max(tally.co2e_g, difference.co2e_g)
            reports.append(render(report))
        tally.differing += reports[0] != reports[1]
    finally:
        shutil.rmtree(folder)
    tally.deposits += sum(int(line["deposits"]) for line in manifest if line["record"] == "machine")
    tally.faults += sum(line["record"] == "fault" for line in manifest)


def _on_postgres(database: Database, parameters: Parameters) -> tuple[Report, Found]:
    engine = PostgresEngine(database.audit_url, parameters)
    try:
        return _reconciled(engine, parameters)
    finally:
        engine.close()


def _on_duckdb(folder: Path) -> tuple[Report, Found]:
    with DuckDbEngine(folder) as engine:
        return _reconciled(engine, read_export(folder)[0])


def _reconciled(engine: Engine, parameters: Parameters) -> tuple[Report, Found]:
    for _ in compute(engine, parameters, item_masses()):
        pass
    asker = Asker("Benchmark", "deposits of consumers", AvoidedFactors(built_in().named("epa-warm", "15")))
    return report_on(parameters, results(engine), None, item_masses(), asker), found_by(engine)


# --- speed ---


def ten_million_deposits(stack: BenchStack, *, shape: Shape | None = None) -> list[Figure]:
    """``tally reconcile`` over a large ledger and over an export of it, and over one site of it."""
    shape = shape or Shape()
    with stack.database() as database:
        load(database.admin_url, shape)
        server = _server(stack)
        ledger = ("--url", database.audit_url, "--no-verify")
        site = (*ledger, "--site", "fleet-site-001")
        runs = {
            "TimescaleDB": _middle(lambda: _command("reconcile", shape, *ledger, server=server)),
            "one site": _middle(lambda: _command("reconcile", shape, *site, server=server)),
        }
        folder = stack.directory / "export"
        exported = _command("export", shape, *ledger, "--output", str(folder), server=server)
    try:
        runs["DuckDB"] = _middle(lambda: _command("reconcile", None, "--export", str(folder)))
        if runs["DuckDB"].output != runs["TimescaleDB"].output:
            raise ServiceFailed("the two engines do not report the same")
    finally:
        shutil.rmtree(folder)
    of = (
        f"{shape.deposits:,} deposits and their predictions, {shape.machines} machines, {shape.days} days, "
        f"median of {_ROUNDS}"
    )
    memory = "processes of the server and the client at one time, without shared buffers"
    return [
        Figure("reconciliation, TimescaleDB", runs["TimescaleDB"].elapsed_s, "s", 60, "at most", of),
        Figure("its peak memory", _mib(runs["TimescaleDB"]), "MiB", 2_048, "at most", memory),
        Figure("export of the same", exported.elapsed_s, "s", detail=f"peak {_mib(exported):,.0f} MiB"),
        Figure(
            "reconciliation, DuckDB",
            runs["DuckDB"].elapsed_s,
            "s",
            15,
            "at most",
            f"over that export, median of {_ROUNDS}",
        ),
        Figure("its peak memory", _mib(runs["DuckDB"]), "MiB", 2_048, "at most", "resident, all of it"),
        Figure(
            "reconciliation of one site",
            runs["one site"].elapsed_s,
            "s",
            2,
            "at most",
            f"{shape.deposits // shape.sites:,} of these deposits, median of {_ROUNDS}",
        ),
    ]


def report(stack: BenchStack, *, per_day: int, limit_s: float = 20.0) -> list[Figure]:
    """``tally report`` of a fleet's two days: reconciled, and written in every format."""
    with stack.database() as database:
        manifest = _play(stack, database, 1, per_day)
        start = datetime.fromisoformat(manifest[0]["spec"]["start"])
        folder = stack.directory / "report"
        period = ("--from", _time(start), "--to", _time(start + timedelta(days=_DAYS)))
        measured = run_measured(
            [
                *(sys.executable, "-m", "tally", "report", *period, "--url", database.audit_url),
                *("--output", str(folder), "--no-record", "--json"),
            ],
            _server(stack),
            _OPINIONS,
        )
        files = len(json.loads(measured.output)["files"])
        shutil.rmtree(folder)
    deposits = sum(int(line["deposits"]) for line in manifest if line["record"] == "machine")
    detail = f"{deposits:,} deposits, ledger verified, {files} files: JSON, HTML, PDF, XLSX, CSV"
    return [Figure("report in all formats", measured.elapsed_s, "s", limit_s, "at most", detail)]


def _command(name: str, shape: Shape | None, *options: str, server: int | None = None) -> Measured:
    period = () if shape is None else ("--from", _time(START), "--to", _time(shape.end))
    command = [sys.executable, "-m", "tally", name, *period, *options, "--json"]
    return run_measured(command, server, _OPINIONS)


def _middle(measure: Callable[[], Measured]) -> Measured:
    """The round that took neither longest nor shortest: the first may find nothing in the machine's cache."""
    rounds = sorted((measure() for _ in range(_ROUNDS)), key=lambda run: run.elapsed_s)
    return rounds[len(rounds) // 2]


def _mib(run: Measured) -> float:
    return run.peak_bytes / _MEBIBYTE


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}"


def _server(stack: BenchStack) -> int:
    server = stack.cluster.server
    assert server is not None, "a benchmark has a server of its own"
    assert server.process is not None, "it runs"
    return server.process.pid
