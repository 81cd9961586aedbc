"""What an audit puts into the ledger itself: reports that were made, and corrections.

Through the same door as everything else: OTLP to the collector.  The chain is ``tally-audit`` of the stream
``events``.  When a call returns, the row is committed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

import httpx
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from tally.errors import TallyError
from tally.settings import Settings

MACHINE: Final = "tally-audit"
REPORT: Final = "audit.report"
CORRECTION: Final = "audit.correction"
_ATTEMPTS: Final = 5
Value = str | int | Sequence[str]


def record(settings: Settings, event_name: str, attributes: Mapping[str, Value]) -> None:
    """Put one event on record; a collector that is busy is asked again with the same bytes.

    Raises:
        TallyError: the collector can't be reached, or refuses the event; the message says which.
    """
    body = _request(event_name, attributes)
    url = f"http://{settings.collector_host}:{settings.collector_http_port}/v1/logs"
    said = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(0.2 * 2**attempt)
        try:
            answer = httpx.post(
                url,
                content=body,
                headers={"Content-Type": "application/x-protobuf"},
                timeout=10,
                trust_env=False,
            )
        except httpx.HTTPError as error:
            said = f"the collector at {url} does not answer ({type(error).__name__}); is `tally up` running?"
            continue
        if answer.status_code == 200:
            partial = ExportLogsServiceResponse.FromString(answer.content).partial_success
            if partial.rejected_log_records:
                raise TallyError(f"the collector refused {event_name}: {partial.error_message}")
            return
        said = f"the collector at {url} answers {answer.status_code}"
        if answer.status_code not in {429, 502, 503, 504}:
            break
    raise TallyError(said)


def _request(event_name: str, attributes: Mapping[str, Value]) -> bytes:
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.extend(_pairs({"service.instance.id": MACHINE, "service.name": "tally-audit"}))
    group.scope_logs.add(
        log_records=[
            LogRecord(event_name=event_name, time_unix_nano=time.time_ns(), attributes=_pairs(attributes))
        ]
    )
    return request.SerializeToString()


def _pairs(attributes: Mapping[str, Value]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in attributes.items()]


def _value(value: Value) -> AnyValue:
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    return AnyValue(array_value=ArrayValue(values=map(_value, value)))
