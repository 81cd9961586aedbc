"""What a superuser of the database can do to the ledger, and what its chains show of it.

Each test tampers, sees exactly the tampered rows named, puts the ledger back and sees it verified.  The
attacks that chains can't see are here too, asserted as such: they are what checkpoints are for.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest
from psycopg import errors

from audit.breaks import BreakKind
from audit.report import Report
from audit.verify import verify
from ledger.rows import Value
from ledger.streams import STREAMS, Column, Stream
from tally.testing import Cluster, Database
from tests.ledger_attacker import Attacker, Found, found
from tests.ledger_writer import BEGINNING, LedgerWriter, sample

ROWS = 12
K = BreakKind
ROW_5: Found = (K.VALUE_ALTERED, "telemetry", "rvm-1", 5, 5)


def fill(database: Database) -> None:
    """Two machines with some rows in every stream, and one with a single row."""
    writer = LedgerWriter(database.admin_url)
    for stream in STREAMS:
        writer.fill(stream, "rvm-1", ROWS)
        writer.fill(stream, "rvm-2", ROWS)
    writer.fill("telemetry", "rvm-3", 1)


@pytest.fixture(scope="module")
def ledger(cluster: Cluster, template: str) -> Iterator[Database]:
    """A ledger that tests tamper with and put back."""
    database = cluster.create(template)
    fill(database)
    yield database
    cluster.drop(database.name)


@pytest.fixture(scope="module")
def attacker(ledger: Database) -> Iterator[Attacker]:
    with Attacker(ledger.admin_url) as attacker:
        yield attacker


@pytest.fixture
def own_ledger(database: Database) -> Database:
    """A ledger for a test that does to it what can't be put back."""
    fill(database)
    return database


@pytest.fixture
def chunk(attacker: Attacker) -> str:
    """The chunk that row 5 of telemetry's first machine lies in."""
    ((name,),) = attacker.rows(
        "SELECT tableoid::regclass::text FROM telemetry WHERE machine_id = 'rvm-1' AND seq = 5"
    )
    return str(name)


class Auditor:
    """Verifies with the auditor's own login."""

    def __init__(self, database: Database) -> None:
        self.url = database.audit_url

    def report(self, *streams: str) -> Report:
        return verify(self.url, streams or None)

    def finds(self, *streams: str) -> list[Found]:
        return found(self.report(*streams))


@pytest.fixture
def auditor(ledger: Database, attacker: Attacker) -> Iterator[Auditor]:
    """Finds nothing once everything is put back, and so nothing before the next attack."""
    auditor = Auditor(ledger)
    yield auditor
    attacker.restore()
    assert auditor.report().ok


# One altered column.


def _other_values(stream: Stream, column: Column) -> Iterator[str]:
    """SQL expressions that make another value of the column, some of them barely different."""
    name = column.name
    match column.type:
        case "timestamptz":
            yield f"{name} + interval '1 microsecond'"
            yield f"{name} - interval '60 days'"
            yield "'infinity'" if name != "event_time" else f"{name} + interval '1 year'"
        case "text" if name != stream.chain_column:
            yield f"{name} || ' '"
            yield "''"
            yield f"normalize({name} || U&'\\00e9', NFD)"
        case "int8" if name != "seq":
            yield f"{name} + 1"
            yield f"-{name}"
        case "float8":
            yield f"{name} + 1e-13"
            yield "'NaN'"
            yield "'-Infinity'"
        case "bytea":
            yield f"set_bit({name}, 255, 1 - get_bit({name}, 255))"
            yield f"{name} || '\\x00'"
            yield "''"
        case "json":
            yield f"replace({name}::text, ':', ': ')::json"
            yield "'{}'"
            yield f"({name}::text || ' ')::json"
    if column.nullable:
        yield "NULL"


@pytest.mark.parametrize("stream", STREAMS.values(), ids=lambda stream: stream.name)
def test_one_altered_value_of_any_column_names_exactly_its_row(
    stream: Stream, attacker: Attacker, auditor: Auditor
) -> None:
    for column in stream.columns:
        for number, expression in enumerate(_other_values(stream, column)):
            seq = (1, 5, ROWS)[number % 3]
            attacker.alter(stream.name, "rvm-1", seq, column.name, expression)
            kind = K.HASH_ALTERED if column.name == "row_hash" else K.VALUE_ALTERED
            assert auditor.finds(stream.name) == [(kind, stream.name, "rvm-1", seq, seq)], (
                column,
                expression,
            )
            attacker.restore(stream.name)


