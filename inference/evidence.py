"""Predictions as OTLP log records: what the collector makes rows of ``predictions`` from.

An answer in shadow is sent as ``inference.shadow`` and becomes a row of ``events``: it is on record, and is
never the deposit's prediction.  A regression's value is sent as ``inference.estimate``, likewise.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ScopeLogs

from inference.manifest import Manifest
from inference.otlp import SERVICE, Plain, key_values
from inference.serving.model import Answer

_RECORDS: Final = 256
"""Answers in one request: the collector takes none that is spread over more than 400 days."""
EventName = Literal["inference.prediction", "inference.shadow", "inference.estimate"]


@dataclass(frozen=True, slots=True)
class Recorded:
    """One answer with all that makes it evidence.

    Times are nanoseconds since 1970: when photo or readings were taken, when the answer was given.
    """

    prediction_id: str
    sensor_id: str
    site_id: str | None
    transaction_id: str | None
    observed_ns: int
    answered_ns: int
    manifest: Manifest
    model_digest: str
    role: Literal["champion", "challenger", "shadow"]
    input_digest: str
    answer: Answer
    statistics: Mapping[str, float]
    champion_label: str | None = None
    """Of an answer in shadow: what the champion said."""
    caller: str | None = None
    """The principal who asked."""
    image_url: str | None = None
    """Where the photo was, without what may be secret: query and fragment."""
    readings: Mapping[str, float | str] = field(default_factory=dict)
    """What was read beside a photo."""


def new_prediction_id() -> str:
    """Random, so that any number of instances need not agree."""
    return f"pred-{uuid.uuid4()}"


def request_bodies(recorded: Sequence[Recorded]) -> list[bytes]:
    """OTLP logs requests of at most ``_RECORDS`` answers each."""
    return [request_bytes(recorded[place : place + _RECORDS]) for place in range(0, len(recorded), _RECORDS)]


def request_bytes(recorded: Iterable[Recorded]) -> bytes:
    """An OTLP logs request with a record for each answer, under the machine that each is about."""
    machines: dict[str, ScopeLogs] = {}
    request = ExportLogsServiceRequest()
    for item in recorded:
        scope = machines.get(item.sensor_id)
        if scope is None:
            group = request.resource_logs.add()
            group.resource.attributes.extend(
                key_values({"service.instance.id": item.sensor_id, "service.name": SERVICE})
            )
            scope = machines[item.sensor_id] = group.scope_logs.add()
        scope.log_records.append(_record(item))
    return request.SerializeToString()


def _record(item: Recorded) -> LogRecord:
    manifest, answer = item.manifest, item.answer
    name: EventName = "inference.prediction"
    if item.role == "shadow":
        name = "inference.shadow"
    elif manifest.task == "regression":
        name = "inference.estimate"
    varying: dict[str, Plain] = {
        "prediction.id": item.prediction_id,
        "deposit.transaction_id": item.transaction_id,
        "site.id": item.site_id,
        "prediction.input_digest": item.input_digest,
        "prediction.statistics": item.statistics or None,
        "prediction.caller": item.caller,
        "prediction.image_url": item.image_url,
        "prediction.readings": item.readings or None,
    }
    if answer.value is not None:
        varying |= {"prediction.value": answer.value, "prediction.unit": manifest.unit}
    else:
        varying |= {
            "prediction.material": answer.label,
            "prediction.confidence": answer.confidence,
            "prediction.threshold": manifest.review_below,
            "prediction.top": answer.top,
            "prediction.covers": manifest.covers.get(answer.label),
            "prediction.champion": item.champion_label,
        }
    who = _who(manifest.model_id, manifest.version, item.model_digest, item.role)
    return LogRecord(
        event_name=name,
        time_unix_nano=item.observed_ns,
        observed_time_unix_nano=item.answered_ns,
        attributes=[*who, *key_values(varying)],
    )


@lru_cache(64)
def _who(model_id: str, version: str, digest: str, role: str) -> tuple[KeyValue, ...]:
    """What is the same in every record of a model, made once."""
    return tuple(
        key_values(
            {
                "model.id": model_id,
                "model.version": version,
                "model.digest": digest,
                "prediction.role": role,
            }
        )
    )
