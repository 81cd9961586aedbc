"""The inference service while something else fails: each answer that left is one row, sooner or later."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg
import pytest

from inference.__main__ import main
from tally.testing import Cluster, CollectorProcess, Database, InferenceProcess
from tests.check_ledger import check_ledger
from tests.conftest import StartCollector, StartInference
from tests.inference_models import GLASS, METAL, promote, write_readings_model

_SENSORS: Final = {"TALLY_INFERENCE_SENSORS": '["rvm-*"]', "TALLY_INFERENCE_FOLLOW_S": "0.2"}
_ARRIVES_S: Final = 20.0


def ask(process: InferenceProcess, transaction_id: str, **body: Any) -> httpx.Response:
    item = {"sensor_id": "rvm-1", "readings": dict(METAL), "transaction_id": transaction_id, **body}
    return httpx.post(f"{process.http_url}/predict", json=item, headers=process.headers(), timeout=20)


def rows(database: Database, transaction_id: str) -> list[str]:
    """The ids of the predictions of a transaction."""
    with psycopg.connect(database.audit_url) as connection:
        found = connection.execute(
            "SELECT prediction_id FROM predictions WHERE transaction_id = %s", (transaction_id,)
        )
        return [str(row[0]) for row in found]


def waiting(process: InferenceProcess) -> int:
    outbox = sqlite3.connect(process.state_dir / "outbox.sqlite", timeout=10)
    try:
        return int(outbox.execute("SELECT requests FROM total").fetchone()[0])
    finally:
        outbox.close()


def emptied(process: InferenceProcess) -> None:
    deadline = time.monotonic() + _ARRIVES_S
    while waiting(process):
        assert time.monotonic() < deadline, process.log[-2000:]
        time.sleep(0.05)


def with_champion(database: Database, collector: CollectorProcess, process: InferenceProcess) -> None:
    promote(
        database.inference_url,
        collector.grpc_endpoint,
        write_readings_model(process.models_dir, "v1"),
    )


def test_answers_outlive_the_collector_the_database_and_the_service_itself(
    mortal_database: Database,
    mortal_cluster: tuple[Cluster, str],
    collector: StartCollector,
    inference: StartInference,
) -> None:
    server = mortal_cluster[0].server
    assert server is not None
    to = collector(mortal_database)
    service = inference(mortal_database, to.grpc_endpoint, _SENSORS, ready=False)
    service.wait_for("/health")
    assert ask(service, "t-0").json()["error"]["reason"] == "no_champion"
    with_champion(mortal_database, to, service)
    service.wait_ready()

    to.kill9()
    told = {f"t-{number}": ask(service, f"t-{number}").json()["prediction_id"] for number in range(1, 4)}
    assert waiting(service) == 3
    # At once after an answer: whatever was not on disk yet is lost.
    told["t-killed"] = ask(service, "t-killed").json()["prediction_id"]
    service.kill9()

    server.kill9()
    service.start()
    assert ask(service, "t-dark", readings=dict(GLASS)).json()["model_version"] == "v1"
    metrics = httpx.get(f"{service.http_url}/metrics").text
    assert "tally_inference_ledger_followed 0.0" in metrics
    answer = ask(service, "t-nobody", sensor_id="machine-that-nobody-named")
    assert (answer.status_code, answer.json()["error"]["reason"]) == (503, "sensors_unavailable")

    server.start()
    to.start()
    emptied(service)
    for transaction_id, prediction_id in told.items():
        assert rows(mortal_database, transaction_id) == [prediction_id]
    assert len(rows(mortal_database, "t-dark")) == 1
    deadline = time.monotonic() + _ARRIVES_S
    while "tally_inference_ledger_followed 1.0" not in httpx.get(f"{service.http_url}/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert service.stop() == 0
    check_ledger(mortal_database.audit_url)


def test_killed_between_the_write_and_the_answer_leaves_one_row_and_no_answer(
    database: Database, collector: StartCollector, tmp_path: Path
) -> None:
    to = collector(database)
    files, module = tmp_path / "inference", "tests.faults.killed_inference"
    dying = InferenceProcess(database, to.grpc_endpoint, files, _SENSORS, module=module)
    with_champion(database, to, dying)
    with dying:
        with pytest.raises(httpx.TransportError):
            ask(dying, "t-1")
        dying.kill9()
    assert waiting(dying) == 1
    with InferenceProcess(database, to.grpc_endpoint, files, _SENSORS) as service:
        emptied(service)
        assert len(rows(database, "t-1")) == 1
        # It can't be known again: what was recorded and never told is a second prediction of the deposit.
        told = ask(service, "t-1").json()
        emptied(service)
        found = rows(database, "t-1")
        assert len(found) == 2
        assert told["prediction_id"] in found


def test_what_can_not_be_recorded_is_not_answered(
    database: Database, collector: StartCollector, inference: StartInference
) -> None:
    to = collector(database)
    service = inference(database, to.grpc_endpoint, _SENSORS, ready=False)
    with_champion(database, to, service)
    service.wait_ready()
    outbox = sqlite3.connect(service.state_dir / "outbox.sqlite", timeout=10, isolation_level=None)
    outbox.execute(
        "CREATE TRIGGER full BEFORE INSERT ON waiting BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
    )
    answer = ask(service, "t-full")
    assert (answer.status_code, answer.json()["error"]["reason"]) == (503, "outbox")
    assert answer.headers["Retry-After"] == "1"
    items = [{"sensor_id": "rvm-1", "readings": dict(METAL)}] * 3
    answer = httpx.post(
        f"{service.http_url}/predict/batch", json={"items": items}, headers=service.headers(), timeout=20
    )
    assert (answer.status_code, answer.json()["error"]["reason"]) == (503, "outbox")
    assert rows(database, "t-full") == []
    outbox.execute("DROP TRIGGER full")
    outbox.close()
    told = ask(service, "t-full").json()
    emptied(service)
    assert rows(database, "t-full") == [told["prediction_id"]]
    assert service.stop() == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"TALLY_INFERENCE_PRINCIPALS": None}, "TALLY_INFERENCE_PRINCIPALS: Field required"),
        ({"TALLY_INFERENCE_PRINCIPALS": "{tmp}/none.json"}, "none.json can't be read"),
        ({"TALLY_INFERENCE_PHOTO_ROOTS": "/photos"}, "TALLY_INFERENCE_PHOTO_ROOTS"),
        ({"TALLY_INFERENCE_PHOTO_HOSTS": '["http://"]'}, "is no rule for a host"),
        ({"TALLY_INFERENCE_STATE_DIR": "/dev/null/state"}, "can't be opened"),
    ],
)
def test_a_start_that_can_not_be_says_why_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str | None],
    said: str,
) -> None:
    principals = tmp_path / "principals.json"
    principals.write_text("[]")
    settings: dict[str, str | None] = {
        "TALLY_INFERENCE_DATABASE_URL": "postgresql://tally_inference:hidden@127.0.0.1:1/tally",
        "TALLY_INFERENCE_PRINCIPALS": str(principals),
        "TALLY_INFERENCE_STATE_DIR": str(tmp_path / "state"),
        "TALLY_INFERENCE_PORT": "0",
    }
    for name in os.environ:
        if name.startswith("TALLY_"):
            monkeypatch.delenv(name)
    for name, value in (settings | changes).items():
        if value is not None:
            monkeypatch.setenv(name, value.replace("{tmp}", str(tmp_path)))
    monkeypatch.setattr("inference.__main__.configure_logging", lambda _level: None)
    assert main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("inference: ")
    assert said in line
    assert "hidden" not in line
