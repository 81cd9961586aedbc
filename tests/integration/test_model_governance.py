"""A model's life through a real collector and database: what the registry does, what it refuses."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from inference.errors import NotFound, Unavailable
from inference.governance.errors import HistoryRewritten, StepRefused
from inference.governance.events import registration
from inference.governance.registry import Registry
from inference.governance.state import Action
from inference.manifest import MANIFEST, manifest_bytes, read_manifest
from inference.otlp import SERVICE, log_request
from ledger.streams import STREAMS
from outbox.sender import Answer, Later, RawSender, Signal
from store.errors import StoreUnavailable
from store.governance import GovernanceStore
from store.sessions import Sessions
from tally.ports import free_port
from tally.testing import CollectorProcess, Database
from tests.check_ledger import check_ledger
from tests.conftest import StartCollector
from tests.integration.model_folders import MODEL, make_folder, manifest
from tests.ledger_writer import LedgerWriter, sample

Work = Callable[[Registry], Awaitable[None]]


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Makes model folders."""

    def make(version: str, **changes: Any) -> Path:
        return make_folder(tmp_path, version, **changes)

    return make


def on_registry(database: Database, grpc_port: int, kept: Path, work: Work) -> None:
    """Do something with a registry, as a service has it."""

    async def run() -> None:
        sessions = Sessions(database.inference_url)
        async with RawSender(f"127.0.0.1:{grpc_port}") as sender:
            try:
                await work(Registry(GovernanceStore(sessions), sender, kept, answer_s=2.0))
            finally:
                await sessions.close()

    asyncio.run(run())


@pytest.fixture
def running(database: Database, collector: StartCollector) -> CollectorProcess:
    return collector(database)


async def make_champion(registry: Registry, folder: Path) -> None:
    version = folder.name
    await registry.register(folder)
    await registry.act(MODEL, version, "approved", "approver", "figures seen")
    await registry.act(MODEL, version, "promoted", "operator")


def test_a_life_from_training_to_rollback_is_in_the_ledger_and_verifies(
    database: Database, running: CollectorProcess, folder: Callable[..., Path], tmp_path: Path
) -> None:
    first, second = folder("v1"), folder("v2")

    async def work(registry: Registry) -> None:
        with pytest.raises(NotFound):
            await registry.state(MODEL)
        await make_champion(registry, first)
        await make_champion(registry, second)
        assert await registry.register(first) is None
        receipt = await registry.act(MODEL, None, "rolled_back", "operator", "too many cans")
        assert receipt.state.champion_version == "v1"
        history = await registry.history(MODEL)
        assert [entry.step.action for entry in history] == [
            *("trained", "evaluated", "approved", "promoted") * 2,
            "rolled_back",
        ]
        assert history[-1].position == receipt.position
        assert history[-1].step.attributes["model.previous_version"] == "v2"
        assert len(history[3].step.attributes["model.rules"]) == 9
        assert not any(entry.ignored for entry in history)

    on_registry(database, running.grpc_port, tmp_path / "kept.json", work)
    assert check_ledger(database.audit_url).rows == 9

    async def another(registry: Registry) -> None:
        assert (await registry.state(MODEL)).champion_version == "v1", "known from the file, before any query"
        assert registry.fresh_at is None
        assert await registry.refresh() == set()
        assert registry.fresh_at is not None

    on_registry(database, running.grpc_port, tmp_path / "kept.json", another)


def test_a_promotion_without_approval_is_refused_with_every_rule_and_adds_no_row(
    database: Database, running: CollectorProcess, folder: Callable[..., Path], tmp_path: Path
) -> None:
    made = folder("v1")

    async def work(registry: Registry) -> None:
        await registry.register(made)
        with pytest.raises(StepRefused, match="approval_present") as refused:
            await registry.act(MODEL, "v1", "promoted", "operator")
        assert refused.value.reason == "promotion_refused"
        verdicts = {result["rule"]: result["passed"] for result in refused.value.details["rules"]}
        assert [rule for rule, passed in verdicts.items() if not passed] == ["approval_present"]
        with pytest.raises(StepRefused, match="trained v1: another must approve") as refused:
            await registry.act(MODEL, "v1", "approved", "trainer", "it is mine")
        assert refused.value.reason == "approver_is_not_trainer"
        with pytest.raises(StepRefused, match="no former champion"):
            await registry.act(MODEL, None, "rolled_back", "operator")
        with pytest.raises(NotFound):
            await registry.act(MODEL, "v9", "promoted", "operator")
        assert (await registry.state(MODEL)).seq == 2

    on_registry(database, running.grpc_port, tmp_path / "kept.json", work)


