"""Every machine's scale is calibrated throughout, and each certificate is on record before it counts."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import pytest

from generator.calibration import calibrations
from generator.clock import DAY_NS, SECOND_NS
from generator.fleet import build_fleet
from generator.intervals import Interval, MachineIntervals
from generator.otlp import Event, log_records, request
from generator.questions import Questioner
from generator.simulate import Simulation
from generator.spec import FaultKind, FleetSpec
from tests.unit.collector.decoding import decode_logs, rows
from tests.unit.generator.decoded import Decoded, LogRow

SPEC = FleetSpec(seed=5, machines=5, sites=2, duration_s=7_200, step_s=600, window_s=900)
DAY_S = 86_400
YEARS = replace(SPEC, machines=1, duration_s=8 * 365 * DAY_S)


def of_first_machine(spec: FleetSpec, *intervals: Interval) -> list[Event]:
    (machine, *_) = build_fleet(spec).machines
    return calibrations(spec, machine, MachineIntervals(list(intervals)))


def validity(event: Event) -> tuple[int, int]:
    """From and until, seconds since 1970."""
    attributes = dict(event.attributes)
    begin, end = attributes["calibration.valid_from_unix"], attributes["calibration.valid_until_unix"]
    assert isinstance(begin, int)
    assert isinstance(end, int)
    return begin, end


@pytest.mark.parametrize("questioner", [None, Questioner(5)], ids=["alone", "with a service"])
def test_the_first_event_of_a_machine_is_its_calibration(questioner: Questioner | None) -> None:
    logs: dict[str, list[LogRow]] = defaultdict(list)
    decoded = Decoded()
    for batch in Simulation(SPEC, questioner=questioner).batches():
        if batch.signal != "predictions":
            decoded.add(batch.signal, batch.payload)
    for row in decoded.logs:
        if "-rvm-" in row.machine:
            logs[row.machine].append(row)
    assert len(logs) == SPEC.machines
    ages = set()
    for machine, said in logs.items():
        first = said[0]
        assert [row.name for row in said].count("machine.calibrated") == 1
        assert (first.name, said[1].name) == ("machine.calibrated", "machine.status")
        assert first.time_ns == first.observed_ns == SPEC.start_ns
        said_of_it = dict(first.attributes)
        begin, end = (said_of_it.pop(f"calibration.valid_{edge}_unix") for edge in ("from", "until"))
        assert end - begin == 730 * DAY_S
        age_s = SPEC.start_ns // SECOND_NS - begin
        assert 30 * DAY_S <= age_s <= 300 * DAY_S
        ages.add(age_s)
        certificate = said_of_it["calibration.certificate"]
        assert certificate.startswith(f"cal-{machine}-2025")
        assert said_of_it == {
            "calibration.instrument": "scale",
            "calibration.certificate": certificate,
            "calibration.resolution_g": 0.1,
            "calibration.uncertainty_g": 0.2,
        }
    assert len(ages) == SPEC.machines, "every machine has a date of its own"


def test_in_a_long_run_a_calibration_is_followed_before_it_ends() -> None:
    made = of_first_machine(YEARS)
    assert len(made) >= 5
    for earlier, later in pairwise(made):
        begin, _ = validity(later)
        _, end = validity(earlier)
        assert later.time_ns == begin * SECOND_NS
        assert 7 * DAY_S <= end - begin <= 30 * DAY_S
    assert validity(made[-1])[1] * SECOND_NS > YEARS.end_ns
    assert len({dict(event.attributes)["calibration.certificate"] for event in made}) == len(made)


@pytest.mark.parametrize("kind", [FaultKind.DOWNTIME, FaultKind.CLOCK_SKEW])
def test_a_calibration_that_would_fall_into_a_downtime_or_a_skew_is_made_before_it(kind: FaultKind) -> None:
    second = of_first_machine(YEARS)[1]
    fault = Interval(second.time_ns - 3 * DAY_NS, second.time_ns + 40 * DAY_NS, kind)
    first, second, *_ = of_first_machine(YEARS, fault)
    assert second.time_ns == fault.from_ns - 60 * SECOND_NS
    assert validity(second)[0] < validity(first)[1]


def test_after_a_downtime_that_outlasts_a_calibration_there_is_a_new_one() -> None:
    begin_ns = YEARS.start_ns + 10 * DAY_NS
    down = Interval(begin_ns, begin_ns + 900 * DAY_NS, FaultKind.DOWNTIME)
    made = of_first_machine(YEARS, down)
    assert [event.time_ns for event in made[:3]] == [
        YEARS.start_ns,
        down.from_ns - 60 * SECOND_NS,
        down.to_ns + 60 * SECOND_NS,
    ]
    assert validity(made[-1])[1] * SECOND_NS > YEARS.end_ns


def test_in_the_ledger_its_times_are_plain_integers() -> None:
    (event,) = of_first_machine(SPEC)
    body = request(build_fleet(SPEC).machines[0].emitter.resource, log_records([event]))
    (row,) = rows(decode_logs(body), "events")
    begin, end = validity(event)
    assert row["event_name"] == "machine.calibrated"
    # json.loads makes an int of digits alone: 1.7e9 or 1700000000.0 would be a float.
    for edge, expected in (("from", begin), ("until", end)):
        found = row["attributes"][f"calibration.valid_{edge}_unix"]
        assert type(found) is int
        assert found == expected
