"""Answers as events: which name they have, and what each of them carries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from inference.evidence import Recorded, new_prediction_id, request_bytes
from inference.manifest import Manifest
from inference.serving.model import Answer

_DIGEST = "cd" * 32


def manifest(**changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "model_id": "m",
        "version": "v1",
        "task": "classification",
        "title": "m",
        "artefact_digest": _DIGEST,
        "card_digest": _DIGEST,
        "input": {"kind": "photo", "width": 32, "height": 32},
        "output": "logits",
        "classes": ("glass", "metal"),
        "covers": {"metal": ("steel_cans", "aluminium_cans")},
        "spec_digest": _DIGEST,
        "data_digest": _DIGEST,
        "metrics": {},
        "promotion": {},
        "trained_at": "2026-03-01T00:00:00Z",
        "trained_by": "trainer",
        "seconds": 1,
    }
    return Manifest.model_validate(values | changes)


def recorded(**changes: Any) -> Recorded:
    made = Recorded(
        prediction_id="pred-1",
        sensor_id="rvm-1",
        site_id=None,
        transaction_id="t-1",
        observed_ns=1_772_440_200_000_000_000,
        answered_ns=1_772_440_201_000_000_000,
        manifest=manifest(),
        model_digest=_DIGEST,
        role="champion",
        input_digest=_DIGEST,
        answer=Answer("metal", None, 0.8, {"metal": 0.8, "glass": 0.2}, unsure=False),
        statistics={"brightness": 0.5},
    )
    return replace(made, **changes)


def plain(value: AnyValue) -> Any:
    match value.WhichOneof("value"):
        case "array_value":
            return [plain(item) for item in value.array_value.values]
        case "kvlist_value":
            return {item.key: plain(item.value) for item in value.kvlist_value.values}
        case str(kind):
            return getattr(value, kind)
        case _:
            return None


def events(*items: Recorded) -> list[tuple[str, str, dict[str, Any]]]:
    """Machine, event name and attributes of each record."""
    request = ExportLogsServiceRequest.FromString(request_bytes(items))
    return [
        (
            group.resource.attributes[0].value.string_value,
            record.event_name,
            {item.key: plain(item.value) for item in record.attributes},
        )
        for group in request.resource_logs
        for scope in group.scope_logs
        for record in scope.log_records
    ]


def test_an_answer_carries_all_that_makes_it_evidence() -> None:
    ((machine, name, attributes),) = events(recorded())
    assert (machine, name) == ("rvm-1", "inference.prediction")
    assert attributes == {
        "prediction.id": "pred-1",
        "deposit.transaction_id": "t-1",
        "model.id": "m",
        "model.version": "v1",
        "model.digest": _DIGEST,
        "prediction.role": "champion",
        "prediction.input_digest": _DIGEST,
        "prediction.statistics": {"brightness": 0.5},
        "prediction.material": "metal",
        "prediction.confidence": 0.8,
        "prediction.threshold": 0.75,
        "prediction.top": {"metal": 0.8, "glass": 0.2},
        "prediction.covers": ["steel_cans", "aluminium_cans"],
    }


def test_an_answer_in_shadow_is_no_prediction_and_says_what_the_champion_said() -> None:
    ((_, name, attributes),) = events(recorded(role="shadow", champion_label="glass"))
    assert name == "inference.shadow"
    assert attributes["prediction.champion"] == "glass"


@pytest.mark.parametrize("role", ["champion", "challenger"])
def test_a_value_of_a_regression_is_an_estimate_with_its_unit(role: str) -> None:
    asked = manifest(task="regression", output="value", classes=(), covers={}, unit="kg")
    answer = Answer("12.5", 12.5, None, {}, unsure=False)
    ((_, name, attributes),) = events(recorded(manifest=asked, answer=answer, role=role))
    assert name == "inference.estimate"
    assert (attributes["prediction.value"], attributes["prediction.unit"]) == (12.5, "kg")
    assert "prediction.material" not in attributes


def test_answers_of_a_batch_stand_under_their_machines_in_order() -> None:
    found = events(
        recorded(prediction_id="a", sensor_id="rvm-1"),
        recorded(prediction_id="b", sensor_id="rvm-2"),
        recorded(prediction_id="c", sensor_id="rvm-1"),
    )
    assert [(machine, attributes["prediction.id"]) for machine, _, attributes in found] == [
        ("rvm-1", "a"),
        ("rvm-1", "c"),
        ("rvm-2", "b"),
    ]


def test_ids_of_predictions_are_never_the_same() -> None:
    assert len({new_prediction_id() for _ in range(1_000)}) == 1_000
