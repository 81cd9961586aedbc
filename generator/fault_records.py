"""What the manifest says of each fault: the rows that show it, or that are missing because of it."""

from __future__ import annotations

from typing import Any

from generator import events
from generator.clock import SECOND_NS, rfc3339
from generator.fleet import Machine
from generator.intervals import Interval
from generator.manifest import FaultRecord
from generator.spec import SERIES_PER_MACHINE, FaultKind, FleetSpec

Row = dict[str, Any]


def row(stream: str, item: events.Deposit) -> Row:
    """How a row of a transaction is found."""
    return {"stream": stream, "transaction_id": item.transaction_id, "device_seq": item.device_seq}


def transaction_rows(kind: FaultKind, item: events.Deposit, copies: int, *, predicted: bool) -> list[Row]:
    """The rows that show a transaction's fault; ``count`` is how many there are, 0 if it is missing."""
    transactions = {**row("transactions", item), "count": copies}
    if kind in (FaultKind.DUPLICATED_DEPOSIT, FaultKind.WRONG_MASS):
        return [transactions]
    return [transactions, {**row("predictions", item), "count": int(predicted)}]


def interval_record(spec: FleetSpec, machine: Machine, interval: Interval, members: list[Row]) -> FaultRecord:
    """The record of an interval fault; ``members`` are the rows of transactions within a clock skew."""
    beats = _on_grid(spec.start_ns, machine.heartbeat_phase_ms, events.HEARTBEAT_S, interval)
    steps = _on_grid(spec.start_ns, machine.sensor_phase_ms, spec.step_s, interval)
    period = {"from": rfc3339(interval.from_ns), "to": rfc3339(interval.to_ns)}
    heartbeats: Row = {"stream": "events", "event_name": "machine.heartbeat", **period}
    telemetry: Row = {"stream": "telemetry", **period}
    parameters: dict[str, Any] = {}
    if interval.kind is FaultKind.DOWNTIME:
        rows = [heartbeats | {"missing": beats}, telemetry | {"missing": steps * SERIES_PER_MACHINE}]
    elif interval.kind is FaultKind.CLOCK_SKEW:
        parameters["shift_ms"] = interval.shift_ns // 1_000_000
        rows = [heartbeats | {"count": beats}, telemetry | {"count": steps * SERIES_PER_MACHINE}, *members]
    else:
        parameters["amplitude_c"] = interval.amplitude_c
        rows = [telemetry | {"metric": "hw.temperature", "count": steps}]
    return FaultRecord(
        kind=interval.kind,
        machine=machine.id,
        site=machine.site.id,
        begin=period["from"],
        end=period["to"],
        rows=rows,
        parameters=parameters,
        effect_mg={},
    )


def _on_grid(start_ns: int, phase_ms: int, period_s: int, interval: Interval) -> int:
    """How many points of a periodic grid fall into an interval."""
    first_ns, period_ns = start_ns + phase_ms * 1_000_000, period_s * SECOND_NS

    def before(time_ns: int) -> int:
        return max(0, -(-(time_ns - first_ns) // period_ns))

    return before(interval.to_ns) - before(interval.from_ns)
