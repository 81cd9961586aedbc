"""The fleet's signals look like those of machines."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest

from generator.clock import SECOND_NS
from generator.deposits import relative_rate, visits
from generator.fleet import build_fleet
from generator.materials import MATERIAL_IDS, MATERIALS
from generator.spec import FaultRates, FleetSpec
from tests.unit.generator.decoded import Decoded, play

HOUR_NS = 3_600 * SECOND_NS
SPEC = FleetSpec(
    seed=11, machines=3, sites=2, duration_s=3 * 86_400, step_s=300, window_s=3_600, fill_per_day=2.5,
    faults=FaultRates.off(),
)  # fmt: skip
FIRST = "fleet-rvm-0001"


@pytest.fixture(scope="module")
def clean() -> Decoded:
    return play(SPEC)[0]


def test_temperature_has_a_daily_cycle(clean: Decoded) -> None:
    points = clean.series(FIRST, "hw.temperature")
    offset_h = build_fleet(SPEC).machines[0].site.utc_offset_h
    local_h = np.array([(p.time_ns / HOUR_NS + offset_h) % 24 for p in points])
    celsius = np.array([p.value for p in points])
    assert celsius[(local_h > 13) & (local_h < 17)].mean() > celsius[(local_h > 1) & (local_h < 5)].mean() + 5


def test_temperature_noise_is_correlated_and_small(clean: Decoded) -> None:
    celsius = np.array([p.value for p in clean.series(FIRST, "hw.temperature")])
    steps = np.diff(celsius)
    assert 0.02 < steps.std() < 1.5
    assert np.abs(steps).max() < 5
    assert np.corrcoef(celsius[:-1], celsius[1:])[0, 1] > 0.95


def test_energy_only_rises_and_a_busy_hour_takes_more_than_a_night_hour(clean: Decoded) -> None:
    joules = clean.series(FIRST, "hw.energy")
    assert all(later.value > earlier.value for earlier, later in pairwise(joules))
    deposits = np.array([row.time_ns for row in clean.named("machine.deposit") if row.machine == FIRST])
    used = np.diff([p.value for p in joules])
    edges = np.array([p.time_ns for p in joules])
    counts = np.diff(np.searchsorted(deposits, edges))
    assert used[counts > 2].mean() > used[counts == 0].mean() + 900


def test_fill_only_rises_between_emptyings_and_falls_at_each(clean: Decoded) -> None:
    emptied = clean.named("machine.emptied")
    assert len(emptied) >= 3 * 3
    for machine in {row.machine for row in emptied}:
        cuts = sorted(row.time_ns for row in emptied if row.machine == machine)
        levels = clean.series(machine, "machine.fill")
        assert all(0 <= p.value <= 1 for p in levels)
        for earlier, later in pairwise(levels):
            if not any(earlier.time_ns < cut <= later.time_ns for cut in cuts):
                assert later.value >= earlier.value
        for row in emptied:
            if row.machine == machine:
                before = [p.value for p in levels if p.time_ns < row.time_ns]
                assert before[-1] <= row.attributes["machine.fill.before"] <= 1


def test_exactly_one_state_holds_at_a_time(clean: Decoded) -> None:
    totals: dict[tuple[str, int], float] = {}
    for p in clean.points:
        if p.metric == "hw.status":
            totals[p.machine, p.time_ns] = totals.get((p.machine, p.time_ns), 0) + p.value
    assert set(totals.values()) == {1}


def test_errors_are_counted_and_reported_as_events(clean: Decoded) -> None:
    for machine in {p.machine for p in clean.points}:
        for kind in ("jam", "sensor", "network"):
            counts = [p.value for p in clean.series(machine, "hw.errors", error_type=kind)]
            events = [r for r in clean.named("machine.error") if r.machine == machine]
            assert counts == sorted(counts)
            assert counts[-1] <= sum(r.attributes["error.type"] == kind for r in events) <= counts[-1] + 1


def test_uptime_counts_seconds(clean: Decoded) -> None:
    points = clean.series(FIRST, "system.uptime")
    assert {round(later.value - earlier.value, 3) for earlier, later in pairwise(points)} == {SPEC.step_s}


def test_a_heartbeat_every_thirty_seconds(clean: Decoded) -> None:
    beats = [row.time_ns for row in clean.named("machine.heartbeat") if row.machine == FIRST]
    assert len(beats) == SPEC.duration_s // 30
    assert {later - earlier for earlier, later in pairwise(beats)} == {30 * SECOND_NS}


def test_device_seq_has_no_gap_and_follows_time(clean: Decoded) -> None:
    for machine in {p.machine for p in clean.points}:
        deposits = [row for row in clean.named("machine.deposit") if row.machine == machine]
        assert [row.attributes["deposit.device_seq"] for row in deposits] == list(range(1, len(deposits) + 1))
        assert all(later.time_ns > earlier.time_ns for earlier, later in pairwise(deposits))


def test_masses_are_plausible_and_net_is_gross_minus_tare(clean: Decoded) -> None:
    bounds = {m.id: (m.min_g, m.max_g) for m in MATERIALS}
    for row in clean.named("machine.deposit"):
        a = row.attributes
        low, high = bounds[a["deposit.material"]]
        assert low * a["deposit.item_count"] <= a["deposit.mass_g"] <= high * a["deposit.item_count"]
        assert round(a["deposit.gross_g"] * 10) - round(a["deposit.tare_g"] * 10) == round(
            a["deposit.mass_g"] * 10
        )


def test_median_item_masses_are_those_of_the_trade() -> None:
    spec = FleetSpec(seed=3, deposits_per_day=20_000, machines=1, faults=FaultRates.off())
    machine = build_fleet(spec).machines[0]
    day = visits(spec, machine, 0)
    for index, material in enumerate(MATERIALS):
        single = (day.material == index) & (day.count == 1)
        assert np.median(day.mass_dg[single]) / 10 == pytest.approx(material.median_g, rel=0.08)
        assert single.sum() / (day.count == 1).sum() == pytest.approx(material.share, rel=0.2, abs=0.005)


def test_visits_follow_the_hours_of_the_day_and_the_days_of_the_week() -> None:
    monday = int(datetime(2026, 1, 5, tzinfo=UTC).timestamp()) * SECOND_NS
    hours = monday + np.arange(7 * 24, dtype=np.int64) * HOUR_NS + HOUR_NS // 2
    rate = relative_rate(hours, 0.0)
    assert rate.mean() == pytest.approx(1.0, abs=0.02)
    by_day = rate.reshape(7, 24)
    assert by_day[:, 11].min() > 10 * by_day[:, 3].max()
    assert by_day.mean(axis=1).argmin() == 5  # Saturday, as in Wyndham


def test_the_mean_number_of_deposits_is_the_one_asked_for() -> None:
    spec = FleetSpec(
        seed=5, machines=40, duration_s=7 * 86_400, deposits_per_day=200, faults=FaultRates.off()
    )
    counts = [len(visits(spec, m, day)) for m in build_fleet(spec).machines for day in range(7)]
    assert np.mean(counts) == pytest.approx(200, rel=0.1)


def test_each_deposit_has_one_prediction_of_its_material_made_just_before(clean: Decoded) -> None:
    predictions = {
        row.attributes["deposit.transaction_id"]: row for row in clean.named("inference.prediction")
    }
    deposits = clean.named("machine.deposit")
    assert len(predictions) == len(deposits) == len(clean.named("inference.prediction"))
    for row in deposits:
        other = predictions[row.attributes["deposit.transaction_id"]]
        assert other.attributes["prediction.material"] == row.attributes["deposit.material"]
        assert 0 < row.time_ns - other.time_ns < SECOND_NS
        top = other.attributes["prediction.top"]
        assert (
            top[row.attributes["deposit.material"]]
            == other.attributes["prediction.confidence"]
            == max(top.values())
        )
        assert sum(top.values()) <= 1
        assert set(top) <= set(MATERIAL_IDS)


def test_every_unsure_prediction_is_confirmed_by_a_human_and_no_other(clean: Decoded) -> None:
    unsure = {
        row.attributes["prediction.id"]
        for row in clean.named("inference.prediction")
        if row.attributes["prediction.confidence"] < row.attributes["prediction.threshold"]
    }
    reviews = clean.named("review.decision")
    assert {row.attributes["prediction.id"] for row in reviews} == unsure
    assert len(reviews) == len(unsure) > 0


def test_each_emptied_lot_is_weighed_and_the_scale_agrees_with_the_deposits(clean: Decoded) -> None:
    tickets = {row.attributes["lot.id"]: row for row in clean.named("plant.scale_ticket")}
    emptied = {row.attributes["lot.id"]: row for row in clean.named("machine.emptied")}
    assert set(tickets) == set(emptied)
    grams: dict[str, float] = {}
    for row in clean.named("machine.deposit"):
        grams[row.attributes["lot.id"]] = (
            grams.get(row.attributes["lot.id"], 0) + row.attributes["deposit.mass_g"]
        )
    for lot, ticket in tickets.items():
        a = ticket.attributes
        assert a["ticket.mass_g"] == pytest.approx(grams[lot], rel=0.01, abs=5.1)
        assert a["ticket.gross_g"] - a["ticket.tare_g"] == pytest.approx(a["ticket.mass_g"])
        assert sum(a["ticket.composition"].values()) == pytest.approx(1)
        assert 2 * HOUR_NS <= ticket.time_ns - emptied[lot].time_ns <= 10 * HOUR_NS
        assert ticket.machine == "fleet-plant-scale-1"


def test_the_model_was_approved_by_somebody_else_before_the_first_prediction(clean: Decoded) -> None:
    steps = clean.named("model.lifecycle")
    assert [row.attributes["model.action"] for row in steps] == [
        "trained",
        "evaluated",
        "approved",
        "promoted",
    ]
    assert steps[0].attributes["model.actor"] != steps[2].attributes["model.actor"]
    first = min(row.time_ns for row in clean.named("inference.prediction"))
    assert max(row.time_ns for row in steps) < first
    assert {r.attributes["model.digest"] for r in steps} == {
        r.attributes["model.digest"] for r in clean.named("inference.prediction")
    }


def test_resources_say_who_and_where(clean: Decoded) -> None:
    resource = clean.resources[FIRST]
    assert resource["service.name"] == "recycling-machine"
    assert resource["service.namespace"] == "fleet"
    assert {"site.id", "site.name", "geo.country.iso_code", "geo.location.lat"} <= set(resource)
