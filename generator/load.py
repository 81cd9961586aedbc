"""Load: raw OTLP metric requests of a given shape, at a given rate or as fast as they are answered.

Requests are templates into which only times are written, so that the sender costs little beside the
collector.  Each request has times of its own: two alike would be taken for a retry of one.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from generator.clock import SECOND_NS
from generator.delivery import Delivery
from generator.errors import SpecError
from generator.fleet import Attributes
from generator.otlp import metric, point_template, request
from generator.progress import ProgressCallback, Reporter
from generator.settings import Target
from generator.signals import SERIES
from outbox.sender import RawSender

_MARK: Final = 0x7E57_7E57_0DD5_0DD5
_LOAD_SERIES: Final = tuple(s for s in SERIES if dict(s.attributes).get("error.type", "jam") == "jam")[:8]
_POINT_SPACING_NS: Final = 10_000
_MOST_POINTS_PER_REQUEST: Final = 200_000


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """The shape of the load.

    Args:
        machines: machines in a request.
        points: points of each machine in a request.
        fleet_machines: how many machines there are; requests take them in turn.
        in_flight: requests under way at once.
        rate: requests per second, None for as fast as possible.
        duration_s: how long, unless ``requests`` ends it first.
        requests: how many requests, None for as many as ``duration_s`` allows.
        fleet: name of the fleet; machine ids start with it.
    """

    machines: int = 10
    points: int = 100
    fleet_machines: int = 100
    in_flight: int = 8
    rate: float | None = None
    duration_s: float = 10.0
    requests: int | None = None
    fleet: str = "load"

    def __post_init__(self) -> None:
        for name, low, high in (
            ("machines", 1, 10_000),
            ("points", 1, 100_000),
            ("fleet_machines", 1, 1_000_000),
            ("in_flight", 1, 4_096),
            ("duration_s", 0.001, 86_400),
        ):
            if not low <= getattr(self, name) <= high:
                raise SpecError(f"{name}: expected {low} to {high}, got {getattr(self, name)}")
        if self.machines * self.points > _MOST_POINTS_PER_REQUEST:
            raise SpecError(
                f"machines x points: expected at most {_MOST_POINTS_PER_REQUEST} points in a request"
            )
        if self.rate is not None and not 0 < self.rate <= 1e6:
            raise SpecError(f"rate: expected more than 0 and at most 1,000,000 requests/s, got {self.rate}")
        if self.requests is not None and self.requests < 1:
            raise SpecError(f"requests: expected at least 1, got {self.requests}")


class RequestTemplate:
    """The bytes of one request with places for its points' times."""

    def __init__(self, spec: LoadSpec, first_machine: int) -> None:
        payload = b"".join(
            request(_resource(spec, (first_machine + offset) % spec.fleet_machines), _points(spec.points))
            for offset in range(spec.machines)
        )
        mark = re.escape(_MARK.to_bytes(8, "little"))
        places = np.array([match.start() for match in re.finditer(mark, payload, re.DOTALL)], dtype=np.int64)
        self.points = len(places)
        self._bytes = np.frombuffer(payload, dtype=np.uint8)
        self._places: NDArray[np.int64] = places[:, None] + np.arange(8)
        self._offsets = (np.arange(self.points, dtype="<i8") % spec.points) * _POINT_SPACING_NS

    def at(self, time_ns: int) -> bytes:
        """The request with its points' times spread over the time from ``time_ns`` on."""
        content = self._bytes.copy()
        content[self._places] = (self._offsets + time_ns).view(np.uint8).reshape(-1, 8)
        return content.tobytes()


def _points(count: int) -> bytes:
    framed = []
    for index, series in enumerate(_LOAD_SERIES):
        points = count // len(_LOAD_SERIES) + (index < count % len(_LOAD_SERIES))
        if points:
            times = np.full(points, _MARK, dtype=np.int64)
            values = np.arange(20, 20 + points, dtype=np.int64)
            template = point_template(series, SECOND_NS)
            filled = template.fill(times, values if series.integer else values.astype(np.float64))
            framed.append(metric(series, filled))
    return b"".join(framed)


