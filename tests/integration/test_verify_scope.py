"""Verifying a part: one stream, one machine, a period; what it finds and what it says it leaves open."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from audit.breaks import BreakKind
from audit.errors import AuditError, NothingSelected
from audit.verify import verify
from ledger.errors import UnknownStream
from tally.testing import Cluster, Database
from tests.ledger_attacker import Attacker, found
from tests.ledger_writer import BEGINNING, LedgerWriter

ROWS = 60
K = BreakKind


def at(number: int) -> datetime:
    """The event time of sample row ``number``: a row a minute."""
    return BEGINNING + timedelta(minutes=number)


@pytest.fixture(scope="module")
def ledger(cluster: Cluster, template: str) -> Iterator[Database]:
    database = cluster.create(template)
    writer = LedgerWriter(database.admin_url)
    for machine in ("rvm-1", "rvm-2"):
        writer.fill("telemetry", machine, ROWS)
        writer.fill("events", machine, ROWS)
    writer.fill("governance", "model-1", 5)
    yield database
    cluster.drop(database.name)


@pytest.fixture(scope="module")
def session(ledger: Database) -> Iterator[Attacker]:
    with Attacker(ledger.admin_url) as attacker:
        yield attacker


@pytest.fixture
def attacker(session: Attacker) -> Iterator[Attacker]:
    yield session
    session.restore()


def test_one_stream_is_verified_alone(ledger: Database, attacker: Attacker) -> None:
    attacker.alter("telemetry", "rvm-1", 5, "value", "99")
    report = verify(ledger.audit_url, ["events"])
    assert report.ok
    assert (report.rows, report.chains) == (2 * ROWS, 2)
    assert "Other streams were not checked." in report.leaves_open
    assert not verify(ledger.audit_url, ["telemetry"]).ok


def test_one_machine_is_verified_alone(ledger: Database, attacker: Attacker) -> None:
    attacker.alter("telemetry", "rvm-1", 5, "value", "99")
    report = verify(ledger.audit_url, machine="rvm-2")
    assert report.ok
    assert (report.rows, report.chains) == (2 * ROWS, 2)
    broken = verify(ledger.audit_url, machine="rvm-1")
    assert found(broken) == [(K.VALUE_ALTERED, "telemetry", "rvm-1", 5, 5)]


def test_a_model_is_verified_like_a_machine(ledger: Database) -> None:
    report = verify(ledger.audit_url, machine="model-1")
    assert (report.rows, report.chains) == (5, 1)


def test_a_machine_whose_rows_are_all_gone_is_not_taken_for_one_that_never_was(
    ledger: Database, attacker: Attacker
) -> None:
    attacker.run("DELETE FROM telemetry WHERE machine_id = 'rvm-1'")
    report = verify(ledger.audit_url, ["telemetry"], machine="rvm-1")
    assert found(report) == [(K.TAIL_CUT, "telemetry", "rvm-1", 1, ROWS)]


def test_an_unknown_machine_is_an_error(ledger: Database) -> None:
    with pytest.raises(NothingSelected, match="no rows of 'rvm-9'"):
        verify(ledger.audit_url, machine="rvm-9")


def test_an_unknown_stream_is_an_error(ledger: Database) -> None:
    with pytest.raises(UnknownStream, match="telemetrie"):
        verify(ledger.audit_url, ["telemetrie"])


def test_a_period_without_time_zone_or_without_length_is_an_error(ledger: Database) -> None:
    with pytest.raises(AuditError, match="time zone"):
        verify(ledger.audit_url, since=datetime(2026, 3, 1))  # noqa: DTZ001
    with pytest.raises(AuditError, match="empty"):
        verify(ledger.audit_url, since=at(9), until=at(9))


def test_a_period_is_verified_with_the_row_before_it_taken_as_given(ledger: Database) -> None:
    report = verify(ledger.audit_url, ["telemetry"], since=at(20), until=at(30))
    assert report.ok
    assert (report.rows, report.chains) == (20, 2)
    assert any("taken as given" in sentence for sentence in report.leaves_open)
    assert any("not compared with their heads" in sentence for sentence in report.leaves_open)
    assert not any("head" in sentence for sentence in report.proves)


@pytest.mark.parametrize(("seq", "seen"), [(19, False), (20, True), (25, True), (29, True), (30, False)])
def test_only_what_is_altered_in_the_period_is_found(
    seq: int, seen: bool, ledger: Database, attacker: Attacker
) -> None:
    attacker.alter("telemetry", "rvm-2", seq, "value", "99")
    report = verify(ledger.audit_url, ["telemetry"], since=at(20), until=at(30))
    assert found(report) == ([(K.VALUE_ALTERED, "telemetry", "rvm-2", seq, seq)] if seen else [])


@pytest.mark.parametrize("seq", [19, 25])
def test_a_row_missing_in_the_period_or_right_before_it_is_found(
    seq: int, ledger: Database, attacker: Attacker
) -> None:
    attacker.run("DELETE FROM telemetry WHERE machine_id = 'rvm-2' AND seq = %s", (seq,))
    report = verify(ledger.audit_url, ["telemetry"], since=at(20), until=at(30))
    assert found(report) == [(K.ROW_MISSING, "telemetry", "rvm-2", seq, seq)]


def test_a_period_up_to_now_reaches_to_the_heads(ledger: Database, attacker: Attacker) -> None:
    assert verify(ledger.audit_url, ["telemetry"], since=at(50)).ok
    attacker.run("DELETE FROM telemetry WHERE machine_id = 'rvm-2' AND seq > 55")
    report = verify(ledger.audit_url, ["telemetry"], since=at(50))
    assert found(report) == [(K.TAIL_CUT, "telemetry", "rvm-2", 56, ROWS)]


def test_a_tail_cut_off_with_all_rows_of_the_period_is_found(ledger: Database, attacker: Attacker) -> None:
    attacker.run("DELETE FROM telemetry WHERE machine_id = 'rvm-2' AND seq > 40")
    report = verify(ledger.audit_url, ["telemetry"], since=at(50))
    assert found(report) == [(K.TAIL_CUT, "telemetry", "rvm-2", 41, ROWS)]


def test_a_chain_gone_but_for_its_head_is_found_in_a_period_up_to_now(
    ledger: Database, attacker: Attacker
) -> None:
    attacker.run("DELETE FROM telemetry WHERE machine_id = 'rvm-2'")
    report = verify(ledger.audit_url, ["telemetry"], since=at(50))
    assert found(report) == [(K.TAIL_CUT, "telemetry", "rvm-2", 1, ROWS)]


def test_a_period_from_the_beginning_starts_at_the_genesis(ledger: Database, attacker: Attacker) -> None:
    assert verify(ledger.audit_url, ["telemetry"], until=at(10)).rows == 18
    attacker.run("DELETE FROM telemetry WHERE machine_id = 'rvm-1' AND seq = 1")
    report = verify(ledger.audit_url, ["telemetry"], until=at(10))
    assert found(report) == [(K.ROW_MISSING, "telemetry", "rvm-1", 1, 1)]


def test_a_period_of_one_machine_is_verified(ledger: Database) -> None:
    report = verify(ledger.audit_url, machine="rvm-1", since=at(20), until=at(30))
    assert report.ok
    assert (report.rows, report.chains) == (20, 2)
    with pytest.raises(NothingSelected, match="in that period"):
        verify(ledger.audit_url, machine="rvm-1", since=at(500), until=at(501))


def test_a_clock_that_jumped_back_widens_the_part_that_is_verified(database: Database) -> None:
    """The period's rows are 1, 2, 3 and 9; what lies between them is verified too."""
    writer = LedgerWriter(database.admin_url)
    for first, count in ((10, 3), (500, 5), (11, 1), (600, 3)):
        writer.fill("telemetry", "rvm-1", count, first)
    assert verify(database.audit_url, since=at(0), until=at(100)).rows == 9
    with Attacker(database.admin_url) as attacker:
        attacker.alter("telemetry", "rvm-1", 6, "value", "99")
    report = verify(database.audit_url, since=at(0), until=at(100))
    assert found(report) == [(K.VALUE_ALTERED, "telemetry", "rvm-1", 6, 6)]


def test_an_empty_ledger_is_intact(database: Database) -> None:
    report = verify(database.audit_url)
    assert report.ok
    assert (report.rows, report.chains, report.resources) == (0, 0, 0)
