"""What the collector tells Prometheus of itself."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_ROWS: Final = (1, 10, 100, 1_000, 5_000, 10_000, 20_000, 50_000, 100_000)


disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series a counter, asked for by nobody


class LastSeen(Collector):
    """When each machine's newest row arrived; the longest silent are forgotten over the bound.

    A machine that went silent before this process started is still exported: ``seen`` is also fed from
    the ledger at the start, since a gauge that vanishes can't raise an alert.
    """

    def __init__(self, max_machines: int) -> None:
        self._max_machines = max_machines
        self._seen: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def seen(self, machine_id: str, site_id: str | None, unix_s: float) -> None:
        """A row of this machine arrived at ``unix_s`` seconds since 1970."""
        known = self._seen.get(machine_id)
        if known is not None and known[1] > unix_s:
            return
        self._seen[machine_id] = (site_id or (known[0] if known else ""), unix_s)
        self._seen.move_to_end(machine_id)
        if len(self._seen) > self._max_machines:
            self._seen.popitem(last=False)

    def collect(self) -> Iterable[Metric]:
        """The gauge, one series a machine."""
        family = GaugeMetricFamily(
            "tally_machine_last_seen_timestamp_seconds",
            "When the newest row of a machine arrived, seconds since 1970.",
            labels=("machine_id", "site_id"),
        )
        for machine_id, (site_id, unix_s) in list(self._seen.items()):
            family.add_metric((machine_id, site_id), unix_s)
        yield family


class CollectorMetrics:
    """Every metric of a collector, in a registry of its own."""

    def __init__(self, max_machines: int = 20_000) -> None:
        self.registry: Final = CollectorRegistry()
        registry = self.registry
        self.requests: Final = Counter(
            "tally_collector_requests_total",
            "OTLP requests answered, by signal and outcome.",
            ("signal", "outcome"),
            registry=registry,
        )
        self.rows: Final = Counter(
            "tally_collector_rows_total", "Rows committed.", ("stream",), registry=registry
        )
        self.rejected: Final = Counter(
            "tally_collector_rejected_records_total",
            "Records refused through partial_success, by reason.",
            ("signal", "reason"),
            registry=registry,
        )
        self.duplicates: Final = Counter(
            "tally_collector_duplicate_requests_total",
            "Requests that were committed before and added no row.",
            registry=registry,
        )
        self.clock_anomalies: Final = Counter(
            "tally_collector_clock_anomalies_total",
            "Data points, stored all the same, whose time repeats or precedes the one before in its series.",
            ("kind",),
            registry=registry,
        )
        self.chain_conflicts: Final = Counter(
            "tally_collector_chain_conflicts_total",
            "Batches chained again because another collector had moved a head.",
            registry=registry,
        )
        self.queue_rows: Final = Gauge(
            "tally_collector_queue_rows", "Rows accepted and not committed yet.", registry=registry
        )
        self.queue_requests: Final = Gauge(
            "tally_collector_queue_requests", "Requests accepted and not committed yet.", registry=registry
        )
        self.commit_seconds: Final = Histogram(
            "tally_collector_commit_seconds",
            "Duration of a batch's transaction.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.batch_rows: Final = Histogram(
            "tally_collector_batch_rows", "Rows in a transaction.", buckets=_ROWS, registry=registry
        )
        self.commit_failures: Final = Counter(
            "tally_collector_commit_failures_total",
            "Transactions that failed, by what follows.",
            ("then",),
            registry=registry,
        )
        self.database_up: Final = Gauge(
            "tally_collector_database_up",
            "1 if the last transaction reached the database, else 0.",
            registry=registry,
        )
        self.last_seen: Final = LastSeen(max_machines)
        registry.register(self.last_seen)
