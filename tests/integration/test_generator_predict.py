"""A fleet whose deposits a real service classifies: every answer is a row, and the score of all is true."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import psycopg
import pytest
from onnx import TensorProto, helper, numpy_helper

from generator import api
from generator.materials import MATERIAL_IDS
from generator.photos import CLASS_OF
from generator.readings import READING_NAMES, table
from tally.testing import CollectorProcess, Database, InferenceProcess
from tests.check_ledger import check_ledger
from tests.conftest import StartCollector, StartInference
from tests.inference_models import READINGS, SHADES, photo, promote, write_model, write_photo_model
from tests.integration.inference_service import waiting

SPEC: Final = api.FleetSpec(
    seed=3, machines=4, sites=2, duration_s=3_600, step_s=300, window_s=900, deposits_per_day=600,
    start=api.FleetSpec().start.replace(hour=2), at_least=1,
)  # fmt: skip
COVERS: Final = {
    "metal": ("aluminium_cans", "steel_cans"),
    "paper": ("mixed_paper", "corrugated"),
    "glass": ("glass",),
}


def write_material_model(shelf: Path) -> Path:
    """A linear discriminant of the generator's readings, fitted to a thousand of them."""
    frame = table(1_000, seed=1)
    rows, truth = frame[list(READING_NAMES)].to_numpy(), frame["material"].to_numpy()
    groups = [rows[truth == name] for name in MATERIAL_IDS]
    means = np.array([group.mean(axis=0) for group in groups])
    spread = np.mean([np.cov(group.T) for group in groups], axis=0)
    weights = np.linalg.solve(spread, means.T)
    bias = -0.5 * np.einsum("ij,ji->i", means, weights)
    constants = {"weights": weights.astype(np.float32), "bias": bias.astype(np.float32)}
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["readings", "weights", "bias"], ["logits"])],
        "discriminant",
        [helper.make_tensor_value_info("readings", TensorProto.FLOAT, ["n", len(READING_NAMES)])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", len(MATERIAL_IDS)])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    features = [{"name": name, "minimum": -1, "maximum": 50_000} for name in READING_NAMES]
    return write_model(
        shelf,
        READINGS,
        "v1",
        made.SerializeToString(),
        input={"kind": "readings", "features": features},
        classes=MATERIAL_IDS,
    )


def write_photos(folder: Path) -> Path:
    """Photos by class: of each class that the test's model has, in its shade; plastic looks like glass."""
    for name in sorted(set(CLASS_OF.values())):
        shade = SHADES.get(name, SHADES["paper"] if name == "cardboard" else SHADES["glass"])
        (folder / name).mkdir(parents=True)
        for mark in range(2):
            (folder / name / f"{mark}.png").write_bytes(photo(shade, mark=mark))
    return folder


@pytest.fixture
def serving(database: Database, collector: StartCollector) -> CollectorProcess:
    return collector(database)


@pytest.fixture
def service(database: Database, serving: CollectorProcess, inference: StartInference) -> InferenceProcess:
    """A service with a champion of either kind."""
    made = inference(database, serving.grpc_endpoint, {"TALLY_INFERENCE_FOLLOW_S": "0.1"}, ready=False)
    folders = [
        write_photo_model(made.models_dir, "v1", covers=COVERS),
        write_material_model(made.models_dir),
    ]
    promote(database.inference_url, serving.grpc_endpoint, *folders)
    made.wait_ready()
    return made


def rows(database: Database) -> list[dict[str, Any]]:
    with psycopg.connect(database.audit_url, row_factory=psycopg.rows.dict_row) as connection:
        return connection.execute("SELECT * FROM predictions ORDER BY machine_id, seq").fetchall()


def arrived(database: Database, service: InferenceProcess) -> list[dict[str, Any]]:
    """The rows, when nothing waits any more."""
    while waiting(service):
        time.sleep(0.02)
    return rows(database)


@pytest.mark.parametrize("mode", ["stream", "backfill"])
def test_every_answer_is_one_row_and_the_score_is_true(
    mode: str, database: Database, serving: CollectorProcess, service: InferenceProcess, tmp_path: Path
) -> None:
    asked = api.PredictSpec(
        service.http_url,
        token=service.token("machines"),
        photos=write_photos(service.photos_dir / "by-class"),
        answers=tmp_path / "answers.jsonl",
    )
    target = api.Target(grpc_port=serving.grpc_port, http_port=serving.http_port)
    manifest = tmp_path / "manifest.jsonl"
    if mode == "stream":
        report = api.stream(SPEC, target, manifest, speed=None, predict=asked)
    else:
        report = api.backfill(SPEC, target, manifest, predict=asked)
    assert report.good, report.to_json()
    assert report.facts.digest == api.plan(SPEC, predict=asked).facts.digest

    answers = {a["transaction_id"]: a for a in map(json.loads, asked.answers.read_text().splitlines())}  # type: ignore[union-attr]
    found = {row["transaction_id"]: row for row in arrived(database, service)}
    assert len(found) == len(answers) == report.facts.rows_by_stream["predictions"] > 50
    for transaction, answer in answers.items():
        row = found[transaction]
        assert (row["prediction_id"], row["machine_id"]) == (answer["prediction_id"], answer["machine"])
        assert row["site_id"].startswith("fleet-site-")
        assert row["material"] == answer["prediction"]
        assert SPEC.start <= row["event_time"]
        covered = {answer["prediction"], *COVERS.get(answer["prediction"], ())}
        assert answer["right"] == (answer["material"] in covered)
    score = report.predictions
    assert score is not None
    assert score["right"] == sum(answer["right"] for answer in answers.values())
    accuracy = {model["input"]: model["accuracy"] for model in score["models"]}
    assert accuracy["readings"] > 0.8
    plastics = Counter(
        a["material"] in {"pet", "hdpe", "pp"} for a in answers.values() if a["input"] == "photo"
    )
    assert accuracy["photo"] == pytest.approx(plastics[False] / plastics.total(), abs=1e-4)

    last = json.loads(manifest.read_text().splitlines()[-1])
    assert last["predictions"]["answered"] == len(answers)
    with psycopg.connect(database.audit_url) as connection:
        ours = connection.execute("SELECT count(*) FROM transactions").fetchone()
        others = connection.execute("SELECT count(*) FROM reviews").fetchone()
    assert (ours, others) == ((report.facts.rows_by_stream["transactions"],), (0,))
    check_ledger(database.audit_url)


def test_photos_that_the_service_may_not_read_are_refused_and_the_rest_goes_on(
    database: Database, serving: CollectorProcess, service: InferenceProcess, tmp_path: Path
) -> None:
    asked = api.PredictSpec(
        service.http_url, token=service.token("machines"), photos=write_photos(tmp_path / "elsewhere")
    )
    target = api.Target(grpc_port=serving.grpc_port, http_port=serving.http_port)
    report = api.stream(SPEC, target, speed=None, predict=asked)
    score = report.predictions
    assert score is not None
    assert not report.good
    assert {model["input"] for model in score["models"]} == {"readings"}
    assert set(score["problems"]) == {"path_outside_roots"}
    refused = score["problems"]["path_outside_roots"]["count"]
    assert refused + score["answered"] == score["asked"] == report.facts.rows_by_stream["predictions"]
    assert len(arrived(database, service)) == score["answered"]


def test_the_command_asks_with_the_token_of_a_file(
    serving: CollectorProcess,
    service: InferenceProcess,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from generator.__main__ import main

    token = tmp_path / "token"
    token.write_text(service.token("machines"))
    words = ["faster", "--duration", "20m", "--machines", "2", "--start", "2026-01-05T02:00:00Z", "--json"]
    words += ["--grpc-port", str(serving.grpc_port), "--http-port", str(serving.http_port)]
    words += ["--predict", service.http_url, "--predict-token-file", str(token), "--deposits", "900"]
    assert main(words) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["predictions"]["answered"] == summary["rows_by_stream"]["predictions"] > 0
    token.write_text("wrong")
    assert main(words) == 1
    assert set(json.loads(capsys.readouterr().out)["predictions"]["problems"]) == {"not_authenticated"}
