"""Packaged models are taken up where the operator asks for it, and nobody's decision is overruled."""

from __future__ import annotations

import asyncio
from pathlib import Path

from inference.adoption import ACTOR, adopt
from inference.governance.registry import Registry
from inference.manifest import MANIFEST
from tally.testing import Database
from tests.conftest import StartCollector
from tests.inference_models import PHOTOS, READINGS, on_registry, write_photo_model, write_readings_model


def test_packaged_models_become_champions_once_and_a_damaged_one_stops_no_other(
    database: Database, collector: StartCollector, tmp_path: Path
) -> None:
    to = collector(database)
    write_readings_model(tmp_path, "v1", trained_at="2026-01-01T00:00:00Z")
    write_readings_model(tmp_path, "v2", trained_at="2026-02-01T00:00:00Z")
    write_photo_model(tmp_path, "v1", metrics={"accuracy": 0.1})
    damaged = write_readings_model(tmp_path, "v1", model_id="damaged")
    (damaged / MANIFEST).write_text("{}")

    async def work(registry: Registry) -> None:
        await asyncio.wait_for(adopt(registry, [tmp_path]), 20)
        state = await registry.state(READINGS)
        assert state.champion_version == "v2"
        history = await registry.history(READINGS)
        assert [(entry.step.action, entry.step.actor) for entry in history][2:] == [
            ("approved", ACTOR),
            ("promoted", ACTOR),
        ]
        assert (await registry.state(PHOTOS)).champion_version is None, "it does not pass the rules"
        assert "damaged" not in registry.models
        await adopt(registry, [tmp_path])
        assert len(await registry.history(READINGS)) == len(history)

    on_registry(database.inference_url, to.grpc_endpoint, work)

    async def another(registry: Registry) -> None:
        await registry.register(tmp_path / READINGS / "v1")
        await registry.act(READINGS, "v1", "approved", "approver", "seen")
        await registry.act(READINGS, "v1", "promoted", "operator")
        await adopt(registry, [tmp_path])
        assert (await registry.state(READINGS)).champion_version == "v1", "somebody has decided"

    on_registry(database.inference_url, to.grpc_endpoint, another)