def test_a_sign_of_zero_and_a_null_for_an_empty_text_are_alterations(database: Database) -> None:
    writer = LedgerWriter(database.admin_url)
    changes: dict[str, tuple[Value, str]] = {
        "value": (0.0, "'-0'::float8"),
        "unit": ("", "' '"),
        "start_time": (None, "event_time"),
    }
    for number, (column, (value, _)) in enumerate(changes.items(), start=1):
        row = sample(STREAMS["telemetry"], "rvm-9", number) | {column: value}
        writer.append("telemetry", [row])
    writer.append("events", [sample(STREAMS["events"], "rvm-9", 1) | {"body": ""}])
    writer.append("events", [sample(STREAMS["events"], "rvm-9", 1) | {"body": None}])
    assert verify(database.audit_url).ok
    with Attacker(database.admin_url) as attacker:
        for seq, (column, (_, expression)) in enumerate(changes.items(), start=1):
            attacker.alter("telemetry", "rvm-9", seq, column, expression)
        attacker.alter("events", "rvm-9", 1, "body", "NULL")
        attacker.alter("events", "rvm-9", 2, "body", "''")
    report = verify(database.audit_url, machine="rvm-9")
    assert [(one.stream, one.seq) for one in report.breaks] == [
        ("telemetry", 1),
        ("telemetry", 2),
        ("telemetry", 3),
        ("events", 1),
        ("events", 2),
    ]


def test_the_break_tells_when_the_row_says_it_happened(attacker: Attacker, auditor: Auditor) -> None:
    attacker.alter("telemetry", "rvm-1", 5, "value", "99")
    (only,) = auditor.report().breaks
    assert only.place == "telemetry rvm-1 row 5"
    assert only.event_time == sample(STREAMS["telemetry"], "rvm-1", 5)["event_time"]


@pytest.mark.parametrize("seq", [1, 5, ROWS])
@pytest.mark.parametrize("other", [0, -3, 7, ROWS + 1, ROWS + 1000, 2**62])
def test_a_changed_seq_names_the_row_by_its_own_place(
    seq: int, other: int, attacker: Attacker, auditor: Auditor
) -> None:
    attacker.alter("telemetry", "rvm-1", seq, "seq", str(other))
    report = auditor.report()
    assert found(report) == [(K.ORDER_CHANGED, "telemetry", "rvm-1", seq, seq)]
    assert f"seq {other}" in report.breaks[0].detail


@pytest.mark.parametrize("seq", [1, 5, ROWS])
@pytest.mark.parametrize("other", ["rvm-2", "rvm-3", "a new one", "é", "rvm-1\x01"])
def test_a_row_given_to_another_machine_is_named_by_its_own(
    seq: int, other: str, attacker: Attacker, auditor: Auditor
) -> None:
    attacker.alter("transactions", "rvm-1", seq, "machine_id", f"E'{other}'")
    report = auditor.report()
    assert found(report) == [(K.VALUE_ALTERED, "transactions", "rvm-1", seq, seq)]
    assert "machine_id was altered" in report.breaks[0].detail


def test_two_altered_neighbours_are_both_named(attacker: Attacker, auditor: Auditor) -> None:
    attacker.run("UPDATE telemetry SET value = 0 WHERE machine_id = 'rvm-1' AND seq IN (5, 6)")
    assert auditor.finds() == [ROW_5, (K.VALUE_ALTERED, "telemetry", "rvm-1", 6, 6)]


# Altered and hashed again.


def test_a_row_rewritten_with_its_own_hash_breaks_at_the_next_row_which_says_so(
    attacker: Attacker, auditor: Auditor
) -> None:
    attacker.alter("telemetry", "rvm-1", 4, "value", "99")
    attacker.run(
        "CREATE TEMPORARY TABLE hashes AS SELECT seq, row_hash FROM telemetry WHERE machine_id = 'rvm-1'"
    )
    attacker.rechain("telemetry", "rvm-1", 4, move_head=False)
    attacker.run(
        "UPDATE telemetry SET row_hash = hashes.row_hash FROM hashes "
        "WHERE machine_id = 'rvm-1' AND telemetry.seq = hashes.seq AND telemetry.seq > 4"
    )
    report = auditor.report()
    assert found(report) == [ROW_5]
    assert "or row 4 was rewritten together with its hash" in report.breaks[0].detail


def test_the_last_row_rewritten_with_its_hash_disagrees_with_the_head(
    attacker: Attacker, auditor: Auditor
) -> None:
    attacker.alter("telemetry", "rvm-1", ROWS, "value", "99")
    attacker.rechain("telemetry", "rvm-1", ROWS, move_head=False)
    assert auditor.finds() == [(K.HEAD_ALTERED, "telemetry", "rvm-1", None, None)]


def test_a_chain_rewritten_to_its_end_disagrees_with_the_head(attacker: Attacker, auditor: Auditor) -> None:
    attacker.alter("telemetry", "rvm-1", 3, "value", "99")
    attacker.rechain("telemetry", "rvm-1", 3, move_head=False)
    assert auditor.finds() == [(K.HEAD_ALTERED, "telemetry", "rvm-1", None, None)]


