"""The review queue on a real database: what comes to it, who gets it; nothing is lost or given twice."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections import Counter
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from inference.errors import BadInput, Conflict, NotFound
from inference.reviews.queue import Decided, ReviewQueue, Verdict
from outbox.errors import OutboxFull
from outbox.sender import Answer, RawSender
from store.errors import StoreUnavailable
from store.ground_truth import GroundTruthStore, Window
from store.reviews import Item, ReviewStore
from store.sessions import Sessions
from tally.testing import Database
from tests.check_ledger import check_ledger
from tests.conftest import StartCollector
from tests.integration.review_rows import NOW, Outbox, on_queue, prediction, review, write


def execute(database: Database, statement: str) -> None:
    with psycopg.connect(database.admin_url) as connection:
        connection.execute(statement.encode())


async def everything(queue: ReviewQueue) -> list[Item]:
    await queue.project()
    return await queue.open_items(10_000)


def test_what_is_unsure_comes_to_the_queue_with_all_that_a_reviewer_needs(database: Database) -> None:
    attributes = {"prediction.top": {"glass": 0.6, "metal": 0.4}, "prediction.covers": ["glass", "bottle"]}
    write(
        database,
        "predictions",
        prediction("p-1", 0.6, attributes=attributes),
        prediction("p-2", 0.75),
        prediction("p-3", 0.8, threshold=0.9),
        prediction("p-4", 0.7, threshold=None),
        prediction("p-5", 0.8, threshold=None),
    )
    items = on_queue(database, everything, audit_rate=0.0)
    assert [item.prediction_id for item in items] == ["p-1", "p-3", "p-4"]
    first = items[0]
    assert (first.machine_id, first.seq, first.transaction_id) == ("rvm-1", 1, "t-p-1")
    assert (first.top, first.covers) == ({"glass": 0.6, "metal": 0.4}, ("glass", "bottle"))
    assert {(item.reason, item.sample_rate, item.state) for item in items} == {
        ("low_confidence", 1.0, "waiting")
    }


def test_the_audit_sample_is_the_one_that_anybody_can_draw_again(database: Database) -> None:
    names = [f"p-{number}" for number in range(2_000)]
    write(database, "predictions", *(prediction(name, 0.99) for name in names))
    drawn = {
        name
        for name in names
        if int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") < 0.05 * 2**64
    }
    items = on_queue(database, everything, audit_rate=0.05)
    assert {item.prediction_id for item in items} == drawn
    assert 60 < len(drawn) < 140
    assert {(item.reason, item.sample_rate) for item in items} == {("audit_sample", 0.05)}


def test_with_a_rate_of_one_every_sure_answer_comes_too(database: Database) -> None:
    write(database, "predictions", *(prediction(f"p-{number}", 0.99) for number in range(50)))
    assert len(on_queue(database, everything, audit_rate=1.0)) == 50


def test_rows_are_taken_up_once_whoever_asks_and_those_after_them_later(database: Database) -> None:
    writer = write(
        database, "predictions", *(prediction(f"p-{n}", 0.5, machine=f"rvm-{n % 7}") for n in range(300))
    )

    async def together(queue: ReviewQueue) -> tuple[list[int], int, list[Item]]:
        read = await asyncio.gather(*(queue.project() for _ in range(4)))
        writer.append("predictions", [prediction("p-300", 0.5, machine="rvm-2")])
        return read, await queue.project(), await queue.open_items(1_000)

    read, later, items = on_queue(database, together, audit_rate=0.0)
    assert sum(read) == 300
    assert later == 1
    assert Counter(item.prediction_id for item in items) == {f"p-{n}": 1 for n in range(301)}


def test_a_prediction_that_a_machine_sent_twice_is_one_item(database: Database) -> None:
    write(database, "predictions", prediction("p-1", 0.5), prediction("p-1", 0.5))
    assert [item.seq for item in on_queue(database, everything)] == [1]


def test_a_long_chain_is_taken_up_in_parts(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.reviews._ROWS", 10)
    monkeypatch.setattr("store.reviews._CHAINS", 2)
    write(database, "predictions", *(prediction(f"p-{n}", 0.5, machine=f"rvm-{n % 5}") for n in range(137)))
    assert len(on_queue(database, everything)) == 137


def test_a_queue_that_was_lost_is_made_again_without_what_was_decided(database: Database) -> None:
    write(database, "predictions", *(prediction(f"p-{number}", 0.5) for number in range(10)))
    write(database, "reviews", review("p-3", "confirmed", "glass"))
    before = on_queue(database, everything)
    execute(database, "TRUNCATE review_queue, review_progress")
    again = on_queue(database, everything)
    names = [f"p-{number}" for number in range(10) if number != 3]
    assert [item.prediction_id for item in before] == [item.prediction_id for item in again] == names


def test_what_was_decided_a_month_ago_is_forgotten_and_what_is_open_is_not(database: Database) -> None:
    old: dict[str, Any] = {"event_time": NOW - timedelta(days=40)}
    write(database, "predictions", prediction("p-1", 0.5, **old), prediction("p-2", 0.5, **old))
    write(database, "reviews", review("p-1", "confirmed", "glass", **old))

    async def work(queue: ReviewQueue) -> list[tuple[str, int]]:
        await queue.project()
        return [(count.state, count.items) for count in await queue.depth()]

    assert on_queue(database, work) == [("waiting", 1)]


def test_a_review_in_another_machines_chain_closes_no_item_and_says_nothing_of_its_accuracy(
    database: Database,
) -> None:
    """The same name of a prediction in two chains; only the review in the item's own chain is about it."""
    write(database, "predictions", prediction("p-1", 0.5), prediction("p-2", 0.5))
    writer = write(
        database,
        "reviews",
        review("p-1", "confirmed", "glass", machine_id="rvm-2"),
        review("p-2", "confirmed", "glass"),
    )
    window = Window("waste", "v1", NOW - timedelta(days=7), NOW + timedelta(hours=1))

    async def work(queue: ReviewQueue) -> None:
        sessions = Sessions(database.inference_url)
        try:
            truth = GroundTruthStore(sessions)
            await queue.project()
            assert [item.prediction_id for item in await queue.open_items()] == ["p-1"]
            writer.append("reviews", [review("p-1", "corrected", "metal", machine_id="rvm-2")])
            await queue.project()
            assert [item.prediction_id for item in await queue.open_items()] == ["p-1"]
            assert [one.decision for one in await truth.reviews(window)] == ["confirmed"]
            writer.append("reviews", [review("p-1", "rejected", None)])
            await queue.project()
            assert await queue.open_items() == []
            assert sorted(one.decision for one in await truth.reviews(window)) == ["confirmed", "rejected"]
        finally:
            await sessions.close()

    on_queue(database, work, audit_rate=0.0)


