"""What Prometheus is told of the seats."""

from __future__ import annotations

import asyncio
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from inference.manifest import ARTEFACT
from inference.metrics import InferenceMetrics
from inference.serving.desk import Desk, Plan, Post
from inference.serving.model import LoadedModel
from tests.inference_models import READINGS, write_readings_model


def samples(metrics: InferenceMetrics, name: str) -> dict[tuple[str, ...], float]:
    """Labels' values to value, of one metric."""
    text = generate_latest(metrics.registry).decode()
    return {
        tuple(sample.labels[label] for label in sorted(sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def test_seats_are_told_with_their_roles_and_problems(tmp_path: Path) -> None:
    desk = Desk([tmp_path])
    metrics = InferenceMetrics(desk)
    posts = {}
    for version in ("v1", "v2", "v3"):
        folder = write_readings_model(tmp_path, version)
        posts[version] = Post(version, LoadedModel(folder).digest)

    def info(plan: Plan) -> set[tuple[str, str]]:
        asyncio.run(desk.follow({READINGS: plan}))
        told = samples(metrics, "tally_inference_model_info")
        assert set(told.values()) <= {1.0}
        return {(role, version) for _, _, role, version in told}

    def problem() -> dict[tuple[str, ...], float]:
        return samples(metrics, "tally_inference_model_problem")

    assert info(Plan(None)) == set()
    assert info(Plan(posts["v1"])) == {("champion", "v1")}
    assert info(Plan(posts["v1"], posts["v2"], 0.1)) == {("champion", "v1"), ("challenger", "v2")}
    assert info(Plan(posts["v1"], posts["v2"])) == {("champion", "v1"), ("shadow", "v2")}
    assert problem() == {(READINGS,): 0.0}
    (tmp_path / READINGS / "v3" / ARTEFACT).write_bytes(b"damaged")
    assert info(Plan(posts["v3"])) == {("champion", "v1"), ("shadow", "v2")}
    assert problem() == {(READINGS,): 1.0}


def test_only_counters_end_in_total_and_units_are_base_units(tmp_path: Path) -> None:
    text = generate_latest(InferenceMetrics(Desk([tmp_path])).registry).decode()
    for family in text_string_to_metric_families(text):
        assert family.name.startswith("tally_inference_")
        assert family.documentation.endswith(".")
        assert not family.name.endswith(("_ms", "_percent"))
        assert (family.type == "counter") or not family.name.endswith("_total")
