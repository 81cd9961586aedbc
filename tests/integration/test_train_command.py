"""``tally train`` from the command line to the ledger."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from inference.manifest import ARTEFACT, CARD, MANIFEST, read_manifest, sha256_hex
from inference.serving.model import LoadedModel
from inference.spec import find_spec, read_spec
from inference.training import tracking
from tally.cli import main
from tally.ports import free_port
from tally.testing import Database
from tests.check_ledger import check_ledger
from tests.conftest import StartCollector

DATA: Final = Path(__file__).resolve().parents[2].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data")

Train = Callable[..., Any]


@pytest.fixture
def train(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Train:
    """Runs ``tally train ... --json`` into a folder of the test; returns what it printed."""
    monkeypatch.setenv("TALLY_VAR_DIR", str(tmp_path / "var"))

    def run(*words: str, fails: int = 0) -> Any:
        status = main(["train", *words, "--models", str(tmp_path / "models"), "--json"])
        told = capsys.readouterr()
        assert status == fails, told.err
        return told.err if fails else json.loads(told.out)

    return run


def test_a_model_is_made_in_seconds_and_put_on_record(
    train: Train, database: Database, collector: StartCollector
) -> None:
    address = collector(database).grpc_endpoint
    words = ("iris", "--trials", "2", "--actor", "alice", "--collector", address)
    made = train(*words)
    assert made["seconds"] < 20
    assert made["fulfils_bounds"]

    folder = Path(made["folder"])
    manifest, digest = read_manifest(folder)
    assert digest == made["digest"] == sha256_hex((folder / MANIFEST).read_bytes())
    assert manifest.artefact_digest == sha256_hex((folder / ARTEFACT).read_bytes())
    assert manifest.card_digest == sha256_hex((folder / CARD).read_bytes())
    card = (folder / CARD).read_text()
    for section in ("Intended use", "Limits", "Data", "Metrics", "Calibration", "Promotion", "Making"):
        assert f"## {section}" in card
    assert made["data_digest"] in card
    assert "kWh" in card
    assert LoadedModel(folder, digest).manifest == manifest

    again = train(*words)
    assert (again["new"], again["digest"]) == (False, digest)
    with psycopg.connect(database.admin_url) as connection:
        rows = connection.execute(
            "SELECT action, model_version, actor, model_digest, attributes FROM governance ORDER BY seq"
        ).fetchall()
    assert [row[:4] for row in rows] == [
        ("trained", manifest.version, "alice", digest),
        ("evaluated", manifest.version, "alice", digest),
    ]
    assert rows[0][4]["model.metrics"]["accuracy"] == manifest.metrics["accuracy"]
    assert rows[0][4]["model.artefact_digest"] == manifest.artefact_digest
    check_ledger(database.admin_url)


def test_the_same_data_specification_and_seed_give_the_same_artefact(train: Train) -> None:
    words = ("iris", "--trials", "3", "--no-publish", "--actor")
    first, second = train(*words, "alice"), train(*words, "bob")
    assert first["artefact_digest"] == second["artefact_digest"]
    assert first["version"] + "-2" == second["version"]
    assert second["trained_by"] == "bob"


def test_a_model_that_is_not_on_record_is_kept_and_the_command_says_how_to_go_on(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tally.commands.train._RETRY_S", 0.1)
    told = train("iris", "--trials", "1", "--collector", f"127.0.0.1:{free_port()}", fails=2)
    assert "not on record" in told
    assert "run the same command again" in told
    assert len(list((tmp_path / "models" / "iris").iterdir())) == 1


def test_the_sensor_model_is_made_in_seconds_and_knows_the_machines_materials(train: Train) -> None:
    made = train("waste-sensors", "--trials", "1", "--no-publish")
    assert made["metrics"]["accuracy"] > 0.96
    assert made["metrics"]["ece"] < 0.03
    assert set(made["group_metrics"]) == {"clean", "soiled"}
    assert made["fulfils_bounds"]


def test_a_category_and_gaps_of_a_csv_are_learnt_from(train: Train, tmp_path: Path) -> None:
    gap = ["", "1", "2"]
    rows = [f"{n % 10},{gap[n % 3]},{'LM'[n % 2]},{n % 10 * (1 + n % 2)}" for n in range(300)]
    (tmp_path / "own.csv").write_text("a,b,kind,price\n" + "\n".join(rows) + "\n")
    (tmp_path / "own.yaml").write_text(
        """
