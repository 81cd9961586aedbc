"""A witness may answer what it likes: it spoils no other's cosignature, and nothing of what is published."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from audit.bounded_http import NoAddress, Unanswered
from audit.errors import LogDamaged
from audit.sealing import witnesses as client
from audit.sealing.log_files import LogFiles
from audit.sealing.rounds import Rounds
from audit.sealing.sealer import Round
from audit.sealing.witnesses import Answer, Witnesses, with_signatures
from ledger.cosignatures import cosign
from ledger.notes import Note, Signature, SigningKey, parse_note, sign_note
from ledger.policies import Policy, check_note
from store.seals import SealStore
from tests.sealed_memory import SealedMemory, small_ledger
from tests.sealing import KEY, WITNESSES, policy_text

Reply = Callable[[bytes], tuple[int, bytes]]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> SealedMemory:
    return small_ledger(tmp_path_factory.mktemp("log"))


@pytest.fixture(scope="module")
def note(log: SealedMemory) -> Note:
    return log.publish(())


class Asked:
    """Stands for the network: what was asked, and how each host answers."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = replies
        self.requests: list[bytes] = []
        self.times: list[float] = []

    def __call__(
        self, method: str, url: str, *, content: bytes, timeout_s: float, most_bytes: int
    ) -> tuple[int, bytes]:
        assert method == "POST"
        assert url.endswith("/add-checkpoint")
        assert most_bytes < 1_000_000
        self.requests.append(content)
        self.times.append(timeout_s)
        return self.replies[int(url.removeprefix("http://w")[0]) - 1](content)


def policy(count: int = 1, quorum: int = 1) -> Policy:
    lines = policy_text(*WITNESSES[:count], quorum=quorum).splitlines(keepends=True)
    return Policy.parse(
        "".join(
            line.replace("\n", f" http://w{line[9]}\n") if line.startswith("witness") else line
            for line in lines
        ).encode()
    )


@contextmanager
def asking(log: SealedMemory, *replies: Reply, quorum: int = 1) -> Iterator[tuple[Witnesses, Asked]]:
    asked = Asked(*replies)
    witnesses = Witnesses(policy(len(replies), quorum), log.files.read, asked)
    yield witnesses, asked
    witnesses.close()


def line(note: Note, number: int = 0, text: str | None = None) -> bytes:
    return str(cosign(text or note.text, WITNESSES[number], 1_800_000_000)).encode()


def gives(status: int, content: bytes) -> Reply:
    return lambda _request: (status, content)


def fails(error: Exception) -> Reply:
    def reply(_request: bytes) -> tuple[int, bytes]:
        raise error

    return reply


def text_before(note: Note) -> bytes:
    """The cosignature of a longer text, with the rest of that text before it."""
    longer = note.text + "\nx\n"
    key = WITNESSES[0]
    value = struct.pack(">Q", 9) + key.sign(f"cosignature/v1\ntime 9\n{longer}".encode())
    return f"x\n\n{Signature(key.name, key.verifier.key_id, value)}".encode()


def test_an_honest_answer_is_one_cosignature(log: SealedMemory, note: Note) -> None:
    with asking(log, gives(200, line(note))) as (witnesses, asked):
        (answer,) = witnesses.ask(note)
        assert (answer.reason, len(answer.signatures)) == (None, 1)
        assert check_note(with_signatures(note, [answer]), witnesses.policy).quorum
        assert asked.requests[0].startswith(b"old 0\n\n" + note.text.encode())
        assert witnesses.ask(with_signatures(note, [answer])) == [], "it is not asked again"


def test_a_line_that_is_repeated_counts_once_and_what_is_published_can_be_read(
    log: SealedMemory, note: Note, tmp_path: Path
) -> None:
    with asking(log, gives(200, line(note) * 100)) as (witnesses, _):
        answers = witnesses.ask(note)
    cosigned = with_signatures(note, answers)
    assert len(cosigned.signatures) == 2
    files = LogFiles(tmp_path)
    files.put_note(cosigned)
    assert files.note() == cosigned
    with pytest.raises(LogDamaged, match="left as it is"):
        files.put_note(Note(note.text, cosigned.signatures * 51))
    assert files.note() == cosigned


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (gives(200, b""), "invalid"),
        (gives(200, b"\xff\xfe"), "invalid"),
        (gives(200, b"+2AA-"), "invalid"),
        (gives(200, b"\x1f\x8b gzip"), "invalid"),
        (gives(409, b"\xff\n"), "invalid"),
        (gives(409, b"-1\n"), "invalid"),
        (gives(409, b"9" * 5000), "invalid"),
        (gives(500, b"\xff\x1b[2J"), "refused"),
        (gives(404, b""), "refused"),
        (gives(422, b"another root\n"), "contradicted"),
        (gives(409, b"9223372036854775807\n"), "ahead"),
        (fails(NoAddress("none")), "invalid"),
        (fails(Unanswered("too slow")), "unreachable"),
        (fails(RuntimeError("not foreseen")), "invalid"),
    ],
)
def test_whatever_one_witness_answers_the_others_count(
    reply: Reply, reason: str, log: SealedMemory, note: Note
) -> None:
    others = [gives(200, line(note, number)) for number in (1, 2)]
    with asking(log, reply, *others, quorum=2) as (witnesses, _):
        answers = witnesses.ask(note)
    assert [answer.reason for answer in answers] == [reason, None, None]
    assert answers[0].trouble is not None
    assert answers[0].trouble.startswith("w1")
    assert answers[0].trouble.isprintable()
    assert check_note(with_signatures(note, answers), witnesses.policy).quorum


