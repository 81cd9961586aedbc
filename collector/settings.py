"""The collector's settings, read once from ``TALLY_`` variables."""

from __future__ import annotations

from datetime import timedelta

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

MEBIBYTE = 1 << 20


class CollectorSettings(BaseSettings):
    """Everything that an operator can set; a missing database URL stops the start with its name."""

    model_config = SettingsConfigDict(env_prefix="TALLY_COLLECTOR_", frozen=True, extra="ignore")

    database_url: SecretStr = Field(
        validation_alias=AliasChoices("TALLY_COLLECTOR_DATABASE_URL", "TALLY_DATABASE_URL"),
        description="PostgreSQL URL of a login that may insert (role tally_collector)",
    )
    host: str = Field("127.0.0.1", description="address that both servers listen on")
    grpc_port: int = Field(4317, ge=0, le=65535, description="OTLP/gRPC")
    http_port: int = Field(4318, ge=0, le=65535, description="OTLP/HTTP, health and metrics")
    max_request_bytes: int = Field(64 * MEBIBYTE, ge=1024, description="before and after decompression")
    max_in_flight_bytes: int = Field(
        128 * MEBIBYTE, ge=1024, description="bodies of all requests that are not answered yet"
    )
    max_queue_rows: int = Field(100_000, ge=1, description="rows waiting for the database")
    max_queue_bytes: int = Field(96 * MEBIBYTE, ge=1024, description="what these rows may take of memory")
    max_batch_rows: int = Field(10_000, ge=1, description="rows that one transaction commits")
    reply_within_s: float = Field(
        8.0, gt=0, description="answer 'try later' after this long; under the SDK's 10 s"
    )
    retry_after_s: float = Field(1.0, gt=0, description="the delay asked of clients that must try later")
    drain_s: float = Field(10.0, gt=0, description="time that SIGTERM gives to rows already accepted")
    remember_requests: timedelta = Field(
        timedelta(hours=24), description="how long a retry of a request is recognised"
    )
    max_machines: int = Field(20_000, ge=1, description="machines whose last-seen time is exported")
    otlp_endpoint: str | None = Field(None, description="where the collector's own traces go (OTLP/gRPC)")
