from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from tally.errors import AlreadyRunning
from tally.stack import state
from tally.stack.state import ServiceState, StackState
from tally.stack.supervisor import RestartPolicy
from tally.stack.units import last_line, turn_over


def test_restarts_wait_longer_each_time_up_to_a_limit() -> None:
    policy = RestartPolicy(first_delay_s=0.5, longest_delay_s=30)
    assert [policy.delay_s(ends) for ends in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_a_state_is_read_back_only_while_its_supervisor_holds_the_lock(tmp_path: Path) -> None:
    service = ServiceState("database", "healthy", 1, {"TALLY_DB_PORT": 2}, 0, "x.log")
    written = StackState(
        os.getpid(), only_database=True, started_at="2026-01-01T00:00:00+00:00", services=(service,)
    )
    assert state.read_state(tmp_path) is None
    lock = state.take_lock(tmp_path)
    assert state.read_state(tmp_path) is None, "nothing is written yet"
    state.write_state(tmp_path, written)
    assert state.read_state(tmp_path) == written
    with pytest.raises(AlreadyRunning, match=rf"pid {os.getpid()}"):
        state.take_lock(tmp_path)
    os.close(lock)
    assert state.read_state(tmp_path) is None
    assert json.loads((tmp_path / "stack.json").read_text())["supervisor"] == os.getpid(), "a crash leaves it"
    os.close(state.take_lock(tmp_path))
    assert not (tmp_path / "stack.json").exists(), "the next supervisor does not show it as its own"


def test_of_many_supervisors_at_once_one_gets_the_lock(tmp_path: Path) -> None:
    won: list[int] = []
    lost: list[AlreadyRunning] = []

    def attempt() -> None:
        try:
            won.append(state.take_lock(tmp_path))
        except AlreadyRunning as error:
            lost.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 7)
    os.close(won[0])


def test_a_large_log_is_turned_over_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tally.stack.units._LOG_LIMIT_BYTES", 10)
    log = tmp_path / "a.log"
    assert last_line(tmp_path / "none.log") == "it wrote nothing"
    log.write_text("short\n")
    turn_over(log)
    assert last_line(log) == "short"
    log.write_text("longer than ten\n")
    turn_over(log)
    assert not log.exists()
    assert (tmp_path / "a.log.1").read_text() == "longer than ten\n"