def test_chains_cannot_see_a_chain_rewritten_to_its_end_with_its_head(
    attacker: Attacker, auditor: Auditor
) -> None:
    attacker.alter("telemetry", "rvm-1", 3, "value", "99")
    attacker.rechain("telemetry", "rvm-1", 3)
    report = auditor.report()
    assert report.ok
    assert "rewrite a chain" in report.leaves_open[-1]


# Rows removed.


@pytest.mark.parametrize("seq", [1, 2, 5, ROWS - 1])
def test_a_deleted_row_is_named_missing(seq: int, attacker: Attacker, auditor: Auditor) -> None:
    attacker.run("DELETE FROM telemetry WHERE machine_id = 'rvm-1' AND seq = %s", (seq,))
    assert auditor.finds() == [(K.ROW_MISSING, "telemetry", "rvm-1", seq, seq)]


@pytest.mark.parametrize("rest", [0, 1, 5, ROWS - 1])
def test_a_truncated_tail_is_named_against_the_head(rest: int, attacker: Attacker, auditor: Auditor) -> None:
    attacker.run("DELETE FROM telemetry WHERE machine_id = 'rvm-1' AND seq > %s", (rest,))
    assert auditor.finds() == [(K.TAIL_CUT, "telemetry", "rvm-1", rest + 1, ROWS)]


def test_gaps_are_named_as_runs(attacker: Attacker, auditor: Auditor) -> None:
    attacker.run("DELETE FROM telemetry WHERE machine_id = 'rvm-1' AND seq IN (2, 3, 4, 7, 11, 12)")
    assert auditor.finds() == [
        (K.ROW_MISSING, "telemetry", "rvm-1", 2, 4),
        (K.ROW_MISSING, "telemetry", "rvm-1", 7, 7),
        (K.TAIL_CUT, "telemetry", "rvm-1", 11, 12),
    ]


def test_a_deleted_row_whose_gap_was_closed_by_renumbering_is_named(
    attacker: Attacker, auditor: Auditor
) -> None:
    attacker.run("DELETE FROM telemetry WHERE machine_id = 'rvm-1' AND seq = 5")
    attacker.run("UPDATE telemetry SET seq = seq - 1 WHERE machine_id = 'rvm-1' AND seq > 5")
    missing = (K.ROW_MISSING, "telemetry", "rvm-1", 5, 5)
    renumbered = (K.ORDER_CHANGED, "telemetry", "rvm-1", 5, ROWS - 1)
    assert sorted(auditor.finds()) == sorted([missing, renumbered])
    attacker.run("UPDATE chain_heads SET seq = seq - 1 WHERE stream = 'telemetry' AND chain = 'rvm-1'")
    assert sorted(auditor.finds()) == sorted([missing, renumbered])


def test_a_dropped_chunk_is_named_as_missing_rows_of_every_machine(database: Database) -> None:
    writer = LedgerWriter(database.admin_url)
    for first in (0, 20_160, 40_320):  # minutes: two weeks apart
        writer.fill("events", "rvm-7", 3, first)
        writer.fill("events", "rvm-8", 2, first)
    assert verify(database.audit_url, ["events"]).ok
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        dropped = connection.execute(
            "SELECT drop_chunks('events', older_than => %(middle)s + interval '7 days', "
            "newer_than => %(middle)s - interval '7 days')",
            {"middle": BEGINNING + timedelta(minutes=20_160)},
        )
        assert len(dropped.fetchall()) == 1
    assert found(verify(database.audit_url, ["events"])) == [
        (K.ROW_MISSING, "events", "rvm-7", 4, 6),
        (K.ROW_MISSING, "events", "rvm-8", 3, 4),
    ]


def test_a_deleted_chain_is_named_by_the_head_that_is_left(attacker: Attacker, auditor: Auditor) -> None:
    attacker.run("DELETE FROM telemetry WHERE machine_id = 'rvm-3'")
    assert auditor.finds() == [(K.TAIL_CUT, "telemetry", "rvm-3", 1, 1)]


def test_chains_cannot_see_a_chain_deleted_with_its_head(attacker: Attacker, auditor: Auditor) -> None:
    attacker.run("DELETE FROM telemetry WHERE machine_id = 'rvm-1'")
    attacker.run("DELETE FROM chain_heads WHERE stream = 'telemetry' AND chain = 'rvm-1'")
    report = auditor.report()
    assert report.ok
    assert "remove a chain with its head" in report.leaves_open[-1]


