"""From rows of a real ledger to a model's health, and from findings to a challenger in shadow."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client import CollectorRegistry

from inference.governance.events import registration
from inference.governance.registry import Registry
from inference.manifest import Histogram, Reference, read_manifest
from inference.monitoring.health import ModelHealth
from inference.monitoring.metrics import HealthMetrics
from inference.monitoring.monitor import Monitor
from inference.monitoring.retraining import Retrainer
from inference.reviews.queue import ReviewQueue
from ledger.canonical import canonical_json
from ledger.rows import Value
from ledger.streams import STREAMS
from outbox.sender import Answer, Later, RawSender, Signal
from store.governance import GovernanceStore
from store.ground_truth import GroundTruthStore
from store.reviews import ReviewStore
from store.sessions import Sessions
from tally.testing import Database
from tests.conftest import StartCollector
from tests.integration.model_folders import MODEL, make_folder
from tests.integration.review_rows import Outbox, prediction, review, write
from tests.ledger_writer import sample

NOW: Final = datetime.now(UTC)
REFERENCE: Final = Reference(
    inputs={"brightness": Histogram(edges=(0.5,), shares=(0.5, 0.5))},
    classes=Histogram(names=("glass", "metal"), shares=(0.5, 0.5)),
    confidence=Histogram(edges=(0.8,), shares=(0.1, 0.9)),
)


class Collector:
    """The way to the collector, if a test starts one."""

    sender: RawSender | None = None

    async def attempt(self, signal: Signal, payload: bytes, number: int = 0) -> Answer | Later:
        assert self.sender is not None, "this test starts no collector"
        return await self.sender.attempt(signal, payload, number)


class Parts:
    """What a service has, on one event loop, with a champion v1."""

    def __init__(self, database: Database, directory: Path) -> None:
        self.shelf = directory / "models"
        folder = make_folder(self.shelf, "v1", reference=REFERENCE, covers={"metal": ("aluminium",)})
        write(database, "governance", *life(folder))
        self.sessions = Sessions(database.inference_url)
        self.collector = Collector()
        self.registry = Registry(GovernanceStore(self.sessions), self.collector, directory / "known.json")
        self.queue = ReviewQueue(ReviewStore(self.sessions), Outbox().put, audit_rate=0.5)
        self.truth = GroundTruthStore(self.sessions)

    async def health(self) -> ModelHealth:
        await self.registry.refresh()
        await self.queue.project()
        [health] = await Monitor(self.registry, self.truth, [self.shelf]).measure()
        return health


def life(folder: Path) -> Iterator[dict[str, Value]]:
    """The rows of a version's life up to its promotion, as the collector makes them."""
    made, digest = read_manifest(folder)
    steps: list[dict[str, Any]] = [
        *map(dict, registration(made, digest)),
        {"model.action": "approved", "model.note": "seen"},
        {"model.action": "promoted"},
    ]
    for number, sent in enumerate(steps):
        for name in ("id", "version", "actor", "digest"):
            sent.pop(f"model.{name}", None)
        yield sample(STREAMS["governance"], MODEL, number) | {
            "action": str(sent.pop("model.action")),
            "model_version": made.version,
            "actor": made.trained_by if number < 2 else "approver",
            "model_digest": digest,
            "attributes": canonical_json(sent).decode(),
        }


@pytest.fixture
def parts(database: Database, tmp_path: Path) -> Iterator[tuple[asyncio.Runner, Parts]]:
    """The parts, and the loop that they live on."""
    with asyncio.Runner() as runner:

        async def start() -> Parts:
            return Parts(database, tmp_path)

        made = runner.run(start())
        yield runner, made
        runner.run(made.sessions.close())


def answer(
    number: int, material: str, confidence: float, brightness: float, /, **changes: Any
) -> dict[str, Value]:
    attributes = {
        "prediction.statistics": {"brightness": brightness},
        "prediction.covers": ["aluminium"] if material == "metal" else [],
    }
    values = prediction(f"p-{number}", confidence, attributes=attributes) | {
        "event_time": NOW - timedelta(days=1, seconds=number),
        "model_id": MODEL,
        "material": material,
    }
    return values | changes


