"""The sealer's settings, read once from ``TALLY_SEALER_`` variables."""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class SealerSettings(BaseSettings):
    """Everything that an operator can set; a missing database URL or key stops the start with its name."""

    model_config = SettingsConfigDict(env_prefix="TALLY_SEALER_", frozen=True, extra="ignore")

    database_url: SecretStr = Field(
        validation_alias=AliasChoices("TALLY_SEALER_DATABASE_URL", "TALLY_DATABASE_URL"),
        description="PostgreSQL URL of a login that may seal (role tally_sealer)",
    )
    key: SecretStr = Field(
        description="source of the log's signing key: a file, env:NAME or command:PROGRAM ARGUMENTS"
    )
    log_dir: Path = Field(description="folder of the published log")
    policy: Path | None = Field(
        None, description="C2SP tlog-policy: who has to cosign; none: nobody is asked"
    )
    interval_s: float = Field(10.0, ge=0.1, le=3600, description="between two rounds")
    niceness: int = Field(
        19, ge=0, le=19, description="how far the sealer steps back where ingest wants the processors"
    )
    timestamp_url: str | None = Field(None, description="RFC 3161 authority for witnessed checkpoints")
    host: str = Field("127.0.0.1", description="address of health and metrics")
    port: int = Field(8091, ge=0, le=65535, description="port of health and metrics")