def test_chains_cannot_see_a_tail_cut_together_with_its_head(attacker: Attacker, auditor: Auditor) -> None:
    attacker.run("DELETE FROM telemetry WHERE machine_id = 'rvm-1' AND seq > 9")
    attacker.run(
        "UPDATE chain_heads SET seq = 9, row_hash = telemetry.row_hash FROM telemetry "
        "WHERE stream = 'telemetry' AND chain = 'rvm-1' AND machine_id = 'rvm-1' AND telemetry.seq = 9"
    )
    assert auditor.report().ok


def test_chains_cannot_see_an_old_backup_put_back(own_ledger: Database) -> None:
    writer = LedgerWriter(own_ledger.admin_url)
    with Attacker(own_ledger.admin_url) as attacker:
        writer.fill("transactions", "rvm-5", 20)
        before = verify(own_ledger.audit_url)
        attacker.restore()
        after = verify(own_ledger.audit_url)
    assert (before.ok, after.ok) == (True, True)
    assert after.rows == before.rows - 20


def test_chains_cannot_see_a_chain_made_up_with_its_head(ledger: Database, auditor: Auditor) -> None:
    LedgerWriter(ledger.admin_url).fill("transactions", "rvm-made-up", 3)
    assert auditor.report().ok


# Rows added.


def _copy_row(attacker: Attacker, source: int, seq: int, value: float | None = None) -> None:
    names = STREAMS["telemetry"].column_names
    columns = ", ".join(
        {"seq": str(seq), "value": "value" if value is None else str(value)}.get(name, name) for name in names
    )
    attacker.run(
        f"INSERT INTO telemetry ({', '.join(names)}) SELECT {columns} FROM telemetry "
        "WHERE machine_id = 'rvm-1' AND seq = %s",
        (source,),
    )


@pytest.mark.parametrize("seq", [1, 5, ROWS])
@pytest.mark.parametrize("value", [None, 99.0])
def test_a_row_inserted_beside_another_of_its_seq_is_named(
    seq: int, value: float | None, attacker: Attacker, auditor: Auditor
) -> None:
    _copy_row(attacker, seq, seq, value)
    assert auditor.finds() == [(K.ROW_INSERTED, "telemetry", "rvm-1", seq, seq)]


@pytest.mark.parametrize("seq", [0, -1, ROWS + 1, ROWS + 100])
def test_a_row_inserted_where_none_can_be_is_named(seq: int, attacker: Attacker, auditor: Auditor) -> None:
    _copy_row(attacker, 5, seq)
    assert auditor.finds() == [(K.ROW_INSERTED, "telemetry", "rvm-1", seq, seq)]


def test_rows_added_at_the_end_with_right_hashes_are_named_beyond_the_head(
    attacker: Attacker, auditor: Auditor
) -> None:
    _copy_row(attacker, 5, ROWS + 1)
    _copy_row(attacker, 6, ROWS + 2)
    attacker.rechain("telemetry", "rvm-1", ROWS + 1, move_head=False)
    assert auditor.finds() == [(K.ROW_INSERTED, "telemetry", "rvm-1", ROWS + 1, ROWS + 2)]


def test_a_row_inserted_in_the_middle_with_the_rest_renumbered_is_named(
    attacker: Attacker, auditor: Auditor
) -> None:
    attacker.run("UPDATE telemetry SET seq = seq + 1 WHERE machine_id = 'rvm-1' AND seq >= 5")
    _copy_row(attacker, 4, 5, 99.0)
    inserted = (K.ROW_INSERTED, "telemetry", "rvm-1", 5, 5)
    moved = {(K.ORDER_CHANGED, "telemetry", "rvm-1", seq, seq) for seq in range(6, ROWS + 2)}
    assert set(auditor.finds()) == {inserted} | moved
    attacker.run("UPDATE chain_heads SET seq = seq + 1 WHERE stream = 'telemetry' AND chain = 'rvm-1'")
    assert inserted in auditor.finds()


def test_a_new_chain_without_a_head_is_named(attacker: Attacker, auditor: Auditor) -> None:
    attacker.run("DELETE FROM chain_heads WHERE stream = 'telemetry' AND chain = 'rvm-2'")
    report = auditor.report()
    assert found(report) == [(K.HEAD_MISSING, "telemetry", "rvm-2", None, None)]
    assert "the whole chain was added" in report.breaks[0].detail


def test_a_row_copied_to_a_new_machine_is_named_inserted(attacker: Attacker, auditor: Auditor) -> None:
    names = ", ".join(STREAMS["telemetry"].column_names)
    attacker.run(
        f"INSERT INTO telemetry SELECT {names.replace('machine_id', chr(39) + 'ghost' + chr(39))} "
        "FROM telemetry WHERE machine_id = 'rvm-1' AND seq IN (1, 2)"
    )
    assert auditor.finds() == [
        (K.ROW_INSERTED, "telemetry", "ghost", 1, 1),
        (K.ROW_INSERTED, "telemetry", "ghost", 2, 2),
    ]


