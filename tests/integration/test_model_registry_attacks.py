"""What the registry does with chains that it can't read, and with a kept file that somebody forged."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, cast

import pytest

from inference.errors import Unavailable
from inference.follower import Follower
from inference.governance.errors import HistoryRewritten
from inference.governance.folders import differences
from inference.governance.registry import Registry
from inference.manifest import read_manifest
from inference.metrics import InferenceMetrics
from inference.serving.desk import Desk
from ledger.chain import genesis, link
from ledger.rows import decode_image, encode_row
from ledger.streams import STREAMS
from outbox.sender import RawSender
from service.readiness import Readiness
from store.errors import StoreRejected, StoreUnavailable
from store.governance import GovernanceStore
from store.sessions import Sessions
from tally.testing import Database
from tests.conftest import StartCollector
from tests.inference_models import READINGS, promote, write_readings_model
from tests.inference_models import on_registry as with_sender
from tests.ledger_writer import LedgerWriter, sample

PACKAGED: Final = Path(__file__).parents[2] / "inference" / "models"
SQL: Final = "SELECT secret FROM somewhere"
Work = Callable[[Registry, GovernanceStore], Awaitable[None]]


def on_registry(url: str, kept: Path, work: Work) -> None:
    """Do something with a registry that reads that database and sends to nobody."""

    async def run() -> None:
        sessions = Sessions(url)
        store = GovernanceStore(sessions)
        try:
            await work(Registry(store, cast("RawSender", None), kept), store)
        finally:
            await sessions.close()

    asyncio.run(run())


def chains(database: Database, *models: str) -> None:
    """Three rows of each model in the ledger."""
    writer = LedgerWriter(database.admin_url)
    for model in models:
        writer.append("governance", [sample(STREAMS["governance"], model, number) for number in range(3)])


def test_a_chain_that_the_database_refuses_is_in_trouble_and_the_others_are_followed(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains(database, "a", "b", "c")

    async def work(registry: Registry, store: GovernanceStore) -> None:
        original = store.rows
        asked: list[str] = []

        async def rows(model_id: str, after: int) -> list[bytes]:
            asked.append(model_id)
            if model_id == "b":
                raise StoreRejected(SQL)
            return await original(model_id, after)

        monkeypatch.setattr(store, "rows", rows)
        assert await registry.refresh() == {"a", "b", "c"}
        assert {name: state.seq for name, state in registry.models.items()} == {"a": 3, "b": 0, "c": 3}
        assert {name for name, state in registry.models.items() if state.trouble} == {"b"}
        with pytest.raises(HistoryRewritten) as refused:
            await registry.act("b", "v1", "promoted", "operator")
        assert SQL not in str(refused.value)
        monkeypatch.setattr(store, "rows", original)
        assert await registry.refresh() == {"b"}
        assert not any(state.trouble for state in registry.models.values())

        async def unavailable() -> None:
            raise StoreUnavailable(SQL)

        monkeypatch.setattr(store, "heads", unavailable)
        with pytest.raises(Unavailable) as waits:
            await registry.act("b", "v1", "promoted", "operator")
        assert SQL not in str(waits.value)

    on_registry(database.inference_url, tmp_path / "kept.json", work)


def test_a_chain_whose_name_is_none_of_a_model_is_never_read(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains(database, "a\nSELECT 1", "../a", "A", "a")

    async def work(registry: Registry, store: GovernanceStore) -> None:
        asked: list[str] = []
        original = store.rows

        async def rows(model_id: str, after: int) -> list[bytes]:
            asked.append(model_id)
            return await original(model_id, after)

        monkeypatch.setattr(store, "rows", rows)
        assert await registry.refresh() == {"a"}
        assert asked == ["a"]
        assert list(registry.models) == ["a"]

    on_registry(database.inference_url, tmp_path / "kept.json", work)


def forge(kept: Path, model: str, version: str, digest: str) -> None:
    """Rewrite a model's kept rows so that they name another version, with hashes that follow."""
    stream = STREAMS["governance"]
    content = json.loads(kept.read_text())
    named = {"model_id": model, "model_version": version, "model_digest": digest}
    before, forged = genesis("governance", model), []
    for place, row in enumerate(content["chains"][model], start=1):
        values = dict(decode_image(stream, base64.b64decode(row)[:-36]))
        del values["seq"]
        image = encode_row(stream, values | named).image(place)
        before = link(before, image)
        forged.append(base64.b64encode(image + (32).to_bytes(4, "big") + before).decode())
    content["chains"][model] = forged
    kept.write_text(json.dumps(content))