id: own
title: A model of one's own
task: regression
intended_use: a test
limits: [it is small]
data: {source: csv, path: own.csv, origin: made up}
features:
  - {name: a, minimum: 0, maximum: 10}
  - {name: b, minimum: 0, maximum: 3, nullable: true}
  - {name: kind, values: [L, M]}
derived:
  - {name: both, product: [a, b]}
target: {column: price, unit: EUR, minimum: 0, maximum: 100}
groups: {column: kind}
search: {metric: rmse, trials: 2, folds: 3}
candidates:
  - {estimator: lightgbm, space: {n_estimators: 100, num_leaves: {low: 4, high: 15, start: 7}}}
promotion: {maximum: {rmse: 1}}
"""
    )
    made = train(str(tmp_path / "own.yaml"), "--data", str(tmp_path), "--no-publish")
    assert made["metrics"]["rmse"] < 0.5
    assert set(made["group_metrics"]) == {"L", "M"}
    loaded = LoadedModel(Path(made["folder"]))
    assert loaded.encoder is not None
    row = loaded.encoder.row({"a": 5, "kind": "M"})
    assert loaded.manifest.unit == "EUR"
    import numpy as np

    assert loaded.answer(np.array([row], dtype=np.float32))[0].value == pytest.approx(10, abs=1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("irises",), "irises: no such file"),
        (("iris", "--trials", "0"), "--trials"),
        (("water-potability", "--data", "/nowhere"), "does not exist"),
    ],
)
def test_what_can_not_be_trained_is_told_in_one_line(train: Train, words: tuple[str, ...], said: str) -> None:
    told = train(*words, "--no-publish", fails=2)
    assert said in told
    assert "Traceback" not in told


def test_photos_without_pytorch_are_told_what_to_install(train: Train, tmp_path: Path) -> None:
    try:
        import torch  # type: ignore[import-not-found, unused-ignore]  # noqa: F401
    except ImportError:
        told = train("waste-photos", "--data", str(tmp_path), "--no-publish", fails=2)
        assert "install the [train] extra" in told
    else:
        pytest.skip("PyTorch is installed here")


@needs_data
@pytest.mark.parametrize(
    ("spec", "least", "most"),
    [
        ("california-housing", {"r2": 0.821}, {"rmse": 0.498}),
        ("predictive-maintenance", {"precision": 0.75, "recall": 0.7, "average_precision": 0.8}, {}),
    ],
)
def test_a_published_result_is_reached_with_the_first_trial_alone(
    train: Train, spec: str, least: dict[str, float], most: dict[str, float]
) -> None:
    made = train(spec, "--data", str(DATA), "--trials", "1", "--no-publish")
    for name, bound in least.items():
        assert made["metrics"][name] > bound
    for name, bound in most.items():
        assert made["metrics"][name] < bound


def test_the_failure_modes_that_give_the_answer_away_are_not_read() -> None:
    spec, _ = read_spec(find_spec("predictive-maintenance"))
    names = {feature.name for feature in spec.features}
    assert not names & {"UDI", "Product ID", "TWF", "HDF", "PWF", "OSF", "RNF"}


@pytest.mark.skipif(not tracking.installed(), reason="MLflow is not installed: the extra mlflow")
def test_runs_are_tracked_where_mlflow_is_installed(train: Train, tmp_path: Path) -> None:
    train("iris", "--trials", "1", "--no-publish")
    assert list((tmp_path / "var" / "mlruns").rglob("params/estimator"))
