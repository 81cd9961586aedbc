"""OTLP metrics to rows of the telemetry stream, one row a data point.

A plain number point, as every SDK and the OpenTelemetry Collector write it, is

    [0x11 start_time 8 bytes] 0x19 time 8 bytes (0x21 double | 0x31 integer) 8 bytes (0x3a attribute)*

and its tail of attributes is the same in every request of the same series.  So the numbers are read with one
``struct`` call and the tail is looked up among those already translated; a tail is translated, and the point
judged, by the generated classes (``datapoints``) whenever it is new or the shape is another.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.metrics.v1.metrics_pb2 import NumberDataPoint

from collector.clock_watch import ClockWatch
from collector.datapoints import (
    Point,
    attributes_text,
    decode_point,
    sum_extras,
    temporality_extras,
)
from collector.envelope import count_unknown_points, open_request
from collector.limits import Arrival, Limits, decoded_text
from collector.records import DAY_US, Records, Refused
from collector.resources import Sender, Senders
from ledger.batch import Halves, Reading, reading_pack
from ledger.canonical import Json
from ledger.rows import UNIX_EPOCH_OFFSET_US
from ledger.streams import STREAMS

_FIELDS: Final = len(STREAMS["telemetry"].columns)
_NULL: Final = struct.pack(">i", -1)
_SEQ_LENGTH: Final = struct.pack(">i", 8)
_WITH_START: Final = {
    0x21: struct.Struct("<xQxQxd").unpack_from,
    0x31: struct.Struct("<xQxQxq").unpack_from,
}
_WITHOUT_START: Final = {
    0x21: struct.Struct("<xQxd").unpack_from,
    0x31: struct.Struct("<xQxq").unpack_from,
}
_EVENT: Final = struct.Struct(">hiq")
_TIME: Final = struct.Struct(">iq")
_DOUBLE: Final = struct.Struct(">id")
_DOUBLE_LENGTH: Final = struct.pack(">i", 8)
_NEVER: Final = -(2**63)
"""Before the first event time of a series, in microseconds."""

_EXACT: Final = 2.0**53
"""Integers up to here are floats too; readings beyond are rare and take the thorough way."""
_ROW_OVERHEAD_BYTES: Final = 150
"""What Python keeps of a row beside its bytes."""
_CACHED_SERIES: Final = 50_000
_WATCHED_TIMES: Final = 16
"""Attribute sets of one series whose last event times are kept from one request to the next."""
_CACHED_TAIL: Final = 2048
_CACHE_BYTES: Final = 16 << 20
_NUMBERS: Final = frozenset({"gauge", "sum"})
_WITH_TEMPORALITY: Final = frozenset({"histogram", "exponential_histogram"})


def _field(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


@dataclass(slots=True)
class _Series:
    """A metric of one sender, as met before: what its points have in common.

    ``after`` are the fields resource_digest, metric, unit and kind; ``tails`` the attributes already
    translated, ``times`` the last event times (microseconds since 2000-01-01) by attributes.
    """

    kind: str
    extras: dict[str, Json]
    after: bytes
    tails: dict[bytes, bytes]
    times: dict[bytes, int]


@dataclass(slots=True)
class _Target:
    """Where the points of one sender in one request go.

    ``before`` are the fields received_at and chain, and the length word of seq.
    """

    before: bytes
    arrival: Arrival
    records: Records
    rows: list[Halves | Reading]


class MetricsDecoder:
    """Turns metric requests into rows; keeps what it learned of senders and series, within bounds."""

    def __init__(self, senders: Senders, limits: Limits, clock_watch: ClockWatch) -> None:
        self._senders = senders
        self._limits = limits
        self._clock_watch = clock_watch
        self._series: dict[tuple[bytes, bytes, bytes, str, int, bool], _Series] = {}
        self._tails: dict[tuple[str, int, bool], dict[bytes, bytes]] = {}
        self._tail_bytes = 0

    def decode(self, body: bytes, arrival: Arrival) -> Records:
        """The rows of a request.

        Raises:
            Undecodable: the request as a whole can't be read.
            TooLarge: its rows would take too much memory.
        """
        records = Records(most_bytes=self._limits.decoded_bytes)
        received = _TIME.pack(8, arrival.received_us)
        request = open_request("metrics", body)
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                try:
                    sender = self._senders.sender(
                        resource.resource, resource.schema_url, scope.scope, scope.schema_url
                    )
                except Refused as refusal:
                    if count := sum(_point_count(metric) for metric in scope.metrics):
                        records.refuse(refusal, count)
                    continue
                rows = records.chain("telemetry", sender.machine_id)
                target = _Target(received + sender.chain_field + _SEQ_LENGTH, arrival, records, rows)
                for metric in scope.metrics:
                    self._metric(metric, sender, target)
                if rows:
                    records.resources[sender.digest] = sender.content
                    records.sites[sender.machine_id] = sender.site_id
        return records

    def _metric(self, metric: Any, sender: Sender, target: _Target) -> None:
        kind: str | None = metric.WhichOneof("data")
        if kind is None:
            self._no_data(metric, target.records)
            return
        points = getattr(metric, kind)
        data_points = points.data_points
        count = len(data_points)
        if not count:
            return
        key = (sender.digest, metric.name, metric.unit, kind, points.temporality, points.monotonic)
        series = self._series.get(key)
        if series is None:
            try:
                series = self._new_series(sender, metric, kind, points)
            except Refused as refusal:
                target.records.refuse(refusal, count)
                return
            if len(self._series) >= _CACHED_SERIES:
                self._series.clear()
            self._series[key] = series
        elif len(series.times) > _WATCHED_TIMES:
            series.times.clear()
        # What the points bring themselves is in the request's size already.
        shared_bytes = len(target.before) + len(series.after) + _ROW_OVERHEAD_BYTES
        target.records.weigh(count * shared_bytes)
        if kind in _NUMBERS:
            self._numbers(series, target, data_points)
        else:
            for data in data_points:
                self._any(series, target, data)

    def _no_data(self, metric: Any, records: Records) -> None:
        """A metric without data points, or with some of a type that is not OTLP's yet."""
        try:
            name = decoded_text(metric.name, "a metric's name", self._limits)
        except Refused:
            name = "?"
        if count := _point_count(metric):
            what = f"metric {name[:80]!r} is of a type unknown to us"
            records.refuse(Refused("unknown_metric_type", what), count)
        else:
            records.warnings.append(f"metric {name[:80]!r} has no data")

    def _new_series(self, sender: Sender, metric: Any, kind: str, points: Any) -> _Series:
        name = decoded_text(metric.name, "a metric's name", self._limits)
        if not name:
            raise Refused("metric_name_missing", "a metric has no name")
        unit = decoded_text(metric.unit, f"the unit of {name}", self._limits)
        shared = (kind, points.temporality, points.monotonic)
        return _Series(
            kind,
            _extras(kind, points),
            sender.digest_field + _field(name.encode()) + _field(unit.encode()) + _field(kind.encode()),
            self._tails.setdefault(shared, {}),
            {},
        )

    def _numbers(self, series: _Series, target: _Target, points: Any) -> None:
        """The fast way; a point that it can't read goes to ``_any``.

        Points next to each other mostly have the same attributes: those are looked up when they change.
        """
        tails, times, before = series.tails, series.times, target.before
        append = target.rows.append
        latest_us = target.arrival.latest_us
        from_us = until_us = 0  # the day that the point before was on, as far as it is believed
        current: bytes | None = None
        started, last_us = 0, _NEVER
        middle = attributes = b""
        pack = reading_pack(0, 0, 0)
        with_start, without_start = _WITH_START.get, _WITHOUT_START.get
        for data in points:
            size = len(data)
            if size >= 27 and data[0] == 0x11 and data[9] == 0x19 and (read := with_start(data[18])):
                start, time, value = read(data)
                tail = data[27:]
            elif size >= 18 and data[0] == 0x19 and (read := without_start(data[9])):
                time, value = read(data)
                start = 0
                tail = data[18:]
            else:
                self._any(series, target, data)
                continue
            if tail != current or start != started:
                if current is not None:
                    times[current] = last_us
                current = None
                translated = tails.get(tail) or self._translate(tail, series.extras, tails)
                if translated is None:
                    self._any(series, target, data)
                    continue
                attributes = translated
                current, started, last_us = tail, start, times.get(tail, _NEVER)
                middle = series.after + _start_field(start) + _DOUBLE_LENGTH
                pack = reading_pack(len(before), len(middle), len(attributes))
            event_us = time // 1000 - UNIX_EPOCH_OFFSET_US
            # The value's bounds are false too for NaN, infinities and integers that float8 can't hold.
            if not (
                -_EXACT <= value <= _EXACT and (from_us <= event_us < until_us or 0 <= event_us <= latest_us)
            ):
                self._any(series, target, data)
                continue
            if not from_us <= event_us < until_us:
                from_us = event_us - event_us % DAY_US
                until_us = min(from_us + DAY_US, latest_us + 1)
                target.records.on_day("telemetry", event_us)
            if event_us <= last_us:
                self._clock_watch.note(last_us, event_us)
            last_us = event_us
            append((pack, event_us, before, middle, value, attributes))
        if current is not None:
            times[current] = last_us

    def _translate(self, tail: bytes, extras: dict[str, Json], tails: dict[bytes, bytes]) -> bytes | None:
        """The count and attributes fields for a tail that is attributes and nothing else, else None."""
        try:
            point = NumberDataPoint.FromString(tail)
            pairs = list(point.attributes)
            text = attributes_text(pairs, len(pairs), extras, self._limits)
        except (DecodeError, Refused):
            return None
        point.ClearField("attributes")
        if point.ByteSize() or len(UnknownFieldSet(point)):
            return None
        fields = _NULL + _field(text)
        if len(tail) <= _CACHED_TAIL:
            if self._tail_bytes > _CACHE_BYTES:
                for cache in self._tails.values():
                    cache.clear()
                self._tail_bytes = 0
            tails[tail] = fields
            self._tail_bytes += len(tail) + len(fields)
        return fields

    def _any(self, series: _Series, target: _Target, data: bytes) -> None:
        try:
            point = decode_point(series.kind, data, series.extras, self._limits)
            event_us = target.arrival.event_us(point.time_unix_nano, f"a {series.kind} data point")
        except Refused as refusal:
            target.records.refuse(refusal)
            return
        if len(point.attributes) <= _CACHED_TAIL:
            last = series.times.get(point.attributes)
            if last is not None and event_us <= last:
                self._clock_watch.note(last, event_us)
            series.times[point.attributes] = event_us
        target.records.on_day("telemetry", event_us)
        before = _EVENT.pack(_FIELDS, 8, event_us) + target.before
        target.rows.append((before, series.after + _tail_of(point)))