def test_a_version_is_not_replaced_by_another_model_of_its_name(
    database: Database, running: CollectorProcess, folder: Callable[..., Path], tmp_path: Path
) -> None:
    made = folder("v1")

    async def work(registry: Registry) -> None:
        await registry.register(made)
        (made / MANIFEST).write_bytes(manifest_bytes(manifest("v1", seconds=13)))
        with pytest.raises(StepRefused, match="the ledger has it with digest"):
            await registry.register(made)

    on_registry(database, running.grpc_port, tmp_path / "kept.json", work)


def test_of_two_services_that_promote_at_once_one_is_told_that_it_was_overtaken(
    database: Database, running: CollectorProcess, folder: Callable[..., Path], tmp_path: Path
) -> None:
    folders = [folder(name) for name in ("v1", "v2", "v3")]

    async def work(registry: Registry) -> None:
        await make_champion(registry, folders[0])
        for made in folders[1:]:
            await registry.register(made)
            await registry.act(MODEL, made.name, "approved", "approver", "figures seen")
        sessions = Sessions(database.inference_url)
        async with RawSender(f"127.0.0.1:{running.grpc_port}") as sender:

            class Overtaken:
                async def attempt(self, signal: Signal, payload: bytes, number: int = 0) -> Answer | Later:
                    """The other service's step, decided before, arrives after ours."""
                    await registry.act(MODEL, "v2", "promoted", "operator")
                    return await sender.attempt(signal, payload, number)

            other = Registry(GovernanceStore(sessions), Overtaken(), tmp_path / "other.json")
            with pytest.raises(StepRefused, match="another step came first") as refused:
                await other.act(MODEL, "v3", "promoted", "operator")
            await sessions.close()
        assert refused.value.reason == "champion_unchanged"
        assert (await other.state(MODEL)).champion_version == "v2"

    on_registry(database, running.grpc_port, tmp_path / "kept.json", work)


def test_without_the_collector_nothing_is_done_and_the_answer_says_so(
    database: Database, running: CollectorProcess, folder: Callable[..., Path], tmp_path: Path
) -> None:
    made = folder("v1")

    async def work(registry: Registry) -> None:
        await make_champion(registry, made)
        running.stop()
        with pytest.raises(Unavailable, match="not recorded, so not done") as unavailable:
            await registry.act(MODEL, "v1", "refused", "approver", "no more")
        assert unavailable.value.reason == "collector_unavailable"
        await registry.refresh()
        assert (await registry.state(MODEL)).versions["v1"].refusal is None

    on_registry(database, running.grpc_port, tmp_path / "kept.json", work)


def test_without_the_database_the_last_known_champion_is_served(
    database: Database, running: CollectorProcess, folder: Callable[..., Path], tmp_path: Path
) -> None:
    made = folder("v1")
    kept = tmp_path / "kept.json"
    on_registry(database, running.grpc_port, kept, lambda registry: make_champion(registry, made))

    async def started_alone() -> None:
        sessions = Sessions(database.inference_url.replace(database.name, "nowhere"))
        async with RawSender(f"127.0.0.1:{free_port()}") as sender:
            registry = Registry(GovernanceStore(sessions), sender, kept)
            assert (await registry.state(MODEL)).champion_version == "v1"
            with pytest.raises(StoreUnavailable):
                await registry.refresh()
            with pytest.raises(Unavailable, match="nothing was done"):
                await registry.act(MODEL, "v1", "retired", "operator")
            assert registry.fresh_at is None
            await sessions.close()

    asyncio.run(started_alone())

    content = json.loads(kept.read_text())
    content["chains"][MODEL][3] = content["chains"][MODEL][2]
    kept.write_text(json.dumps(content))

    async def damaged(registry: Registry) -> None:
        assert (await registry.state(MODEL)).seq == 3
        assert (await registry.state(MODEL)).champion is None
        assert await registry.refresh() == {MODEL}
        assert (await registry.state(MODEL)).champion_version == "v1"

    on_registry(database, running.grpc_port, kept, damaged)


def change_as_superuser(database: Database, statement: str) -> None:
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(statement.encode())


