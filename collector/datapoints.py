"""Rare and rich data points: the whole of OTLP's metric types, one point at a time, by the generated classes.

``metrics_decoder`` has the fast way for plain numbers; what it can't read comes here, so this module is also
what the fast way is tested against.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.metrics.v1 import metrics_pb2

from collector.attributes import RESERVED, canonical_attributes, json_object, record_attributes
from collector.limits import Limits
from collector.records import Refused
from ledger.canonical import Json

NO_RECORDED_VALUE: Final = metrics_pb2.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
_TEMPORALITY: Final = {0: "unspecified", 1: "delta", 2: "cumulative"}


@dataclass(frozen=True, slots=True)
class Point:
    """A data point as the telemetry stream keeps it; times in nanoseconds since 1970, 0 for none."""

    time_unix_nano: int
    start_time_unix_nano: int
    value: float | None
    count: int | None
    attributes: bytes


def sum_extras(temporality: int, *, monotonic: bool) -> dict[str, Json]:
    """What a sum's points have in common, kept under ``tally.otlp``."""
    return {"temporality": _TEMPORALITY.get(temporality, str(temporality)), "monotonic": monotonic}


def temporality_extras(temporality: int) -> dict[str, Json]:
    """What a histogram's points have in common, kept under ``tally.otlp``."""
    return {"temporality": _TEMPORALITY.get(temporality, str(temporality))}


def attributes_text(pairs: Iterable[Any], count: int, extras: Mapping[str, Json], limits: Limits) -> bytes:
    """Canonical attributes of a point, its extras under the reserved name."""
    attributes = record_attributes(pairs, count, limits)
    if extras:
        attributes[RESERVED] = dict(extras)
    return canonical_attributes(attributes, limits)


def decode_point(kind: str, data: bytes, extras: Mapping[str, Json], limits: Limits) -> Point:
    """The data point of a metric of that kind.

    Raises:
        Refused: it is malformed, has no finite value, or its attributes can't be kept.
    """
    message_class, read = _KINDS[kind]
    try:
        point: Any = message_class.FromString(data)
    except DecodeError as error:
        raise Refused("malformed_record", f"a {kind} data point is malformed: {error}") from error
    value, count, own = read(point)
    if point.flags & NO_RECORDED_VALUE:
        value, own = None, {**own, "no_recorded_value": True}
    elif value is not None and not math.isfinite(value):
        raise Refused("not_finite", f"a {kind} data point has the value {value}")
    if count is not None and count >= 2**63:
        raise Refused("count_out_of_range", f"a {kind} data point counts {count} measurements")
    return Point(
        point.time_unix_nano,
        point.start_time_unix_nano,
        value,
        count,
        attributes_text(point.attributes, len(point.attributes), {**extras, **own}, limits),
    )


_Read = tuple[float | None, int | None, dict[str, Json]]


def _number(point: Any) -> _Read:
    own = _exemplars(point)
    match point.WhichOneof("value"):
        case "as_double":
            return point.as_double, None, own
        case "as_int":
            value = float(point.as_int)
            if value != point.as_int:
                own["as_int"] = str(point.as_int)  # float8 can't hold it; the exact value stands here
            return value, None, own
        case _ if point.flags & NO_RECORDED_VALUE:
            return None, None, own
        case _:
            raise Refused("value_missing", "a data point has neither as_double nor as_int")


def _histogram(point: Any) -> _Read:
    own = _exemplars(point)
    if point.bucket_counts and len(point.bucket_counts) != len(point.explicit_bounds) + 1:
        raise Refused(
            "malformed_record",
            f"a histogram has {len(point.bucket_counts)} buckets and {len(point.explicit_bounds)} bounds; "
            "one bucket more than bounds is right",
        )
    own["bounds"] = [_written(bound) for bound in point.explicit_bounds]
    own["bucket_counts"] = list(point.bucket_counts)
    return _sum(point), point.count, own | _extremes(point)


def _exponential(point: Any) -> _Read:
    own = _exemplars(point)
    own["scale"] = point.scale
    own["zero_count"] = point.zero_count
    own["zero_threshold"] = _written(point.zero_threshold)
    for side in ("positive", "negative"):
        buckets = getattr(point, side)
        own[side] = {"offset": buckets.offset, "bucket_counts": list(buckets.bucket_counts)}
    return _sum(point), point.count, own | _extremes(point)


def _summary(point: Any) -> _Read:
    quantiles: list[Json] = [
        {"quantile": _written(entry.quantile), "value": _written(entry.value)}
        for entry in point.quantile_values
    ]
    return point.sum, point.count, {"quantiles": quantiles}


_KINDS: Final[dict[str, tuple[type[Message], Callable[[Any], _Read]]]] = {
    "gauge": (metrics_pb2.NumberDataPoint, _number),
    "sum": (metrics_pb2.NumberDataPoint, _number),
    "histogram": (metrics_pb2.HistogramDataPoint, _histogram),
    "exponential_histogram": (metrics_pb2.ExponentialHistogramDataPoint, _exponential),
    "summary": (metrics_pb2.SummaryDataPoint, _summary),
}


def _sum(point: Any) -> float | None:
    return float(point.sum) if point.HasField("sum") else None


def _extremes(point: Any) -> dict[str, Json]:
    return {name: _written(getattr(point, name)) for name in ("min", "max") if point.HasField(name)}


def _written(number: float) -> Json:
    """A number for JSON; NaN and infinities as proto3's JSON mapping writes them."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return number


def _exemplars(point: Any) -> dict[str, Json]:
    exemplars: list[Json] = []
    for exemplar in point.exemplars:
        which = exemplar.WhichOneof("value")
        exemplars.append(
            {
                "time_unix_nano": str(exemplar.time_unix_nano),
                "value": None if which is None else _written(getattr(exemplar, which)),
                "trace_id": exemplar.trace_id.hex(),
                "span_id": exemplar.span_id.hex(),
                "attributes": json_object(exemplar.filtered_attributes),
            }
        )
    return {"exemplars": exemplars} if exemplars else {}
