"""What the service tells Prometheus of itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from inference.serving.desk import Desk

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series a counter, asked for by nobody

_SECONDS: Final = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.1, 0.2, 0.5, 1, 2, 5)
_CONFIDENCE: Final = (0.3, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 1.0)


class SeatedVersions(Collector):
    """Which version sits where, as an info metric."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def collect(self) -> Iterable[Metric]:
        """A series of value 1 for each seated version, and whether a model is seated as the ledger says."""
        info = GaugeMetricFamily(
            "tally_inference_model_info",
            "1 for each version that is seated.",
            labels=("model", "version", "digest", "role"),
        )
        for model_id, seat in self._desk.seats.items():
            info.add_metric((model_id, seat.champion.manifest.version, seat.champion.digest, "champion"), 1)
            if seat.challenger is not None:
                role = "challenger" if seat.share > 0 else "shadow"
                info.add_metric((model_id, seat.challenger.manifest.version, seat.challenger.digest, role), 1)
        yield info
        problem = GaugeMetricFamily(
            "tally_inference_model_problem",
            "1 if what the ledger says of a model could not be loaded; the version before goes on.",
            labels=("model",),
        )
        for model_id in {*self._desk.seats, *self._desk.problems}:
            problem.add_metric((model_id,), float(model_id in self._desk.problems))
        yield problem


class InferenceMetrics:
    """Every metric of the service, in a registry of its own."""

    def __init__(self, desk: Desk) -> None:
        self.registry: Final = CollectorRegistry()
        registry = self.registry
        registry.register(SeatedVersions(desk))
        self.latency: Final = Histogram(
            "tally_inference_latency_seconds",
            "From a request's arrival to its answer, by kind of input.",
            ["kind"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.in_flight: Final = Gauge(
            "tally_inference_in_flight",
            "Items under way, waiting ones included.",
            ["kind"],
            registry=registry,
        )
        self.errors: Final = Counter(
            "tally_inference_errors",
            "Items that were not answered, by reason.",
            ["reason"],
            registry=registry,
        )
        self.predictions: Final = Counter(
            "tally_inference_predictions",
            "Answers, by model, version and class.",
            ["model", "version", "prediction"],
            registry=registry,
        )
        self.confidence: Final = Histogram(
            "tally_inference_confidence_ratio",
            "Calibrated confidence of the answers, by class.",
            ["model", "prediction"],
            buckets=_CONFIDENCE,
            registry=registry,
        )
        self.low_confidence: Final = Counter(
            "tally_inference_low_confidence",
            "Answers that go to a human, by model.",
            ["model"],
            registry=registry,
        )
        self.shadows: Final = Counter(
            "tally_inference_shadows",
            "Answers of a challenger in shadow, by whether they agree with the champion, or were left out.",
            ["model", "outcome"],
            registry=registry,
        )
        self.reviews: Final = Gauge(
            "tally_inference_review_items",
            "Items of the review queue, by state.",
            ["state"],
            registry=registry,
        )
        self.oldest_review: Final = Gauge(
            "tally_inference_review_oldest_seconds", "Age of the oldest item not decided.", registry=registry
        )
        self.ledger_followed: Final = Gauge(
            "tally_inference_ledger_followed",
            "1 while the ledger's steps of models can be read, else 0: the last known state is served.",
            registry=registry,
        )
        self.chain_trouble: Final = Gauge(
            "tally_inference_chain_trouble",
            "1 if a model's chain can't be followed any further; what was last known of it is served.",
            ["model"],
            registry=registry,
        )
