"""Nothing gets lost between records and figures: classes, materials and findings add up on any fleet."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.reconcile.masses import item_masses
from audit.reconcile.run import report_on
from audit.reporting.as_json import render
from audit.reporting.model import CLASSES, Report
from collector.event_mapping import MAX_MASS_MG
from tests.evidence import INTACT, PERIOD, Fleet, Reconciled, Values, asker, clean_fleet, reconciled
from tests.odd_fleets import busy_fleet, odd_fleets

quick = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@contextmanager
def computed(fleet: Fleet) -> Iterator[Reconciled]:
    with tempfile.TemporaryDirectory() as folder:
        found = reconciled(fleet, Path(folder))
        try:
            yield found
        finally:
            found.close()


def in_period(rows: list[Values]) -> set[tuple[str, int]]:
    """The places of the rows whose event time lies in the period."""
    return {(r["machine_id"], r["seq"]) for r in rows if PERIOD.start <= r["event_time"] < PERIOD.end}


@given(odd_fleets(any_material=True))
@quick
def test_every_deposit_and_every_prediction_of_the_period_is_in_exactly_one_class(fleet: Fleet) -> None:
    with computed(fleet) as found:
        exceptions = list(found.results.exceptions)
        (matched,) = found.engine.rows(
            "SELECT coalesce(CAST(sum(deposits) AS bigint), 0) AS deposits FROM matched"
        )
    evidence = fleet.evidence()
    named = Counter((r["machine_id"], r["deposit_seq"]) for r in exceptions if r["deposit_seq"] is not None)
    answers = Counter(
        (r["prediction_machine_id"], r["prediction_seq"])
        for r in exceptions
        if r["prediction_seq"] is not None
    )
    assert all(count == 1 for count in named.values())
    assert all(count == 1 for count in answers.values())
    deposits, predictions = in_period(evidence["deposits"]), in_period(evidence["predictions"])
    claimed = {
        (r["machine_id"], r["deposit_seq"])
        for r in exceptions
        if r["claimed"] and r["deposit_seq"] is not None
    }
    assert claimed <= deposits
    assert matched["deposits"] == len(deposits) - len(claimed)
    transactions = {d["transaction_id"] for d in evidence["deposits"]}
    firsts = set()
    for prediction in sorted(
        evidence["predictions"],
        key=lambda p: (p["event_us"] + p["delay_us"], p["machine_id"].encode(), p["seq"]),
    ):
        place = (prediction["machine_id"], prediction["seq"])
        transaction = prediction["transaction_id"]
        of_a_deposit = transaction in transactions
        is_first = transaction is None or transaction not in firsts
        firsts.add(transaction)
        if place in predictions and not (of_a_deposit and is_first):
            assert place in answers, "an orphan or one too many is named"


@given(odd_fleets(any_material=False))
@quick
def test_figures_add_up(fleet: Fleet) -> None:
    with computed(fleet) as found:
        report = found.report()
    check_sums(report)
    of_period = [d for d in fleet.evidence()["deposits"] if PERIOD.start <= d["event_time"] < PERIOD.end]
    reported = Counter[str]()
    for deposit in of_period:
        reported[deposit["material"] or ""] += deposit["mass_mg"]
    assert {m.material: m.reported.mass.mg for m in report.by_material if m.reported.mass.mg} == {
        material: mg for material, mg in reported.items() if mg
    }
    counts = {line.name: line.count for line in report.by_class}
    predictions_alone = sum(1 for finding in report.findings if finding.positions[0].stream == "predictions")
    elsewhere = sum(
        1
        for row in found.results.exceptions
        if row["deposit_seq"] is not None and not row["claimed"] and row["class"] != "orphan_prediction"
    )
    total = sum(count for name, count in counts.items() if name != "lost")
    assert total == len(of_period) + predictions_alone + elsewhere


def check_sums(report: Report) -> None:
    """What holds of every report."""
    for line in report.by_material:
        parts = (line.reported, line.corrections, line.overstated, line.understated, line.in_doubt)
        reported, corrections, over, under, doubt = (part.mass.mg for part in parts)
        assert reported + corrections - over + under - doubt == line.supported.mass.mg, line.material
    totals = {total.name: total.figure.mass.mg for total in report.totals}
    for name, mg in totals.items():
        assert mg == sum(getattr(line, name).mass.mg for line in report.by_material), name
    effects = {line.name: line.effect.mass.mg for line in report.by_class}
    assert sum(mg for name, mg in effects.items() if name != "lost") == (
        totals["reported"] + totals["corrections"] - totals["supported"]
    )
    assert effects["lost"] == -totals["lost_estimate"]
    of_findings = Counter[str]()
    for finding in report.findings:
        of_findings[finding.name] += finding.effect_mg
    for name in CLASSES:
        # A correction of a deposit that is in order is no finding; estimates are rounded finding by finding.
        if name != "lost" and not (name == "matched" and report.corrections):
            assert of_findings[name] == effects[name], name
    assert {
        name: n for name, n in Counter(f.name for f in report.findings).items() if name not in _APART
    } == {line.name: line.count for line in report.by_class if line.count and line.name not in _APART}
    cells = Counter[str]()
    for cell in report.class_by_material:
        cells[cell.name] += cell.mass_mg
    assert cells == Counter({line.name: line.mass_mg for line in report.by_class if line.name != "lost"})


_APART = {"matched", "lost"}


@given(odd_fleets(any_material=False), st.integers(0, 2**32))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_order_of_rows_in_the_files_does_not_matter(fleet: Fleet, seed: int) -> None:
    random = Random(seed)

    def shuffled(rows: list[Values]) -> list[Values]:
        return random.sample(rows, len(rows))

    with computed(fleet) as found:
        before = render(found.report())
    with tempfile.TemporaryDirectory() as folder:
        other = reconciled(fleet, Path(folder), arrange=shuffled)
        assert render(other.report()) == before
        other.close()


def test_a_busy_fleet_adds_up(tmp_path: Path) -> None:
    found = reconciled(busy_fleet(), tmp_path)
    check_sums(found.report())
    found.close()


@pytest.mark.parametrize("materials", [("pet",), ("glass", "aluminium_cans")])
def test_a_report_on_some_materials_adds_up(tmp_path: Path, materials: tuple[str, ...]) -> None:
    parameters = replace(PERIOD, materials=materials)
    found = reconciled(busy_fleet(), tmp_path, parameters)
    report = report_on(parameters, found.results, INTACT, item_masses(), asker())
    found.close()
    assert {line.material for line in report.by_material} <= set(materials)
    for line in report.by_material:
        parts = (line.reported, line.corrections, line.overstated, line.understated, line.in_doubt)
        reported, corrections, over, under, doubt = (part.mass.mg for part in parts)
        assert reported + corrections - over + under - doubt == line.supported.mass.mg, line.material


def test_more_of_the_largest_masses_than_64_bits_hold_are_added_up(tmp_path: Path) -> None:
    fleet = clean_fleet()
    fleet.deposit("M1", 1).update(mass_mg=MAX_MASS_MG, material="pet", lot_id="M1-lot-0")
    fleet.write_parquet(tmp_path)
    path = tmp_path / "deposits.parquet"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            "CREATE TABLE many AS SELECT d.* REPLACE ("
            "CASE WHEN n = 0 THEN d.seq ELSE 1000 + n END AS seq, "
            "CASE WHEN n = 0 THEN d.transaction_id ELSE 't' || n END AS transaction_id, "
            "CASE WHEN n = 0 THEN d.device_seq END AS device_seq) "
            f"FROM read_parquet('{path}') AS d JOIN range(100000) AS r(n) "
            f"ON n = 0 OR d.mass_mg = {MAX_MASS_MG}"
        )
        connection.execute(f"COPY many TO '{path}' (FORMAT parquet)")
    found = Reconciled(tmp_path)
    reported = sum(int(claim["mass_mg"]) for claim in found.results.claims)
    assert reported > 100_000 * MAX_MASS_MG > 2**63
    assert found.results.answers["one_prediction"].effects == {"pet": 99_999 * MAX_MASS_MG}
    totals = {total.name: total.figure.mass.mg for total in found.report().totals}
    assert totals["reported"] == reported
    found.close()