def steady(count: int, right_until: int) -> tuple[list[dict[str, Value]], list[dict[str, Value]]]:
    """Answers as at the evaluation, a tenth unsure; those of a number below ``right_until`` are right."""
    answers, reviews = [], []
    for number in range(count):
        material = "metal" if number % 2 else "glass"
        answers.append(answer(number, material, 0.5 if number % 10 == 0 else 0.95, number % 4 / 4))
        right = number < right_until
        decision = "confirmed" if right else "corrected"
        reviews.append(review(f"p-{number}", decision, material if right else "paper", event_time=NOW))
    return answers, reviews


def test_a_model_that_is_right_and_steady_has_no_findings(
    database: Database, parts: tuple[asyncio.Runner, Parts]
) -> None:
    runner, made = parts
    answers, reviews = steady(400, 380)
    old = answer(1_000, "wood", 0.1, 0.9, event_time=NOW - timedelta(days=8))
    other = [answer(2_000 + number, "wood", 0.1, 0.9, model_version="v0") for number in range(50)]
    write(database, "predictions", *answers, old, *other)
    write(database, "reviews", *reviews)
    health = runner.run(made.health())
    assert (health.answers, health.unsure) == (400, 40)
    assert health.by_class == {"glass": 200, "metal": 200}
    truth = health.reviews
    assert truth.accuracy is not None
    assert 0.88 < truth.accuracy.low < truth.accuracy.value < truth.accuracy.high <= 1
    assert 200 < truth.reviews < 240, "every unsure answer and about half of the others"
    assert set(health.drift.parts()) == {"classes", "confidence", "input:brightness"}
    assert max(health.drift.parts().values()) < 0.01
    assert health.findings == ()


def test_a_model_that_is_often_wrong_and_whose_data_moved_is_found(
    database: Database, parts: tuple[asyncio.Runner, Parts]
) -> None:
    runner, made = parts
    _, reviews = steady(400, 200)
    write(
        database,
        "predictions",
        *(answer(number, "metal", 0.5 + 0.1 * (number % 5), 0.9) for number in range(400)),
    )
    write(database, "reviews", *reviews)
    health = runner.run(made.health())
    assert [finding.kind for finding in health.findings] == ["accuracy_low", "drift"]
    assert set(health.drift.parts()) == {"classes", "confidence", "input:brightness"}
    assert min(health.drift.parts().values()) > 0.25
    assert "below 0.85" in health.findings[0].sentence


def test_without_enough_reviews_nothing_is_said_of_accuracy(
    database: Database, parts: tuple[asyncio.Runner, Parts]
) -> None:
    runner, made = parts
    answers, reviews = steady(400, 0)
    write(database, "predictions", *answers)
    write(database, "reviews", *reviews[:10])
    health = runner.run(made.health())
    assert health.reviews.accuracy is None
    assert health.findings == ()


def ticket(lot: str, composition: dict[str, float], **changes: Any) -> dict[str, Value]:
    values = sample(STREAMS["scale_tickets"], "plant-1", 1) | {
        "event_time": NOW - timedelta(hours=1),
        "ticket_id": f"ticket-{lot}",
        "lot_id": lot,
        "mass_mg": 1_000,
        "attributes": canonical_json({"ticket.composition": dict(composition)}).decode(),
    }
    return values | changes


def deposit(number: int, lot: str, mass_mg: int) -> dict[str, Value]:
    return sample(STREAMS["transactions"], "rvm-1", number) | {
        "event_time": NOW - timedelta(days=9),
        "transaction_id": f"t-{number}",
        "lot_id": lot,
        "mass_mg": mass_mg,
    }


def test_a_plants_ticket_is_compared_with_the_answers_for_its_deposits(
    database: Database, parts: tuple[asyncio.Runner, Parts]
) -> None:
    runner, made = parts
    earlier = {"event_time": NOW - timedelta(days=9)}
    write(
        database, "transactions",
        deposit(1, "lot-1", 600), deposit(1, "lot-1", 600), deposit(2, "lot-1", 400),
        deposit(3, "lot-2", 500), deposit(4, "lot-3", 500),
    )  # fmt: skip
    write(
        database, "predictions",
        answer(10, "metal", 0.9, 0.5, transaction_id="t-1", **earlier),
        answer(11, "glass", 0.9, 0.5, transaction_id="t-1", **earlier),
        answer(12, "metal", 0.9, 0.5, transaction_id="t-2", **earlier),
        answer(13, "glass", 0.9, 0.5, transaction_id="t-3", **earlier),
    )  # fmt: skip
    write(
        database, "scale_tickets",
        ticket("lot-1", {"glass": 0.5, "aluminium": 0.5}),
        ticket("lot-2", {"glass": 1.0}, event_time=NOW - timedelta(days=10)),
        ticket("lot-3", {"glass": 1.0}),
    )  # fmt: skip
    tickets = runner.run(made.health()).tickets
    assert (tickets.lots, tickets.mass_mg) == (1, 1_000)
    assert tickets.agreement == pytest.approx(0.9), "0.6 glass and 0.4 metal, weighed half and half"


