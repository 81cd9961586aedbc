"""The inference service as it runs: answers and their evidence; who may ask."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from inference.manifest import sha256_hex
from tests.check_ledger import check_ledger
from tests.inference_models import (
    GLASS,
    METAL,
    PHOTOS,
    SHADES,
    photo,
)
from tests.integration.inference_service import MARKS, Service, reason


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("name", sorted(SHADES))
def test_a_photo_is_answered_with_its_class(service: Service, name: str, kind: str) -> None:
    answer = service.ask(image_url=service.photo(photo(SHADES[name], kind=kind)))
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["prediction"] == name
    assert told["confidence_score"] > 0.9
    assert (told["model"], told["model_version"]) == (PHOTOS, "v1")
    assert 0 < told["processing_time_ms"] < 30_000
    assert set(told["top"]) == set(SHADES)
    assert told["review"] is False


def test_an_answer_is_one_row_of_the_ledger_that_says_all_of_it(service: Service) -> None:
    content = photo(SHADES["metal"], mark=next(MARKS))
    observed = datetime(2026, 3, 2, 10, 30, 0, 123456, tzinfo=UTC)
    url = service.photo(content)
    told = service.ask(
        image_url=url,
        transaction_id="t-one-row",
        site_id="site-9",
        observed_at=observed.isoformat(),
    ).json()
    (row,) = service.arrived("prediction_id", told["prediction_id"])
    assert row["machine_id"] == "rvm-1"
    assert row["site_id"] == "site-9"
    assert row["transaction_id"] == "t-one-row"
    assert row["event_time"] == observed
    assert (row["model_id"], row["model_version"]) == (PHOTOS, "v1")
    manifest = (service.process.models_dir / PHOTOS / "v1" / "manifest.json").read_bytes()
    assert row["model_digest"] == sha256_hex(manifest)
    assert row["input_digest"] == sha256_hex(content)
    assert row["material"] == told["prediction"] == "metal"
    assert round(row["confidence"], 6) == told["confidence_score"]
    assert row["threshold"] == 0.75
    attributes = row["attributes"]
    assert attributes["prediction.top"] == told["top"]
    assert attributes["prediction.role"] == "champion"
    assert attributes["prediction.caller"] == "operator"
    assert attributes["prediction.image_url"] == url
    assert attributes["prediction.covers"] == ["aluminium_can", "steel_can"]
    assert set(attributes["prediction.statistics"]) == {"brightness", "contrast", "saturation"}
    check_ledger(service.database.audit_url)


def test_readings_are_answered_and_their_digest_is_that_of_their_canonical_json(service: Service) -> None:
    told = service.ask(readings=dict(METAL), transaction_id="t-readings").json()
    assert told["prediction"] == "metal"
    (row,) = service.arrived("prediction_id", told["prediction_id"])
    assert row["input_digest"] == sha256_hex(b'{"lid":"no","mass_g":20,"nir":0.9}')
    assert row["attributes"]["prediction.statistics"] == {"mass_g": 20, "nir": 0.9}


def test_an_unsure_answer_goes_to_review(service: Service) -> None:
    between = (SHADES["glass"] + SHADES["metal"]) // 2
    told = service.ask(image_url=service.photo(photo(between))).json()
    assert told["confidence_score"] < 0.75
    assert told["review"] is True


def test_a_request_that_is_repeated_is_answered_from_memory_and_another_photo_is_not(
    service: Service,
) -> None:
    url = service.photo(photo(SHADES["glass"], mark=next(MARKS)))
    first = service.ask(image_url=url, transaction_id="t-repeat").json()
    assert service.ask(image_url=url, transaction_id="t-repeat").json() == first
    assert len(service.arrived("transaction_id", "t-repeat")) == 1
    other = service.ask(image_url=service.photo(photo(SHADES["paper"])), transaction_id="t-repeat").json()
    assert other["prediction_id"] != first["prediction_id"]
    rows = service.arrived("transaction_id", "t-repeat", 2)
    assert [row["prediction_id"] for row in rows] == [first["prediction_id"], other["prediction_id"]]


def test_a_request_that_is_repeated_while_the_first_is_under_way_adds_no_row(service: Service) -> None:
    url = service.photo(photo(SHADES["glass"], mark=next(MARKS), side=1500))
    body = {"sensor_id": "rvm-1", "image_url": url, "transaction_id": "t-twice-at-once"}

    async def ask() -> list[dict[str, Any]]:
        async with httpx.AsyncClient(
            base_url=service.process.http_url, headers=service.process.headers(), timeout=30
        ) as client:
            answers = await asyncio.gather(*(client.post("/predict", json=body) for _ in range(6)))
            batch = await client.post("/predict/batch", json={"items": [body, body]})
        return [*(answer.json() for answer in answers), *batch.json()["results"]]

    told = asyncio.run(ask())
    assert len({one["prediction_id"] for one in told}) == 1
    assert len(service.arrived("transaction_id", "t-twice-at-once")) == 1


def test_two_equal_items_of_one_batch_are_one_prediction(service: Service) -> None:
    item = {"sensor_id": "rvm-1", "readings": dict(GLASS), "transaction_id": "t-batch-twice"}
    results = service.client.post("/predict/batch", json={"items": [item, item]}).json()["results"]
    assert results[0]["prediction_id"] == results[1]["prediction_id"]
    assert len(service.arrived("transaction_id", "t-batch-twice")) == 1


def test_a_bad_item_of_a_batch_costs_no_other(service: Service) -> None:
    items = [
        {"sensor_id": "rvm-1", "readings": dict(GLASS), "transaction_id": "t-batch"},
        {"sensor_id": "rvm-1", "readings": {**METAL, "nir": 7}, "transaction_id": "t-batch"},
        {"sensor_id": "rvm-2", "image_url": service.photo(b"no photo"), "transaction_id": "t-batch"},
        {"sensor_id": "nobody", "readings": dict(GLASS), "transaction_id": "t-batch"},
        {"sensor_id": "rvm-2", "image_url": service.photo(photo(128)), "transaction_id": "t-batch"},
        {"sensor_id": "rvm-2", "readings": dict(GLASS), "model": "nonesuch", "transaction_id": "t-batch"},
    ]
    answer = service.client.post("/predict/batch", json={"items": items})
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    told = [one.get("prediction") or one["error"]["reason"] for one in results]
    assert told == ["glass", "out_of_bounds", "not_a_photo", "unknown_sensor", "metal", "no_such_model"]
    rows = service.arrived("transaction_id", "t-batch", 2)
    assert {row["prediction_id"] for row in rows} == {
        results[0]["prediction_id"],
        results[4]["prediction_id"],
    }


def test_a_batch_spread_over_years_is_on_record_wholly(service: Service) -> None:
    first = datetime(2001, 1, 1, 12, tzinfo=UTC)
    items = [
        {
            "sensor_id": "rvm-years",
            "readings": dict(GLASS),
            "transaction_id": f"t-years-{number}",
            "observed_at": (first + timedelta(days=number)).isoformat(),
        }
        for number in range(600)
    ]
    answer = service.client.post("/predict/batch", json={"items": items})
    assert len({one["prediction_id"] for one in answer.json()["results"]}) == 600
    rows = service.arrived("machine_id", "rvm-years", 600)
    assert [row["transaction_id"] for row in rows] == [item["transaction_id"] for item in items]


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [("POST", "/predict", "predict"), ("POST", "/predict/batch", "predict"), ("POST", "/reload", "govern")],
)
def test_a_path_asks_for_its_role(service: Service, method: str, path: str, role: str) -> None:
    item = {"sensor_id": "rvm-1", "readings": dict(METAL)}
    body = {"items": [item]} if path.endswith("batch") else item
    holders = {"predict": "machines", "govern": "approver"}
    for principal in ("machines", "reviewer", "approver", "operator"):
        answer = service.client.request(method, path, json=body, headers=service.process.headers(principal))
        if principal in {holders[role], "operator"}:
            assert answer.status_code == 200, answer.text
        else:
            assert (answer.status_code, reason(answer)) == (403, "role_missing")


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", "Basic {token}", "{token}"])
def test_without_a_good_token_nothing_is_answered(service: Service, header: str | None) -> None:
    token = service.process.token()
    headers = {} if header is None else {"Authorization": header.replace("{token}", token)}
    with httpx.Client(base_url=service.process.http_url) as client:
        for path in ("/predict", "/predict/batch", "/reload"):
            answer = client.post(path, json={"sensor_id": "rvm-1"}, headers=headers)
            assert (answer.status_code, reason(answer)) == (401, "not_authenticated")
            assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_no_token_is_ever_logged(service: Service) -> None:
    log = service.process.log
    for principal in ("machines", "reviewer", "approver", "operator"):
        assert service.process.token(principal) not in log


def test_readings_beside_a_photo_are_kept_and_the_photo_is_classified(service: Service) -> None:
    readings = {f"reading-{number}": float(number) for number in range(256)}
    told = service.ask(
        image_url=service.photo(photo(SHADES["metal"], mark=next(MARKS))),
        readings=readings,
        transaction_id="t-both",
    ).json()
    assert told["prediction"] == "metal"
    (row,) = service.arrived("prediction_id", told["prediction_id"])
    assert row["attributes"]["prediction.readings"] == readings


@pytest.mark.parametrize(("value", "reason"), [("1e999", "not_finite"), (10**60, "out_of_bounds")])
def test_readings_beside_a_photo_must_be_what_the_ledger_can_hold(
    service: Service, value: object, reason: str
) -> None:
    url = service.photo(photo(SHADES["metal"], mark=next(MARKS)))
    body = f'{{"sensor_id": "rvm-1", "image_url": "{url}", "readings": {{"a": {value}}}}}'
    told = service.client.post("/predict", content=body, headers={"Content-Type": "application/json"})
    assert told.status_code == 422
    assert told.json()["error"]["reason"] == reason


def test_the_health_of_models_is_told(service: Service) -> None:
    told = service.client.get("/model/health")
    assert told.status_code == 200
    assert isinstance(told.json(), list)
