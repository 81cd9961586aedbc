"""The SQL twin: PostgreSQL alone computes the same hash for every row of every stream."""

from __future__ import annotations

import pytest

import audit.scope
from audit.twin import verify_twin
from ledger.streams import STREAMS
from tally.testing import Database
from tests.ledger_attacker import Attacker
from tests.ledger_writer import LedgerWriter


@pytest.fixture
def ledger(database: Database) -> Database:
    writer = LedgerWriter(database.admin_url)
    for stream in STREAMS:
        writer.fill(stream, "rvm-1", 40)
        writer.fill(stream, "rvm-é", 3)
    return database


def test_the_twin_agrees_on_every_row_of_every_stream(ledger: Database) -> None:
    report = verify_twin(ledger.audit_url)
    assert report.ok
    assert dict(report.rows) == dict.fromkeys(STREAMS, 43)


def test_the_twin_agrees_however_the_work_is_divided(
    ledger: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit.scope, "SMALLEST", 7)
    monkeypatch.setattr(audit.scope, "LARGEST", 7)
    assert verify_twin(ledger.audit_url).to_json() == verify_twin(ledger.audit_url).to_json()
    report = verify_twin(ledger.audit_url, ["telemetry"])
    assert report.ok
    assert report.rows == (("telemetry", 43),)


def test_the_twin_names_a_row_whose_hash_is_not_that_of_its_values(ledger: Database) -> None:
    with Attacker(ledger.admin_url) as attacker:
        attacker.alter("incidents", "rvm-1", 9, "severity", "NULL")
    report = verify_twin(ledger.audit_url)
    (only,) = report.disagreements
    assert (only.stream, only.chain, only.seq) == ("incidents", "rvm-1", 9)
    assert only.by_copy == only.by_sql != only.stored
    assert (report.ok, report.disagreeing) == (False, 1)


def test_progress_reaches_the_number_of_rows(ledger: Database) -> None:
    told: list[tuple[int, int]] = []
    verify_twin(ledger.audit_url, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (43 * len(STREAMS), 43 * len(STREAMS))
