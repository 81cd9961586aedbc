"""Settings of the command and of the embedded stack: ``TALLY_`` variables, read once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

import tally
from tally.errors import TallyError

Port = Annotated[int, Field(ge=1, le=65535)]


def _cache_directory() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tally"


def _var_directory() -> Path:
    """The checkout's var/; for an installation without a checkout, var/ in the working directory."""
    checkout = Path(tally.__file__).resolve().parents[1]
    return (checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()) / "var"


class Settings(BaseSettings):
    """Everything that the stack can be told from outside."""

    model_config = SettingsConfigDict(env_prefix="TALLY_", frozen=True, extra="ignore")

    database_url: str | None = None
    """An administrator's login to a server of one's own; the embedded database is not used then."""
    collector_database_url: str | None = None
    audit_database_url: str | None = None
    inference_database_url: str | None = None
    sealer_database_url: str | None = None
    db_port: Port = 54320
    """The embedded database listens here, on 127.0.0.1."""
    collector_host: str = "127.0.0.1"
    collector_grpc_port: Port = 4317
    collector_http_port: Port = 4318
    inference_host: str = "127.0.0.1"
    inference_port: Port = 8080
    sealer_host: str = "127.0.0.1"
    sealer_port: Port = 8091
    """The sealer's health and metrics."""
    sealer_key: str | None = None
    """Source of the log's signing key; else the stack makes one."""
    sealer_log_dir: Path | None = None
    """Folder of the published log; else tlog/ in ``var_dir``."""
    sealer_policy: Path | None = None
    """Which witnesses are asked, and how many are enough; nobody is if there is none."""
    log_name: str = "localhost/tally"
    """The origin of a log whose key the stack makes."""
    cache_dir: Path = Field(default_factory=_cache_directory)
    """Holds private Debian roots, shared by all checkouts of a user."""
    var_dir: Path = Field(default_factory=_var_directory)
    """Holds the database's files, secrets, logs and state of this checkout's stack."""

    @property
    def log_dir(self) -> Path:
        """One log per process."""
        return self.var_dir / "log"

    @property
    def run_dir(self) -> Path:
        """State of the running stack: lock and status."""
        return self.var_dir / "run"

    @property
    def inference_dir(self) -> Path:
        """The inference service's outbox and last known state."""
        return self.var_dir / "inference"

    @property
    def models_dir(self) -> Path:
        """Models that were trained here."""
        return self.var_dir / "models"

    @property
    def photos_dir(self) -> Path:
        """Photos that file: URLs may name, besides what TALLY_INFERENCE_PHOTO_ROOTS lists."""
        return self.var_dir / "photos"

    @property
    def tlog_dir(self) -> Path:
        """The published log: tiles and checkpoints."""
        return self.sealer_log_dir or self.var_dir / "tlog"

    @property
    def log_key_path(self) -> Path:
        """The log's signing key, if the stack made it; mode 0600."""
        return self.secrets_dir / "log.key"

    @property
    def secrets_dir(self) -> Path:
        """Generated passwords, a file each, mode 0600."""
        return self.var_dir / "secrets"


def read_settings() -> Settings:
    """The settings of this process.

    Raises:
        TallyError: a variable has a value that can't be used; the message names it.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "TALLY_" + "_".join(str(part) for part in first["loc"]).upper()
        raise TallyError(f"{name}={first['input']!r}: {first['msg'].lower()}") from error
