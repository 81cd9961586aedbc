from __future__ import annotations

import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from tally.embedded.databases import create_database, ensure_database
from tally.embedded.server import Server
from tally.errors import AlreadyRunning, NotRunning, PortTaken, ServiceFailed
from tally.settings import Settings
from tally.testing import QUICK_SETTINGS, quick_server, temporary_directory


@pytest.fixture
def server(stack_settings: Settings) -> Iterator[Server]:
    with temporary_directory() as directory:
        made = quick_server(Path(directory), stack_settings, {"shared_buffers": "64MB"})
        yield made
        made.stop()


def value(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]


def processes_over(directory: Path) -> list[psutil.Process]:
    """Live processes that have the directory's path on their command line."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(directory) in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def wait_until_none(directory: Path, within_s: float = 5.0) -> None:
    deadline = time.monotonic() + within_s
    while processes_over(directory):
        assert time.monotonic() < deadline, processes_over(directory)
        time.sleep(0.02)


def test_it_is_timescaledb_with_utf8_passwords_and_durable_commits(server: Server) -> None:
    server.start()
    with psycopg.connect(server.url(dbname="postgres")) as connection:
        names = (
            "server_encoding", "lc_messages", "TimeZone", "listen_addresses", "fsync", "synchronous_commit",
            "full_page_writes", "shared_preload_libraries", "password_encryption",
            "timescaledb.telemetry_level",
        )  # fmt: skip
        found = [connection.execute("SELECT current_setting(%s)", (name,)).fetchone() for name in names]
    assert [row[0] for row in found if row] == [
        "UTF8", "C", "UTC", "127.0.0.1", "on", "on", "on", "timescaledb", "scram-sha-256", "off",
    ]  # fmt: skip
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://postgres:wrong@127.0.0.1:{server.port}/postgres")
    by_socket = psycopg.connect(
        host=str(server.socket_dir), port=server.port, user="postgres", password=server.password("postgres")
    )
    by_socket.close()
    secrets = [path for path in (server.directory / "secrets").iterdir() if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}
    create_database(server.url(dbname="postgres"), "t")
    with psycopg.connect(server.url(dbname="t")) as connection:
        connection.execute("CREATE EXTENSION timescaledb")
        assert connection.execute("SHOW timescaledb.license").fetchone() in {("apache",), ("timescale",)}


def test_data_outlives_stop_restart_and_kill_9(server: Server) -> None:
    server.start()
    with pytest.raises(AlreadyRunning):
        server.start()
    ensure_database(server.url(dbname="postgres"), "tally")
    ensure_database(server.url(dbname="postgres"), "tally")
    with psycopg.connect(server.url()) as connection:
        connection.execute("CREATE TABLE numbers AS SELECT generate_series(1, 1000) AS n")
    for again in (server.stop, server.kill9):
        again()
        assert not server.running
        wait_until_none(server.directory)
        server.start()
        assert value(server.url(), "SELECT sum(n) FROM numbers") == 500500
    server.restart()
    assert value(server.url(), "SELECT sum(n) FROM numbers") == 500500
    server.stop()
    server.stop()
    with pytest.raises(NotRunning):
        server.kill9()
    assert not server.socket_dir.exists()


def test_a_taken_port_is_reported_by_name(server: Server) -> None:
    with socket.create_server(("127.0.0.1", server.port)):
        with pytest.raises(PortTaken, match=rf"{server.port}.*TALLY_DB_PORT"):
            server.start()
        assert not server.running
    server.start()


def test_a_second_process_is_refused_the_same_folder(server: Server, stack_settings: Settings) -> None:
    server.start()
    other = quick_server(server.directory, stack_settings)
    with pytest.raises(AlreadyRunning, match="another process"):
        other.start()
    assert value(server.url(dbname="postgres"), "SELECT 1") == 1


def test_a_half_made_cluster_is_made_again(server: Server) -> None:
    (server.directory / "data.new" / "base").mkdir(parents=True)
    server.start()
    assert value(server.url(dbname="postgres"), "SELECT 1") == 1
    assert not (server.directory / "data.new").exists()


def test_a_server_that_cannot_start_gives_its_own_reason(stack_settings: Settings) -> None:
    with temporary_directory() as directory:
        broken = quick_server(Path(directory), stack_settings, {**QUICK_SETTINGS, "shared_buffers": "much"})
        with pytest.raises(ServiceFailed, match=r"did not start: .*postgresql.conf.*log: "):
            broken.start()
        assert not broken.running
        assert not broken.socket_dir.exists()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_server_ends_with_the_process_that_started_it(how: signal.Signals, server: Server) -> None:
    program = (
        "import sys, time; from pathlib import Path; from tally.testing import quick_server;"
        "from tally.settings import Settings; s = quick_server(Path(sys.argv[1]), Settings()); s.start();"
        "print(s.url(dbname='postgres'), flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(server.directory)], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        url = owner.stdout.readline().strip()
        assert value(url, "SELECT 1") == 1
        owner.send_signal(how)
    wait_until_none(server.directory)
    server.start()
    assert value(server.url(dbname="postgres"), "SELECT 1") == 1
