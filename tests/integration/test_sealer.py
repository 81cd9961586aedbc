"""The sealer on a real database and real files: what it promises, and what a crash at each step leaves."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from audit.errors import ForkRefused, LogDamaged
from audit.sealing.log_files import WITNESSED, LogFiles
from audit.sealing.sealer import Sealer
from ledger.checkpoints import Checkpoint
from ledger.cosignatures import cosign
from ledger.growth import Edge
from ledger.heads import Statement, statement_text
from ledger.merkle import check_consistency, consistency_proof, leaf_hash, root_hash
from ledger.notes import Note, Signature, SigningKey, sign_note, verified
from ledger.policies import Policy, check_note
from ledger.tiles import decode_entries, entries_path, subtrees_in_tiles, tile_width
from store.errors import StoreError
from store.seals import NotNext, SealStore
from tally.testing import Database
from tests.ledger_writer import LedgerWriter
from tests.sealing import KEY, WITNESSES, seal_now


def published(folder: Path) -> Checkpoint:
    note = LogFiles(folder).note()
    assert note is not None
    assert verified(note, [KEY.verifier]), "the log signed it"
    return Checkpoint.parse(note.text)


def check_log(database: Database, folder: Path) -> Checkpoint:
    """Recompute everything that is published from the rows of the database."""
    files = LogFiles(folder)
    head = published(folder)
    leaves: list[bytes] = []
    for number in range((head.size + 255) // 256):
        width = tile_width(0, number, head.size)
        leaves += decode_entries(files.read(entries_path(number, width)), width)
    assert len(leaves) == head.size
    assert naive_root([leaf_hash(leaf) for leaf in leaves]) == head.root
    assert root_hash(head.size, subtrees_in_tiles(head.size, files.read)) == head.root
    assert Edge.read(head.size, files.read).root == head.root
    rows = 0
    with SealStore(database.audit_url) as store, psycopg.connect(database.admin_url) as connection:
        for seal in store.seals(0, head.size):
            column = "model_id" if seal.stream == "governance" else "machine_id"
            hashes = [
                row[0]
                for row in connection.execute(
                    f"SELECT row_hash FROM {seal.stream} WHERE {column} = %s AND seq BETWEEN %s AND %s "
                    "ORDER BY seq".encode(),
                    (seal.chain, seal.first_seq, seal.last_seq),
                )
            ]
            assert leaves[seal.first_leaf : seal.first_leaf + len(hashes)] == hashes
            rows += len(hashes)
        batches = 0
        while (sealed := store.of_batch(batches + 1)) is not None:
            batches += 1
            lines = [one.line for one in store.heads(batches)]
            statement = Statement.parse(statement_text(sealed.batch, lines).encode())
            assert leaves[statement.index] == statement.entry
            assert naive_root([leaf_hash(leaf) for leaf in leaves[: sealed.batch.size]]) == sealed.root
    assert rows + batches == head.size
    return head


def naive_root(hashes: list[bytes]) -> bytes:
    """RFC 6962, 2.1, word by word."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return sha256(b"\x01" + naive_root(hashes[:split]) + naive_root(hashes[split:])).digest()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def test_committed_rows_become_a_signed_tree_that_grows(database: Database, log: Path) -> None:
    writer = LedgerWriter(database.admin_url)
    assert seal_now(database, log).head is None, "a ledger without rows has no head"
    heads = []
    for first, count in ((1, 5), (6, 300), (306, 1), (307, 700)):
        for stream in ("telemetry", "governance", "scale_tickets"):
            writer.fill(stream, "m-1", count, first)
        assert seal_now(database, log).rows == 3 * count
        heads.append(check_log(database, log))
    files = LogFiles(log)
    last = heads[-1]
    for old in heads:
        proof = consistency_proof(old.size, last.size, subtrees_in_tiles(last.size, files.read))
        check_consistency(old.size, old.root, last.size, last.root, proof)
    assert seal_now(database, log).rows == 0
    assert published(log) == last, "nothing new, no new head"


def test_a_backlog_is_sealed_batch_by_batch(database: Database, log: Path) -> None:
    writer = LedgerWriter(database.admin_url)
    writer.fill("events", "a", 700)
    writer.fill("events", "b", 30)
    with SealStore(database.sealer_url) as store:
        sealer = Sealer(store, LogFiles(log), KEY, most_rows=300)
        sealer.recover()
        done = sealer.seal()
        assert (done.rows, done.more) == (730, False)
        assert done.head is not None
        assert done.head.batch.number == 3
    check_log(database, log)


