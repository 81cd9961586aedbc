"""Decisions of reviewers on a real database: on record once, whoever asks, and whatever breaks."""

from __future__ import annotations

import asyncio
import uuid

import psycopg
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from inference.errors import BadInput, Conflict, NotFound
from inference.reviews.queue import Decided, ReviewQueue, Verdict
from outbox.errors import OutboxFull
from outbox.sender import Answer, RawSender
from store.errors import StoreUnavailable
from store.reviews import ReviewStore
from store.sessions import Sessions
from tally.testing import Database
from tests.check_ledger import check_ledger
from tests.conftest import StartCollector
from tests.integration.review_rows import Outbox, execute, on_queue, prediction, write


def test_a_decision_is_on_record_once_though_it_is_sent_again(database: Database) -> None:
    write(database, "predictions", prediction("p-1", 0.5))
    outbox = Outbox()

    async def work(queue: ReviewQueue) -> tuple[Decided, Decided]:
        await queue.project()
        [item] = await queue.lease("ann")
        assert item.lease_token is not None
        decisions = [
            await queue.decide("p-1", item.lease_token, "corrected", "metal", reviewer="ann", note="a can")
            for _ in range(2)
        ]
        with pytest.raises(Conflict, match="decided: corrected by ann"):
            await queue.decide("p-1", item.lease_token, "confirmed", reviewer="ann")
        with pytest.raises(Conflict):
            await queue.release("p-1", item.lease_token)
        assert [(count.state, count.items) for count in await queue.depth()] == [("decided", 1)]
        return decisions[0], decisions[1]

    first, second = on_queue(database, work, outbox)
    assert first == second
    [body] = outbox.kept
    [group] = ExportLogsServiceRequest.FromString(body).resource_logs
    identity = {pair.key: pair.value.string_value for pair in group.resource.attributes}
    assert identity == {"service.instance.id": "rvm-1", "service.name": "tally-inference"}
    [record] = group.scope_logs[0].log_records
    sent = {pair.key: pair.value for pair in record.attributes}
    assert record.event_name == "review.decision"
    assert sent["review.id"].string_value == first.review_id
    assert sent["review.sample_rate"].double_value == 1.0
    assert sent["review.note"].string_value == "a can"


def test_a_decision_that_could_not_be_kept_leaves_the_item_with_its_holder(database: Database) -> None:
    write(database, "predictions", prediction("p-1", 0.5))
    outbox = Outbox(broken=OutboxFull("full"))

    async def work(queue: ReviewQueue) -> None:
        await queue.project()
        [item] = await queue.lease("ann")
        assert item.lease_token is not None
        with pytest.raises(OutboxFull):
            await queue.decide("p-1", item.lease_token, "confirmed", reviewer="ann")
        outbox.broken = None
        assert (await queue.decide("p-1", item.lease_token, "rejected", reviewer="ann")).material is None

    on_queue(database, work, outbox)


def test_of_contradictory_decisions_at_once_one_goes_on_record_and_the_others_are_told(
    database: Database, collector: StartCollector
) -> None:
    """Two instances of the service, each asked two different things, with the one lease."""
    running = collector(database)
    names = [f"p-{number}" for number in range(10)]
    write(database, "predictions", *(prediction(name, 0.5) for name in names))
    outbox = Outbox()
    wanted: list[tuple[Verdict, str | None]] = [
        ("confirmed", None),
        ("corrected", "metal"),
        ("corrected", "paper"),
        ("rejected", None),
    ]

    async def work(queue: ReviewQueue) -> list[tuple[str, list[Decided | BaseException]]]:
        sessions = Sessions(database.inference_url, most=16)
        other = ReviewQueue(ReviewStore(sessions), outbox.put)
        try:
            await queue.project()
            told = []
            for item in await queue.lease("ann", 10):
                assert item.lease_token is not None
                calls = [
                    (queue, other)[number % 2].decide(
                        item.prediction_id, item.lease_token, decision, material, reviewer="ann"
                    )
                    for number, (decision, material) in enumerate(wanted)
                ]
                told.append((item.prediction_id, await asyncio.gather(*calls, return_exceptions=True)))
        finally:
            await sessions.close()
        async with RawSender(running.grpc_endpoint) as sender:
            for body in outbox.kept:
                assert await sender.send("logs", body) == Answer(accepted=True)
        return told

    told = on_queue(database, work, outbox)
    with psycopg.connect(database.admin_url) as connection:
        found = connection.execute("SELECT prediction_id, review_id, decision, material FROM reviews")
        rows = {name: rest for name, *rest in found.fetchall()}
        assert found.rowcount == len(rows) == len(names)
    for name, answers in told:
        [decided] = [one for one in answers if isinstance(one, Decided)]
        assert [decided.review_id, decided.decision, decided.material] == rows[name]
        assert sum(isinstance(one, Conflict) for one in answers) == len(wanted) - 1


