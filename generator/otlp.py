"""OTLP requests of the fleet, encoded at full speed: metrics as templates filled by numpy, events one by one.

A request has one resource (the emitter) and one scope.  The bytes equal what the OpenTelemetry SDK encodes
for the same records (see generator.sdk); field numbers are those of metrics.proto, logs.proto and the
collector services.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from generator import GENERATOR_VERSION
from generator.deposits import Floats, Ints
from generator.fleet import Attributes
from generator.signals import SERIES, Readings, Series
from generator.wire import Attribute, attributes, delimited, fixed64, varint

SCOPE_NAME: Final = "tally.generator"
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
SEVERITY_INFO: Final = 9
SEVERITY_ERROR: Final = 17
_CUMULATIVE: Final = 2
_fixed64 = struct.Struct("<Q").pack

_SCOPE: Final = delimited(1, SCOPE_NAME.encode()) + delimited(2, GENERATOR_VERSION.encode())
_SCHEMA_URL: Final = delimited(3, SCHEMA_URL.encode())


@dataclass(frozen=True, slots=True)
class Event:
    """One log record.

    ``time_ns`` is what the sender's clock says, ``observed_ns`` when it was truly sent (the site's gateway
    stamps it).  ``order`` sorts the events of one emitter: the sending time first.
    """

    order: tuple[int, ...]
    name: str
    time_ns: int
    attributes: tuple[Attribute, ...]
    severity: int = SEVERITY_INFO

    @property
    def observed_ns(self) -> int:
        """When it was sent."""
        return self.order[0]


@dataclass(frozen=True, slots=True)
class PointTemplate:
    """The framed bytes of one data point of a series, and where its time and its value go."""

    frame: NDArray[np.uint8]
    time_at: int
    value_at: int

    def fill(self, time_ns: Ints, values: Floats | Ints) -> bytes:
        """One point after another, each ``len(self.frame)`` bytes."""
        points = np.tile(self.frame, (len(time_ns), 1))
        points[:, self.time_at : self.time_at + 8] = _eight_bytes(time_ns.astype("<i8"))
        points[:, self.value_at : self.value_at + 8] = _eight_bytes(
            values.astype("<i8" if values.dtype.kind == "i" else "<f8")
        )
        return points.tobytes()


def _eight_bytes(numbers: NDArray[np.generic]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(numbers).view(np.uint8).reshape(len(numbers), 8)


@lru_cache(maxsize=256)
def point_template(series: Series, start_ns: int) -> PointTemplate:
    """The template of a series; sums count from ``start_ns``."""
    start = b"" if series.kind == "gauge" else fixed64(2, start_ns)
    head = start + fixed64(3, 0)
    value = fixed64(6 if series.integer else 4, 0)
    body = head + value + attributes(7, series.attributes)
    frame = delimited(1, body)
    prefix = len(frame) - len(body)
    return PointTemplate(
        frame=np.frombuffer(frame, dtype=np.uint8),
        time_at=prefix + len(head) - 8,
        value_at=prefix + len(head) + 1,
    )


@lru_cache(maxsize=64)
def _metric_head(name: str, unit: str) -> bytes:
    return delimited(1, name.encode()) + delimited(3, unit.encode())


def metric(series: Series, points: bytes) -> bytes:
    """A framed Metric with the encoded points of all of its series (they share name, unit and kind)."""
    head = _metric_head(series.metric, series.unit)
    if series.kind == "gauge":
        return delimited(2, head + delimited(5, points))
    monotonic = b"\x18\x01" if series.kind == "counter" else b""
    return delimited(2, head + delimited(7, points + b"\x10" + varint(_CUMULATIVE) + monotonic))


@lru_cache(maxsize=65_536)
def _resource(resource: Attributes) -> bytes:
    return delimited(1, attributes(1, resource))


_SCOPED: Final = delimited(1, _SCOPE)


def request(resource: Attributes, items: bytes) -> bytes:
    """A whole export request: framed metrics or log records of one emitter under the generator's scope."""
    scope = delimited(2, _SCOPED + items + _SCHEMA_URL)
    return delimited(1, _resource(resource) + scope + _SCHEMA_URL)


@dataclass(frozen=True, slots=True)
class EncodedReadings:
    """A piece of a machine's readings, every point encoded; windows are cut out of it."""

    readings: Readings
    points: tuple[tuple[Series, int, bytes], ...]

    def cut(self, begin: int, end: int) -> bytes:
        """The framed metrics of readings number ``begin`` up to, not including, ``end``."""
        framed = []
        for _, group in groupby(self.points, key=lambda item: item[0].metric):
            members = list(group)
            points = b"".join([content[begin * size : end * size] for _, size, content in members])
            framed.append(metric(members[0][0], points))
        return b"".join(framed)


def encode_readings(readings: Readings, start_ns: int) -> EncodedReadings:
    """Encode all points of a piece of readings."""
    points = []
    for series in SERIES:
        template = point_template(series, start_ns)
        points.append((series, len(template.frame), template.fill(readings.time_ns, readings.values(series))))
    return EncodedReadings(readings, tuple(points))


@lru_cache(maxsize=64)
def _event_constants(name: str, severity: int) -> tuple[bytes, bytes]:
    """What stands after the time and after the observed time; the body is the SDK's way to write none."""
    return b"\x10" + varint(severity) + b"\x2a\x00", delimited(12, name.encode())


def log_records(events: Sequence[Event]) -> bytes:
    """Framed log records."""
    framed = []
    for event in events:
        middle, end = _event_constants(event.name, event.severity)
        pairs = attributes(6, event.attributes) if event.attributes else b""
        time, observed = _fixed64(event.time_ns), _fixed64(event.order[0])
        framed.append(delimited(2, b"\x09" + time + middle + pairs + b"\x59" + observed + end))
    return b"".join(framed)
