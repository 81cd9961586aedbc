"""Whatever a model is called, its rows are read as they are, and its name is never SQL."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import psycopg
import pytest

from inference.otlp import log_request
from outbox.sender import Answer, RawSender
from store.governance import GovernanceStore
from store.sessions import Sessions
from tally.testing import Database
from tests.conftest import StartCollector

_INJECTION: Final = (
    "a\nSELECT 1) TO STDOUT; BEGIN; UPDATE review_progress SET seq = 777; COMMIT; "
    "COPY (WITH a AS (SELECT 1) --"
)
NAMES: Final = [
    _INJECTION,
    "a'b",
    "a\\'; SELECT 1 --",
    "a\nb",
    "$1",
    "$2::bigint",
    "/* a",
    "%s{}",
    'a"b',
    "ä\u2028",
]


@pytest.fixture
def sent(database: Database, collector: StartCollector) -> Database:
    """A ledger with a chain of each name."""
    endpoint = collector(database).grpc_endpoint

    async def send() -> None:
        async with RawSender(endpoint) as sender:
            for name in NAMES:
                fields = {
                    "model.id": name,
                    "model.action": "trained",
                    "model.version": "1",
                    "model.actor": "a",
                    "model.digest": "0" * 64,
                }
                answer = await sender.send(
                    "logs", log_request("m", "model.lifecycle", time.time_ns(), fields)
                )
                assert answer == Answer(accepted=True)

    asyncio.run(send())
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("INSERT INTO review_progress VALUES ('predictions', 'm', 1)")
    return database


def test_a_name_is_a_value_and_nothing_else(sent: Database) -> None:
    async def rows() -> list[int]:
        sessions = Sessions(sent.inference_url)
        try:
            store = GovernanceStore(sessions)
            return [len(await store.rows(name, 0)) for name in NAMES]
        finally:
            await sessions.close()

    assert asyncio.run(rows()) == [1] * len(NAMES)
    with psycopg.connect(sent.admin_url) as connection:
        assert connection.execute("SELECT seq FROM review_progress").fetchall() == [(1,)]