def test_the_same_decision_many_times_at_once_is_on_record_once(database: Database) -> None:
    write(database, "predictions", prediction("p-1", 0.5))
    outbox = Outbox()

    async def work(queue: ReviewQueue) -> list[Decided]:
        await queue.project()
        [item] = await queue.lease("ann")
        token = item.lease_token
        assert token is not None
        return await asyncio.gather(
            *(queue.decide("p-1", token, "corrected", "metal", reviewer="ann") for _ in range(8))
        )

    assert len(set(on_queue(database, work, outbox))) == 1
    assert len(outbox.kept) == 1


def test_a_crash_between_claim_and_outbox_is_repeated_alike_or_forgotten_with_the_lease(
    database: Database,
) -> None:
    write(database, "predictions", prediction("p-1", 0.5), prediction("p-2", 0.5))
    outbox = Outbox(broken=ConnectionResetError("the process died here"))

    async def work(queue: ReviewQueue) -> None:
        await queue.project()
        tokens = [item.lease_token for item in await queue.lease("ann", 2)]
        for name, token in zip(("p-1", "p-2"), tokens, strict=True):
            assert token is not None
            with pytest.raises(ConnectionResetError):
                await queue.decide(name, token, "confirmed", reviewer="ann")
        outbox.broken = None
        again, over = tokens
        assert again is not None
        assert over is not None
        with pytest.raises(Conflict, match="being decided by ann: confirmed"):
            await queue.decide("p-1", again, "rejected", reviewer="ann")
        with pytest.raises(Conflict, match="being decided"):
            await queue.release("p-1", again)
        assert (await queue.decide("p-1", again, "confirmed", reviewer="ann")).material == "glass"
        execute(database, "UPDATE review_queue SET leased_until = now() - interval '1 s'")
        [item] = await queue.lease("bob")
        assert (item.prediction_id, item.decision, item.reviewer, item.review_id) == ("p-2", None, None, None)
        assert item.lease_token is not None
        with pytest.raises(Conflict, match="leased by bob; that is not the token of its present lease"):
            await queue.decide("p-2", over, "confirmed", reviewer="ann")
        assert (await queue.decide("p-2", item.lease_token, "rejected", reviewer="bob")).reviewer == "bob"

    on_queue(database, work, outbox)
    assert len(outbox.kept) == 2


def test_what_was_decided_is_told_again_to_its_reviewer_alone(database: Database) -> None:
    write(database, "predictions", prediction("p-1", 0.5))

    async def work(queue: ReviewQueue) -> None:
        await queue.project()
        [item] = await queue.lease("ann")
        token = item.lease_token
        assert token is not None
        decided = await queue.decide("p-1", token, "corrected", "metal", reviewer="ann")
        assert await queue.decide("p-1", token, "corrected", "metal", reviewer="ann") == decided
        with pytest.raises(Conflict, match="decided: corrected by ann"):
            await queue.decide("p-1", token, "corrected", "metal", reviewer="bob")

    on_queue(database, work)


