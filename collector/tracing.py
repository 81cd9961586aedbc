"""The collector's own traces, through opentelemetry-sdk, when an endpoint is configured."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def configure_tracing(endpoint: str | None) -> TracerProvider | None:
    """Send spans to ``endpoint`` (OTLP/gRPC), if there is one. Shut the result down at the end."""
    if endpoint is None:
        return None
    provider = TracerProvider(resource=Resource.create({"service.name": "tally-collector"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, insecure=True)))
    trace.set_tracer_provider(provider)
    return provider
