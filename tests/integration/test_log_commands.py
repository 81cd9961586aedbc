"""``tally seal``, ``prove`` and ``prove-consistency`` as typed: each success beside its tampered twin."""

from __future__ import annotations

import json
import shutil
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import structlog

from audit.proofs import prove_row
from audit.sealing.log_files import LogFiles
from ledger.checkpoints import Checkpoint
from ledger.cosignatures import cosign
from ledger.encoded import base64_of, decoded
from ledger.log_proofs import LogProof
from ledger.merkle import check_consistency, leaf_hash
from ledger.notes import Note, parse_note, sign_note
from ledger.policies import Policy
from ledger.streams import stream_named
from store.seals import SealStore
from tally.cli import main
from tally.ports import free_port
from tally.testing import Database
from tests.ledger_attacker import Attacker
from tests.ledger_writer import LedgerWriter
from tests.sealing import KEY, WITNESSES, policy_text, seal_now


class Log:
    """A log of a test's database, and the command on it."""

    def __init__(self, database: Database, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.database = database
        self.folder = folder / "log"
        self.key = folder / "log.key"
        self.key.write_text(KEY.to_text())
        self.key.chmod(0o600)
        self.policy = self.write_policy(folder / "policy", policy_text())
        self.writer = LedgerWriter(database.admin_url)
        self._capsys = capsys

    def write_policy(self, path: Path, text: str) -> Path:
        path.write_text(text)
        return path

    def __call__(self, *words: object) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        self._capsys.readouterr()
        status = main(list(map(str, words)))
        said = self._capsys.readouterr()
        return status, said.out, said.err

    def seal(self, *words: object) -> tuple[int, str, str]:
        url = ("--url", self.database.sealer_url)
        return self("seal", "--log", self.folder, "--key", self.key, *url, *words)

    def prove(self, *words: object) -> tuple[int, str, str]:
        return self("prove", *words, "--log", self.folder, "--url", self.database.audit_url)

    def found(self, answer: tuple[int, str, str]) -> Any:
        """The JSON of an answer."""
        return json.loads(answer[1])


@pytest.fixture
def log(database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Log]:
    yield Log(database, tmp_path, capsys)
    structlog.reset_defaults()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A static web server over a folder."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            """Say nothing."""

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_seal_says_what_it_sealed_and_that_nobody_witnessed_it(log: Log) -> None:
    assert "no rows" in log.seal()[1]
    log.writer.fill("events", "a", 20)
    status, said, _ = log.seal()
    assert status == 0
    assert "Sealed 20 rows: batch 1, the log has 21 leaves" in said
    assert str(log.folder / "checkpoint") in said
    assert "NOT YET WITNESSED: no policy" in said
    again = log.found(log.seal("--json"))
    assert (again["rows"], again["size"], again["quorum"], again["left_out"]) == (0, 21, None, [])


def test_a_log_outgrows_what_a_smallint_holds(log: Log) -> None:
    """The sizes add up in the database, where small numbers have small types."""
    for first, count in ((1, 32_000), (32_001, 10), (32_011, 32_000)):
        log.writer.fill("telemetry", "a", count, first)
        assert log.found(log.seal("--json"))["rows"] == count


def test_a_missing_quorum_is_exit_code_1_with_each_witnesss_trouble(log: Log, tmp_path: Path) -> None:
    log.writer.fill("events", "a", 5)
    nobody = f"http://127.0.0.1:{free_port()}"
    policy = log.write_policy(tmp_path / "p", policy_text(*WITNESSES[:2], quorum=2, url=nobody))
    status, said, _ = log.seal("--policy", policy)
    assert status == 1
    assert "NOT YET WITNESSED, the policy asks for 2 of w1, w2" in said
    assert "w1: " in said
    found = log.found(log.seal("--policy", policy, "--json"))
    assert found["quorum"] is False
    assert [one["cosigned_at"] for one in found["witnesses"]] == [None, None]
    assert all(one["trouble"] for one in found["witnesses"])
    assert (log.folder / "checkpoint").exists(), "published, as not yet witnessed"


def test_chains_that_are_left_out_are_named_with_exit_code_1(log: Log) -> None:
    log.writer.fill("events", "broken", 10)
    log.writer.fill("events", "sound", 10)
    with Attacker(log.database.admin_url) as attacker:
        attacker.run("DELETE FROM events WHERE machine_id = 'broken' AND seq = 4")
    status, said, _ = log.seal()
    assert status == 1
    assert "Sealed 10 rows" in said
    assert "LEFT OUT: events broken: rows 1 to 10 should be there" in said


def test_what_keeps_it_from_sealing_is_one_line_and_exit_code_2(log: Log, tmp_path: Path) -> None:
    log.writer.fill("events", "a", 5)
    with SealStore(log.database.sealer_url) as store:
        assert store.lock()
        status, _, said = log.seal()
    assert (status, "another sealer" in said) == (2, True)
    stranger = log.write_policy(tmp_path / "p", policy_text(key=WITNESSES[0]).replace("log ", "# log "))
    status, _, said = log.seal("--policy", stranger)
    assert (status, "does not name this log" in said) == (2, True)
    assert log.seal()[0] == 0
    with Attacker(log.database.admin_url) as attacker:
        attacker.run("UPDATE seal_batches SET root = sha256('another history')")
    status, _, said = log.seal()
    assert (status, "two histories" in said, said.count("\n")) == (2, True, 1)


def test_a_row_is_proven_and_the_proof_checks_offline(log: Log, tmp_path: Path) -> None:
    log.writer.fill("events", "a", 300)
    log.writer.fill("governance", "model x", 30)
    log.seal()
    path = tmp_path / "row.proof"
    status, out, err = log.prove("events", "a", 17, "-o", path)
    assert (status, out) == (0, "")
    assert "leaf 16 of 331" in err
    assert log.prove("events", "a", 17)[1] == path.read_text()
    status, said, _ = log("prove", "--check", path, "--policy", log.policy)
    assert (status, said.startswith("PASSED  leaf 16 of 331 in log.example/tally")) == (0, True)
    found = log.found(log.prove("governance", "model x", 30, "--json"))
    path.write_text(found["proof"])
    checked = log.found(log("prove", "--check", path, "--policy", log.policy, "--json"))
    assert checked["ok"]
    assert checked["row_as_stated"] == {
        "stream": "governance",
        "chain": "model x",
        "seq": 30,
        "row_hash": found["row_hash"],
    }
    known = ("--row-hash", found["row_hash"])
    assert "as you gave it" in log("prove", "--check", path, "--policy", log.policy, *known)[1]
    proof = LogProof.parse(path.read_bytes())
    seen = proof.check(leaf_hash(bytes.fromhex(found["row_hash"])), Policy.parse(log.policy.read_bytes()))
    assert seen.checkpoint.size == 331


def damaged_proofs(text: str) -> Iterator[str]:
    """A proof with one thing changed in it."""
    index = text.partition("\nindex ")[2].partition("\n")[0]
    yield text.replace(f"\nindex {index}\n", f"\nindex {int(index) + 1}\n")
    lines = text.split("\n")
    yield "\n".join(lines[:4] + lines[5:])
    yield text.replace("log.example/tally\n", "other.example/tally\n")
    yield text[:-10]
    yield ""
    at = text.rindex("=") - 12
    yield text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


def test_a_proof_that_was_altered_fails_with_exit_code_1(log: Log, tmp_path: Path) -> None:
    log.writer.fill("events", "a", 300)
    log.seal()
    path = tmp_path / "row.proof"
    text = log.prove("events", "a", 100)[1]
    for damaged in damaged_proofs(text):
        assert damaged != text
        path.write_text(damaged)
        status, out, err = log("prove", "--check", path, "--policy", log.policy)
        assert (status, out, err.count("\n")) == (1, "", 1), damaged
        assert "FAILED" in err
        assert not log.found(log("prove", "--check", path, "--policy", log.policy, "--json"))["ok"]
    path.write_text(text)
    other = ("--row-hash", "00" * 32)
    assert log("prove", "--check", path, "--policy", log.policy, *other)[0] == 1
    wanting = log.write_policy(tmp_path / "p", policy_text(*WITNESSES, quorum=2))
    status, said, _ = log("prove", "--check", path, "--policy", wanting)
    assert (status, "not witnessed: the policy asks for 2 of" in said) == (1, True)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("events", "a", 31), "there is no events a row 31"),
        (("events", "nobody", 1), "there is no events nobody row 1"),
        (("weather", "a", 1), "no stream is called"),
        (("events", "a"), "name the row"),
        (("events", "a", 25), "not sealed yet"),
    ],
)
def test_a_row_that_cannot_be_proven_is_one_line(words: tuple[object, ...], complaint: str, log: Log) -> None:
    log.writer.fill("events", "a", 20)
    log.seal()
    log.writer.fill("events", "a", 10, 21)
    status, out, err = log.prove(*words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert complaint in err


def test_options_that_do_not_fit_are_one_line(log: Log, tmp_path: Path) -> None:
    for words, complaint in (
        (("prove", "--check", tmp_path / "none"), "needs --policy"),
        (("prove", "--check", tmp_path / "none", "--policy", log.policy), "can't be read"),
        (("prove", "--check", log.policy, "--policy", tmp_path / "none"), "can't be read"),
        (("prove", "--check", log.policy, "--policy", log.policy, "--row-hash", "xy"), "64 hexadecimal"),
        (("prove", "events", "a", "1", "--row-hash", "xy"), "belongs to --check"),
        (("prove-consistency", "5", "--log", tmp_path / "none"), "no checkpoint yet"),
        (("prove-consistency", tmp_path / "none"), "can't be read"),
        (("prove-consistency", log.policy), "a note"),
    ):
        status, out, err = log(*words)
        assert (status, out, err.count("\n")) == (2, "", 1), words
        assert complaint in err


def test_no_proof_is_given_for_an_altered_row_or_from_damaged_tiles(log: Log) -> None:
    log.writer.fill("events", "a", 600)
    log.seal()
    with Attacker(log.database.admin_url) as attacker:
        attacker.run("UPDATE events SET row_hash = sha256('another') WHERE seq = 300")
        assert "another hash than leaf 299" in log.prove("events", "a", 300)[2]
        attacker.run("DELETE FROM events WHERE seq = 300")
        assert "any more, though it was sealed" in log.prove("events", "a", 300)[2]
    assert log.prove("events", "a", 10)[0] == 0, "of a row beside it there still is one"
    tile = log.folder / "tile/0/001"
    content = tile.read_bytes()
    for damaged in (content[:-1], content[:32] + bytes(32) + content[64:], None):
        if damaged is None:
            tile.unlink()
        else:
            tile.write_bytes(damaged)
        status, out, err = log.prove("events", "a", 301)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "001" in err or "leaf 300" in err


def test_the_witnessed_checkpoint_is_taken_if_it_covers_the_row(log: Log) -> None:
    log.writer.fill("events", "a", 20)
    log.seal()
    shutil.copy(log.folder / "checkpoint", log.folder / "checkpoint.witnessed")
    log.writer.fill("events", "a", 20, 21)
    log.seal()
    early, late = (log.found(log.prove("events", "a", seq, "--json")) for seq in (5, 25))
    assert (early["size"], early["published_as_witnessed"]) == (21, True)
    assert (late["size"], late["published_as_witnessed"]) == (42, False)


def test_a_file_called_witnessed_is_not_called_so_where_a_policy_is_given(log: Log, tmp_path: Path) -> None:
    log.writer.fill("events", "a", 20)
    log.seal()
    shutil.copy(log.folder / "checkpoint", log.folder / "checkpoint.witnessed")
    path = tmp_path / "row.proof"
    assert "published as witnessed" in log.prove("events", "a", 5, "-o", path)[2]
    wanting = log.write_policy(tmp_path / "p", policy_text(*WITNESSES, quorum=2))
    status, _, said = log.prove("events", "a", 5, "-o", path, "--policy", wanting)
    assert (status, "NOT WITNESSED as the policy asks" in said) == (1, True)
    found = log.found(log.prove("events", "a", 5, "--policy", wanting, "--json"))
    assert (found["published_as_witnessed"], found["witnessed"]) == (True, False)
    head = LogFiles(log.folder).note()
    assert head is not None
    lines = tuple(cosign(head.text, witness, 1_800_000_000) for witness in WITNESSES[:2])
    cosigned = Note(head.text, head.signatures + lines)
    LogFiles(log.folder).put_note(cosigned, "checkpoint.witnessed")
    status, _, said = log.prove("events", "a", 5, "-o", path, "--policy", wanting)
    assert (status, said.endswith(f"witnessed; in {path}\n")) == (0, True)


def test_a_published_head_of_another_root_is_no_part_of_a_proof(log: Log) -> None:
    for first in (1, 21):
        log.writer.fill("events", "a", 20, first)
        log.seal()
    forged = sign_note(Checkpoint(KEY.name, 21, bytes(32)).text, KEY)
    assert log("prove-consistency", "21", "--log", log.folder)[0] == 0
    LogFiles(log.folder).put_note(forged, "checkpoint.witnessed")
    status, out, said = log("prove-consistency", "21", "--log", log.folder)
    assert (status, out, "two histories" in said) == (1, "", True)


def test_one_head_continues_another_by_size_and_by_file_from_a_folder_and_from_the_web(
    log: Log, tmp_path: Path
) -> None:
    for first in (1, 301):
        log.writer.fill("events", "a", 300, first)
        log.seal()
        shutil.copy(log.folder / "checkpoint", tmp_path / f"kept-{first}")
    with served(log.folder) as address:
        for where in (str(log.folder), address + "/"):
            for words in (("301",), ("301", "602"), (tmp_path / "kept-1",), (tmp_path / "kept-1", "602")):
                status, text, err = log("prove-consistency", *words, "--log", where)
                assert (status, err) == (0, "")
                check_text(text)
            same = log("prove-consistency", tmp_path / "kept-301", "--log", where)
            assert same[0] == 0
            assert log("prove", "events", "a", 17, "--log", where, "--url", log.database.audit_url)[0] == 0
        found = log.found(log("prove-consistency", "0", "17", "--log", address, "--json"))
    assert (found["ok"], found["old"]["size"], found["new"]["size"], found["hashes"]) == (True, 0, 17, 0)


def check_text(text: str) -> None:
    """Check a consistency proof as somebody would who has only its description."""
    head, *notes = text.split("\n\n", 1)[0], text.split("\n\n", 1)[1]
    first, old, new, *hashes = head.split("\n")
    assert first == "tally/consistency-proof/v1"
    sizes = [(int(line.split(" ")[1]), decoded(line.split(" ")[2], "a root")) for line in (old, new)]
    check_consistency(*sizes[0], *sizes[1], [decoded(line, "a hash") for line in hashes])
    last = Checkpoint.parse(parse_note(notes[0].encode()).text.split("\n\n")[-1])
    assert (last.size, last.root) == sizes[1]


def test_a_contradiction_is_exit_code_1_with_both_roots(log: Log, tmp_path: Path) -> None:
    log.writer.fill("events", "a", 300)
    log.seal()
    head = LogFiles(log.folder).note()
    assert head is not None
    root = Checkpoint.parse(head.text).root
    forged = Checkpoint(KEY.name, 200, bytes(32))
    (tmp_path / "forged").write_text(str(sign_note(forged.text, KEY)))
    status, out, err = log("prove-consistency", tmp_path / "forged", "--log", log.folder)
    assert (status, out) == (1, "")
    assert "two histories" in err
    assert base64_of(bytes(32)) in err
    found = log.found(log("prove-consistency", tmp_path / "forged", "--log", log.folder, "--json"))
    assert (found["ok"], found["stated"], found["size"]) == (False, "00" * 32, 200)
    larger = Checkpoint(KEY.name, 400, root)
    (tmp_path / "larger").write_text(str(sign_note(larger.text, KEY)))
    status, _, err = log("prove-consistency", tmp_path / "larger", "--log", log.folder)
    assert (status, "leaves were lost" in err) == (1, True)
    for words, complaint in (
        (("400",), "no tree of 400 yet"),
        (("300", "200"), "can't be the beginning"),
        (("9" * 30,), "2^63"),
    ):
        status, _, err = log("prove-consistency", *words, "--log", log.folder)
        assert (status, complaint in err) == (2, True)
    (log.folder / "tile/0/000").write_bytes(bytes(8192))
    status, _, err = log("prove-consistency", "200", "--log", log.folder)
    assert (status, "tiles" in err) == (2, True), "damage is not told as another history"


@pytest.mark.parametrize("broken", ["gone", "long", "no note"])
def test_a_web_server_that_sends_something_else_is_one_line(broken: str, log: Log, tmp_path: Path) -> None:
    log.writer.fill("events", "a", 300)
    log.seal()
    web = tmp_path / "web"
    shutil.copytree(log.folder, web)
    if broken == "gone":
        shutil.rmtree(web / "tile")
    elif broken == "long":
        (web / "tile/0/000").write_bytes(bytes(9000))
    else:
        (web / "checkpoint").write_text("<html>")
    with served(web) as address:
        status, out, err = log("prove-consistency", "200", "--log", address)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert address in err
    status, _, err = log("prove-consistency", "200", "--log", address)
    assert (status, "can't be read" in err) == (2, True), "nobody answers"


def test_a_proof_reads_a_few_tiles_of_each_level(database: Database, tmp_path: Path) -> None:
    LedgerWriter(database.admin_url).fill("telemetry", "a", 70_000)
    seal_now(database, tmp_path)
    read: list[str] = []

    class Counting(LogFiles):
        def read(self, path: str) -> bytes:
            read.append(path)
            return super().read(path)

    stream = stream_named("telemetry")
    with SealStore(database.audit_url) as store:
        prove_row(store, Counting(tmp_path), stream, "a", 1)
        read.clear()
        began = time.perf_counter()
        for seq in (1, 35_000, 69_999):
            prove_row(store, Counting(tmp_path), stream, "a", seq)
        seconds = (time.perf_counter() - began) / 3
    levels = [path.split("/")[1] for path in read if path.startswith("tile/")]
    assert all(levels.count(level) <= 3 * 4 for level in set(levels))
    assert seconds < 0.05
