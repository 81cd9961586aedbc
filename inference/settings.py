"""The service's settings, read once from ``TALLY_INFERENCE_`` variables."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

_PACKAGED = Path(__file__).with_name("models")


class InferenceSettings(BaseSettings):
    """Everything that an operator can set; a missing URL or file stops the start with its name."""

    model_config = SettingsConfigDict(env_prefix="TALLY_INFERENCE_", frozen=True, extra="ignore")

    database_url: SecretStr = Field(description="PostgreSQL URL of a login with the role tally_inference")
    principals: Path = Field(description="JSON file of those who may ask: name, roles, token_sha256")
    collector: str = Field("127.0.0.1:4317", description="host:port of the collector's OTLP/gRPC")
    host: str = Field("127.0.0.1", description="address that the service listens on")
    port: int = Field(8080, ge=0, le=65535, description="HTTP: predictions, models, reviews, health, metrics")
    state_dir: Path = Field(Path("var/inference"), description="outbox and last known state of the models")
    models_dirs: tuple[Path, ...] = Field(
        (), description="JSON list: folders of trained models, searched first"
    )
    photo_model: str = Field("waste-photos", description="model that answers photos")
    readings_model: str = Field("waste-sensors", description="model that answers sensor readings")
    photo_roots: tuple[Path, ...] = Field((), description="JSON list: folders that file: URLs may name")
    photo_hosts: tuple[str, ...] = Field((), description="JSON list: hosts that http(s): URLs may name")
    s3_endpoint: str | None = Field(None, description="URL of the S3-compatible server behind s3: URLs")
    s3_buckets: frozenset[str] = Field(frozenset(), description="JSON list: buckets that s3: URLs may name")
    s3_access_key: str | None = Field(None, description="access key; none: requests are not signed")
    s3_secret_key: SecretStr | None = Field(None, description="its secret")
    s3_region: str = Field("us-east-1", description="region that requests are signed for")
    max_photo_bytes: int = Field(10 << 20, ge=1024, description="a larger photo is refused")
    max_photo_pixels: int = Field(25_000_000, ge=1024, description="one with more pixels too")
    sensors: tuple[str, ...] = Field(
        (), description="JSON list: patterns of sensors that are known though the ledger has no row of them"
    )
    threads: int = Field(
        default_factory=lambda: max(1, os.cpu_count() or 1), ge=1, description="photos classified at a time"
    )
    max_in_flight: int = Field(
        1024, ge=2, description="items under way, half of them in batches; more are told to try later"
    )
    adopt: bool = Field(
        False, description="take up packaged models that have no champion yet: approve and promote them"
    )
    follow_s: float = Field(0.5, gt=0, description="how often the ledger is asked for steps of models")
    monitor_s: float = Field(60.0, gt=0, description="how often accuracy and drift are measured")
    project_s: float = Field(2.0, gt=0, description="how often the review queue takes up new predictions")
    audit_sample: float = Field(0.02, ge=0, le=1, description="share of sure answers that are reviewed too")
    accuracy_least: float = Field(0.85, ge=0, le=1, description="rolling accuracy below it raises an alarm")
    drift_most: float = Field(0.25, gt=0, description="population stability index above it raises an alarm")
    retrain: dict[str, Path] = Field(
        {}, description="JSON object: model to the specification that an alarm has trained as a challenger"
    )

    @property
    def packaged(self) -> Path:
        """The models that come with the package."""
        return _PACKAGED

    @property
    def shelves(self) -> tuple[Path, ...]:
        """Where models are looked for: the operator's folders, then those that come with the package."""
        return (*self.models_dirs, _PACKAGED)
