"""What the stack of a checkout consists of, in the order of starting.  A new service is one more entry."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tally.embedded.databases import ensure_database, grant_logins
from tally.embedded.programs import Programs, find_programs
from tally.embedded.server import ADMIN, DATABASE, SERVICE_ROLES, Server
from tally.log_keys import log_key_source
from tally.principals import ensure_principals
from tally.settings import Settings
from tally.stack.units import DatabaseUnit, Service, ServiceUnit, Unit

Say = Callable[[str], None]

# Programs see these variables of ours, the TALLY_ ones that they are given, and nothing else of the caller's.
_INHERITED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "SSL_CERT_FILE", "OTEL_", "TALLY_")


def embedded_server(settings: Settings, say: Say) -> Server:
    """The embedded database of this checkout, not started."""

    def programs() -> Programs:
        return find_programs(settings.cache_dir, say)

    return Server(
        settings.var_dir / "db",
        settings.db_port,
        programs,
        secrets_dir=settings.secrets_dir,
        log=settings.log_dir / "database.log",
    )


def database_urls(settings: Settings) -> dict[str, str]:
    """Connection URLs by variable: the administrator's, and one for each service.

    For the embedded database they are derived from its generated passwords.
    """
    if settings.database_url is None:
        server = embedded_server(settings, lambda _line: None)
        admin, collector, audit, inference, sealer = (
            server.url(role)
            for role in (ADMIN, "tally_collector", "tally_audit", "tally_inference", "tally_sealer")
        )
    else:
        admin = settings.database_url
        collector = settings.collector_database_url or admin
        audit = settings.audit_database_url or admin
        inference = settings.inference_database_url or admin
        sealer = settings.sealer_database_url or admin
    return {
        "TALLY_DATABASE_URL": admin,
        "TALLY_COLLECTOR_DATABASE_URL": collector,
        "TALLY_AUDIT_DATABASE_URL": audit,
        "TALLY_INFERENCE_DATABASE_URL": inference,
        "TALLY_SEALER_DATABASE_URL": sealer,
    }


def migrate(settings: Settings) -> None:
    """Bring the schema up to date; on the embedded server also make the database and the logins."""
    import store.migrate  # noqa: PLC0415 - slow to import, and not every command migrates

    url = database_urls(settings)["TALLY_DATABASE_URL"]
    if settings.database_url is not None:
        store.migrate.upgrade(url)
        return
    ensure_embedded_database(settings)
    store.migrate.upgrade(url)
    grant_logins(url, SERVICE_ROLES, embedded_server(settings, lambda _line: None).password)


def ensure_embedded_database(settings: Settings) -> None:
    """Create the database on the embedded server if there is none."""
    ensure_database(embedded_server(settings, lambda _line: None).url(ADMIN, "postgres"), DATABASE)


def services(settings: Settings) -> tuple[Service, ...]:
    """The programs of the stack that are not the database."""
    urls = database_urls(settings)
    return (
        Service(
            name="collector",
            command=(sys.executable, "-m", "collector"),
            environment=_environment()
            | {
                "TALLY_COLLECTOR_DATABASE_URL": urls["TALLY_COLLECTOR_DATABASE_URL"],
                "TALLY_COLLECTOR_HOST": settings.collector_host,
                "TALLY_COLLECTOR_GRPC_PORT": str(settings.collector_grpc_port),
                "TALLY_COLLECTOR_HTTP_PORT": str(settings.collector_http_port),
            },
            health_url=f"http://{settings.collector_host}:{settings.collector_http_port}/readyz",
            ports={
                "TALLY_COLLECTOR_GRPC_PORT": settings.collector_grpc_port,
                "TALLY_COLLECTOR_HTTP_PORT": settings.collector_http_port,
            },
            host=settings.collector_host,
        ),
        Service(
            name="inference",
            command=(sys.executable, "-m", "inference"),
            environment=_inference_defaults(settings)
            | _environment()
            | {
                "TALLY_INFERENCE_DATABASE_URL": urls["TALLY_INFERENCE_DATABASE_URL"],
                "TALLY_INFERENCE_COLLECTOR": f"{settings.collector_host}:{settings.collector_grpc_port}",
                "TALLY_INFERENCE_HOST": settings.inference_host,
                "TALLY_INFERENCE_PORT": str(settings.inference_port),
                "TALLY_INFERENCE_PHOTO_ROOTS": _photo_roots(settings),
            },
            health_url=f"http://{settings.inference_host}:{settings.inference_port}/health",
            ports={"TALLY_INFERENCE_PORT": settings.inference_port},
            host=settings.inference_host,
        ),
        Service(
            name="sealer",
            command=(sys.executable, "-m", "audit.sealing"),
            environment=_environment()
            | {
                "TALLY_SEALER_DATABASE_URL": urls["TALLY_SEALER_DATABASE_URL"],
                "TALLY_SEALER_LOG_DIR": str(settings.tlog_dir.absolute()),
                "TALLY_SEALER_HOST": settings.sealer_host,
                "TALLY_SEALER_PORT": str(settings.sealer_port),
            }
            | _sealer_key(settings)
            | _sealer_policy(settings),
            health_url=f"http://{settings.sealer_host}:{settings.sealer_port}/readyz",
            ports={"TALLY_SEALER_PORT": settings.sealer_port},
            host=settings.sealer_host,
            # A long backlog, or a log that contradicts the database, is its own trouble: machines are served.
            ready_within_s=10.0,
            may_be_late=True,
        ),
    )


def _sealer_policy(settings: Settings) -> dict[str, str]:
    policy = settings.sealer_policy
    return {} if policy is None else {"TALLY_SEALER_POLICY": str(policy.absolute())}


def _sealer_key(settings: Settings) -> dict[str, str]:
    """The key's source, as a process elsewhere finds it, and the variable that has the key, if any."""
    source = log_key_source(settings)
    kind, _, name = source.partition(":")
    if kind == "env" and name in os.environ:
        return {"TALLY_SEALER_KEY": source, name: os.environ[name]}
    return {
        "TALLY_SEALER_KEY": source if kind in {"env", "command"} else str(Path(source).absolute()),
    }


