"""Gaps and silences are found by blocks; one by one, as here, gives the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import duckdb
from hypothesis import example, given, settings
from hypothesis import strategies as st

from audit.reconcile.parameters import Parameters, micros
from audit.relations import relation_sql
from tests.evidence import PERIOD

MACHINES = ("M1", "M2")
_MOST = 2**63 - 1
_DEPOSITS = (
    "machine_id TEXT, seq BIGINT, site_id TEXT, device_seq BIGINT, event_us BIGINT, event_time TIMESTAMPTZ, "
    "delay_us BIGINT"
)
_HEARTBEATS = "machine_id TEXT, seq BIGINT, site_id TEXT, event_us BIGINT, delay_us BIGINT"


def computed(
    parameters: Parameters,
    names: Sequence[str],
    deposits: Iterable[Sequence[Any]] = (),
    heartbeats: Iterable[Sequence[Any]] = (),
) -> list[tuple[Any, ...]]:
    """The rows of the last of the relations ``names``, in order."""
    with duckdb.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        for name, columns, rows in (
            ("deposits", _DEPOSITS, deposits),
            ("heartbeats", _HEARTBEATS, heartbeats),
            ("claims", "machine_id TEXT, site_id TEXT", ()),
        ):
            engine.execute(f"CREATE TABLE {name} ({columns})")
            if content := [list(row) for row in rows]:
                marks = ", ".join("?" * len(content[0]))
                engine.executemany(f"INSERT INTO {name} VALUES ({marks})", content)
        engine.execute(f"CREATE VIEW parameters AS {parameters.sql}")
        for name in names:
            engine.execute(f"CREATE TABLE {name} AS {relation_sql(name)}")
        return sorted(engine.execute(f"SELECT * FROM {names[-1]}").fetchall())


# --- gaps ---

# Near the borders of blocks of 32, with numbers that come twice, are missing, far away, or are none.
numbers = st.lists(
    st.one_of(
        st.none(),
        st.integers(-3, 140),
        st.sampled_from([31, 32, 33, 63, 64, 10_000, _MOST - 33, _MOST - 32, _MOST - 1, _MOST]),
    ),
    max_size=120,
)


def gaps_one_by_one(counts: Iterable[tuple[str, int, int | None]]) -> list[tuple[str, int, int, int]]:
    """Machine, the numbers around a gap, and the chain's place of the row after it."""
    found = []
    for machine in MACHINES:
        counted = sorted((n, seq) for m, seq, n in counts if m == machine and n is not None and n >= 0)
        for (before, _), (after, seq) in pairwise(counted):
            if after - before > 1:
                found.append((machine, before, after, seq))
    return sorted(found)


@settings(deadline=None)  # a database answers each example
@given(numbers, numbers)
@example([*range(40), *range(45, 100)], [])
@example([0, 31, 32, 64, 96], [5, _MOST])
@example([*range(64), *range(65, 128)], [*range(32), *range(64, 96)])
@example([n for n in range(128) if n not in {5, 70}], [n for n in range(256) if n % 65 != 7])
def test_gaps_are_those_that_counting_one_by_one_finds(
    first: list[int | None], second: list[int | None]
) -> None:
    rows = [
        (machine, seq, number)
        for machine, mine in zip(MACHINES, (first, second), strict=True)
        for seq, number in enumerate(mine)
    ]
    at = PERIOD.start + timedelta(minutes=1)
    deposits = [(machine, seq, "hall", number, micros(at), at, 0) for machine, seq, number in rows]
    found = computed(PERIOD, ("deposit_blocks", "doubtful_blocks", "gaps"), deposits)
    assert [(row[0], row[2], row[3], row[7]) for row in found] == gaps_one_by_one(rows)


# --- silences ---


@st.composite
def signs_of_life(draw: st.DrawFn) -> tuple[Parameters, list[tuple[str, int]]]:
    """Machines and when they were heard, microseconds from the period's begin.

    Steps are often just too long or just not, so that signs stand at the borders of places and of stretches.
    """
    heartbeat_s = draw(st.sampled_from([1, 30, 7]))
    parameters = replace(PERIOD, heartbeat_s=heartbeat_s, end=PERIOD.start + timedelta(hours=2))
    silence_us = 2 * heartbeat_s * 1_000_000
    steps = st.one_of(
        st.sampled_from([silence_us // 4, silence_us // 2, silence_us - 1, silence_us, silence_us + 1]),
        st.integers(0, 3 * silence_us),
        st.integers(0, 20 * silence_us),
    )
    heard = []
    for machine in MACHINES:
        at = draw(st.integers(-2 * silence_us, silence_us))
        for step in draw(st.lists(steps, max_size=80)):
            heard.append((machine, at))
            at += step
    return parameters, heard


def silences_one_by_one(parameters: Parameters, heard: list[tuple[str, int]]) -> list[tuple[str, int, int]]:
    """Machine, begin and end."""
    length = micros(parameters.end) - micros(parameters.start)
    found = []
    for machine in sorted({machine for machine, _ in heard}):
        inside = sorted(at for m, at in heard if m == machine and 0 <= at < length)
        for before, after in pairwise([0, *inside, length]):
            if after - before > 2 * parameters.heartbeat_s * 1_000_000:
                found.append((machine, micros(parameters.start) + before, micros(parameters.start) + after))
    return sorted(found)


@settings(deadline=None)
@given(signs_of_life())
def test_silences_are_those_that_listening_one_by_one_finds(
    drawn: tuple[Parameters, list[tuple[str, int]]],
) -> None:
    parameters, heard = drawn
    begin = micros(parameters.start)
    heartbeats = [(machine, seq, "hall", begin + at - 5, 5) for seq, (machine, at) in enumerate(heard)]
    found = computed(parameters, ("heartbeat_blocks", "silences"), heartbeats=heartbeats)
    assert found == silences_one_by_one(parameters, heard)
