"""Verifying with several processes: same result, clean ends, a steady picture while collectors write."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

import audit.verify
from audit.errors import WorkerLost
from audit.verify import verify
from ledger.rows import encode_row
from ledger.streams import STREAMS
from store.errors import StoreError, StoreUnavailable
from store.reader import START, LedgerReader
from tally.testing import Cluster, Database
from tests.ledger_attacker import Attacker, found
from tests.ledger_writer import LedgerWriter, sample

LONG = 90_000
SHORT = 300
MACHINES = 60


@pytest.fixture(scope="module")
def ledger(cluster: Cluster, template: str) -> Iterator[Database]:
    """One long chain, so that processes share it, and many short ones."""
    database = cluster.create(template)
    writer = LedgerWriter(database.admin_url)
    writer.fill("reviews", "rvm-long", LONG)
    for number in range(MACHINES):
        writer.fill("reviews", f"rvm-{number:02}", SHORT)
    yield database
    cluster.drop(database.name)


@pytest.fixture(autouse=True)
def processes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit.verify, "_ALONE", 0)


def test_several_processes_find_what_one_finds(ledger: Database) -> None:
    with Attacker(ledger.admin_url) as attacker:
        for seq in (1, 2_000, 45_001, LONG):
            attacker.alter("reviews", "rvm-long", seq, "decision", "'other'")
        attacker.run(
            "UPDATE reviews SET seq = 70000 - seq WHERE machine_id = 'rvm-long' AND seq IN (10000, 60000)"
        )
        attacker.run("DELETE FROM reviews WHERE machine_id = 'rvm-07' AND seq = 200")
        attacker.alter("reviews", "rvm-09", 100, "machine_id", "'rvm-50'")
        attacker.run("DELETE FROM chain_heads WHERE chain = 'rvm-11'")
        alone = verify(ledger.audit_url, processes=1)
        several = verify(ledger.audit_url, processes=3)
        attacker.restore("reviews", "chain_heads")
    assert sorted(found(several), key=str) == sorted(found(alone), key=str)
    assert (
        (several.rows, several.chains)
        == (alone.rows, alone.chains)
        == (LONG + MACHINES * SHORT - 1, MACHINES + 1)
    )
    assert len(several.breaks) == 4 + 2 + 1 + 1 + 1
    assert several.processes == 3
    assert verify(ledger.audit_url, processes=2).ok


def test_progress_goes_up_to_all_rows(ledger: Database) -> None:
    told: list[tuple[int, int]] = []
    report = verify(ledger.audit_url, processes=2, progress=lambda done, total: told.append((done, total)))
    assert report.ok
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (report.rows, report.rows)


def test_no_process_is_left_behind(ledger: Database) -> None:
    verify(ledger.audit_url, processes=2)
    assert multiprocessing.active_children() == []


def test_a_process_that_dies_is_an_error_and_takes_the_others_along(ledger: Database) -> None:
    killed: list[int] = []

    def kill_one(_done: int, _total: int) -> None:
        if not killed:
            victim = multiprocessing.active_children()[0]
            os.kill(victim.pid or 0, signal.SIGKILL)
            killed.append(victim.pid or 0)

    with pytest.raises(WorkerLost, match="exit status -9"):
        verify(ledger.audit_url, processes=2, progress=kill_one)
    assert multiprocessing.active_children() == []


def test_an_error_of_the_caller_ends_the_processes(ledger: Database) -> None:
    def fail(_done: int, _total: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        verify(ledger.audit_url, processes=2, progress=fail)
    assert multiprocessing.active_children() == []


def test_a_connection_that_breaks_is_reported_as_such(ledger: Database) -> None:
    def cut(_done: int, _total: int) -> None:
        with psycopg.connect(ledger.admin_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'tally audit' AND datname = current_database()"
            )

    with pytest.raises(StoreError):
        verify(ledger.audit_url, processes=2, progress=cut)
    assert multiprocessing.active_children() == []


def test_no_server_is_an_error() -> None:
    with pytest.raises(StoreUnavailable):
        verify("postgresql://nobody@127.0.0.1:1/none")


def test_a_login_that_may_not_read_is_an_error(database: Database) -> None:
    with pytest.raises(StoreError, match="connect as a role that may read"):
        verify(database.grafana_url)


def test_a_database_without_a_ledger_is_an_error(ledger: Database) -> None:
    with pytest.raises(StoreError, match="tally migrate"):
        verify(ledger.admin_url.rsplit("/", 1)[0] + "/postgres")


@pytest.mark.parametrize("signalled", ["group", "parent killed"])
def test_ctrl_c_and_the_death_of_the_parent_leave_nothing(signalled: str, ledger: Database) -> None:
    code = (
        "import audit.verify, os, sys\n"
        "audit.verify._ALONE = 0\n"
        "def told(done, total):\n"
        "    print('going', flush=True)\n"
        "if __name__ == '__main__':\n"
        "    try:\n"
        "        while True:\n"
        "            audit.verify.verify(sys.argv[1], processes=2, progress=told)\n"
        "    except KeyboardInterrupt:\n"
        "        sys.exit(130)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, ledger.audit_url], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"going\n"
        if signalled == "group":
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.kill()
    assert process.wait(20) == (130 if signalled == "group" else -signal.SIGKILL)
    _until(lambda: _sessions(ledger) == 0)
    _until(lambda: not _group_alive(process.pid))


def _group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _sessions(database: Database) -> int:
    with psycopg.connect(database.admin_url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE application_name = 'tally audit' AND datname = current_database()"
        ).fetchone()
    assert row is not None
    return int(row[0])


def _until(true: object, seconds: float = 20) -> None:
    assert callable(true)
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_verification_is_right_while_rows_are_written(database: Database) -> None:
    """Heads and rows come from one snapshot: never one ahead of the other."""
    stop = threading.Event()
    writer = LedgerWriter(database.admin_url)
    writer.fill("telemetry", "rvm-0", 50)

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            rows = [
                sample(STREAMS["telemetry"], f"rvm-{machine}", number)
                for machine in range(5)
                for _ in range(4)
            ]
            writer.append("telemetry", rows)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        seen = []
        for _ in range(6):
            report = verify(database.audit_url, processes=2)
            assert report.ok, report.breaks
            seen.append(report.rows)
    finally:
        stop.set()
        thread.join()
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]


def test_a_reader_sees_the_snapshot_that_was_exported(database: Database) -> None:
    writer = LedgerWriter(database.admin_url)
    writer.fill("events", "rvm-1", 3)
    with LedgerReader(database.audit_url) as first:
        name = first.export_snapshot()
        writer.fill("events", "rvm-1", 4)
        with LedgerReader(database.audit_url, name) as second, LedgerReader(database.audit_url) as later:
            assert second.row_count(STREAMS["events"]) == 3
            assert [head.seq for head in second.heads("events")] == [3]
            assert later.row_count(STREAMS["events"]) == 7


def test_a_snapshot_that_is_gone_is_an_error(database: Database) -> None:
    with LedgerReader(database.audit_url) as reader:
        name = reader.export_snapshot()
    with pytest.raises(StoreError, match="snapshot"):
        LedgerReader(database.audit_url, name)


def test_what_a_role_is_set_to_does_not_change_what_is_read(database: Database) -> None:
    """A search path to a forged copy, and a policy that hides the altered row."""
    LedgerWriter(database.admin_url).fill("events", "rvm-1", 9)
    with Attacker(database.admin_url) as attacker:
        attacker.run("CREATE SCHEMA forged")
        attacker.run("CREATE TABLE forged.events AS SELECT * FROM events")
        attacker.run("GRANT USAGE ON SCHEMA forged TO tally_audit")
        attacker.run("GRANT SELECT ON forged.events TO tally_audit")
        attacker.run(f"ALTER ROLE tally_audit IN DATABASE {database.name} SET search_path = forged, public")
        attacker.run(f"ALTER ROLE tally_audit IN DATABASE {database.name} SET timezone = 'Asia/Kathmandu'")
        attacker.alter("events", "rvm-1", 5, "body", "'forged'")
    assert verify(database.audit_url).as_of.utcoffset() == timedelta(0)
    assert [one.seq for one in verify(database.audit_url).breaks] == [5]
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE resources ENABLE ROW LEVEL SECURITY")
    found = [(one.kind, one.stream) for one in verify(database.audit_url).breaks]
    assert ("schema altered", "resources") in found


def test_a_row_is_read_as_the_bytes_that_were_hashed(database: Database) -> None:
    writer = LedgerWriter(database.admin_url)
    writer.fill("predictions", "rvm-é", 3)
    stream = STREAMS["predictions"]
    with LedgerReader(database.audit_url) as reader:
        rows = list(reader.rows(stream, START, None))
    images = [encode_row(stream, sample(stream, "rvm-é", number)).image(number) for number in (1, 2, 3)]
    assert [row[:-36] for row in rows] == images
