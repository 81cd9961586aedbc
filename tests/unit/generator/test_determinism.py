"""Same spec, same bytes: in another run, in other pieces, in another process, and tomorrow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics

from generator import api, sdk
from generator.manifest import lines
from generator.simulate import Simulation
from generator.spec import FleetSpec, spec_from_json
from tests.unit.generator.decoded import play

SPEC = FleetSpec(
    seed=42, machines=6, sites=3, duration_s=30 * 3_600, step_s=300, window_s=600, deposits_per_day=400,
    fill_per_day=2.0, at_least=1,
)  # fmt: skip
GOLDEN = Path(__file__).with_name("golden.json")


def digest(spec: FleetSpec, chunk_windows: int | None = None) -> tuple[str, str]:
    simulation = Simulation(spec, chunk_windows=chunk_windows)
    for _ in simulation.batches():
        pass
    return simulation.facts.digest, json.dumps(list(lines(spec, simulation.facts, {})))


@pytest.fixture(scope="module")
def expected() -> tuple[str, str]:
    """What a run of the spec gives, for all that only compare with it."""
    return digest(SPEC)


def test_two_runs_give_the_same_bytes_and_the_same_manifest(expected: tuple[str, str]) -> None:
    assert digest(SPEC) == expected


@pytest.mark.parametrize("chunk_windows", [1, 7, 50, 1_000])
def test_the_size_of_the_pieces_changes_nothing(chunk_windows: int, expected: tuple[str, str]) -> None:
    assert digest(SPEC, chunk_windows) == expected


def test_another_seed_gives_other_bytes(expected: tuple[str, str]) -> None:
    assert digest(replace(SPEC, seed=43))[0] != expected[0]


def test_the_window_cuts_requests_and_leaves_the_rows_alone() -> None:
    short, long = play(replace(SPEC, window_s=120))[0], play(replace(SPEC, window_s=7_200))[0]
    assert Counter(short.points) == Counter(long.points)
    assert [
        (r.machine, r.name, r.time_ns, r.attributes)
        for r in sorted(short.logs, key=lambda r: (r.machine, r.at))
    ] == [
        (r.machine, r.name, r.time_ns, r.attributes)
        for r in sorted(long.logs, key=lambda r: (r.machine, r.at))
    ]


def test_a_machine_lives_the_same_life_in_a_larger_fleet() -> None:
    spec = replace(SPEC, at_least=0, sites=1)
    small, large = play(spec)[0], play(replace(spec, machines=9))[0]
    ours = {p.machine for p in small.points}
    assert small.points != large.points
    assert Counter(small.points) == Counter(p for p in large.points if p.machine in ours)


def test_another_process_with_other_hash_seeds_gives_the_same_bytes(expected: tuple[str, str]) -> None:
    code = (
        "import json, sys; from generator import api; "
        "print(api.plan(api.spec_from_json(json.load(sys.stdin))).facts.digest)"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps(SPEC.to_json()),
            env={**os.environ, "PYTHONHASHSEED": str(seed), "TZ": zone},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed, zone in ((1, "UTC"), (2, "Asia/Tokyo"))
    }
    assert outputs == {expected[0]}


def test_the_bytes_are_those_of_the_golden_vector() -> None:
    """When this fails the generator changed what a seed means: raise GENERATOR_VERSION and the vector."""
    golden = json.loads(GOLDEN.read_text())
    spec = spec_from_json(golden["spec"])
    report = api.plan(spec)
    assert {
        "digest": report.facts.digest,
        "faults": report.facts.faults_by_kind,
        "truth_mg": report.facts.truth_mg,
        "reported_mg": report.facts.reported_mg,
    } == {name: golden[name] for name in ("digest", "faults", "truth_mg", "reported_mg")}


def test_a_spec_survives_json() -> None:
    spec = replace(
        SPEC, plan=(api.PlannedFault(api.FaultKind.DOWNTIME, 2, 7_200.0, (("duration_s", 600.0),)),)
    )
    assert spec_from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_the_bytes_are_those_of_the_opentelemetry_sdk() -> None:
    """The hand-made encoder is compared with the SDK's own, request by request."""
    spec = replace(SPEC, duration_s=6 * 3_600, window_s=900, low_confidence_share=0.2, fill_per_day=8.0)
    names = set()
    for batch in Simulation(spec).batches():
        content = batch.content
        if isinstance(content, tuple):
            readings, begin, end = content
            metrics = sdk.readings_to_metrics(readings, begin, end, spec.start_ns)
            encoded = encode_metrics(sdk.metrics_data(batch.emitter.resource, metrics)).SerializeToString()
        else:
            names |= {event.name for event in content}
            encoded = encode_logs(sdk.log_records(batch.emitter.resource, content)).SerializeToString()
        assert encoded == batch.payload
    assert {"machine.deposit", "inference.prediction", "plant.scale_ticket", "review.decision"} <= names
