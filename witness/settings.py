"""The witness's settings, read once from ``TALLY_WITNESS_`` variables."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class WitnessSettings(BaseSettings):
    """Everything that an operator can set; a missing key stops the start, and only named logs are trusted."""

    model_config = SettingsConfigDict(env_prefix="TALLY_WITNESS_", frozen=True, extra="ignore")

    key: SecretStr = Field(
        description="source of the witness's signing key: a file, env:NAME or command:PROGRAM ARGUMENTS"
    )
    logs: tuple[str, ...] = Field((), description="JSON list: verifier keys of the logs that are cosigned")
    policy: Path | None = Field(None, description="a policy file whose logs are cosigned too")
    host: str = Field("127.0.0.1", description="address that the service listens on")
    port: int = Field(8090, ge=0, le=65535, description="HTTP: checkpoints, health and metrics")
    state_dir: Path = Field(
        Path("var/witness"), description="what was cosigned; never to be lost or set back"
    )
