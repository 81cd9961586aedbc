"""A connection that neither answers nor ends, as when a network between two machines loses its way."""

from __future__ import annotations

import asyncio
import time

import psycopg
import pytest
from psycopg import sql

from collector.errors import TryLater
from tally.testing import Database
from tests.check_ledger import check_ledger
from tests.faults.clients import Sendable, request
from tests.faults.fleet import keys_in_ledger
from tests.faults.in_process import Ingest
from tests.faults.proxy import Moment, Proxy
from tests.otlp_requests import event, logs

TIMEOUT_S = 1.0
"""What a statement may take before its connection is given up."""
MOMENTS: tuple[Moment, ...] = ("copy under way", "commit asked", "commit done")


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_connection_that_hangs_is_given_up_and_its_locks_with_it(
    moment: Moment, database: Database
) -> None:
    """The server's end of it stays open for the whole test: what it holds must not hold up the retry."""
    requests = [request("metrics", f"rvm-{number % 2}", f"request {number}", 10) for number in range(6)]

    async def story(url: str) -> float:
        ingest = Ingest(url, timeout_s=TIMEOUT_S, reply_within_s=0.5)
        try:
            await ingest.deliver(requests[:2])
            proxy.arm("stall", moment)
            started = time.monotonic()
            await ingest.deliver(requests, within_s=20)
            return time.monotonic() - started
        finally:
            await ingest.stop()

    with Proxy(database.collector_url) as proxy:
        took = asyncio.run(story(proxy.url(database.collector_url)))
        assert proxy.struck == 1
        found = keys_in_ledger(database.admin_url)
        assert found == dict.fromkeys((key for sent in requests for key in sent.keys), 1)
        check_ledger(database.audit_url)
    assert took < 5 * TIMEOUT_S


def test_a_session_whose_collector_is_gone_without_a_word_does_not_stand_in_the_way_of_another(
    database: Database,
) -> None:
    """Its machine lost power: nobody is left to end its session but the server itself."""
    only = request("logs", "rvm-1", "only", 9)

    async def story(url: str) -> None:
        gone = Ingest(url, timeout_s=TIMEOUT_S)
        proxy.arm("stall", "commit asked")
        sending = asyncio.create_task(gone.send(only))
        await asyncio.to_thread(proxy.wait_stalled, 10)
        other = Ingest(database.collector_url, timeout_s=5 * TIMEOUT_S)
        try:
            await other.deliver([only], within_s=20)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            await asyncio.gather(gone.stop(0), other.stop())

    with Proxy(database.collector_url) as proxy:
        asyncio.run(story(proxy.url(database.collector_url)))
        assert keys_in_ledger(database.admin_url) == dict.fromkeys(only.keys, 1)
        check_ledger(database.audit_url)


def test_sessions_of_the_collector_are_ended_by_the_server_when_their_client_is_silent(
    database: Database,
) -> None:
    """The server asks a silent client whether it lives, and ends a transaction that it left open."""

    async def settings() -> dict[str, str]:
        ingest = Ingest(database.collector_url, timeout_s=TIMEOUT_S)
        await ingest.deliver([request("metrics", "rvm-1", "only", 1)])
        connection = next(writer._connection for writer in ingest.writers if writer._connection is not None)
        names = ("synchronous_commit", "idle_in_transaction_session_timeout", "tcp_keepalives_idle")
        found = {name: str(await connection.fetchval(f"SHOW {name}")) for name in names}
        await ingest.stop()
        return found

    assert asyncio.run(settings()) == {
        "synchronous_commit": "on",
        "idle_in_transaction_session_timeout": "1s",
        "tcp_keepalives_idle": "10",
    }
    with psycopg.connect(database.admin_url) as connection:
        left = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'tally_collector' "
            "AND datname = current_database() AND state <> 'idle'"
        ).fetchone()
    assert left == (0,)


def test_while_the_database_is_away_the_queue_is_bounded_in_bytes_too(database: Database) -> None:
    """A row may hold 64 KiB of attributes: rows alone are no measure of memory."""
    large = [large_request(number) for number in range(3)]
    small = request("metrics", "rvm-1", "small", 10)
    size = len(large[0].body)

    async def story(url: str) -> None:
        ingest = Ingest(url, reply_within_s=0.3, max_queue_bytes=2 * size + 200_000)
        for accepted in large[:2]:
            with pytest.raises(TryLater, match="not committed within"):
                await ingest.send(accepted)
        with pytest.raises(TryLater, match="bytes are waiting for the database"):
            await ingest.send(large[2])
        with pytest.raises(TryLater, match="not committed within"):
            await ingest.send(small)
        mend()
        await ingest.deliver([*large, small])
        await ingest.stop()

    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        name = sql.Identifier(database.name)

        def mend() -> None:
            admin.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT -1").format(name))

        admin.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT 0").format(name))
        asyncio.run(story(database.collector_url))
    found = keys_in_ledger(database.admin_url)
    assert found == dict.fromkeys((key for sent in (*large, small) for key in sent.keys), 1)
    check_ledger(database.audit_url)


def large_request(number: int) -> Sendable:
    """A megabyte in 20 rows."""
    keys = tuple(f"large {number}/{index}" for index in range(20))
    records = [event("note", attributes={"key": key, "text": "x" * 50_000}) for key in keys]
    return Sendable("logs", logs(*records).SerializeToString(), keys)