def test_rows_without_a_machine_are_noticed(own_ledger: Database) -> None:
    names = ", ".join(STREAMS["telemetry"].column_names)
    with Attacker(own_ledger.admin_url) as attacker:
        attacker.run("ALTER TABLE telemetry ALTER machine_id DROP NOT NULL")
        attacker.run(
            f"INSERT INTO telemetry SELECT {names.replace('machine_id', 'NULL')} FROM telemetry WHERE seq = 3"
        )
    report = verify(own_ledger.audit_url)
    assert found(report) == [(K.ROW_INSERTED, "telemetry", "", None, None)]
    assert "the table has 27 rows, its chains 25" in report.breaks[0].detail


def test_rows_without_a_seq_are_noticed(own_ledger: Database) -> None:
    names = ", ".join(STREAMS["telemetry"].column_names)
    with Attacker(own_ledger.admin_url) as attacker:
        attacker.run("ALTER TABLE telemetry ALTER seq DROP NOT NULL")
        attacker.run(
            f"INSERT INTO telemetry SELECT {names.replace('seq', 'NULL')} FROM telemetry WHERE seq = 3"
        )
    assert {one[:3] for one in found(verify(own_ledger.audit_url))} == {
        (K.ROW_INSERTED, "telemetry", "rvm-1"),
        (K.ROW_INSERTED, "telemetry", "rvm-2"),
    }


def test_rows_hidden_from_the_chain_index_are_noticed(own_ledger: Database) -> None:
    """An index that is not ready takes no new rows: whoever reads the table sees them, who reads chains does
    not.
    """
    ready = (
        "UPDATE pg_index SET indisready = %s WHERE indexrelid::regclass::text LIKE '%%_chunk_events_chain'"
    )
    names = ", ".join(STREAMS["events"].column_names)
    with Attacker(own_ledger.admin_url) as attacker:
        assert attacker.run(ready, (False,)) == 1
    with Attacker(own_ledger.admin_url) as attacker:
        attacker.run(f"INSERT INTO events SELECT {names} FROM events WHERE machine_id = 'rvm-1' AND seq = 3")
        attacker.run(ready, (True,))
    report = verify(own_ledger.audit_url)
    assert not report.ok
    assert {one.stream for one in report.breaks} == {"events"}


# Order.


@pytest.mark.parametrize(("first", "second"), [(5, 6), (3, 9), (1, 2), (1, ROWS), (ROWS - 1, ROWS)])
def test_two_rows_with_exchanged_seqs_are_both_named(
    first: int, second: int, attacker: Attacker, auditor: Auditor
) -> None:
    attacker.run(
        "UPDATE telemetry SET seq = %s - seq WHERE machine_id = 'rvm-1' AND seq IN (%s, %s)",
        (first + second, first, second),
    )
    report = auditor.report()
    assert found(report) == [
        (K.ORDER_CHANGED, "telemetry", "rvm-1", first, first),
        (K.ORDER_CHANGED, "telemetry", "rvm-1", second, second),
    ]
    assert f"belongs at seq {second}" in report.breaks[0].detail


def test_two_rows_with_exchanged_contents_are_both_named(attacker: Attacker, auditor: Auditor) -> None:
    own = [
        name for name in STREAMS["telemetry"].column_names if name not in {"seq", "machine_id", "row_hash"}
    ]
    sets = ", ".join(f"{name} = other.{name}" for name in own)
    attacker.run(
        "UPDATE telemetry SET " + sets + " FROM kept_telemetry AS other "
        "WHERE telemetry.machine_id = 'rvm-1' AND other.machine_id = 'rvm-1' "
        "AND telemetry.seq IN (4, 8) AND other.seq = 12 - telemetry.seq"
    )
    assert auditor.finds() == [
        (K.ORDER_CHANGED, "telemetry", "rvm-1", 4, 4),
        (K.ORDER_CHANGED, "telemetry", "rvm-1", 8, 8),
    ]


def test_three_rows_in_a_circle_are_all_named(attacker: Attacker, auditor: Auditor) -> None:
    attacker.run(
        "UPDATE telemetry SET seq = CASE seq WHEN 3 THEN 6 WHEN 6 THEN 10 ELSE 3 END "
        "WHERE machine_id = 'rvm-1' AND seq IN (3, 6, 10)"
    )
    assert auditor.finds() == [(K.ORDER_CHANGED, "telemetry", "rvm-1", seq, seq) for seq in (3, 6, 10)]


# Heads.


@pytest.mark.parametrize("seq", [-1, 0, 5, ROWS - 1, ROWS + 1, 2**62])
def test_a_head_with_another_seq_is_named_and_no_row_is(
    seq: int, attacker: Attacker, auditor: Auditor
) -> None:
    attacker.run("UPDATE chain_heads SET seq = %s WHERE stream = 'telemetry' AND chain = 'rvm-1'", (seq,))
    assert auditor.finds() == [(K.HEAD_ALTERED, "telemetry", "rvm-1", None, None)]


