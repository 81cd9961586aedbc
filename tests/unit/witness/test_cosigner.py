"""A witness's answers: the ones that the protocol has, in its order, and never a cosignature too many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from ledger.cosignatures import Cosignature
from ledger.errors import BadNote
from ledger.merkle import EMPTY_ROOT
from ledger.notes import COSIGNATURE, ED25519, Note, Signature, SigningKey, parse_note, sign_note, verified
from tests.logs import LOG, MOMENT, ORIGIN, MemoryLog
from tests.witnesses import WITNESS, body, cosigned, growth
from witness.cosigner import Cosigner
from witness.evidence import MOST, Evidence
from witness.metrics import WitnessMetrics
from witness.protocol import SIZE, TEXT
from witness.state import State

LOG_OF_TWENTY = MemoryLog.of(20)
FORKED = MemoryLog.of(20, b"forked")
STRANGER = SigningKey("stranger.example", ED25519, bytes(32))


@dataclass
class Bench:
    """A witness in a folder, with a clock that stands still."""

    folder: Path
    state: State
    metrics: WitnessMetrics
    cosigner: Cosigner
    moment: float = MOMENT

    def figures(self) -> dict[str, float]:
        lines = generate_latest(self.metrics.registry).decode().splitlines()
        return {
            name: float(value)
            for name, _, value in (line.rpartition(" ") for line in lines)
            if name[:1] != "#"
        }


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    state, metrics = State(tmp_path), WitnessMetrics()
    made: list[Bench] = []
    cosigner = Cosigner(
        WITNESS, [LOG.verifier], state, Evidence(tmp_path), metrics, clock=lambda: made[0].moment
    )
    made.append(Bench(tmp_path, state, metrics, cosigner))
    yield made[0]
    state.close()


def test_a_log_that_grows_is_cosigned_step_by_step(bench: Bench) -> None:
    old = 0
    for size in (1, 2, 7, 8, 20):
        answer = bench.cosigner.add(growth(LOG_OF_TWENTY, old, size))
        assert (answer.status, answer.content_type) == (200, TEXT)
        note = LOG_OF_TWENTY.note(size)
        assert cosigned(note, answer.body) == (Cosignature(WITNESS.verifier, MOMENT),)
        assert bench.cosigner.latest(ORIGIN).body == str(note) + answer.body
        old = size
    figures = bench.figures()
    assert figures['tally_witness_requests_total{outcome="cosigned"}'] == 5
    assert figures[f'tally_witness_tree_size_leaves{{origin="{ORIGIN}"}}'] == 20


def test_the_same_checkpoint_is_cosigned_anew_and_changes_nothing(bench: Bench) -> None:
    bench.cosigner.add(growth(LOG_OF_TWENTY, 0, 7))
    before = bench.cosigner.latest(ORIGIN)
    bench.moment += 60.9
    answer = bench.cosigner.add(growth(LOG_OF_TWENTY, 7, 7))
    assert answer.status == 200
    assert cosigned(LOG_OF_TWENTY.note(7), answer.body) == (Cosignature(WITNESS.verifier, MOMENT + 60),)
    assert bench.cosigner.latest(ORIGIN) == before


def test_an_empty_log_is_cosigned_and_only_with_the_empty_root(bench: Bench) -> None:
    empty = LOG_OF_TWENTY.note(0)
    forged = sign_note(LOG_OF_TWENTY.note(7).text.replace("\n7\n", "\n0\n"), LOG)
    assert bench.cosigner.add(body(0, (), forged)).status == 422
    assert bench.cosigner.add(body(0, (), empty)).status == 200
    assert bench.cosigner.add(body(0, (), forged)).status == 422
    assert bench.cosigner.add(body(0, (), empty)).status == 200
    head = bench.state.latest(ORIGIN)
    assert head is not None
    assert (head.size, head.root) == (0, EMPTY_ROOT)
    assert bench.cosigner.add(growth(LOG_OF_TWENTY, 0, 3)).status == 200


def test_a_log_that_nobody_named_is_not_found(bench: Bench) -> None:
    other = MemoryLog([b"x"], STRANGER)
    assert bench.cosigner.add(growth(other, 0, 1)).status == 404
    assert bench.cosigner.latest(STRANGER.name).status == 404
    assert bench.cosigner.latest(ORIGIN).status == 404  # known, but nothing of it was cosigned yet


def test_without_the_log_s_own_signature_nothing_is_cosigned(bench: Bench) -> None:
    note = LOG_OF_TWENTY.note(7)
    right = note.signatures[0]
    wrong = Signature(right.name, right.key_id, bytes(64))
    renewed = SigningKey(ORIGIN, ED25519, bytes(32))
    for signatures in (
        sign_note(note.text, STRANGER).signatures,
        sign_note(note.text, renewed).signatures,
        (wrong,),
        (right, wrong),
        (wrong, right),
    ):
        answer = bench.cosigner.add(body(0, (), Note(note.text, signatures)))
        assert answer.status == 403
        assert "\u2014" not in answer.body
    altered = Note(note.text.replace("\n7\n", "\n8\n"), note.signatures)
    assert bench.cosigner.add(body(0, (), altered)).status == 403
    assert bench.state.latest(ORIGIN) is None
    assert bench.figures()['tally_witness_requests_total{outcome="untrusted"}'] == 6


def test_signatures_by_others_are_left_alone_and_not_kept(bench: Bench) -> None:
    note = LOG_OF_TWENTY.note(7)
    crowd = sign_note(note.text, *[SigningKey(f"s{n}.example", ED25519, bytes(32)) for n in range(90)])
    sent = Note(note.text, crowd.signatures + note.signatures)
    answer = bench.cosigner.add(body(0, (), sent))
    assert answer.status == 200
    kept = parse_note(bench.cosigner.latest(ORIGIN).body.encode())
    assert len(kept.signatures) == 2
    assert verified(kept, [LOG.verifier]) == (LOG.verifier,)


def test_an_old_size_that_is_not_ours_is_told_ours(bench: Bench) -> None:
    answer = bench.cosigner.add(growth(LOG_OF_TWENTY, 3, 7))
    assert (answer.status, answer.body, answer.content_type) == (409, "0\n", SIZE)
    bench.cosigner.add(growth(LOG_OF_TWENTY, 0, 7))
    for old, size in ((0, 7), (0, 20), (3, 5), (6, 7), (8, 20), (20, 20)):
        answer = bench.cosigner.add(growth(LOG_OF_TWENTY, old, size))
        assert (answer.status, answer.body, answer.content_type) == (409, "7\n", SIZE)
    assert bench.cosigner.add(growth(LOG_OF_TWENTY, 7, 20)).status == 200


def test_an_old_size_beyond_the_checkpoint_is_a_bad_request(bench: Bench) -> None:
    bench.cosigner.add(growth(LOG_OF_TWENTY, 0, 7))
    for old in (7, 8, 2**63 - 1):
        assert bench.cosigner.add(body(old, (), LOG_OF_TWENTY.note(6))).status == 400
    head = bench.state.latest(ORIGIN)
    assert head is not None
    assert head.size == 7


def test_a_bad_proof_is_unprocessable_and_the_head_stays(bench: Bench) -> None:
    hash_ = bytes(32)
    assert bench.cosigner.add(body(0, [hash_], LOG_OF_TWENTY.note(7))).status == 422
    assert bench.cosigner.add(growth(LOG_OF_TWENTY, 0, 7)).status == 200
    right = LOG_OF_TWENTY.consistency(7, 20)
    for proof in (
        (),
        right[:-1],
        (*right, hash_),
        right[::-1],
        LOG_OF_TWENTY.consistency(6, 20),
        FORKED.consistency(7, 20),
        (hash_,) * 63,
    ):
        assert bench.cosigner.add(body(7, proof, LOG_OF_TWENTY.note(20))).status == 422
    assert bench.cosigner.add(body(7, [hash_], LOG_OF_TWENTY.note(7))).status == 422
    assert bench.cosigner.add(growth(FORKED, 7, 20)).status == 422
    head = bench.state.latest(ORIGIN)
    assert head is not None
    assert (head.size, head.root) == (7, LOG_OF_TWENTY.checkpoint(7).root)
    assert bench.cosigner.add(growth(LOG_OF_TWENTY, 7, 20)).status == 200


def test_a_second_root_for_one_size_is_refused_reported_and_kept(
    bench: Bench, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.cosigner.add(growth(LOG_OF_TWENTY, 0, 7))
    for _ in range(2):
        assert bench.cosigner.add(growth(FORKED, 7, 7)).status == 422
    assert (
        bench.cosigner.add(growth(FORKED, 0, 7)).status == 409
    )  # as the protocol has it, and evidence all the same
    offered, cosigned_before = sorted((bench.folder / "forks").iterdir(), reverse=True)
    assert offered.name.endswith(".offered.note")
    assert offered.read_text() == str(FORKED.note(7))
    assert cosigned_before.read_text() == bench.cosigner.latest(ORIGIN).body
    for path in (offered, cosigned_before):
        assert verified(parse_note(path.read_bytes()), [LOG.verifier]) == (LOG.verifier,)
    figures = bench.figures()
    assert figures[f'tally_witness_forks_total{{origin="{ORIGIN}"}}'] == 3
    assert figures["tally_witness_fork_evidence"] == 1
    assert figures['tally_witness_requests_total{outcome="fork"}'] == 2
    captured = capsys.readouterr()
    assert "fork" in caplog.text + captured.out + captured.err
    assert FORKED.checkpoint(7).root.hex() in caplog.text + captured.out + captured.err


def test_a_fork_without_the_log_s_signature_is_no_evidence(bench: Bench) -> None:
    bench.cosigner.add(growth(LOG_OF_TWENTY, 0, 7))
    assert bench.cosigner.add(body(7, (), sign_note(FORKED.note(7).text, STRANGER))).status == 403
    assert not (bench.folder / "forks").exists()


def test_evidence_does_not_fill_the_disk(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path)
    kept = [evidence.keep(f"{n}\n\nsigned\n", "cosigned") for n in range(MOST + 5)]
    assert evidence.count == MOST
    assert kept[MOST:] == [None] * 5
    assert evidence.keep("0\n\nsigned again\n", "cosigned") == kept[0]


def test_evidence_that_cannot_be_kept_is_no_reason_to_cosign(bench: Bench) -> None:
    bench.cosigner.add(growth(LOG_OF_TWENTY, 0, 7))
    (bench.folder / "forks").write_text("in the way")
    assert bench.cosigner.add(growth(FORKED, 7, 7)).status == 422


_NOTE = str(LOG_OF_TWENTY.note(7))
_TEXT, _, _LINES = _NOTE.partition("\n\n")
_HASH = b"A" * 43 + b"="


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        b"old 0\n",
        b"old 0\n" + _NOTE.encode(),
        b"old 0\r\n\r\n" + _NOTE.encode(),
        b"old 0\n\n\n" + _NOTE.encode(),
        b"old 0\n\n" + _TEXT.encode(),
        b"old 0\n\n" + _NOTE.encode()[:-1],
        b"old 0\n\n" + _NOTE.encode() + b"\n",
        b"old 0\n\n" + _NOTE.replace("tally", "tal\x00ly", 1).encode(),
        b"old 0\n\n" + _NOTE.encode().replace(b"tally", b"tal\xffly", 1),
        b"old 0\n\n" + f"{_TEXT}\n\n{_LINES * 1000}".encode(),
        b"old 00\n\n" + _NOTE.encode(),
        b"old -1\n\n" + _NOTE.encode(),
        b"old +1\n\n" + _NOTE.encode(),
        b"old  0\n\n" + _NOTE.encode(),
        b"old 0 \n\n" + _NOTE.encode(),
        b"Old 0\n\n" + _NOTE.encode(),
        b"0\n\n" + _NOTE.encode(),
        b"old 9223372036854775808\n\n" + _NOTE.encode(),
        b"old " + b"9" * 5000 + b"\n\n" + _NOTE.encode(),
        b"old \xd9\xa1\n\n" + _NOTE.encode(),
        b"old 0\nAAAA\n\n" + _NOTE.encode(),
        b"old 0\n" + _HASH[:-2] + b"B=\n\n" + _NOTE.encode(),
        b"old 0\n" + (_HASH + b"\n") * 64 + b"\n" + _NOTE.encode(),
        body(0, (), sign_note(f"{ORIGIN}\n7\n", LOG)),
        body(0, (), sign_note(f"{ORIGIN}\n07\n{_TEXT.splitlines()[2]}\n", LOG)),
        body(0, (), sign_note(f"{ORIGIN}\n9223372036854775808\n{_TEXT.splitlines()[2]}\n", LOG)),
        body(0, (), sign_note(f"{_TEXT}\n\nafter an empty line\n", LOG)),
    ],
)
def test_a_malformed_request_is_a_bad_request(bench: Bench, content: bytes) -> None:
    answer = bench.cosigner.add(content)
    assert (answer.status, answer.content_type) == (400, TEXT)
    assert answer.body.endswith("\n")
    assert bench.state.latest(ORIGIN) is None


def test_sixty_three_hashes_and_a_hundred_signatures_are_read(bench: Bench) -> None:
    note = LOG_OF_TWENTY.note(7)
    many = Note(note.text, note.signatures * 100)
    assert bench.cosigner.add(body(0, [bytes(32)] * 63, many)).status == 422
    assert bench.cosigner.add(body(0, (), many)).status == 200


def test_a_signature_that_is_repeated_is_kept_once_so_that_the_latest_head_stays_readable(
    bench: Bench,
) -> None:
    note = LOG_OF_TWENTY.note(7)
    answer = bench.cosigner.add(body(0, (), Note(note.text, note.signatures * 100)))
    assert answer.status == 200
    kept = parse_note(bench.cosigner.latest(ORIGIN).body.encode())
    assert kept.signatures[:-1] == note.signatures
    assert cosigned(note, answer.body) == (Cosignature(WITNESS.verifier, MOMENT),)


def test_extension_lines_are_cosigned_with_the_checkpoint(bench: Bench) -> None:
    note = LOG_OF_TWENTY.note(7, extension="an extension\n")
    answer = bench.cosigner.add(body(0, (), note))
    assert answer.status == 200
    assert cosigned(note, answer.body) == (Cosignature(WITNESS.verifier, MOMENT),)


def test_a_log_with_two_keys_is_cosigned_by_either(tmp_path: Path) -> None:
    renewed = SigningKey(ORIGIN, ED25519, bytes(32))
    state = State(tmp_path)
    cosigner = Cosigner(
        WITNESS,
        [LOG.verifier, renewed.verifier],
        state,
        Evidence(tmp_path),
        WitnessMetrics(),
        clock=lambda: MOMENT,
    )
    assert cosigner.add(growth(LOG_OF_TWENTY, 0, 7)).status == 200
    by_both = sign_note(LOG_OF_TWENTY.note(20).text, LOG, renewed)
    assert cosigner.add(body(7, LOG_OF_TWENTY.consistency(7, 20), by_both)).status == 200
    assert cosigner.add(body(20, (), sign_note(by_both.text, renewed))).status == 200
    state.close()


def test_a_key_of_another_kind_cosigns_nothing(tmp_path: Path) -> None:
    state = State(tmp_path)
    key = SigningKey(WITNESS.name, ED25519, WITNESS.seed)
    assert WITNESS.kind == COSIGNATURE
    cosigner = Cosigner(
        key, [LOG.verifier], state, Evidence(tmp_path), WitnessMetrics(), clock=lambda: MOMENT
    )
    with pytest.raises(BadNote):
        cosigner.add(growth(LOG_OF_TWENTY, 0, 7))
    assert state.latest(ORIGIN) is None
    state.close()
