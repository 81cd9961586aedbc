"""Bad arguments get one line and exit code 2."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from generator import api
from generator.__main__ import main
from generator.options import duration_s, fault_rates, start_time
from generator.replay import read_rows


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plan", "--machines", "0"], "machines: expected 1"),
        (["plan", "--machines", "many"], "--machines"),
        (["plan", "--duration", "soon"], "duration: expected"),
        (["plan", "--start", "yesterday"], "start: expected"),
        (["plan", "--start", "1970-01-01"], "between 2000 and 2200"),
        (["plan", "--fleet", "a b"], "fleet: expected"),
        (["plan", "--fault", "gremlins=1"], "fault: expected KIND=RATE"),
        (["plan", "--fault", "downtime=often"], "fault: expected KIND=RATE"),
        (["plan", "--fault", "downtime=2"], "expected 0 to 1"),
        (["plan", "--fault", "lost_deposit=0.4", "--fault", "wrong_mass=0.4"], "sum of at most 0.5"),
        (["plan", "--fault-plan", "nowhere.json"], "fault plan nowhere.json"),
        (["plan", "--window", "1d", "--step", "1s"], "choose a shorter window"),
        (["plan", "-o", "/dev/null/manifest"], "manifest"),
        (["faster", "--speed", "-1"], "speed: expected"),
        (["faster", "--protocol", "pigeon"], "protocol: expected"),
        (["backfill", "--protocol", "http"], "backfill speaks grpc only"),
        (["backfill", "--in-flight", "0"], "in_flight: expected"),
        (["backfill", "--grpc-port", "70000"], "grpc-port: expected"),
        (["load", "--points", "0"], "points: expected"),
        (["load", "--machines", "10000", "--points", "1000"], "at most"),
        (["load", "--rate", "0"], "rate: expected"),
        (["replay", "--csv", "nowhere.csv"], "nowhere.csv"),
        (["replay"], "--csv"),
        (["dance"], "dance"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_two(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("generator: ")
    assert err.count("\n") == 1
    assert said in err


def test_a_planned_fault_that_does_not_fit_names_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plan.json"
    path.write_text(
        json.dumps([{"kind": "downtime", "machine": 1, "at_s": 0, "parameters": {"duration_s": 600}}])
    )
    assert main(["plan", "--duration", "1h", "--fault-plan", str(path)]) == 2
    assert "downtime of machine 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    "entry",
    [
        "x",
        {"kind": "downtime"},
        {"kind": "gremlin", "machine": 1, "at_s": 0},
        {"kind": "downtime", "machine": "one", "at_s": 0},
        {"kind": "downtime", "machine": 1, "at_s": 0, "parameters": {"loudness": 3}},
        {"kind": "downtime", "machine": 1, "at_s": 0, "colour": "red"},
    ],
)
def test_a_fault_plan_of_another_shape_is_refused_by_entry(entry: object) -> None:
    with pytest.raises(api.SpecError, match="fault plan, entry 1: "):
        api.plan_from_json([entry])


def test_a_fault_plan_for_a_machine_that_is_not_there_is_refused() -> None:
    fault = api.PlannedFault(api.FaultKind.LOST_DEPOSIT, machine=21, at_s=0)
    with pytest.raises(api.SpecError, match="machine"):
        api.FleetSpec(machines=20, plan=(fault,))


def test_planned_faults_happen_where_they_were_planned() -> None:
    kinds = api.FaultKind
    plan = (
        api.PlannedFault(kinds.DOWNTIME, 1, 20_000, (("duration_s", 900.0),)),
        api.PlannedFault(kinds.CLOCK_SKEW, 2, 30_000, (("duration_s", 1_200.0), ("shift_s", -300.0))),
        api.PlannedFault(kinds.SENSOR_SPIKE, 3, 30_000, (("amplitude_c", 55.0), ("samples", 2.0))),
        api.PlannedFault(kinds.SLOW_DRIFT, 4, 20_000, (("amplitude_c", -9.0), ("duration_s", 30_000.0))),
        api.PlannedFault(kinds.LATE_ARRIVAL, 5, 40_000, (("delay_s", 9_000.0),)),
        api.PlannedFault(kinds.WRONG_MASS, 5, 40_000),
        api.PlannedFault(kinds.LOST_DEPOSIT, 5, 86_399.5),
    )
    spec = api.FleetSpec(seed=2, faults=api.FaultRates.off(), plan=plan, step_s=60, window_s=3_600)
    facts = api.plan(spec).facts
    found = {fault.kind: fault for fault in facts.faults}
    assert set(found) == {fault.kind for fault in plan} - {kinds.LOST_DEPOSIT}
    assert facts.unplaced == {"lost_deposit": 1}
    assert found[kinds.DOWNTIME].begin == "2026-01-05T05:33:20.000Z"
    assert found[kinds.CLOCK_SKEW].parameters == {"shift_ms": -300_000}
    assert found[kinds.SENSOR_SPIKE].rows[0]["count"] == 2
    assert found[kinds.LATE_ARRIVAL].machine == "fleet-rvm-0005"


def test_words_of_the_command_line_become_values() -> None:
    assert [duration_s(w) for w in ("90", "90s", "15m", "6h", "30d", "2w")] == [
        90,
        90,
        900,
        21_600,
        2_592_000,
        1_209_600,
    ]
    assert start_time("2026-01-05") == datetime(2026, 1, 5, tzinfo=UTC)
    assert start_time("now").microsecond == 0
    assert fault_rates(["late-arrival=0.5"], off=True) == api.FaultRates(
        **{kind.value: 0.0 for kind in api.FaultKind if kind is not api.FaultKind.LATE_ARRIVAL},
        late_arrival=0.5,
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time,value\n2026-01-05,1\n", "no column 'timestamp'"),
        ("timestamp,value\n2026-01-05,1\nnoon,2\n", "line 3: expected an ISO 8601 time"),
        ("timestamp,value\n2026-01-05,warm\n", "line 2: expected a number"),
        ("timestamp,value\n2026-01-05,nan\n", "line 2: expected a finite number"),
        ("timestamp,value\n2026-01-05\n", "line 2: expected a number"),
        ("", "no column"),
    ],
)
def test_a_csv_that_cannot_be_replayed_says_where(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(api.SpecError, match=said):
        list(read_rows(api.ReplaySpec(path, "m", "1", "a")))


def test_a_manifest_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text("old")
    monkeypatch.setattr("os.fsync", _fail)
    with pytest.raises(api.SpecError, match="manifest"):
        api.plan(api.FleetSpec(duration_s=60, machines=1), path)
    assert path.read_text() == "old"


def _fail(_descriptor: int) -> None:
    raise OSError(28, "No space left on device")