def test_a_chain_with_a_missing_row_is_left_out_and_holds_up_no_other(database: Database, log: Path) -> None:
    writer = LedgerWriter(database.admin_url)
    writer.fill("events", "broken", 10)
    writer.fill("events", "sound", 10)
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM events WHERE machine_id = 'broken' AND seq = 4")
    done = seal_now(database, log)
    assert [(one.stream, one.chain) for one in done.left_out] == [("events", "broken")]
    assert "9 were found" in done.left_out[0].reason
    assert done.rows == 10
    check_log(database, log)


def test_two_sealers_cannot_fork(database: Database, tmp_path: Path) -> None:
    """Not even if the lock fails: the tree is allocated in the database."""
    writer = LedgerWriter(database.admin_url)
    writer.fill("events", "a", 10)
    with SealStore(database.sealer_url) as one, SealStore(database.sealer_url) as other:
        assert one.lock()
        assert not other.lock(), "the second stands by"
        first, second = (
            Sealer(one, LogFiles(tmp_path / "1"), KEY),
            Sealer(other, LogFiles(tmp_path / "2"), KEY),
        )
        first.recover()
        second.recover()
        first.seal()
        writer.fill("events", "a", 5, 11)
        with pytest.raises(NotNext, match="another sealer"):
            second.seal()
        second.recover()
        second.seal()
        first_head = published(tmp_path / "1")
        writer.fill("events", "a", 5, 16)
        with pytest.raises(NotNext):
            first.seal()
        first.recover()
        first.seal()
        second.recover()
    assert published(tmp_path / "1") == published(tmp_path / "2") != first_head
    check_log(database, tmp_path / "1")
    check_log(database, tmp_path / "2")


class Crash(Exception):
    """The process ended here."""


SIGNED: Final = ("note after", "publish before", "publish after")
UNSIGNED: Final = (
    *("allocate before", "allocate after", "tiles before", "tiles within", "tiles after"),
    "note before",
)


