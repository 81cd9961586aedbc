"""Which version answers: the ledger's word, followed at once; no damaged model; no request dropped."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from inference.governance.registry import Registry
from inference.manifest import ARTEFACT, MANIFEST
from tests.inference_models import (
    GLASS,
    METAL,
    SHADES,
    on_registry,
    photo,
    promote,
    write_photo_model,
    write_readings_model,
)
from tests.integration.inference_service import Service, reason

_FOLLOWED_S = 1.0


def readings_model(service: Service, model_id: str, version: str, **changes: Any) -> Path:
    return write_readings_model(service.process.models_dir, version, model_id=model_id, **changes)


def step(service: Service, model_id: str, version: str | None, action: Any, **more: Any) -> None:
    async def work(registry: Registry) -> None:
        await registry.act(model_id, version, action, "operator", "for a test", **more)

    on_registry(service.database.inference_url, service.collector.grpc_endpoint, work)


def champion(service: Service, *folders: Path) -> None:
    promote(service.database.inference_url, service.collector.grpc_endpoint, *folders)


def soon(holds: Callable[[], bool], within_s: float = _FOLLOWED_S) -> None:
    """It holds at last."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def serves(service: Service, model_id: str, version: str) -> bool:
    told = service.ask(readings=dict(METAL), model=model_id).json()
    return bool(told.get("model_version") == version)


def problem(service: Service, model_id: str) -> float:
    line = f'tally_inference_model_problem{{model="{model_id}"}} '
    text = service.client.get("/metrics").text
    (value,) = [one.removeprefix(line) for one in text.splitlines() if one.startswith(line)]
    return float(value)


def test_a_promotion_and_a_rollback_are_followed_within_a_second(service: Service) -> None:
    first = readings_model(service, "followed", "v1")
    second = readings_model(service, "followed", "v2", swap=True)
    assert reason(service.ask(readings=dict(METAL), model="followed")) == "no_such_model"
    champion(service, first)
    soon(lambda: serves(service, "followed", "v1"))
    champion(service, second)
    soon(lambda: serves(service, "followed", "v2"))
    assert service.ask(readings=dict(METAL), model="followed").json()["prediction"] == "glass"
    step(service, "followed", None, "rolled_back")
    soon(lambda: serves(service, "followed", "v1"))
    assert service.ask(readings=dict(METAL), model="followed").json()["prediction"] == "metal"


def test_a_repeated_request_keeps_its_answer_over_a_promotion(service: Service) -> None:
    champion(service, readings_model(service, "kept", "v1"))
    soon(lambda: serves(service, "kept", "v1"))
    body = {"readings": dict(METAL), "model": "kept", "transaction_id": "t-kept"}
    told = service.ask(**body).json()
    champion(service, readings_model(service, "kept", "v2", swap=True))
    soon(lambda: serves(service, "kept", "v2"))
    assert service.ask(**body).json() == told
    assert len(service.arrived("transaction_id", "t-kept")) == 1


def test_a_challenger_with_a_share_answers_the_same_transactions_each_time(service: Service) -> None:
    folders = [readings_model(service, "shared", "v1"), readings_model(service, "shared", "v2")]
    champion(service, *folders)
    step(service, "shared", "v1", "shadowed", share=0.5)
    service.client.post("/reload").raise_for_status()

    def answers(mass_g: float) -> list[str]:
        items = [
            {
                "sensor_id": "rvm-1",
                "readings": {**METAL, "mass_g": mass_g},
                "model": "shared",
                "transaction_id": f"t-shared-{number}",
            }
            for number in range(100)
        ]
        results = service.client.post("/predict/batch", json={"items": items}).json()["results"]
        return [one["model_version"] for one in results]

    first = answers(20)
    assert 25 <= first.count("v1") <= 75
    assert answers(21) == first
    rows = service.arrived("model_id", "shared", 200)
    assert {(row["model_version"], row["attributes"]["prediction.role"]) for row in rows} == {
        ("v2", "champion"),
        ("v1", "challenger"),
    }


def test_an_answer_in_shadow_is_on_record_and_never_returned(service: Service) -> None:
    folders = [
        write_photo_model(service.process.models_dir, version, model_id="beside", swap=version == "v2")
        for version in ("v1", "v2")
    ]
    champion(service, folders[0])

    async def shadow(registry: Registry) -> None:
        await registry.register(folders[1])
        await registry.act("beside", "v2", "shadowed", "operator", "a look", share=0.0)

    on_registry(service.database.inference_url, service.collector.grpc_endpoint, shadow)
    service.client.post("/reload").raise_for_status()
    url = service.photo(photo(SHADES["glass"]))
    told = service.ask(image_url=url, model="beside", transaction_id="t-beside").json()
    assert (told["prediction"], told["model_version"]) == ("glass", "v1")
    assert [row["model_version"] for row in service.arrived("transaction_id", "t-beside")] == ["v1"]

    def shadows() -> list[dict[str, Any]]:
        with psycopg.connect(service.database.audit_url, row_factory=dict_row) as connection:
            return connection.execute(
                "SELECT * FROM events WHERE event_name = 'inference.shadow'"
                " AND attributes::jsonb ->> 'model.id' = 'beside'"
            ).fetchall()

    soon(lambda: len(shadows()) == 1, 5)
    (row,) = shadows()
    assert row["attributes"]["prediction.id"] == told["prediction_id"]
    assert row["attributes"]["prediction.material"] == "paper"
    assert row["attributes"]["prediction.champion"] == "glass"
    assert row["attributes"]["model.version"] == "v2"
    items = [
        {"sensor_id": "rvm-1", "image_url": url, "model": "beside", "transaction_id": f"t-beside-{number}"}
        for number in range(30)
    ]
    service.client.post("/predict/batch", json={"items": items}).raise_for_status()
    soon(lambda: len(shadows()) == 31, 5)