def test_a_row_that_a_superuser_altered_is_not_followed(
    database: Database, running: CollectorProcess, folder: Callable[..., Path], tmp_path: Path
) -> None:
    """A refusal made an approval: the twin of the untouched chain, where the promotion is refused."""
    made = folder("v1")

    async def work(registry: Registry) -> None:
        await registry.register(made)
        await registry.act(MODEL, "v1", "refused", "approver", "no")
        change_as_superuser(database, "UPDATE governance SET action = 'approved' WHERE seq = 3")

    on_registry(database, running.grpc_port, tmp_path / "kept.json", work)

    async def fresh(registry: Registry) -> None:
        await registry.refresh()
        state = await registry.state(MODEL)
        assert (state.seq, state.champion) == (2, None)
        assert state.trouble is not None
        assert "row 3 of waste-photos does not have the hash" in state.trouble
        with pytest.raises(HistoryRewritten):
            await registry.act(MODEL, "v1", "promoted", "operator")

    on_registry(database, running.grpc_port, tmp_path / "other.json", fresh)


def test_a_chain_that_was_rewritten_is_not_followed_by_who_has_seen_another(
    database: Database, running: CollectorProcess, folder: Callable[..., Path], tmp_path: Path
) -> None:
    made = folder("v1")

    async def work(registry: Registry) -> None:
        await make_champion(registry, made)
        running.stop()
        change_as_superuser(database, "DELETE FROM governance")
        change_as_superuser(database, "DELETE FROM chain_heads")
        LedgerWriter(database.admin_url).append(
            "governance", [sample(STREAMS["governance"], MODEL, number) for number in range(5)]
        )
        check_ledger(database.audit_url)
        await registry.refresh()
        state = await registry.state(MODEL)
        assert state.champion_version == "v1"
        assert state.trouble is not None
        with pytest.raises(HistoryRewritten):
            await registry.act(MODEL, "v1", "refused", "approver", "no")

    on_registry(database, running.grpc_port, tmp_path / "kept.json", work)


VOUCHING: Final[tuple[Action, ...]] = ("shadowed", "approved", "promoted")
FORGED: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"metrics": {"accuracy": 0.99, "ece": 0.02}},
    {"promotion": {"minimum": {"accuracy": 0.1}}},
    {"card_digest": "1" * 64},
    {"data_digest": "2" * 64},
    {"trained_by": "somebody"},
)


@pytest.mark.parametrize("forged", FORGED, ids=lambda forged: ", ".join(forged) or "as it is")
def test_nobody_vouches_for_a_version_whose_rows_say_otherwise_than_its_folder(
    database: Database,
    running: CollectorProcess,
    folder: Callable[..., Path],
    tmp_path: Path,
    forged: dict[str, Any],
) -> None:
    """The rows have the digest of the real folder, and figures that it never had."""
    made = folder("v1")
    digest = read_manifest(made)[1]

    rows = log_request(
        SERVICE, "model.lifecycle", time.time_ns(), *registration(manifest("v1", **forged), digest)
    )

    async def believes(registry: Registry) -> None:
        await registry._sender.attempt("logs", rows)
        if forged:
            await registry.act(MODEL, "v1", "approved", "approver", "figures believed")

    async def compares(registry: Registry) -> None:
        registry._shelves = (tmp_path,)
        if not forged:
            await registry.act(MODEL, "v1", "shadowed", "operator")
            await registry.act(MODEL, "v1", "approved", "approver", "figures seen")
            await registry.act(MODEL, "v1", "promoted", "operator")
            return
        for action in VOUCHING:
            with pytest.raises(StepRefused, match="its folder has another") as refused:
                await registry.act(MODEL, "v1", action, "approver", "figures seen")
            assert refused.value.reason == "manifest_differs"
        await registry.act(MODEL, "v1", "refused", "approver", "forged")

    on_registry(database, running.grpc_port, tmp_path / "kept.json", believes)
    on_registry(database, running.grpc_port, tmp_path / "kept.json", compares)


def test_a_poll_reads_only_the_chains_whose_head_moved(
    database: Database, running: CollectorProcess, folder: Callable[..., Path], tmp_path: Path
) -> None:
    made = folder("v1")

    async def work(registry: Registry) -> None:
        await registry.register(made)
        asked: list[str] = []
        original = registry._store.rows

        async def rows(model_id: str, after: int) -> list[bytes]:
            asked.append(model_id)
            return await original(model_id, after)

        registry._store.rows = rows  # type: ignore[method-assign]
        assert await registry.refresh() == set()
        LedgerWriter(database.admin_url).append(
            "governance", [sample(STREAMS["governance"], "another", number) for number in range(3)]
        )
        assert await registry.refresh() == {"another"}
        assert await registry.refresh() == set()
        assert asked == ["another"]
        ignored = registry.models["another"].ignored
        assert [entry.rule for entry in ignored] == ["action_known"] * 3

    on_registry(database, running.grpc_port, tmp_path / "kept.json", work)
