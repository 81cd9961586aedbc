"""The collector's own traces, through opentelemetry-sdk, when an endpoint is configured."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

_NO_SPAN: Final = nullcontext()
_tracer: trace.Tracer | None = None


def span(name: str, **attributes: str | int) -> AbstractContextManager[Any]:
    """A span around a block.  Without an endpoint it is nothing: even an empty span is 1 % of a request."""
    return _NO_SPAN if _tracer is None else _tracer.start_as_current_span(name, attributes=attributes)


def configure_tracing(endpoint: str | None) -> TracerProvider | None:
    """Send spans to ``endpoint`` (OTLP/gRPC), if there is one. Shut the result down at the end."""
    if endpoint is None:
        return None
    provider = TracerProvider(resource=Resource.create({"service.name": "tally-collector"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, insecure=True)))
    global _tracer  # noqa: PLW0603  (the SDK's provider is one of a process too)
    trace.set_tracer_provider(provider)
    _tracer = trace.get_tracer("tally.collector")
    return provider