def test_a_folder_that_is_not_the_one_of_the_ledger_is_no_reference(
    database: Database, parts: tuple[asyncio.Runner, Parts]
) -> None:
    runner, made = parts
    write(database, "predictions", *steady(300, 0)[0])
    manifest = made.shelf / MODEL / "v1" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b" ")
    assert runner.run(made.health()).drift.parts() == {}


def test_only_what_is_known_has_a_series(database: Database, parts: tuple[asyncio.Runner, Parts]) -> None:
    runner, made = parts
    monitor = Monitor(made.registry, made.truth, [made.shelf])
    registry = CollectorRegistry()
    registry.register(HealthMetrics(monitor))
    write(database, "predictions", *steady(400, 0)[0])
    runner.run(made.registry.refresh())
    runner.run(monitor.measure())
    which = {"model": MODEL, "version": "v1"}
    assert (
        registry.get_sample_value("tally_inference_rolling_accuracy", which | {"bound": "estimate"}) is None
    )
    assert registry.get_sample_value("tally_inference_reviews_counted", which) == 0
    assert registry.get_sample_value("tally_inference_drift", which | {"part": "classes"}) == pytest.approx(0)
    assert registry.get_sample_value("tally_inference_alarm", which | {"kind": "drift"}) == 0


TRAINING: Final = """
import pathlib, sys
sys.path.insert(0, {root!r})
from tests.integration.model_folders import make_folder
assert sys.argv[1].endswith("waste.yaml")
make_folder(pathlib.Path({shelf!r}), "v2", seconds=3.0)
"""


def test_a_finding_starts_one_training_whose_result_answers_in_shadow_if_it_succeeds(
    database: Database, parts: tuple[asyncio.Runner, Parts], tmp_path: Path, collector: StartCollector
) -> None:
    runner, made = parts
    endpoint = collector(database).grpc_endpoint
    root = str(Path(__file__).parents[2])
    code = TRAINING.format(root=root, shelf=str(made.shelf))
    write(database, "predictions", *(answer(number, "metal", 0.9, 0.9) for number in range(300)))

    async def work() -> None:
        made.collector.sender = RawSender(endpoint)
        retrainer = Retrainer(
            made.registry,
            {MODEL: tmp_path / "waste.yaml"},
            made.shelf,
            tmp_path / "training.log",
            command=(sys.executable, "-c", code),
        )
        health = await made.health()
        for _ in range(2):
            await retrainer.consider(health)
        await retrainer.finish()
        await retrainer.consider(health)
        await retrainer.finish()
        state = await made.registry.state(MODEL)
        assert state.champion_version == "v1"
        assert state.challenger is not None, (tmp_path / "training.log").read_text()
        assert (state.challenger.version, state.challenger.share) == ("v2", 0.0)
        history = await made.registry.history(MODEL)
        assert [entry.step.action for entry in history[4:]] == [
            "retraining",
            "trained",
            "evaluated",
            "shadowed",
        ]
        assert "drifted beyond 0.25" in history[4].step.attributes["model.note"]

        failing = (sys.executable, "-c", "raise SystemExit('no data')")
        log = tmp_path / "log" / "failed.log"
        specs = {MODEL: tmp_path / "waste.yaml"}
        again = Retrainer(made.registry, specs, made.shelf, log, command=failing, cool_down=timedelta(0))
        await again.consider(health)
        assert again.training
        await again.finish()
        assert "no data" in log.read_text()
        assert [entry.step.action for entry in (await made.registry.history(MODEL))[8:]] == ["retraining"]
        await made.collector.sender.__aexit__()

    runner.run(work())
