"""The embedded server's configuration files.

Sized for 2 cores and 24 GiB and scaled down on smaller machines.  Nothing here trades safety for speed: an
acknowledged commit is on disk (fsync, synchronous_commit and full_page_writes stay on).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

_MIB: Final = 1024 * 1024

ACCESS_RULES: Final = """\
# Passwords always, on the loopback interface and the private socket only.
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
"""


def server_settings(port: int, socket_dir: Path) -> dict[str, str]:
    """Every setting that differs from PostgreSQL's default, by name."""
    memory_mib = psutil.virtual_memory().total // _MIB
    return {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": str(socket_dir),
        "unix_socket_permissions": "0700",
        "cluster_name": "tally",
        "max_connections": "200",
        "password_encryption": "scram-sha-256",
        "shared_preload_libraries": "timescaledb",
        "timescaledb.telemetry_level": "off",
        # One scheduler a database, next to parallel workers.
        "max_worker_processes": "24",
        "max_parallel_workers": "2",
        "max_parallel_workers_per_gather": "2",
        # A query over a hypertable locks every chunk and index that it touches.
        "max_locks_per_transaction": "256",
        "shared_buffers": f"{min(1024, memory_mib // 8)}MB",
        "effective_cache_size": f"{memory_mib // 2}MB",
        "maintenance_work_mem": f"{min(512, memory_mib // 16)}MB",
        "work_mem": "32MB",
        "jit": "off",
        "random_page_cost": "1.1",
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "wal_compression": "lz4",
        "wal_buffers": "32MB",
        "max_wal_size": "4GB",
        "min_wal_size": "256MB",
        "checkpoint_timeout": "15min",
        "checkpoint_completion_target": "0.9",
        "log_checkpoints": "off",
        "log_line_prefix": "%m [%p] %q%u@%d ",
        "log_timezone": "UTC",
        "timezone": "UTC",
        "lc_messages": "C",
    }


def configuration_text(settings: Mapping[str, str]) -> str:
    """The text of postgresql.conf."""
    lines = ["# Written by tally at every start; changes are lost."]
    for name, value in settings.items():
        quoted = value.replace("'", "''")
        lines.append(f"{name} = '{quoted}'")
    return "\n".join(lines) + "\n"
