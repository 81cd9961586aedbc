"""A site is the machines that recorded a deposit there, with everything of theirs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from audit.reconcile.duckdb_engine import DuckDbEngine
from audit.reconcile.run import export_ledger, reconcile_export, reconcile_ledger
from audit.reporting.as_json import render
from tally.testing import Database
from tests.evidence import PERIOD, asker, clean_fleet
from tests.ledger_writer import LedgerWriter


def test_predictions_and_heartbeats_need_not_name_the_site_that_is_asked_for(database: Database) -> None:
    fleet = clean_fleet()
    for deposit in fleet.deposits:
        deposit["site_id"] = {"M1": "north", "M2": "south"}[deposit["machine_id"]]
    for row in (*fleet.predictions, *fleet.heartbeats, *fleet.calibrations):
        if "site_id" in row:
            row["site_id"] = None
    fleet.write_ledger(LedgerWriter(database.collector_url))
    whole = reconcile_ledger(database.audit_url, PERIOD, asker())
    north = reconcile_ledger(database.audit_url, replace(PERIOD, sites=("north",)), asker())
    first = reconcile_ledger(database.audit_url, replace(PERIOD, machines=("M1",)), asker())
    assert {line.name for line in north.by_class if line.count} == {"matched"}
    assert [rule.status for rule in north.invariants] == [rule.status for rule in whole.invariants]
    assert [rule.checked for rule in north.invariants] == [rule.checked for rule in first.invariants]
    assert [line.machine for line in north.machine_lines] == ["M1"]
    assert north.totals == first.totals
    both = reconcile_ledger(database.audit_url, replace(PERIOD, sites=("north", "south")), asker())
    assert both.totals == whole.totals
    none = reconcile_ledger(
        database.audit_url, replace(PERIOD, sites=("north", "south"), machines=("M2",)), asker()
    )
    assert [line.machine for line in none.machine_lines] == ["M2"]
    assert render(both) != render(whole), "a report says what was asked"


def test_what_belongs_to_other_machines_is_no_evidence(database: Database, tmp_path: Path) -> None:
    fleet = clean_fleet()
    for deposit in fleet.deposits:
        fleet.review(deposit, "confirmed")
    fleet.write_ledger(LedgerWriter(database.collector_url))
    scope = replace(PERIOD, machines=("M1",))
    export_ledger(database.audit_url, tmp_path / "mine", scope, verified=False)
    with DuckDbEngine(tmp_path / "mine") as engine:
        kept = {
            name: {row[column] for row in engine.rows(f"SELECT {column} FROM {name}")}
            for name, column in (("reviews", "transaction_id"), ("tickets", "lot_id"))
        }
    mine = [deposit for deposit in fleet.deposits if deposit["machine_id"] == "M1"]
    assert kept["reviews"] == {deposit["transaction_id"] for deposit in mine}
    assert kept["tickets"] == {deposit["lot_id"] for deposit in mine} & {
        ticket["lot_id"] for ticket in fleet.tickets
    }
    assert kept["tickets"], "the fleet's lots were weighed"
    by_ledger = reconcile_ledger(database.audit_url, scope, asker(), verified=False)
    assert render(reconcile_export(tmp_path / "mine", asker())) == render(by_ledger)


def test_a_machine_whose_deposits_are_all_gone_is_still_of_its_site(database: Database) -> None:
    fleet = clean_fleet()
    for row in (*fleet.deposits, *fleet.predictions, *fleet.heartbeats):
        row["site_id"] = "north"
    fleet.deposits[:] = [deposit for deposit in fleet.deposits if deposit["machine_id"] != "M2"]
    fleet.write_ledger(LedgerWriter(database.collector_url))
    north = replace(PERIOD, sites=("north",))
    withheld = [row for row in fleet.predictions if row["machine_id"] == "M2"]
    report = reconcile_ledger(database.audit_url, north, asker(), verified=False)
    assert {line.name: line.count for line in report.by_class if line.count}["orphan_prediction"] == len(
        withheld
    )


@pytest.mark.parametrize("relation", ["deposits", "predictions", "heartbeats"])
def test_any_record_there_makes_a_machine_one_of_a_site(database: Database, relation: str) -> None:
    fleet = clean_fleet()
    for row in (*fleet.deposits, *fleet.predictions, *fleet.heartbeats):
        row["site_id"] = None
    getattr(fleet, relation)[0]["site_id"] = "north"
    fleet.write_ledger(LedgerWriter(database.collector_url))
    report = reconcile_ledger(database.audit_url, replace(PERIOD, sites=("north",)), asker(), verified=False)
    assert [line.machine for line in report.machine_lines] == [getattr(fleet, relation)[0]["machine_id"]]
