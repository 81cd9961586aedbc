"""The attacks that chains can't see, each of them against heads that were kept elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Final, Self

import psycopg
import pytest

from audit.against import Against, Verdict, hold_against
from audit.anchors import collect
from audit.errors import AuditError
from audit.sealing.log_files import LogFiles
from audit.verify import verify
from ledger.checkpoints import Checkpoint
from ledger.cosignatures import cosign
from ledger.notes import Note, parse_note
from tally.testing import Cluster, Database
from tests.ledger_attacker import Attacker
from tests.ledger_writer import LedgerWriter
from tests.sealing import KEY, WITNESSES, policy_text, seal_now

SEALED: Final = ("seals", "seal_batches", "checkpoints")


class Sealed:
    """A ledger that was sealed in three batches, and what an auditor kept of its log."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.log = folder / "log"
        self.kept = folder / "kept"
        self.writer = LedgerWriter(database.admin_url)
        for first in (1, 101, 301):
            count = 200 if first > 1 else 100
            self.writer.fill("telemetry", "m-1", count, first)
            self.writer.fill("transactions", "m-1", 20, 1 + first // 10)
            self.writer.fill("transactions", "m-2", 30, 1 + first // 10)
            seal_now(database, self.log)
            (folder / f"checkpoint.{first}").write_bytes((self.log / "checkpoint").read_bytes())
        shutil.copytree(self.log, self.kept)

    def against(self, *files: Path, log: Path | None = None) -> Against:
        folder = LogFiles(log or self.kept)
        chosen = files or (self.kept / "checkpoint",)
        return hold_against(self.database.audit_url, collect(chosen, folder), folder)

    def seal_again(self, folder: Path) -> None:
        """As an attacker who has the log's key: a new tree over what is there now, signed."""
        with psycopg.connect(self.database.admin_url) as connection:
            connection.execute("SET session_replication_role = replica")
            for table in SEALED:
                connection.execute(f"DELETE FROM {table}".encode())
        seal_now(self.database, folder)


@pytest.fixture
def sealed(database: Database, tmp_path: Path) -> Sealed:
    return Sealed(database, tmp_path)


def test_a_ledger_that_only_grew_meets_every_head_that_it_ever_had(sealed: Sealed, tmp_path: Path) -> None:
    sealed.writer.fill("telemetry", "m-1", 7, 501)
    files = [tmp_path / f"checkpoint.{n}" for n in (1, 101, 301)]
    result = sealed.against(*files)
    assert [one.verdict for one in result.held] == [Verdict.HOLDS] * 3
    assert result.ok
    assert (result.size, result.covered, result.uncovered_rows) == (653, 653, 7)


def rechain_all(sealed: Sealed) -> None:
    with Attacker(sealed.database.admin_url) as attacker:
        attacker.alter("transactions", "m-2", 17, "mass_mg", "mass_mg * 3")
        attacker.rechain("transactions", "m-2")


def delete_a_chain(sealed: Sealed) -> None:
    with Attacker(sealed.database.admin_url) as attacker:
        attacker.run("DELETE FROM transactions WHERE machine_id = 'm-2'")
        attacker.run("DELETE FROM chain_heads WHERE stream = 'transactions' AND chain = 'm-2'")


def cut_a_tail(sealed: Sealed) -> None:
    with Attacker(sealed.database.admin_url) as attacker:
        attacker.run("DELETE FROM transactions WHERE machine_id = 'm-2' AND seq > 40")
        attacker.run(
            "UPDATE chain_heads SET seq = 40, row_hash = (SELECT row_hash FROM transactions "
            "WHERE machine_id = 'm-2' AND seq = 40) WHERE stream = 'transactions' AND chain = 'm-2'"
        )


ATTACKS: Final[dict[Callable[[Sealed], None], int]] = {rechain_all: 17, delete_a_chain: 1, cut_a_tail: 31}


@pytest.mark.parametrize("again", [False, True], ids=["seals as they were", "sealed again"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_what_chains_cannot_see_contradicts_a_head_and_the_row_is_named(
    attack: Callable[[Sealed], None], again: bool, sealed: Sealed, tmp_path: Path
) -> None:
    assert sealed.against().ok
    attack(sealed)
    if again:
        sealed.seal_again(tmp_path / "forged")
    assert verify(sealed.database.audit_url, processes=1).ok, "chains alone see nothing"
    result = sealed.against()
    assert not result.ok
    (held,) = result.held
    if not again:
        assert held.verdict is Verdict.CONTRADICTED
        assert held.row == ("transactions", "m-2", ATTACKS[attack])
    else:
        assert held.verdict in {Verdict.CONTRADICTED, Verdict.OLDER}
        assert held.leaf is not None
        assert "from row" in held.detail or "from leaf" in held.detail


def test_tiles_that_were_altered_too_name_no_row_and_hide_nothing(sealed: Sealed, tmp_path: Path) -> None:
    rechain_all(sealed)
    sealed.seal_again(tmp_path / "forged")
    result = sealed.against(log=tmp_path / "forged")
    (held,) = result.held
    assert held.verdict is not Verdict.HOLDS
    assert held.row is None
    assert "--log" in held.detail


def test_an_old_backup_is_shown_as_an_older_state(sealed: Sealed, cluster: Cluster, tmp_path: Path) -> None:
    backup = cluster.create(sealed.database.name)
    try:
        sealed.writer.fill("telemetry", "m-1", 60, 501)
        seal_now(sealed.database, sealed.log)
        folder = LogFiles(sealed.log)
        anchors = collect([sealed.log / "checkpoint", tmp_path / "checkpoint.301"], folder)
        assert hold_against(sealed.database.audit_url, anchors, folder).ok
        assert verify(backup.audit_url, processes=1).ok, "the backup's chains are right"
        old, new = hold_against(backup.audit_url, anchors, folder).held
        assert old.verdict is Verdict.HOLDS
        assert new.verdict is Verdict.OLDER
        assert new.leaf == 653
        assert "older state" in new.detail
        assert "61 leaves are missing" in new.detail
    finally:
        cluster.drop(backup.name)


def test_a_backup_that_goes_on_by_itself_parts_where_it_was_taken(
    sealed: Sealed, cluster: Cluster, tmp_path: Path
) -> None:
    """The operator restores, new rows come in and are sealed: two histories, one shown to each party."""
    backup = cluster.create(sealed.database.name)
    try:
        sealed.writer.fill("telemetry", "m-1", 60, 501)
        seal_now(sealed.database, sealed.log)
        shutil.copytree(sealed.kept, tmp_path / "other")
        other = LedgerWriter(backup.admin_url)
        other.fill("events", "m-9", 90)
        seal_now(backup, tmp_path / "other")
        both = [sealed.log / "checkpoint", tmp_path / "other" / "checkpoint"]
        first = hold_against(
            sealed.database.audit_url, collect(both, LogFiles(sealed.log)), LogFiles(sealed.log)
        )
        second = hold_against(backup.audit_url, collect(both, LogFiles(sealed.log)), LogFiles(sealed.log))
    finally:
        cluster.drop(backup.name)
    assert [one.verdict is Verdict.HOLDS for one in first.held] == [True, False]
    assert [one.verdict is Verdict.HOLDS for one in second.held] == [False, True]
    assert second.held[0].leaf == 653


def test_an_emptied_log_is_shorter_than_any_head(sealed: Sealed) -> None:
    with psycopg.connect(sealed.database.admin_url) as connection:
        connection.execute("SET session_replication_role = replica")
        for table in SEALED:
            connection.execute(f"DELETE FROM {table}".encode())
    (held,) = sealed.against().held
    assert held.verdict is Verdict.OLDER


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE seals SET sites = ARRAY['elsewhere'] WHERE batch = 3",
        "UPDATE seals SET row_hash = sha256('x') WHERE batch = 3",
        "UPDATE seals SET chain = 'm-7' WHERE chain = 'm-2'",
        "UPDATE seal_batches SET heads_digest = sha256('x') WHERE batch = 2",
        "UPDATE seal_batches SET sealed_at = sealed_at - interval '1 day' WHERE batch = 3",
        "UPDATE seals SET first_leaf = first_leaf + 1000 WHERE batch = 2",
        "DELETE FROM seals WHERE batch = 2 AND chain = 'm-2'",
    ],
)
def test_seals_that_were_altered_do_not_hold(statement: str, sealed: Sealed) -> None:
    with psycopg.connect(sealed.database.admin_url) as connection:
        connection.execute("SET session_replication_role = replica")
        assert connection.execute(statement.encode()).rowcount
    assert not sealed.against().ok


# --- policies ---


def cosigned(note: Note, count: int) -> Note:
    return Note(
        note.text, note.signatures + tuple(cosign(note.text, key, 1_900_000_000) for key in WITNESSES[:count])
    )


@pytest.mark.parametrize(("count", "good"), [(0, False), (1, False), (2, True), (3, True)])
def test_a_policy_asks_for_its_quorum(count: int, good: bool, sealed: Sealed, tmp_path: Path) -> None:
    note = cosigned(parse_note((sealed.kept / "checkpoint").read_bytes()), count)
    LogFiles(sealed.kept).put_note(note)
    policy = tmp_path / "policy"
    policy.write_text(policy_text(*WITNESSES, quorum=2))
    result = sealed.against(policy)
    assert [one.verdict for one in result.held] == [Verdict.HOLDS]
    assert result.ok is good
    assert (result.held[0].anchor.wanting is None) is good


def test_a_head_signed_by_somebody_else_is_no_anchor(sealed: Sealed, tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    policy.write_text(policy_text(key=type(KEY)(KEY.name, KEY.kind, bytes(32))))
    with pytest.raises(AuditError, match="no signature by its key in the policy"):
        sealed.against(policy)


@pytest.mark.parametrize(
    "content", [b"", b"nothing\n", b"\xff\xfe", b"x" * 2_000_000, "a\n\n\u2014 b c\n".encode()]
)
def test_a_file_that_is_neither_checkpoint_nor_policy_is_refused(
    content: bytes, sealed: Sealed, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(AuditError):
        sealed.against(tmp_path / "file")


def test_two_policies_are_one_too_many_and_a_missing_file_is_named(sealed: Sealed, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(policy_text())
    with pytest.raises(AuditError, match="one at most"):
        sealed.against(tmp_path / "a", tmp_path / "b")
    with pytest.raises(AuditError, match="missing"):
        sealed.against(tmp_path / "missing")


# --- what is kept from the auditor ---


class WitnessAt:
    """A witness's ``/latest``, over HTTP: the note that it is told to give, or none."""

    def __init__(self, content: bytes | None) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(404 if content is None else 200)
                self.end_headers()
                self.wfile.write(content or b"nothing\n")

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.mark.parametrize("answers", ["none", "old", "newest"])
def test_a_rewriting_behind_an_old_witnessed_head_does_not_pass(
    answers: str, sealed: Sealed, tmp_path: Path
) -> None:
    """Everything after a witnessed head is rewritten and signed by the log alone; witnesses are out of
    reach."""
    old = cosigned(parse_note((tmp_path / "checkpoint.1").read_bytes()), 1)
    newest = cosigned(parse_note((sealed.kept / "checkpoint").read_bytes()), 1)
    with Attacker(sealed.database.admin_url) as attacker:
        attacker.alter("transactions", "m-2", 47, "mass_mg", "mass_mg * 3")
        attacker.rechain("transactions", "m-2", 47)
    forged = tmp_path / "forged"
    with psycopg.connect(sealed.database.admin_url) as connection:
        connection.execute("SET session_replication_role = replica")
        for table in ("seals", "seal_batches"):
            connection.execute(f"DELETE FROM {table} WHERE batch > 1".encode())
        connection.execute("DELETE FROM checkpoints")
    seal_now(sealed.database, forged)
    LogFiles(forged).put_note(old, "checkpoint.witnessed")
    given = {"none": None, "old": str(old).encode(), "newest": str(newest).encode()}[answers]
    with WitnessAt(given) as witness:
        policy = tmp_path / "policy"
        policy.write_text(policy_text(WITNESSES[0], quorum=1, url=witness.url))
        result = sealed.against(policy, log=forged)
    if answers == "newest":
        assert not result.holds
    else:
        assert result.holds, "the old head covers what was not touched"
        assert result.fresh is (answers == "old")
        assert result.covered == old_size(old)
        assert result.uncovered_rows > 400
    assert result.ok is (answers == "old"), "a witness that never saw more can't tell more"


def old_size(note: Note) -> int:
    return Checkpoint.parse(note.text).size


def test_a_made_up_seal_hides_no_row_that_came_later(sealed: Sealed) -> None:
    sealed.writer.fill("telemetry", "m-1", 1_000, 501)
    with psycopg.connect(sealed.database.admin_url) as connection:
        connection.execute(
            "INSERT INTO seals VALUES (99, 'telemetry', 'm-1', 501, 1500, 1000000000, sha256('x'), '{}')"
        )
    result = sealed.against()
    assert result.covered == 653
    assert result.uncovered_rows == 1_000


def test_a_first_row_of_a_later_batch_that_is_gone_is_named(sealed: Sealed) -> None:
    with Attacker(sealed.database.admin_url) as attacker:
        attacker.run("DELETE FROM telemetry WHERE machine_id = 'm-1' AND seq = 101")
    (held,) = sealed.against().held
    assert held.verdict is Verdict.CONTRADICTED
    assert held.row == ("telemetry", "m-1", 101)