@pytest.mark.parametrize("row_hash", [bytes(32), b"", bytes(33)])
def test_a_head_with_another_hash_is_named(row_hash: bytes, attacker: Attacker, auditor: Auditor) -> None:
    attacker.run(
        "UPDATE chain_heads SET row_hash = %s WHERE stream = 'telemetry' AND chain = 'rvm-1'", (row_hash,)
    )
    assert auditor.finds() == [(K.HEAD_ALTERED, "telemetry", "rvm-1", None, None)]


def test_a_head_under_another_name_is_named(attacker: Attacker, auditor: Auditor) -> None:
    attacker.run("UPDATE chain_heads SET chain = 'zzz' WHERE stream = 'telemetry' AND chain = 'rvm-1'")
    assert auditor.finds() == [(K.HEAD_ALTERED, "telemetry", "rvm-1", None, None)]


def test_a_head_of_a_stream_that_does_not_exist_is_named(attacker: Attacker, auditor: Auditor) -> None:
    attacker.run("INSERT INTO chain_heads VALUES ('telemetrie', 'rvm-1', 1, '')")
    assert auditor.finds() == [(K.HEAD_ALTERED, "telemetrie", "rvm-1", None, None)]


def test_a_head_of_a_chain_without_rows_is_named(attacker: Attacker, auditor: Auditor) -> None:
    attacker.run("INSERT INTO chain_heads VALUES ('telemetry', 'rvm-4', 3, '')")
    assert auditor.finds() == [(K.TAIL_CUT, "telemetry", "rvm-4", 1, 3)]


def test_a_head_moved_back_is_named_and_the_rows_are_not(attacker: Attacker, auditor: Auditor) -> None:
    """Seq and hash moved back: the rows behind look as if they were added past the collector."""
    attacker.run(
        "UPDATE chain_heads SET seq = 9, row_hash = telemetry.row_hash FROM telemetry "
        "WHERE stream = 'telemetry' AND chain = 'rvm-1' AND machine_id = 'rvm-1' AND telemetry.seq = 9"
    )
    report = auditor.report()
    assert found(report) == [(K.ROW_INSERTED, "telemetry", "rvm-1", 10, ROWS)]
    assert "or the head was moved back" in report.breaks[0].detail


# Descriptions of senders.


def test_an_altered_description_is_named_by_its_digest(attacker: Attacker, auditor: Auditor) -> None:
    ((digest,),) = attacker.rows("SELECT encode(digest, 'hex') FROM resources")
    attacker.run("UPDATE resources SET content = (content::text || ' ')::json")
    assert auditor.finds() == [(K.RESOURCE_ALTERED, "resources", digest, None, None)]


def test_a_deleted_description_is_named_where_rows_first_refer_to_it(
    attacker: Attacker, auditor: Auditor
) -> None:
    attacker.run("DELETE FROM resources")
    assert auditor.finds("telemetry") == [
        (K.RESOURCE_MISSING, "telemetry", machine, 1, 1) for machine in ("rvm-1", "rvm-2", "rvm-3")
    ]


def test_a_description_under_another_digest_is_named_once(attacker: Attacker, auditor: Auditor) -> None:
    attacker.run("UPDATE resources SET digest = sha256('')")
    breaks = auditor.report().breaks
    assert [one.kind for one in breaks] == [K.RESOURCE_ALTERED]


# Without a superuser's tricks.


REFUSED = [
    "UPDATE {table} SET {column} = {column}",
    "DELETE FROM {table}",
    "TRUNCATE {table}",
]


@pytest.mark.parametrize("statement", REFUSED)
def test_nobody_changes_a_row_or_a_head_not_even_the_owner_or_a_superuser(
    statement: str, ledger: Database
) -> None:
    logins = (ledger.owner_url, ledger.collector_url, ledger.audit_url, ledger.grafana_url, ledger.admin_url)
    for url in logins:
        with psycopg.connect(url, autocommit=True) as connection:
            for table in (*STREAMS, "resources", "chain_heads"):
                column = {"resources": "content", "chain_heads": "row_hash"}.get(table, "attributes")
                with pytest.raises(errors.InsufficientPrivilege):
                    connection.execute(statement.format(table=table, column=column).encode())
    assert verify(ledger.audit_url).ok


