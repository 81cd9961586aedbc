"""The review queue on a real database: what comes to it, who gets it; nothing is lost or given twice."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from inference.errors import Conflict
from inference.reviews.queue import ReviewQueue
from store.ground_truth import GroundTruthStore, Window
from store.reviews import Item
from store.sessions import Sessions
from tally.testing import Database
from tests.integration.review_rows import NOW, everything, execute, on_queue, prediction, review, write


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