def test_a_review_from_elsewhere_closes_the_item_and_its_lease(database: Database) -> None:
    write(database, "predictions", prediction("p-1", 0.5))

    async def work(queue: ReviewQueue) -> None:
        await queue.project()
        [item] = await queue.lease("ann")
        assert item.lease_token is not None
        write(database, "reviews", review("p-1", "corrected", "metal"))
        await queue.project()
        assert await queue.open_items() == []
        with pytest.raises(Conflict, match="decided: corrected by elsewhere"):
            await queue.decide("p-1", item.lease_token, "confirmed", reviewer="ann")

    on_queue(database, work)


def test_the_oldest_come_first_and_a_lease_that_ran_out_is_offered_again(database: Database) -> None:
    write(database, "predictions", *(prediction(f"p-{number}", 0.5) for number in (3, 1, 2)))

    async def work(queue: ReviewQueue) -> None:
        await queue.project()
        first = await queue.lease("ann", 2, seconds=0.05)
        assert [item.prediction_id for item in first] == ["p-1", "p-2"]
        assert [item.prediction_id for item in await queue.lease("bob", 5)] == ["p-3"]
        await asyncio.sleep(0.1)
        again = await queue.lease("bob", 5)
        assert [(item.prediction_id, item.attempts) for item in again] == [("p-1", 2), ("p-2", 2)]
        token = first[0].lease_token
        assert token is not None
        with pytest.raises(Conflict, match="leased by bob"):
            await queue.decide("p-1", token, "confirmed", reviewer="ann")

    on_queue(database, work)


def test_what_nobody_decides_is_set_aside_with_a_reason_and_can_be_offered_again(database: Database) -> None:
    write(database, "predictions", prediction("p-1", 0.5))

    async def work(queue: ReviewQueue) -> None:
        await queue.project()
        for _ in range(3):
            assert len(await queue.lease("ann", seconds=0)) == 1
        assert await queue.lease("ann") == []
        [item] = await queue.open_items()
        assert (item.state, item.trouble) == ("expired", "leased 3 times without a decision, last by ann")
        assert [(count.state, count.items) for count in await queue.depth()] == [("expired", 1)]
        await queue.release("p-1")
        assert len(await queue.lease("ann")) == 1
        with pytest.raises(Conflict):
            await queue.release("p-1")

    on_queue(database, work, most_attempts=3)


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


def test_reviewers_who_ask_at_once_never_get_the_same_item(database: Database) -> None:
    write(database, "predictions", *(prediction(f"p-{number}", 0.5) for number in range(200)))

    async def work(queue: ReviewQueue) -> list[str]:
        await queue.project()
        got: list[str] = []

        async def reviewer(name: str) -> None:
            while items := await queue.lease(name, 3):
                got.extend(item.prediction_id for item in items)
                for item in items:
                    assert item.lease_token is not None
                    if item.seq % 5:
                        await queue.decide(item.prediction_id, item.lease_token, "confirmed", reviewer=name)

        await asyncio.gather(*(reviewer(f"reviewer-{number}") for number in range(8)))
        return got

    assert Counter(on_queue(database, work)) == {f"p-{number}": 1 for number in range(200)}


def test_the_service_can_not_write_the_ledger(database: Database) -> None:
    write(database, "predictions", prediction("p-1", 0.5))
    with psycopg.connect(database.inference_url) as connection:
        assert connection.execute("SELECT count(*) FROM predictions").fetchone() == (1,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("INSERT INTO predictions SELECT * FROM predictions")