@pytest.mark.parametrize("statement", REFUSED[:2])
def test_nobody_changes_a_row_in_its_chunk_either(statement: str, own_ledger: Database) -> None:
    urls = (
        own_ledger.owner_url,
        own_ledger.collector_url,
        own_ledger.audit_url,
        own_ledger.grafana_url,
        own_ledger.admin_url,
    )
    with psycopg.connect(own_ledger.admin_url) as connection:
        found_chunks = connection.execute(
            "SELECT show_chunks(name::regclass)::text FROM unnest(%s::text[]) AS name", (list(STREAMS),)
        )
        chunks = [row[0] for row in found_chunks]
    assert len(chunks) == len(STREAMS)
    for url in urls:
        with psycopg.connect(url, autocommit=True) as connection:
            for chunk in chunks:
                with pytest.raises(errors.InsufficientPrivilege):
                    connection.execute(statement.format(table=chunk, column="attributes").encode())


@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE {chunk}",
        "DROP TABLE {chunk}",
        "SELECT drop_chunks('telemetry', older_than => now() + interval '10 years')",
        "DROP TRIGGER append_only ON telemetry; DELETE FROM telemetry WHERE machine_id < 'z'",
    ],
)
def test_what_the_owner_of_the_tables_still_can_do_is_seen(statement: str, own_ledger: Database) -> None:
    """TimescaleDB hands row triggers on to chunks, but neither TRUNCATE's nor those of DDL."""
    with psycopg.connect(own_ledger.owner_url, autocommit=True) as connection:
        ((chunk,),) = connection.execute("SELECT show_chunks('telemetry')::text").fetchall()
        for part in statement.format(chunk=chunk).split("; "):
            connection.execute(part.encode())
    breaks = found(verify(own_ledger.audit_url))
    assert [one for one in breaks if one[0] is not K.SCHEMA_ALTERED] == [
        (K.TAIL_CUT, "telemetry", "rvm-1", 1, ROWS),
        (K.TAIL_CUT, "telemetry", "rvm-2", 1, ROWS),
        (K.TAIL_CUT, "telemetry", "rvm-3", 1, 1),
    ]
    assert any(one[0] is K.SCHEMA_ALTERED for one in breaks) is ("DROP TRIGGER" in statement)


@pytest.mark.parametrize("table", ["telemetry", "{chunk}"])
def test_triggers_of_a_hypertable_and_its_chunks_cannot_be_switched_off_as_such(
    table: str, ledger: Database, chunk: str
) -> None:
    with (
        psycopg.connect(ledger.admin_url, autocommit=True) as connection,
        pytest.raises(errors.FeatureNotSupported),
    ):
        connection.execute(f"ALTER TABLE {table.format(chunk=chunk)} DISABLE TRIGGER append_only".encode())


def test_a_superuser_who_switches_triggers_off_for_his_session_is_seen(
    ledger: Database, auditor: Auditor
) -> None:
    with psycopg.connect(ledger.admin_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE telemetry SET value = 99 WHERE machine_id = 'rvm-1' AND seq = 5")
    assert auditor.finds() == [ROW_5]


def test_a_superuser_who_switches_the_trigger_of_a_chunk_off_is_seen(
    ledger: Database, chunk: str, auditor: Auditor
) -> None:
    """TimescaleDB steps aside for whoever says that he restores a backup."""
    with psycopg.connect(ledger.admin_url, autocommit=True) as connection:
        connection.execute("SET timescaledb.restoring = on")
        connection.execute(f"ALTER TABLE {chunk} DISABLE TRIGGER append_only".encode())
        connection.execute("RESET timescaledb.restoring")
        connection.execute("UPDATE telemetry SET value = 99 WHERE machine_id = 'rvm-1' AND seq = 5")
        connection.execute("SET timescaledb.restoring = on")
        connection.execute(f"ALTER TABLE {chunk} ENABLE TRIGGER append_only".encode())
    assert auditor.finds() == [ROW_5]


# NULLs and bytes that are no UTF-8, where the schema forbids them.


RAW = "CREATE CAST (bytea AS text) WITHOUT FUNCTION"
HEAD_1 = "WHERE stream = 'telemetry' AND chain = 'rvm-1'"
HEAD_OF_1: Found = (K.HEAD_ALTERED, "telemetry", "rvm-1", None, None)


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (
            (
                "ALTER TABLE chain_heads ALTER row_hash DROP NOT NULL;"
                f"UPDATE chain_heads SET row_hash = NULL {HEAD_1}"
            ),
            HEAD_OF_1,
        ),
        (
            f"ALTER TABLE chain_heads ALTER seq DROP NOT NULL;UPDATE chain_heads SET seq = NULL {HEAD_1}",
            HEAD_OF_1,
        ),
        (
            (
                "ALTER TABLE chain_heads DROP CONSTRAINT chain_heads_pkey;"
                "ALTER TABLE chain_heads ALTER stream DROP NOT NULL;"
                "INSERT INTO chain_heads VALUES (NULL, 'q', 4, 'x')"
            ),
            (K.HEAD_ALTERED, "NULL", "q", None, None),
        ),
        (
            (
                "ALTER TABLE chain_heads DROP CONSTRAINT chain_heads_pkey;"
                "ALTER TABLE chain_heads ALTER chain DROP NOT NULL;"
                "INSERT INTO chain_heads VALUES ('telemetry', NULL, 4, 'x')"
            ),
            (K.HEAD_ALTERED, "telemetry", "NULL", None, None),
        ),
        (
            (
                "ALTER TABLE resources DROP CONSTRAINT resources_pkey;"
                "ALTER TABLE resources ALTER digest DROP NOT NULL;"
                "INSERT INTO resources VALUES (NULL, '{}')"
            ),
            (K.RESOURCE_ALTERED, "resources", "", None, None),
        ),
        (
            "ALTER TABLE resources ALTER content DROP NOT NULL;INSERT INTO resources VALUES ('x', NULL)",
            (K.RESOURCE_ALTERED, "resources", "78", None, None),
        ),
        (
            (
                f"{RAW};"
                "UPDATE telemetry SET machine_id = '\\xff80'::bytea::text WHERE "
                "machine_id = 'rvm-1' AND seq = 5"
            ),
            ROW_5,
        ),
        (f"{RAW};UPDATE chain_heads SET chain = '\\xff80'::bytea::text {HEAD_1}", HEAD_OF_1),
        (
            f"{RAW};INSERT INTO chain_heads VALUES ('\\xff80'::bytea::text, 'q', 4, 'x')",
            (K.HEAD_ALTERED, "\\xff\\x80", "q", None, None),
        ),
        (
            (
                "CREATE CAST (bytea AS json) WITHOUT FUNCTION;"
                "INSERT INTO resources VALUES ('x', '\\x22ff22'::bytea::json)"
            ),
            (K.RESOURCE_ALTERED, "resources", "78", None, None),
        ),
    ],
)
def test_what_the_schema_forbids_is_named_and_stops_nothing(
    statements: str, expected: Found, own_ledger: Database
) -> None:
    assert verify(own_ledger.audit_url).ok
    with Attacker(own_ledger.admin_url) as attacker:
        for statement in statements.split(";"):
            attacker.run(statement)
    assert found(verify(own_ledger.audit_url)) == [expected]