@pytest.mark.parametrize("forged", [False, True], ids=["kept", "forged"])
@pytest.mark.parametrize("gone", [False, True], ids=["loadable", "its folder is gone"])
def test_a_forged_kept_file_does_not_outlive_the_first_look_at_the_ledger(
    database: Database, collector: StartCollector, tmp_path: Path, *, forged: bool, gone: bool
) -> None:
    shelf, kept = tmp_path / "models", tmp_path / "kept.json"
    good, evil = write_readings_model(shelf, "v1"), write_readings_model(shelf, "v2", swap=True)
    promote(database.inference_url, collector(database).grpc_endpoint, good)

    async def keep(registry: Registry, _store: GovernanceStore) -> None:
        assert await registry.refresh() == {READINGS}

    on_registry(database.inference_url, kept, keep)
    if forged:
        forge(kept, READINGS, "v2", read_manifest(evil)[1])

    async def start(registry: Registry, store: GovernanceStore) -> None:
        desk = Desk([shelf])
        metrics = InferenceMetrics(desk)
        follower = Follower(registry, desk, Readiness(), metrics)
        heads = store.heads

        async def unavailable() -> None:
            raise StoreUnavailable("not now")

        store.heads = unavailable  # type: ignore[method-assign, assignment]
        await follower.once()
        assert desk.seat(READINGS).champion.manifest.version == ("v2" if forged else "v1")
        store.heads = heads  # type: ignore[method-assign]
        if gone:
            (good / "manifest.json").unlink()
        await follower.once()
        assert registry.models[READINGS].champion_version == "v1"
        assert registry.models[READINGS].trouble is None
        if forged and gone:
            assert not desk.seats
        else:
            assert desk.seat(READINGS).champion.manifest.version == "v1"
        assert metrics.registry.get_sample_value("tally_inference_chain_trouble", {"model": READINGS}) == 0

    on_registry(database.inference_url, kept, start)
    on_registry(database.inference_url, kept, lambda registry, _store: same(registry))


async def same(registry: Registry) -> None:
    """The file has been put right."""
    assert registry.models[READINGS].champion_version == "v1"


def test_a_model_that_only_the_kept_file_has_is_forgotten(database: Database, tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    chains(database, "a", "b")

    async def work(registry: Registry, _store: GovernanceStore) -> None:
        await registry.refresh()

    on_registry(database.inference_url, kept, work)
    content = json.loads(kept.read_text())
    content["chains"]["never"] = content["chains"]["a"]
    kept.write_text(json.dumps(content))
    for model in ("b", "never"):
        forge(kept, model, "v9", "0" * 64)

    async def another(registry: Registry, _store: GovernanceStore) -> None:
        assert list(registry.models) == ["a", "b", "never"]
        assert await registry.refresh() == {"b", "never"}
        assert {name: state.trouble for name, state in registry.models.items()} == {"a": None, "b": None}

    on_registry(database.inference_url, kept, another)


def test_a_chain_in_trouble_is_told_to_prometheus(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains(database, "a", "b")

    async def work(registry: Registry, store: GovernanceStore) -> None:
        original = store.rows

        async def rows(model_id: str, after: int) -> list[bytes]:
            found = await original(model_id, after)
            return found[1:] if model_id == "b" else found

        monkeypatch.setattr(store, "rows", rows)
        desk = Desk([])
        metrics = InferenceMetrics(desk)
        await Follower(registry, desk, Readiness(), metrics).once()
        told = [
            metrics.registry.get_sample_value("tally_inference_chain_trouble", {"model": model})
            for model in ("a", "b")
        ]
        assert told == [0, 1]

    on_registry(database.inference_url, tmp_path / "kept.json", work)


def test_what_was_read_before_the_database_went_away_is_kept_once_it_is_back(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains(database, "a", "b")
    kept = tmp_path / "kept.json"

    async def work(registry: Registry, store: GovernanceStore) -> None:
        original = store.rows

        async def rows(model_id: str, after: int) -> list[bytes]:
            if model_id == "b":
                raise StoreUnavailable("gone")
            return await original(model_id, after)

        monkeypatch.setattr(store, "rows", rows)
        with pytest.raises(StoreUnavailable):
            await registry.refresh()
        assert registry.models["a"].seq == 3
        monkeypatch.setattr(store, "rows", original)
        assert await registry.refresh() == {"b"}
        assert {name: len(found) for name, found in json.loads(kept.read_text())["chains"].items()} == {
            "a": 3,
            "b": 3,
        }

    on_registry(database.inference_url, kept, work)


def test_the_figures_of_every_packaged_model_come_back_from_the_ledger_as_its_folder_has_them(
    database: Database, collector: StartCollector
) -> None:
    packaged = sorted(path.parent for path in PACKAGED.glob("*/*/manifest.json"))
    assert packaged

    async def work(registry: Registry) -> None:
        for folder in packaged:
            receipt = await registry.register(folder)
            assert receipt is not None
            manifest, digest = read_manifest(folder)
            trained = (await registry.history(manifest.model_id))[0].step
            assert trained.digest == digest
            assert differences([PACKAGED], manifest.model_id, trained) == []
            liar = replace(trained, attributes={**trained.attributes, "model.metrics": {"accuracy": 1.0}})
            assert differences([PACKAGED], manifest.model_id, liar) == ["metrics"]

    with_sender(database.inference_url, collector(database).grpc_endpoint, work)