def test_a_decision_counts_though_the_database_is_away_when_it_is_noted(
    database: Database, collector: StartCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event is in the outbox; its row in the ledger closes the item later."""
    running = collector(database)
    write(database, "predictions", prediction("p-1", 0.5))
    outbox = Outbox()

    async def away(*_: object) -> bool:
        raise StoreUnavailable("away")

    async def work(queue: ReviewQueue) -> None:
        await queue.project()
        [item] = await queue.lease("ann")
        assert item.lease_token is not None
        with monkeypatch.context() as patch:
            patch.setattr(ReviewStore, "decide", away)
            decided = await queue.decide("p-1", item.lease_token, "rejected", reviewer="ann", note="blurred")
        [open_item] = await queue.open_items()
        assert open_item.state == "leased"
        async with RawSender(running.grpc_endpoint) as sender:
            assert await sender.send("logs", outbox.kept[0]) == Answer(accepted=True)
        await queue.project()
        assert await queue.open_items() == []
        assert await queue.decide("p-1", item.lease_token, "rejected", reviewer="ann") == decided

    on_queue(database, work, outbox)
    assert check_ledger(database.audit_url).rows == 2


@pytest.mark.parametrize(
    ("decision", "material", "reason"),
    [
        ("confirmed", "metal", "material_differs"),
        ("corrected", None, "material_missing"),
        ("corrected", "glass", "material_missing"),
        ("corrected", "bottle", "material_missing"),
        ("rejected", "glass", "material_given"),
    ],
)
def test_decision_and_material_must_fit(
    database: Database, decision: Verdict, material: str | None, reason: str
) -> None:
    write(
        database, "predictions", prediction("p-1", 0.5, attributes={"prediction.covers": ["glass", "bottle"]})
    )
    outbox = Outbox()

    async def work(queue: ReviewQueue) -> None:
        await queue.project()
        [item] = await queue.lease("ann")
        assert item.lease_token is not None
        with pytest.raises(BadInput) as bad:
            await queue.decide("p-1", item.lease_token, decision, material, reviewer="ann")
        assert bad.value.reason == reason
        with pytest.raises(Conflict, match="leased by ann"):
            await queue.decide("p-1", item.lease_token, "confirmed", reviewer="bob")

    on_queue(database, work, outbox)
    assert outbox.kept == []


def test_a_material_that_the_model_does_not_know_is_refused_with_those_it_knows(database: Database) -> None:
    write(database, "predictions", prediction("p-1", 0.5), prediction("p-2", 0.5, model_version="v2"))
    outbox = Outbox()

    def vocabulary(model_id: str, version: str) -> frozenset[str] | None:
        return frozenset({"glass", "metal", "steel_cans"}) if (model_id, version) == ("waste", "v1") else None

    async def work(queue: ReviewQueue) -> None:
        await queue.project()
        first, second = [item.lease_token for item in await queue.lease("ann", 2)]
        assert first is not None
        assert second is not None
        with pytest.raises(BadInput, match="it knows glass, metal, steel_cans") as bad:
            await queue.decide("p-1", first, "corrected", "unobtainium", reviewer="ann")
        assert bad.value.reason == "unknown_material"
        assert outbox.kept == []
        decided = await queue.decide("p-1", first, "corrected", "steel_cans", reviewer="ann")
        assert decided.material == "steel_cans"
        unknown = await queue.decide("p-2", second, "corrected", "unobtainium", reviewer="ann")
        assert unknown.material == "unobtainium", "nobody knows the words of that version"

    on_queue(database, work, outbox, vocabulary=vocabulary)


def test_an_unknown_prediction_is_not_found(database: Database) -> None:
    async def work(queue: ReviewQueue) -> None:
        with pytest.raises(NotFound):
            await queue.decide("p-1", uuid.uuid4(), "confirmed", reviewer="ann")
        with pytest.raises(NotFound):
            await queue.release("p-1")

    on_queue(database, work)
