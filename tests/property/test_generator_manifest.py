"""The manifest and the emitted records say the same: every fault is visible, and nothing else is odd.

The records are searched without looking at the manifest, by what an auditor can see.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from generator.clock import SECOND_NS
from generator.events import HEARTBEAT_S
from generator.fleet import Machine
from generator.manifest import lines
from generator.materials import MATERIALS
from generator.simulate import Simulation
from generator.spec import FaultKind, FaultRates, FleetSpec
from tests.unit.generator.decoded import Decoded, LogRow, decode

BOUNDS_G = {m.id: (m.min_g, m.max_g) for m in MATERIALS}
HOUR_NS = 3_600 * SECOND_NS

rates = st.builds(
    FaultRates,
    **{kind.value: st.sampled_from([0.0, 0.3, 1.0]) for kind in list(FaultKind)[:4]},
    **{kind.value: st.sampled_from([0.0, 0.01, 0.08]) for kind in list(FaultKind)[4:]},
)
specs = st.builds(
    FleetSpec,
    seed=st.integers(0, 2**64),
    machines=st.integers(1, 3),
    sites=st.integers(1, 2),
    start=st.sampled_from([datetime(2026, 1, 5, tzinfo=UTC), datetime(2024, 2, 28, 21, 30, 7, tzinfo=UTC)]),
    duration_s=st.sampled_from([900, 7_200, 43_201, 86_400, 100_000]),
    step_s=st.sampled_from([97, 300, 600]),
    window_s=st.sampled_from([300, 3_600, 40_000]),
    deposits_per_day=st.sampled_from([0, 3, 80, 600]),
    fill_per_day=st.sampled_from([0.2, 1.5, 8.0]),
    low_confidence_share=st.sampled_from([0.0, 0.02, 0.3]),
    faults=rates,
    at_least=st.integers(0, 2),
)
thorough = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@dataclass
class Run:
    """A played spec: its records, its manifest, and its fleet."""

    spec: FleetSpec
    records: Decoded
    machines: dict[str, Machine]
    faults: list[dict[str, Any]] = field(default_factory=list)
    lots: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)

    def of(self, *kinds: FaultKind) -> list[dict[str, Any]]:
        return [fault for fault in self.faults if fault["kind"] in kinds]

    def transactions(self, kind: FaultKind) -> Counter[str]:
        return Counter(fault["rows"][0]["transaction_id"] for fault in self.of(kind))


def play(spec: FleetSpec) -> Run:
    simulation = Simulation(spec)
    run = Run(spec, decode(simulation), {m.id: m for m in simulation.fleet.machines})
    for line in lines(spec, simulation.facts, {}):
        if line["record"] == "fault":
            run.faults.append(line)
        elif line["record"] == "lot":
            run.lots.append(line)
        elif line["record"] == "summary":
            run.summary = line
    return run


def nanos(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int(moment.timestamp()) * SECOND_NS + moment.microsecond * 1_000


def by_transaction(rows: list[LogRow]) -> dict[str, list[LogRow]]:
    found: dict[str, list[LogRow]] = defaultdict(list)
    for row in rows:
        found[row.attributes["deposit.transaction_id"]].append(row)
    return found


def odd_transactions(
    run: Run, deposits: dict[str, list[LogRow]], predictions: dict[str, list[LogRow]]
) -> dict[FaultKind, Counter[str]]:
    """What an auditor finds in the records, by class."""
    found: dict[FaultKind, Counter[str]] = {kind: Counter() for kind in list(FaultKind)[4:]}
    for transaction, rows in deposits.items():
        first = rows[0].attributes
        assert all(row.attributes == first and row.time_ns == rows[0].time_ns for row in rows)
        if len(rows) > 1:
            found[FaultKind.DUPLICATED_DEPOSIT][transaction] = 1
        if transaction not in predictions:
            found[FaultKind.LOST_PREDICTION][transaction] = 1
        elif predictions[transaction][0].attributes["prediction.material"] != first["deposit.material"]:
            found[FaultKind.WRONG_MATERIAL][transaction] = 1
        low, high = BOUNDS_G[first["deposit.material"]]
        if not low <= first["deposit.mass_g"] / first["deposit.item_count"] <= high:
            found[FaultKind.WRONG_MASS][transaction] = 1
        if rows[0].observed_ns - rows[0].time_ns > HOUR_NS:
            found[FaultKind.LATE_ARRIVAL][transaction] = 1
            assert predictions[transaction][0].observed_ns == rows[0].observed_ns
    for machine in run.machines:
        ours = [rows[0] for rows in deposits.values() if rows[0].machine == machine]
        numbers = {row.attributes["deposit.device_seq"] for row in ours}
        for missing in set(range(1, max(numbers, default=0) + 1)) - numbers:
            found[FaultKind.LOST_DEPOSIT][f"{machine}-{run.spec.run}-{missing:08d}"] = 1
    return found


@given(specs)
@thorough
def test_every_fault_of_a_transaction_is_visible_and_no_other_is(spec: FleetSpec) -> None:
    run = play(spec)
    deposits = by_transaction(run.records.named("machine.deposit"))
    predictions = by_transaction(run.records.named("inference.prediction"))
    assert all(len(rows) == 1 for rows in predictions.values())
    found = odd_transactions(run, deposits, predictions)
    orphans = set(predictions) - set(deposits)

    assert found == {kind: run.transactions(kind) for kind in found}
    lost = run.of(FaultKind.LOST_DEPOSIT)
    assert orphans == {f["rows"][0]["transaction_id"] for f in lost if f["parameters"]["prediction_sent"]}
    for fault in run.of(*found):
        for row in fault["rows"]:
            rows = deposits if row["stream"] == "transactions" else predictions
            assert len(rows.get(row["transaction_id"], [])) == row["count"]
    every = [t for kind in found for t in run.transactions(FaultKind(kind))]
    assert len(every) == len(set(every)), "two faults hit one transaction"


@given(specs)
@thorough
def test_every_interval_fault_is_visible_in_the_times_and_no_other_is(spec: FleetSpec) -> None:
    run = play(spec)
    for identity, machine in run.machines.items():
        down = [
            (nanos(f["from"]), nanos(f["to"])) for f in run.of(FaultKind.DOWNTIME) if f["machine"] == identity
        ]
        skews = [
            (nanos(f["from"]), nanos(f["to"]), f["parameters"]["shift_ms"] * 1_000_000)
            for f in run.of(FaultKind.CLOCK_SKEW)
            if f["machine"] == identity
        ]

        def claimed(first_ns: int, period_s: int, down: Any = down, skews: Any = skews) -> list[int]:
            times = range(first_ns, spec.end_ns, period_s * SECOND_NS)
            up = [t for t in times if not any(begin <= t < end for begin, end in down)]
            return [t + sum(shift for begin, end, shift in skews if begin <= t < end) for t in up]

        beats = [row for row in run.records.named("machine.heartbeat") if row.machine == identity]
        first_beat_ns = spec.start_ns + machine.heartbeat_phase_ms * 1_000_000
        assert [row.time_ns for row in beats] == claimed(first_beat_ns, HEARTBEAT_S)
        first_reading_ns = spec.start_ns + machine.sensor_phase_ms * 1_000_000
        for metric in ("hw.temperature", "machine.fill"):
            times = [p.time_ns for p in run.records.series(identity, metric)]
            assert times == claimed(first_reading_ns, spec.step_s)

        shifted = {
            row.attributes["deposit.transaction_id"]: row.time_ns - row.observed_ns
            for row in run.records.named("machine.deposit")
            if row.machine == identity
        }
        members = {
            row["transaction_id"]: fault["parameters"]["shift_ms"] * 1_000_000
            for fault in run.of(FaultKind.CLOCK_SKEW)
            if fault["machine"] == identity
            for row in fault["rows"]
            if row["stream"] == "transactions"
        }
        delayed = run.transactions(FaultKind.LATE_ARRIVAL) | run.transactions(FaultKind.DUPLICATED_DEPOSIT)
        assert {t: by for t, by in shifted.items() if by and t not in delayed} == members
        for row in run.records.logs:
            if row.machine == identity and row.name != "machine.status":
                assert not any(begin <= row.observed_ns < end for begin, end in down), (
                    "a record from a dead machine"
                )
        for fault in run.faults:
            if fault["machine"] == identity and fault["kind"] in (FaultKind.DOWNTIME, FaultKind.CLOCK_SKEW):
                begin, end = nanos(fault["from"]), nanos(fault["to"])
                count = sum(begin <= row.observed_ns < end for row in beats)
                row = fault["rows"][0]
                assert count == row.get("count", 0)
                grid = range(first_beat_ns, spec.end_ns, HEARTBEAT_S * SECOND_NS)
                assert sum(begin <= t < end for t in grid) == row.get("missing", count)


@given(specs)
@thorough
def test_every_faulty_reading_is_in_the_manifest_and_no_other(spec: FleetSpec) -> None:
    """Compared with a twin whose sensors are honest."""
    run = play(spec)
    twin = Simulation(spec)
    for machine in twin._machines:
        machine.intervals.intervals[:] = [replace(i, amplitude_c=0.0) for i in machine.intervals.intervals]
    honest = {(p.machine, p.time_ns): p.value for p in decode(twin).points if p.metric == "hw.temperature"}
    sensor_faults = run.of(FaultKind.SENSOR_SPIKE, FaultKind.SLOW_DRIFT)
    seen: Counter[str] = Counter()
    for p in run.records.points:
        if p.metric != "hw.temperature":
            continue
        error = round(p.value - honest[p.machine, p.time_ns], 2)
        faults = [
            f
            for f in sensor_faults
            if f["machine"] == p.machine and nanos(f["from"]) <= p.time_ns < nanos(f["to"])
        ]
        if not faults:
            assert error == 0
            continue
        (fault,) = faults
        seen[fault["id"]] += 1
        amplitude = fault["parameters"]["amplitude_c"]
        if fault["kind"] == FaultKind.SENSOR_SPIKE:
            assert abs(error - amplitude) <= 0.011
        else:
            begin, end = nanos(fault["from"]), nanos(fault["to"])
            assert abs(error - amplitude * (p.time_ns - begin) / (end - begin)) <= 0.011
    assert seen == Counter({f["id"]: f["rows"][0]["count"] for f in sensor_faults})


@given(specs)
@thorough
def test_truth_plus_the_effects_of_the_faults_is_what_the_records_report(spec: FleetSpec) -> None:
    run = play(spec)
    reported: Counter[str] = Counter()
    by_lot: Counter[str] = Counter()
    for row in run.records.named("machine.deposit"):
        mass_mg = round(row.attributes["deposit.mass_g"] * 1_000)
        reported[row.attributes["deposit.material"]] += mass_mg
        by_lot[row.attributes["lot.id"]] += mass_mg
    effects: Counter[str] = Counter()
    for fault in run.faults:
        for material, mass_mg in fault["effect_mg"].items():
            effects[material] += mass_mg
    truth, claimed = run.summary["truth_mg"], run.summary["reported_mg"]
    for material in truth:
        assert claimed[material] == reported[material] == truth[material] + effects[material]
    tickets = {row.attributes["lot.id"]: row.attributes for row in run.records.named("plant.scale_ticket")}
    for lot in run.lots:
        assert lot["reported_mg"] == by_lot[lot["lot_id"]]
        assert sum(lot["truth_by_material_mg"].values()) == lot["truth_mg"]
        assert abs(lot["ticket_mg"] - lot["truth_mg"]) <= 0.0091 * lot["truth_mg"] + 5_001
        if lot["ticket_id"] is not None:
            assert round(tickets[lot["lot_id"]]["ticket.mass_g"] * 1_000) == lot["ticket_mg"]
    assert set(tickets) == {lot["lot_id"] for lot in run.lots if lot["ticket_id"] is not None}
    assert run.summary["rows"] == run.records.rows_by_stream()
