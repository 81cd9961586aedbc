"""What the monitor measured, for Prometheus: a figure that is not known has no series."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from inference.monitoring.health import Kind, ModelHealth
from inference.monitoring.monitor import Monitor

_KINDS: Final[tuple[Kind, ...]] = ("accuracy_low", "drift")
_WHICH: Final = ("model", "version")


class HealthMetrics(Collector):
    """The gauges of a monitor's latest measurement; register it in the service's registry."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def collect(self) -> Iterable[Metric]:
        """Every gauge, with a series for each version of which it is known."""
        latest = self._monitor.latest
        yield from _truth(latest)
        drift = GaugeMetricFamily(
            "tally_inference_drift",
            "Population stability index over 7 days, against the data that the version was evaluated on.",
            labels=(*_WHICH, "part"),
        )
        alarm = GaugeMetricFamily(
            "tally_inference_alarm",
            "1 if a version's accuracy is too low or its data drifted, by kind.",
            labels=(*_WHICH, "kind"),
        )
        for health in latest:
            which = _which(health)
            for part, index in health.drift.parts().items():
                drift.add_metric((*which, part), index)
            kinds = {finding.kind for finding in health.findings}
            for kind in _KINDS:
                alarm.add_metric((*which, kind), float(kind in kinds))
        yield drift
        yield alarm


def _truth(latest: Iterable[ModelHealth]) -> Iterable[Metric]:
    accuracy = GaugeMetricFamily(
        "tally_inference_rolling_accuracy",
        "Accuracy over 7 days, estimated from reviews; bound low and high: its interval at 95 %.",
        labels=(*_WHICH, "bound"),
    )
    calibration = GaugeMetricFamily(
        "tally_inference_rolling_calibration_error",
        "Expected calibration error over 7 days, estimated from reviews.",
        labels=_WHICH,
    )
    agreement = GaugeMetricFamily(
        "tally_inference_ticket_agreement",
        "Share of mass that answers and plant scale tickets put into the same class, over 7 days.",
        labels=_WHICH,
    )
    reviews = GaugeMetricFamily(
        "tally_inference_reviews_counted", "Reviews that the rolling accuracy is from.", labels=_WHICH
    )
    for health in latest:
        which = _which(health)
        reviews.add_metric(which, health.reviews.reviews)
        if (estimate := health.reviews.accuracy) is not None:
            accuracy.add_metric((*which, "estimate"), estimate.value)
            accuracy.add_metric((*which, "low"), estimate.low)
            accuracy.add_metric((*which, "high"), estimate.high)
            calibration.add_metric(which, estimate.calibration_error)
        if health.tickets.agreement is not None:
            agreement.add_metric(which, health.tickets.agreement)
    yield from (accuracy, calibration, agreement, reviews)


def _which(health: ModelHealth) -> tuple[str, str]:
    return health.window.model_id, health.window.version