@pytest.mark.parametrize("name", [ARTEFACT, MANIFEST])
def test_a_damaged_model_is_never_seated_and_the_one_before_goes_on(service: Service, name: str) -> None:
    model_id = f"damaged-{name.partition('.')[0]}"
    champion(service, readings_model(service, model_id, "v1"))
    soon(lambda: serves(service, model_id, "v1"))
    made = write_readings_model(
        service.process.models_dir.parent / "made", "v2", model_id=model_id, swap=True
    )
    folder = service.process.models_dir / model_id / "v2"
    shutil.copytree(made, folder)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(bytes(content))
    champion(service, made)
    answered = service.client.post("/reload").json()
    assert model_id in answered["problems"]
    assert problem(service, model_id) == 1
    assert serves(service, model_id, "v1")
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(bytes(content))
    soon(lambda: serves(service, model_id, "v2"))
    assert problem(service, model_id) == 0


def test_a_model_that_does_not_run_is_not_seated_and_ends_nothing(service: Service) -> None:
    folder = readings_model(service, "mute", "v1", output="probabilities")
    champion(service, folder)
    assert "mute" in service.client.post("/reload").json()["problems"]
    assert reason(service.ask(readings=dict(METAL), model="mute")) == "no_champion"
    assert service.client.get("/health").status_code == 200


def test_a_challenger_that_can_not_be_loaded_holds_no_rollback_up(service: Service) -> None:
    champion(service, *(readings_model(service, "hindered", version) for version in ("v1", "v2")))
    soon(lambda: serves(service, "hindered", "v2"))
    third = readings_model(service, "hindered", "v3")

    async def shadow(registry: Registry) -> None:
        await registry.register(third)
        (third / ARTEFACT).unlink()
        await registry.act("hindered", "v3", "shadowed", "operator", "a look", share=0.0)
        await registry.act("hindered", None, "rolled_back", "operator", "at once")

    on_registry(service.database.inference_url, service.collector.grpc_endpoint, shadow)
    soon(lambda: serves(service, "hindered", "v1"))
    assert problem(service, "hindered") == 1


def test_no_request_fails_while_champions_change(service: Service) -> None:
    folders = [readings_model(service, "busy", version, swap=version == "v2") for version in ("v1", "v2")]
    champion(service, *folders)
    soon(lambda: serves(service, "busy", "v2"))
    body = {"sensor_id": "rvm-1", "readings": dict(GLASS), "model": "busy"}
    ended = asyncio.Event()

    async def flip(registry: Registry) -> None:
        async with httpx.AsyncClient(
            base_url=service.process.http_url, headers=service.process.headers(), timeout=20
        ) as client:
            for version in ("v1", "v2") * 4:
                await registry.act("busy", version, "promoted", "operator", "to and fro")
                (await client.post("/reload")).raise_for_status()
        ended.set()

    async def ask() -> list[tuple[int, str, str]]:
        told = []
        async with httpx.AsyncClient(
            base_url=service.process.http_url, headers=service.process.headers(), timeout=20
        ) as client:
            while not ended.is_set():
                answer = await client.post("/predict", json=body)
                one = answer.json()
                told.append((answer.status_code, one["model_version"], one["prediction"]))
        return told

    async def both(registry: Registry) -> list[tuple[int, str, str]]:
        asking = [asyncio.create_task(ask()) for _ in range(16)]
        await flip(registry)
        return [one for part in await asyncio.gather(*asking) for one in part]

    told = on_registry(service.database.inference_url, service.collector.grpc_endpoint, both)
    assert len(told) > 200
    assert set(told) == {(200, "v1", "glass"), (200, "v2", "metal")}


def test_a_slow_model_does_not_hold_the_event_loop_up(service: Service) -> None:
    champion(
        service, write_photo_model(service.process.models_dir, "v1", model_id="slow", matmuls=60, swap=False)
    )
    service.client.post("/reload").raise_for_status()
    url = service.photo(photo(SHADES["paper"]))
    body = {"sensor_id": "rvm-1", "image_url": url, "model": "slow"}

    async def ask() -> tuple[list[float], list[httpx.Response]]:
        async with httpx.AsyncClient(
            base_url=service.process.http_url, headers=service.process.headers(), timeout=30
        ) as client:
            asking = [asyncio.create_task(client.post("/predict", json=body)) for _ in range(8)]
            took = []
            while not all(task.done() for task in asking):
                started = time.perf_counter()
                assert (await client.get("/health")).text == "ok\n"
                took.append(time.perf_counter() - started)
                await asyncio.sleep(0.01)
            return took, [task.result() for task in asking]

    took, answers = asyncio.run(ask())
    assert {answer.json()["prediction"] for answer in answers} == {"paper"}
    assert len(took) > 5
    # The machine may be busy with other things too: most of them tell.
    assert sorted(took)[len(took) * 9 // 10] < 0.1