# Tables and views that are no longer what they were.


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (
            (
                "ALTER TABLE telemetry RENAME TO telemetry_real;"
                "UPDATE telemetry_real SET value = 99 WHERE seq = 5;"
                "CREATE VIEW telemetry AS SELECT * FROM telemetry_real;GRANT SELECT ON "
                "telemetry TO tally_audit"
            ),
            "no ordinary table",
        ),
        ("ALTER TABLE telemetry RENAME TO telemetry_real", "no table of that name"),
        ("ALTER TABLE telemetry ADD note text", "'note text' is new"),
        ("ALTER TABLE telemetry RENAME unit TO units", "'unit text C' is gone"),
        ("ALTER TABLE telemetry ENABLE ROW LEVEL SECURITY", "row-level security"),
        ("DROP TRIGGER no_truncate ON telemetry", "no_truncate"),
        (
            (
                "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
                "$$BEGIN RETURN NEW! END$$"
            ),
            "does something else",
        ),
        (
            (
                "DO $$ BEGIN EXECUTE replace(replace(replace(pg_get_viewdef('telemetry_chained'), "
                "'r.value', 'value'), "
                "' value,', ' value * 50 AS value,'), ' SELECT', 'CREATE OR REPLACE VIEW "
                "telemetry_chained AS SELECT')! "
                "END $$"
            ),
            "telemetry_chained is not the view",
        ),
        (
            (
                "DO $$ BEGIN EXECUTE replace(replace(pg_get_viewdef('telemetry_chained'), ' SELECT', "
                "'CREATE OR REPLACE VIEW telemetry_chained AS SELECT'), 'FROM telemetry r', "
                "'FROM telemetry r WHERE seq <> 5')! END $$"
            ),
            "telemetry_chained is not the view",
        ),
        ("DROP VIEW telemetry_chained", "telemetry_chained is no view"),
    ],
)
def test_a_schema_that_was_altered_is_named(statements: str, said: str, own_ledger: Database) -> None:
    assert verify(own_ledger.audit_url).ok
    with Attacker(own_ledger.admin_url) as attacker:
        for statement in statements.split(";"):
            attacker.run(statement.replace("!", ";"))
    breaks = verify(own_ledger.audit_url).breaks
    assert breaks
    assert {one.kind for one in breaks} == {K.SCHEMA_ALTERED}
    assert any(one.stream == "telemetry" and said in one.detail for one in breaks)
    assert verify(own_ledger.audit_url, ["telemetry"], machine="rvm-1").ok is False
    assert verify(own_ledger.audit_url, ["events"]).ok is ("refuse_change" not in statements)
