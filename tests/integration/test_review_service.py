"""A review through the running service: which materials it takes, and how many decisions."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg

from tests.inference_models import SHADES, photo
from tests.integration.inference_service import MARKS, Service, reason, waiting

_TAKEN_UP_S = 15.0


def leased(service: Service) -> dict[str, Any]:
    """An unsure answer of just now, lent to the reviewer."""
    between = (SHADES["glass"] + SHADES["metal"]) // 2
    told = service.ask(image_url=service.photo(photo(between, mark=next(MARKS)))).json()
    assert told["review"] is True
    deadline = time.monotonic() + _TAKEN_UP_S
    while True:
        answer = service.client.post(
            "/reviews/lease", json={"count": 100}, headers=service.process.headers("reviewer")
        )
        for item in answer.json()["items"]:
            if item["prediction_id"] == told["prediction_id"]:
                return dict(item)
        assert time.monotonic() < deadline, "it does not come to the queue"
        time.sleep(0.1)


def decide(
    service: Service, item: dict[str, Any], body: dict[str, Any], caller: str = "reviewer"
) -> httpx.Response:
    return service.client.post(
        f"/reviews/{item['prediction_id']}/decision",
        json={"lease_token": item["lease_token"], **body},
        headers=service.process.headers(caller),
    )


def recorded(service: Service, prediction_id: str) -> list[tuple[str, str | None]]:
    """The decisions in the ledger, when nothing waits in the outbox any more."""
    deadline = time.monotonic() + _TAKEN_UP_S
    while True:
        with psycopg.connect(service.database.audit_url) as connection:
            found = connection.execute(
                "SELECT decision, material FROM reviews WHERE prediction_id = %s", (prediction_id,)
            ).fetchall()
        if found and waiting(service.process) == 0:
            return found
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_material_that_the_models_manifest_does_not_have_is_refused(service: Service) -> None:
    item = leased(service)
    answer = decide(service, item, {"decision": "corrected", "material": "unobtainium"})
    assert (answer.status_code, reason(answer)) == (422, "unknown_material")
    assert "aluminium_can, glass, metal, paper" in answer.text
    right = "paper" if item["predicted"] != "paper" else "glass"
    assert decide(service, item, {"decision": "corrected", "material": right}).status_code == 200
    assert recorded(service, item["prediction_id"]) == [("corrected", right)]
    other = decide(service, item, {"decision": "corrected", "material": right}, caller="operator")
    assert (other.status_code, reason(other)) == (409, "not_your_lease")


def test_four_decisions_at_once_with_one_token_are_one_row(service: Service) -> None:
    item = leased(service)
    bodies = [
        {"decision": "confirmed"},
        {"decision": "rejected"},
        {"decision": "corrected", "material": "paper"},
        {"decision": "rejected"},
    ]
    with ThreadPoolExecutor(4) as callers:
        answers = list(callers.map(lambda body: decide(service, item, body), bodies))
    good = [(one.json()["decision"], one.json()["material"]) for one in answers if one.status_code == 200]
    assert {one.status_code for one in answers} == {200, 409}
    assert recorded(service, item["prediction_id"]) == [good[0]]
    assert len(set(good)) == 1