def _extras(kind: str, points: Any) -> dict[str, Json]:
    if kind == "sum":
        return sum_extras(points.temporality, monotonic=points.monotonic)
    return temporality_extras(points.temporality) if kind in _WITH_TEMPORALITY else {}


def _start_field(start_time_unix_nano: int) -> bytes:
    return (
        _TIME.pack(8, start_time_unix_nano // 1000 - UNIX_EPOCH_OFFSET_US) if start_time_unix_nano else _NULL
    )


def _tail_of(point: Point) -> bytes:
    """start_time, value, count and attributes of a point, as fields."""
    return b"".join(
        (
            _start_field(point.start_time_unix_nano),
            _NULL if point.value is None else _DOUBLE.pack(8, point.value),
            _NULL if point.count is None else _TIME.pack(8, point.count),
            _field(point.attributes),
        )
    )


def _point_count(metric: Any) -> int:
    """How many data points a metric holds, whatever its type."""
    kind = metric.WhichOneof("data")
    if kind is not None:
        return len(getattr(metric, kind).data_points)
    # Fields 2 (description) and 12 (metadata) are OTLP's; any other message may be a type of the future.
    fields = UnknownFieldSet(metric)
    unknown = (fields[index] for index in range(len(fields)))
    return sum(
        count_unknown_points(field.data)
        for field in unknown
        if field.wire_type == 2 and field.field_number not in {2, 12}
    )
