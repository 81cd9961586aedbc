"""The spool: what was put is there until it is answered, whatever happens between."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from outbox.errors import OutboxFull, OutboxUnusable
from outbox.spool import Depth, Spool


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "deep" / "outbox.sqlite")
    yield made
    made.close()


def test_nothing_waits_in_a_new_spool(spool: Spool) -> None:
    assert spool.next_batch() is None
    assert spool.depth() == Depth(0, 0, 0.0, 0)


def test_requests_that_were_put_go_together_in_their_order(spool: Spool) -> None:
    spool.put("logs", b"one ", b"two ")
    spool.put("logs", b"three")
    batch = spool.next_batch()
    assert batch is not None
    assert (batch.signal, batch.body, batch.count) == ("logs", b"one two three", 3)


def test_a_batch_stays_the_same_until_it_is_done(spool: Spool) -> None:
    spool.put("logs", b"a")
    first = spool.next_batch()
    spool.put("logs", b"b")
    assert first is not None
    assert spool.next_batch() == first
    spool.done(first)
    second = spool.next_batch()
    assert second is not None
    assert second.body == b"b"


def test_signals_are_not_mixed(spool: Spool) -> None:
    spool.put("logs", b"log")
    spool.put("metrics", b"metric")
    spool.put("logs", b"log again")
    sent = []
    while (batch := spool.next_batch()) is not None:
        sent.append((batch.signal, batch.body))
        spool.done(batch)
    assert sent == [("logs", b"log"), ("metrics", b"metric"), ("logs", b"log again")]


def test_a_batch_is_bounded_and_a_long_request_goes_alone(spool: Spool) -> None:
    spool.put("logs", *[b"x"] * 600)
    spool.put("logs", b"y" * (2 << 20))
    sizes = []
    while (batch := spool.next_batch()) is not None:
        sizes.append((batch.count, len(batch.body)))
        spool.done(batch)
    assert sizes == [(512, 512), (88, 88), (1, 2 << 20)]


def test_a_split_batch_is_sent_one_by_one_before_anything_else(spool: Spool) -> None:
    spool.put("logs", b"a", b"b")
    batch = spool.next_batch()
    assert batch is not None
    spool.put("logs", b"c")
    spool.split(batch)
    sent = []
    while (batch := spool.next_batch()) is not None:
        sent.append(batch.body)
        spool.done(batch)
    assert sent == [b"a", b"b", b"c"]


def test_what_is_refused_is_kept_with_the_reason(spool: Spool, tmp_path: Path) -> None:
    spool.put("logs", b"bad")
    batch = spool.next_batch()
    assert batch is not None
    spool.refuse(batch, "no machine")
    assert spool.next_batch() is None
    assert spool.depth().refused == 1
    with sqlite3.connect(tmp_path / "deep" / "outbox.sqlite") as reader:
        assert reader.execute("SELECT body, reason FROM refused").fetchall() == [(b"bad", "no machine")]
    reader.close()


def test_depth_tells_requests_bytes_and_age(tmp_path: Path) -> None:
    now = [1_000.0]
    spool = Spool(tmp_path / "outbox.sqlite", clock=lambda: now[0])
    spool.put("logs", b"1234")
    now[0] += 60
    spool.put("logs", b"56")
    assert spool.depth() == Depth(2, 6, 60.0, 0)
    now[0] -= 3_600  # a clock set back makes no negative age
    assert spool.depth().oldest_s == 0
    spool.close()


def test_a_full_spool_refuses_the_whole_put_and_takes_again_once_there_is_room(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "outbox.sqlite", most_bytes=10)
    spool.put("logs", b"12345678")
    with pytest.raises(OutboxFull, match="8 bytes are waiting"):
        spool.put("logs", b"1", b"23")
    assert spool.depth().requests == 1
    batch = spool.next_batch()
    assert batch is not None
    spool.done(batch)
    spool.put("logs", b"1", b"23")
    spool.close()


def test_a_killed_process_leaves_what_it_put(tmp_path: Path) -> None:
    """kill -9 right after ``put`` returned, with a batch formed and not answered."""
    path = tmp_path / "outbox.sqlite"
    script = (
        "import os, signal, sys; from pathlib import Path; from outbox.spool import Spool\n"
        "spool = Spool(Path(sys.argv[1]))\n"
        "spool.put('logs', b'one', b'two'); print(spool.next_batch(), flush=True)\n"
        "spool.put('logs', b'three')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    died = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False, timeout=30
    )
    assert died.returncode == -9
    spool = Spool(path)
    batch = spool.next_batch()
    assert batch is not None
    assert str(batch) == died.stdout.strip(), "the same bytes, so that the collector knows them"
    spool.done(batch)
    rest = spool.next_batch()
    assert rest is not None
    assert rest.body == b"three"
    spool.close()


def test_many_threads_and_two_spools_on_one_file_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    spools = [Spool(path), Spool(path)]
    bodies = [f"{number:04d}".encode() for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda item: spools[item[0] % 2].put("logs", item[1]), enumerate(bodies)))
    assert spools[0].depth().requests == 200
    batch = spools[1].next_batch()
    assert batch is not None
    assert batch == spools[0].next_batch()
    assert sorted(batch.body[at : at + 4] for at in range(0, 800, 4)) == bodies
    for spool in spools:
        spool.close()


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_bytes(b"precious" * 100)
    with pytest.raises(OutboxUnusable, match="can't be opened"):
        Spool(path)
    assert path.read_bytes() == b"precious" * 100


def test_another_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE precious (x)")
    with pytest.raises(OutboxUnusable, match="not an outbox"):
        Spool(path)
    assert other.execute("SELECT name FROM sqlite_schema").fetchall() == [("precious",)]
    other.close()


def test_a_path_that_can_not_be_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutboxUnusable, match="can't be opened"):
        Spool(tmp_path / "file" / "outbox.sqlite")
