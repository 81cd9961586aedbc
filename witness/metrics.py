"""What a witness tells Prometheus of itself."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from witness.errors import Outcome

_SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series a counter, asked for by nobody


class WitnessMetrics:
    """Every metric of a witness, in a registry of its own."""

    def __init__(self) -> None:
        self.registry: Final = CollectorRegistry()
        registry = self.registry
        self.requests: Final = Counter(
            "tally_witness_requests_total",
            "Requests to add a checkpoint, by what became of them.",
            ("outcome",),
            registry=registry,
        )
        for outcome in Outcome:
            self.requests.labels(outcome.value)
        self.seconds: Final = Histogram(
            "tally_witness_request_seconds",
            "From the whole request to its answer.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.forks: Final = Counter(
            "tally_witness_forks_total",
            "Checkpoints that a log signed against one that was cosigned: same size, another root.",
            ("origin",),
            registry=registry,
        )
        self.evidence: Final = Gauge(
            "tally_witness_fork_evidence", "Pairs of contradicting checkpoints kept.", registry=registry
        )
        self.size: Final = Gauge(
            "tally_witness_tree_size_leaves",
            "Size of the latest checkpoint cosigned.",
            ("origin",),
            registry=registry,
        )
        self.cosigned_at: Final = Gauge(
            "tally_witness_last_cosignature_timestamp_seconds",
            "When this process last cosigned a checkpoint, seconds since 1970.",
            ("origin",),
            registry=registry,
        )