@pytest.mark.parametrize("step", UNSIGNED + SIGNED)
def test_a_crash_at_any_step_loses_nothing_and_signs_nothing_else(
    step: str, database: Database, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = LedgerWriter(database.admin_url)
    writer.fill("telemetry", "m", 300)
    seal_now(database, log)
    before = published(log)
    writer.fill("telemetry", "m", 400, 301)
    name, when = step.split()
    owner, method = {
        "allocate": (SealStore, "allocate"),
        "tiles": (LogFiles, "put_tiles"),
        "note": (LogFiles, "put_note"),
        "publish": (SealStore, "publish"),
    }[name]
    with monkeypatch.context() as patch:
        patch.setattr(owner, method, crashing(getattr(owner, method), when))
        with pytest.raises(Crash):
            seal_now(database, log)
    between = published(log)
    assert (between == before) is (step in UNSIGNED)
    writer.fill("telemetry", "m", 50, 701)
    seal_now(database, log)
    head = check_log(database, log)
    assert head.size == 750 + (2 if step == "allocate before" else 3), "rows, and a statement for each batch"
    files = LogFiles(log)
    for old in (before, between):
        proof = consistency_proof(old.size, head.size, subtrees_in_tiles(head.size, files.read))
        check_consistency(old.size, old.root, head.size, head.root, proof)


def crashing(real: Callable[..., Any], when: str) -> Callable[..., Any]:
    def crash(self: Any, *arguments: Any, **options: Any) -> None:
        if when == "within":
            files = dict(list(arguments[0].items())[: len(arguments[0]) // 2])
            real(self, files)
        elif when == "after":
            real(self, *arguments, **options)
        raise Crash

    return crash


def test_a_lost_folder_is_made_again_from_the_database(database: Database, log: Path) -> None:
    writer = LedgerWriter(database.admin_url)
    for first in (1, 301):
        writer.fill("telemetry", "m", 300, first)
        seal_now(database, log)
    before = {path.relative_to(log): path.read_bytes() for path in log.rglob("*") if path.is_file()}
    shutil.rmtree(log)
    seal_now(database, log)
    after = {path.relative_to(log): path.read_bytes() for path in log.rglob("*") if path.is_file()}
    assert after.items() >= {p: c for p, c in before.items() if ".p" not in str(p)}.items()
    check_log(database, log)


def test_a_tile_that_was_changed_is_not_written_over(database: Database, log: Path) -> None:
    writer = LedgerWriter(database.admin_url)
    writer.fill("telemetry", "m", 600)
    seal_now(database, log)
    LogFiles(log).put_tiles({"tile/0/000": (log / "tile/0/000").read_bytes()})
    with pytest.raises(LogDamaged, match="tiles never change"):
        LogFiles(log).put_tiles({"tile/0/000": b"x" * 8192})


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE seal_batches SET root = sha256('another history')",
        "DELETE FROM seal_batches",
        "UPDATE seal_batches SET origin = 'another.example/log'",
        "UPDATE seals SET sites = '{elsewhere}'",
        "DELETE FROM seals",
        "UPDATE seal_batches SET heads_digest = sha256('x')",
    ],
)
def test_nothing_is_signed_while_database_and_published_log_contradict_each_other(
    statement: str, database: Database, log: Path
) -> None:
    LedgerWriter(database.admin_url).fill("telemetry", "m", 10)
    seal_now(database, log)
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(statement.encode())
    before = (log / "checkpoint").read_bytes()
    with pytest.raises(ForkRefused):
        seal_now(database, log)
    assert (log / "checkpoint").read_bytes() == before


def test_a_witnessed_head_of_another_history_is_refused_when_the_newest_is_gone(
    database: Database, log: Path
) -> None:
    """What an operator may do when a restored backup is refused: take the checkpoint away."""
    writer = LedgerWriter(database.admin_url)
    for first in (1, 11):
        writer.fill("telemetry", "m", 10, first)
        seal_now(database, log)
    newest = (log / "checkpoint").read_bytes()
    (log / WITNESSED).write_bytes(newest)
    (log / "checkpoint").unlink()
    seal_now(database, log)
    assert (log / "checkpoint").read_bytes() == newest, "of the same history, it is made again"
    (log / "checkpoint").unlink()
    for forged in (Checkpoint(KEY.name, 22, bytes(32)), Checkpoint(KEY.name, 33, bytes(32))):
        LogFiles(log).put_note(sign_note(forged.text, KEY), WITNESSED)
        with pytest.raises(ForkRefused, match=r"checkpoint\.witnessed"):
            seal_now(database, log)
    LogFiles(log).put_note(sign_note(Checkpoint("other", 22, bytes(32)).text, KEY), WITNESSED)
    with pytest.raises(ForkRefused, match="of the log other"):
        seal_now(database, log)
    assert not (log / "checkpoint").exists()


def test_no_new_log_begins_in_a_folder_that_has_one(database: Database, log: Path) -> None:
    (log / "tile").mkdir(parents=True)
    LedgerWriter(database.admin_url).fill("telemetry", "m", 10)
    with pytest.raises(ForkRefused, match="restore the database"):
        seal_now(database, log)
    assert not (log / "checkpoint").exists()
    (log / "tile").rmdir()
    assert seal_now(database, log).rows == 10


def test_a_chain_whose_head_was_deleted_stays_in_the_statement(database: Database, log: Path) -> None:
    writer = LedgerWriter(database.admin_url)
    for chain in ("a", "b"):
        writer.fill("telemetry", chain, 10)
        writer.fill("events", chain, 10)
    seal_now(database, log)
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM chain_heads WHERE chain = 'b'")
    writer.fill("telemetry", "a", 10, 11)
    assert seal_now(database, log).rows == 10
    check_log(database, log)
    with SealStore(database.sealer_url) as store:
        heads = [(head.stream, head.chain, head.seq) for head in store.heads(2)]
        assert store.heads(0) == []
    assert heads == [
        *[("events", "a", 10), ("events", "b", 10), ("telemetry", "a", 20), ("telemetry", "b", 10)]
    ]


def test_a_head_whose_signature_is_not_this_key_s_is_signed_again(database: Database, log: Path) -> None:
    LedgerWriter(database.admin_url).fill("telemetry", "m", 10)
    note = seal_now(database, log).note
    assert note is not None
    (right,) = note.signatures
    files = LogFiles(log)
    cosignature = cosign(note.text, WITNESSES[0], 5)
    wrong = Signature(right.name, right.key_id, bytes(64))
    for signatures in ((wrong, cosignature), (cosignature,), (right, wrong, cosignature)):
        files.put_note(Note(note.text, signatures))
        seal_now(database, log)
        assert files.note() == Note(note.text, (right, cosignature))
    files.put_note(Note(note.text, (cosignature, right)))
    seal_now(database, log)
    assert files.note() == Note(note.text, (cosignature, right)), "nothing is wanting"
    rotated = SigningKey(KEY.name, KEY.kind, bytes(32))
    seal_now(database, log, rotated)
    again = files.note()
    assert again is not None
    assert set(verified(again, [KEY.verifier, rotated.verifier])) == {KEY.verifier, rotated.verifier}
    assert cosignature in again.signatures


def test_rows_that_changed_between_allocation_and_publication_are_refused(
    database: Database, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LedgerWriter(database.admin_url).fill("telemetry", "m", 10)
    with monkeypatch.context() as patch:
        patch.setattr(LogFiles, "put_tiles", crashing(LogFiles.put_tiles, "before"))
        with pytest.raises(Crash):
            seal_now(database, log)
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE telemetry SET row_hash = sha256('x') WHERE seq = 3")
    with pytest.raises(ForkRefused, match="altered"):
        seal_now(database, log)
    assert not (log / "checkpoint").exists()


def test_the_sites_of_a_chain_are_remembered(database: Database, log: Path) -> None:
    LedgerWriter(database.admin_url).fill("events", "m", 3)
    LedgerWriter(database.admin_url).fill("telemetry", "m", 3)
    seal_now(database, log)
    with SealStore(database.sealer_url) as store:
        heads = {(head.stream, head.chain): head for head in store.heads(1)}
    assert heads["events", "m"].sites == ("site_id 1", "site_id 2", "site_id 3")
    assert heads["telemetry", "m"].sites == ()


def test_a_full_tile_drops_its_partial_ones_and_an_old_reader_still_gets_them(
    database: Database, log: Path
) -> None:
    writer = LedgerWriter(database.admin_url)
    writer.fill("telemetry", "m", 100)
    old = seal_now(database, log)
    files = LogFiles(log)
    assert old.head is not None
    partial = files.read("tile/0/000.p/101"), files.read("tile/entries/000.p/101")
    writer.fill("telemetry", "m", 300, 101)
    seal_now(database, log)
    assert not (log / "tile/0/000.p").exists()
    assert not (log / "tile/entries/000.p").exists()
    assert (files.read("tile/0/000.p/101"), files.read("tile/entries/000.p/101")) == partial
    assert root_hash(101, subtrees_in_tiles(101, files.read)) == old.head.root


def test_a_clock_that_goes_back_does_not_go_back_in_the_log(database: Database, log: Path) -> None:
    writer = LedgerWriter(database.admin_url)
    moments = iter([datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)])
    with SealStore(database.sealer_url) as store:
        sealer = Sealer(store, LogFiles(log), KEY, clock=lambda: next(moments))
        sealer.recover()
        for first in (1, 11):
            writer.fill("telemetry", "m", 10, first)
            done = sealer.seal()
            assert done.head is not None
            assert done.head.batch.sealed_at == datetime(2026, 5, 1, tzinfo=UTC)


def test_a_new_key_of_the_same_name_goes_on_with_the_log_and_another_name_does_not(
    database: Database, log: Path
) -> None:
    writer = LedgerWriter(database.admin_url)
    writer.fill("telemetry", "m", 10)
    first = seal_now(database, log)
    rotated = SigningKey(KEY.name, KEY.kind, bytes(32))
    writer.fill("telemetry", "m", 10, 11)
    second = seal_now(database, log, rotated)
    assert first.note is not None
    assert second.note is not None
    policy = Policy.parse(f"log {KEY.verifier}\nlog {rotated.verifier}\nquorum none\n".encode())
    assert check_note(first.note, policy).log == KEY.verifier
    assert check_note(second.note, policy).log == rotated.verifier
    with pytest.raises(ForkRefused, match="keeps its name"):
        seal_now(database, log, SigningKey("other.example/log", KEY.kind, bytes(32)))


def test_a_sealer_without_the_right_to_seal_says_so(database: Database, log: Path) -> None:
    LedgerWriter(database.admin_url).fill("telemetry", "m", 10)
    with SealStore(database.audit_url) as store:
        sealer = Sealer(store, LogFiles(log), KEY)
        sealer.recover()
        with pytest.raises(StoreError, match="permission denied"):
            sealer.seal()
    assert not (log / "checkpoint").exists()
