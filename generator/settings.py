"""Where the collector is: read once from the environment, overridden by the command line."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from generator.errors import DeliveryError, SpecError

Protocol = Literal["grpc", "http", "both"]


class GeneratorSettings(BaseSettings):
    """The collector's address, from ``TALLY_COLLECTOR_HOST``, ``_GRPC_PORT`` and ``_HTTP_PORT``."""

    model_config = SettingsConfigDict(env_prefix="TALLY_COLLECTOR_", frozen=True)

    host: str = "127.0.0.1"
    grpc_port: int = Field(default=4317, ge=1, le=65_535)
    http_port: int = Field(default=4318, ge=1, le=65_535)


@dataclass(frozen=True, slots=True)
class Target:
    """A collector's two doors.  ``protocol`` ``both`` deals machines out to them in turn."""

    host: str = "127.0.0.1"
    grpc_port: int = 4317
    http_port: int = 4318
    protocol: Protocol = "both"

    def __post_init__(self) -> None:
        if self.protocol not in ("grpc", "http", "both"):
            raise SpecError(f"protocol: expected grpc, http or both, got {self.protocol!r}")

    @property
    def grpc_address(self) -> str:
        """For a gRPC channel."""
        return f"{self.host}:{self.grpc_port}"

    def http_url(self, signal: str) -> str:
        """For OTLP/HTTP."""
        return f"http://{self.host}:{self.http_port}/v1/{signal}"

    def check(self) -> None:
        """Fail early, with one line, if nobody listens.

        Raises:
            DeliveryError: a port that the protocol needs takes no connection.
        """
        ports = {"grpc": (self.grpc_port,), "http": (self.http_port,)}.get(
            self.protocol, (self.grpc_port, self.http_port)
        )
        for port in ports:
            try:
                socket.create_connection((self.host, port), timeout=5).close()
            except OSError as error:
                raise DeliveryError(
                    f"no collector answers at {self.host}:{port} ({error.strerror or error}); "
                    "start one with `tally up`"
                ) from error


def target_from_environment(protocol: Protocol = "both") -> Target:
    """The target that the environment names.

    Raises:
        SpecError: a variable holds no valid value.
    """
    try:
        settings = GeneratorSettings()
    except ValueError as error:
        raise SpecError(f"TALLY_COLLECTOR_HOST, _GRPC_PORT or _HTTP_PORT: {error}") from error
    return Target(settings.host, settings.grpc_port, settings.http_port, protocol)
