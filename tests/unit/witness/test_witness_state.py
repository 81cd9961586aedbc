"""A witness's memory: one head a log, never lost, never gone back on, whoever else writes."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from tests.logs import LOG, MOMENT, ORIGIN, MemoryLog
from tests.witnesses import WITNESS, growth
from witness.cosigner import Cosigner
from witness.errors import BadConfiguration, StateUnavailable
from witness.evidence import Evidence
from witness.metrics import WitnessMetrics
from witness.protocol import Head
from witness.state import FILE, State

HEAD = Head(7, bytes(32), "a note\n")
LOG_OF_TWENTY = MemoryLog.of(20)


def cosigner(state: State, folder: Path) -> Cosigner:
    return Cosigner(WITNESS, [LOG.verifier], state, Evidence(folder), WitnessMetrics(), clock=lambda: MOMENT)


def test_a_head_is_there_after_a_restart_and_only_its_log_s(tmp_path: Path) -> None:
    state = State(tmp_path / "made")
    assert state.new
    with state.held(ORIGIN) as held:
        assert held.head is None
        held.replace(HEAD)
    state.close()
    again = State(tmp_path / "made")
    assert not again.new
    assert again.latest(ORIGIN) == HEAD
    assert again.latest("other.example") is None
    again.close()


def test_what_fails_while_a_head_is_held_leaves_it_as_it_was(tmp_path: Path) -> None:
    state = State(tmp_path)

    def fail() -> None:
        with state.held(ORIGIN) as held:
            held.replace(HEAD)
            raise RuntimeError("in between")

    with pytest.raises(RuntimeError, match="in between"):
        fail()
    assert state.latest(ORIGIN) is None
    state.close()


def test_of_many_threads_with_two_histories_one_wins_each_step(tmp_path: Path) -> None:
    states = [State(tmp_path) for _ in range(4)]
    histories = [LOG_OF_TWENTY, MemoryLog.of(20, b"forked")]
    answers: list[int] = []
    barrier = threading.Barrier(4)

    def race(number: int) -> None:
        witness, log = cosigner(states[number], tmp_path), histories[number % 2]
        barrier.wait()
        answers.extend(witness.add(growth(log, size - 1, size)).status for size in range(1, 21))

    threads = [threading.Thread(target=race, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) <= {200, 409, 422}
    head = states[0].latest(ORIGIN)
    assert head is not None
    winner = next(log for log in histories if log.checkpoint(head.size).root == head.root)
    assert head.root == winner.checkpoint(head.size).root
    assert answers.count(200) == head.size
    for state in states:
        state.close()


def test_a_state_that_cannot_be_written_cosigns_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("witness.state._BUSY_S", 0.05)
    state = State(tmp_path)
    witness = cosigner(state, tmp_path)
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    answer = witness.add(growth(LOG_OF_TWENTY, 0, 7))
    assert answer.status == 503
    assert "\u2014" not in answer.body
    with pytest.raises(StateUnavailable, match="locked"), state.held(ORIGIN):
        pass
    other.execute("ROLLBACK")
    other.close()
    assert witness.add(growth(LOG_OF_TWENTY, 0, 7)).status == 200
    state.close()
    assert witness.health().status == 503
    assert witness.latest(ORIGIN).status == 503
    assert witness.add(growth(LOG_OF_TWENTY, 7, 20)).status == 503


def test_a_file_that_is_no_state_of_ours_is_left_alone(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign" / FILE
    foreign.parent.mkdir()
    database = sqlite3.connect(foreign)
    database.execute("CREATE TABLE something (id INTEGER)")
    database.commit()
    database.close()
    before = foreign.read_bytes()
    with pytest.raises(BadConfiguration, match="is no state of a witness"):
        State(foreign.parent)
    assert foreign.read_bytes() == before
    garbage = tmp_path / "garbage" / FILE
    garbage.parent.mkdir()
    garbage.write_bytes(b"not a database at all" * 100)
    with pytest.raises(BadConfiguration, match="can't be opened"):
        State(garbage.parent)
    (tmp_path / "file").write_text("")
    with pytest.raises(BadConfiguration, match="can't be opened"):
        State(tmp_path / "file")