def _resource(spec: LoadSpec, number: int) -> Attributes:
    return (
        ("service.name", "recycling-machine"),
        ("service.namespace", spec.fleet),
        ("service.instance.id", f"{spec.fleet}-rvm-{number + 1:06d}"),
        ("site.id", f"{spec.fleet}-site-{number % 10 + 1:02d}"),
    )


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a load run measured.  A latency ends with the final answer: retries are included."""

    spec: LoadSpec
    delivery: Delivery
    elapsed_s: float
    latencies_ms: NDArray[np.float64] = field(repr=False)

    @property
    def good(self) -> bool:
        """Everything was taken."""
        return self.delivery.clean

    @property
    def points(self) -> int:
        """Acknowledged points."""
        return self.delivery.acknowledged["telemetry"]

    def to_json(self) -> dict[str, Any]:
        """The summary that ``--json`` prints."""
        requests = self.delivery.requests["acknowledged"]
        names = {"p50": 50, "p90": 90, "p99": 99, "max": 100}
        shown = self.latencies_ms if len(self.latencies_ms) else np.zeros(1)
        return {
            "mode": "load",
            "good": self.good,
            "requests": requests,
            "points": self.points,
            "requests_per_s": round(requests / self.elapsed_s, 1),
            "points_per_s": round(self.points / self.elapsed_s),
            "latency_ms": {name: round(float(np.percentile(shown, q)), 3) for name, q in names.items()},
            "retries": self.delivery.retries,
            "delivery": self.delivery.to_json(),
            "elapsed_s": round(self.elapsed_s, 3),
        }


def load(spec: LoadSpec, target: Target, *, progress: ProgressCallback | None = None) -> LoadReport:
    """Send the load over gRPC and measure.

    Raises:
        SpecError: never here; the spec was checked when it was made.
        DeliveryError: no collector answers at all.
    """
    target.check()
    return asyncio.run(_load(spec, target, Reporter(progress)))


async def _load(spec: LoadSpec, target: Target, reporter: Reporter) -> LoadReport:
    groups = max(1, spec.fleet_machines // spec.machines)
    templates = [RequestTemplate(spec, group * spec.machines) for group in range(min(groups, 1_000))]
    delivery = Delivery()
    latencies: list[float] = []
    clock = _Clock(spec)

    async with RawSender(target.grpc_address, retry_for_s=30.0) as sender:

        async def work() -> None:
            while (number := await clock.next()) is not None:
                template = templates[number % len(templates)]
                payload = template.at(clock.base_ns + number * spec.points * _POINT_SPACING_NS)
                rows = {"telemetry": template.points}
                delivery.record_sent(rows)
                sent = time.perf_counter()
                answer = await sender.send("metrics", payload)
                latencies.append((time.perf_counter() - sent) * 1_000)
                for _ in range(answer.retries):
                    delivery.record_retry()
                if answer.accepted:
                    delivery.record_acknowledged("metrics", rows, answer.refused, answer.message)
                else:
                    delivery.record_failed(rows, answer.message)
                    clock.stop()
                reporter.add(template.points, clock.done)

        await asyncio.gather(*(work() for _ in range(spec.in_flight)))
    elapsed_s = clock.elapsed_s
    reporter.finish()
    return LoadReport(spec, delivery, elapsed_s, np.array(latencies))


class _Clock:
    """Says when the next request is due, and when it is enough."""

    def __init__(self, spec: LoadSpec) -> None:
        self._spec = spec
        self._begun = time.monotonic()
        self._number = 0
        self._stopped = False
        # An hour in the past: points are 10 microseconds apart and never get ahead of the clock.
        self.base_ns = time.time_ns() // SECOND_NS * SECOND_NS - 3_600 * SECOND_NS

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._begun

    @property
    def done(self) -> float:
        by_time = self.elapsed_s / self._spec.duration_s
        return by_time if self._spec.requests is None else max(by_time, self._number / self._spec.requests)

    def stop(self) -> None:
        self._stopped = True

    async def next(self) -> int | None:
        """The number of the next request, when it is due; None when there is none."""
        spec = self._spec
        if self._stopped or self._number == spec.requests:
            return None
        number = self._number
        due_s = 0.0 if spec.rate is None else number / spec.rate
        if max(due_s, self.elapsed_s) >= spec.duration_s:
            return None
        self._number += 1
        if due_s > self.elapsed_s:
            await asyncio.sleep(due_s - self.elapsed_s)
        return number