def test_an_answer_that_brings_text_of_its_own_is_none(log: SealedMemory, note: Note) -> None:
    for content in (text_before(note), b"\n" + line(note), line(note, 1), line(note) + b"more\n"):
        with asking(log, gives(200, content)) as (witnesses, _):
            (answer,) = witnesses.ask(note)
        assert (answer.reason, answer.signatures) == ("invalid", ())


def test_a_size_that_was_a_lie_is_not_remembered(log: SealedMemory, note: Note) -> None:
    lies = iter([b"9223372036854775807\n", b"5\n"])

    def reply(request: bytes) -> tuple[int, bytes]:
        if request.startswith(b"old 0\n"):
            lie = next(lies, None)
            return (409, lie) if lie else (200, line(note))
        return 422, b"no\n"

    with asking(log, reply) as (witnesses, asked):
        assert [witnesses.ask(note)[0].reason for _ in range(3)] == ["ahead", "contradicted", None]
    assert [request.partition(b"\n")[0] for request in asked.requests] == [
        *(b"old 0", b"old 0", b"old 5", b"old 0")
    ]


def test_a_size_that_it_knows_is_asked_from_and_both_requests_share_one_deadline(
    log: SealedMemory, note: Note, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter([100.0, 100.0, 103.0, 200.0, 207.0, 208.0])
    monkeypatch.setattr(client, "time", SimpleNamespace(monotonic=lambda: next(moments)))

    def reply(request: bytes) -> tuple[int, bytes]:
        return (200, line(note)) if request.startswith(b"old 9\n") else (409, b"9\n")

    with asking(log, reply) as (witnesses, asked):
        assert witnesses.ask(note)[0].reason is None
        assert asked.times == [5.0, 2.0]
        witnesses.ask(note)
        assert asked.times[2:] == [0.0, 0.0], "never less than nothing"


def test_the_log_s_signature_is_chosen_by_its_key_and_sent_once(log: SealedMemory, note: Note) -> None:
    first = cosign(note.text, WITNESSES[2], 5)
    shuffled = Note(note.text, (first, *note.signatures, *note.signatures))
    with asking(log, gives(200, line(note))) as (witnesses, asked):
        witnesses.ask(shuffled)
    sent = parse_note(asked.requests[0].partition(b"\n\n")[2])
    assert sent == sign_note(note.text, KEY)


def test_the_log_s_own_damage_is_not_called_the_witness_s(note: Note) -> None:
    def read(path: str) -> bytes:
        raise LogDamaged(path)

    witnesses = Witnesses(policy(), read, Asked(gives(409, b"5\n")))
    with pytest.raises(LogDamaged):
        witnesses.ask(note)
    witnesses.close()


@pytest.mark.parametrize(
    ("reply", "forked"), [(gives(422, b"x"), 1), (gives(409, b"99999\n"), 1), (gives(500, b""), 0)]
)
def test_a_witness_that_knows_another_history_is_told_of(
    reply: Reply, forked: int, log: SealedMemory, note: Note, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Sealing:
        def seal(self) -> Round:
            return Round(log.last(), note, 0, (), more=False)

    with asking(log, reply) as (witnesses, _):
        rounds = Rounds("", log.files, KEY, witnesses)
        monkeypatch.setattr(rounds, "_store", cast("SealStore", SimpleNamespace(close=lambda: None)))
        monkeypatch.setattr(rounds, "_sealer", cast("Any", Sealing()))
        done = rounds.run()
    assert done is not None
    assert (done.contradiction is not None) == bool(forked)
    assert rounds.metrics.registry.get_sample_value("tally_sealer_fork_refused") == forked
    assert isinstance(done.answers[0], Answer)


def test_a_key_that_the_policy_does_not_name_signs_for_nobody(log: SealedMemory, note: Note) -> None:
    other = SigningKey(KEY.name, KEY.kind, bytes(32))
    both = Note(note.text, sign_note(note.text, other, KEY).signatures)
    with asking(log, gives(200, line(note))) as (witnesses, asked):
        witnesses.ask(both)
    assert parse_note(asked.requests[0].partition(b"\n\n")[2]) == sign_note(note.text, KEY)
