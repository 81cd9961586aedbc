"""Walking along chains of which rows were dropped: what is declared is no break, everything else is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from audit.breaks import BreakKind
from audit.findings import Collector, Named, Verdict
from audit.walk import Stretch, Walk, seen_row
from store.retention import DroppedRun
from tests.memory_ledger import STREAM, MemoryLedger, OneSender, places

Spans = list[tuple[int, int]]


@dataclass
class WithoutRows(MemoryLedger):
    """A ledger of which rows are declared as dropped."""

    runs: list[DroppedRun] = field(default_factory=list)

    def drop(self, chain: str, first: int, last: int, last_hash: bytes | None = None) -> None:
        """Declare rows, and remove them."""
        gone = self.rows[self.place(chain, last)]
        run = DroppedRun(1, STREAM.name, chain, first, last, last_hash or gone[-32:])
        self.runs = sorted([*self.runs, run], key=lambda one: (one.chain, one.first_seq))
        self.remove(chain, first, last)

    def remove(self, chain: str, first: int, last: int) -> None:
        """Remove rows, as far as they are there."""
        seen = [(seen_row(row), row) for row in self.rows]
        self.rows = [row for one, row in seen if one.chain != chain or not first <= one.seq <= last]

    def verify(self, stretches: Sequence[Stretch]) -> Named:
        """Walk the stretches, and conclude."""
        verdict = Verdict([STREAM])
        for stretch in stretches:
            collector = Collector(STREAM)
            walk = Walk(
                STREAM,
                stretch,
                self._heads(stretch),
                OneSender(),
                collector.note,
                lambda _rows: None,
                self._runs(stretch),
            )
            walk.run(self._between(stretch.read_from, stretch.read_to))
            verdict.add(collector.findings())
        return verdict.conclude()

    def _runs(self, stretch: Stretch) -> Iterator[DroppedRun]:
        end = stretch.end
        for run in self.runs:
            inside = end is None or run.chain < end.chain or (run.chain == end.chain and stretch.ends_inside)
            if run.chain >= stretch.first.chain and inside:
                yield run


FULL: Final = WithoutRows()
for name in ("a", "b", "c"):
    FULL.fill(name, 40)


def ledger() -> WithoutRows:
    return WithoutRows(list(FULL.rows), dict(FULL.heads))


def spans(limit: int) -> st.SearchStrategy[Spans]:
    """Runs that do not overlap, some of them next to each other."""
    cuts = st.lists(st.integers(1, limit), min_size=2, max_size=8, unique=True).map(sorted)
    return st.tuples(cuts, st.lists(st.booleans(), min_size=8, max_size=8)).map(
        lambda made: [
            (first, end - 1)
            for first, end, chosen in zip(made[0], [*made[0][1:], limit + 1], made[1], strict=False)
            if chosen
        ]
    )


@settings(deadline=None, max_examples=25)
@given(spans(40), st.integers(2, 60))
def test_dropped_rows_are_no_break_wherever_stretches_are_cut(dropped: Spans, target: int) -> None:
    found = ledger()
    for first, last in dropped:
        found.drop("b", first, last)
    for stretches in (found.whole(), found.cuts(target)):
        assert not found.verify(stretches).breaks


@settings(deadline=None, max_examples=25)
@given(spans(40), st.integers(1, 40), st.integers(0, 20), st.integers(2, 60))
def test_each_row_that_is_missing_beside_them_is_counted(
    dropped: Spans, first: int, more: int, target: int
) -> None:
    found = ledger()
    for run in dropped:
        found.drop("b", *run)
    before = len(found.rows)
    found.remove("b", first, min(first + more, 40))
    missing = before - len(found.rows)
    for stretches in (found.whole(), found.cuts(target)):
        named = found.verify(stretches)
        kinds = (BreakKind.ROW_MISSING, BreakKind.TAIL_CUT)
        assert sum(one.rows for one in named.breaks if one.kind in kinds) == missing
        assert all(one.kind in kinds for one in named.breaks)


@settings(deadline=None, max_examples=25)
@given(spans(40), st.integers(2, 60))
def test_rows_that_are_declared_and_still_there_are_checked_like_any(declared: Spans, target: int) -> None:
    found = ledger()
    rows = list(found.rows)
    for first, last in declared:
        found.drop("b", first, last)
    found.rows = rows
    assert not found.verify(found.cuts(target)).breaks
    place = found.place("b", 20)
    found.rows[place] = found.rows[place][:-40] + b"\x00" + found.rows[place][-39:]
    assert places(found.verify(found.cuts(target))) == {(BreakKind.VALUE_ALTERED, "b", 20, 20)}


def test_what_follows_a_run_is_bound_to_its_last_hash() -> None:
    right, wrong = ledger(), ledger()
    right.drop("b", 5, 30)
    wrong.drop("b", 5, 30, bytes(32))
    for target in (1_000, 7):
        assert not right.verify(right.cuts(target)).breaks
        assert places(wrong.verify(wrong.cuts(target))) == {(BreakKind.VALUE_ALTERED, "b", 31, 31)}


def test_a_chain_without_rows_has_to_end_at_its_head() -> None:
    right, forged, shortened, lengthened, headless = (ledger() for _ in range(5))
    for one in (right, shortened, lengthened, headless):
        one.drop("b", 1, 40)
    forged.drop("b", 1, 40, bytes(32))
    shortened.heads["b"] = 20, bytes(32)
    lengthened.heads["b"] = 50, bytes(32)
    del headless.heads["b"]
    for target in (1_000, 7):
        assert not right.verify(right.cuts(target)).breaks
        for one in (forged, shortened):
            assert places(one.verify(one.cuts(target))) == {(BreakKind.HEAD_ALTERED, "b", None, None)}
        assert places(lengthened.verify(lengthened.cuts(target))) == {(BreakKind.TAIL_CUT, "b", 41, 50)}
        assert places(headless.verify(headless.cuts(target))) == {(BreakKind.HEAD_MISSING, "b", None, None)}


def test_rows_are_bound_to_what_was_dropped_before_and_behind_them() -> None:
    found = ledger()
    found.drop("b", 1, 9)
    found.drop("b", 11, 40)
    assert not found.verify(found.cuts(4)).breaks
    found.remove("b", 10, 10)
    assert places(found.verify(found.cuts(4))) == {(BreakKind.ROW_MISSING, "b", 10, 10)}