def _photo_roots(settings: Settings) -> str:
    """The stack's own folder of photos, and those that the caller's environment lists."""
    own = [str(settings.photos_dir)]
    listed = os.environ.get("TALLY_INFERENCE_PHOTO_ROOTS", "[]")
    try:
        return json.dumps(own + json.loads(listed))
    except (ValueError, TypeError):
        return listed  # the service says what is wrong with it


def _inference_defaults(settings: Settings) -> dict[str, str]:
    """What the stack chooses where the caller's environment says nothing."""
    settings.photos_dir.mkdir(parents=True, exist_ok=True)
    return {
        "TALLY_INFERENCE_PRINCIPALS": str(ensure_principals(settings.secrets_dir)),
        "TALLY_INFERENCE_STATE_DIR": str(settings.inference_dir),
        "TALLY_INFERENCE_MODELS_DIRS": json.dumps([str(settings.models_dir)]),
        "TALLY_INFERENCE_ADOPT": "true",
    }


def units(settings: Settings, say: Say, *, only_database: bool = False) -> Sequence[Unit]:
    """What the supervisor runs.  With a database of one's own there is none to start, only one to migrate."""
    found: list[Unit] = []
    if settings.database_url is None:
        server = embedded_server(settings, say)
        if only_database:
            found.append(DatabaseUnit(server, lambda: ensure_embedded_database(settings)))
        else:
            found.append(DatabaseUnit(server, lambda: migrate(settings)))
    if not only_database:
        found += [ServiceUnit(service, log_path(settings, service.name)) for service in services(settings)]
    return found


def log_path(settings: Settings, name: str) -> Path:
    """The log of a service."""
    return settings.log_dir / f"{name}.log"


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if not name.endswith("DATABASE_URL")  # a service has its own login only
        and any(name == key or (key.endswith("_") and name.startswith(key)) for key in _INHERITED)
    }
