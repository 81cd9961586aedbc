"""Sheets: any texts come back, and whatever is read, only the package's own errors are raised."""

from __future__ import annotations

import contextlib
import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.sampling.errors import SheetError
from audit.sampling.files import load, render
from audit.sampling.items import Item
from audit.sampling.plan import Method, Sample, Scope, SeedFrom, draw, plan_of

TEXTS = st.text(
    st.characters(exclude_characters="\0\ufffe\uffff", exclude_categories=["Cs"])
    | st.sampled_from("='_x0+\r\n"),
    max_size=8,
)
CELLS = st.one_of(TEXTS, st.sampled_from(["1", "-5", "1.5", "1e9", "nan", "x" * 40, "9" * 40, "correct"]))


def sample(method: Method, items: list[Item], scope: Scope) -> Sample:
    plan = plan_of(
        method,
        confidence="90",
        tolerable="50",
        expected="0",
        seed="5a" * 32,
        seed_from=SeedFrom.LEDGER,
        scope=scope,
    )
    return draw(plan, sorted(items, key=lambda item: (item.stream.encode(), item.chain.encode(), item.seq)))


WHOLE = sample(Method.MONETARY, [Item("t", "c", seq, "x", "pet", 50 * seq) for seq in range(1, 30)], Scope())
ROWS = list(csv.reader(io.StringIO(render(WHOLE, ".csv").decode(), newline="")))
XLSX = render(WHOLE, ".xlsx")


@settings(max_examples=50)
@given(
    st.sampled_from(Method),
    st.lists(
        st.builds(Item, TEXTS, TEXTS, st.integers(-(2**63), 2**63 - 1), TEXTS, TEXTS, st.integers(1, 2**60)),
        min_size=1,
        max_size=5,
        unique_by=lambda item: (item.stream, item.chain, item.seq),
    ),
    st.builds(Scope, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS),
)
def test_whatever_the_texts_a_sheet_comes_back_as_it_was(
    method: Method, items: list[Item], scope: Scope
) -> None:
    drawn = sample(method, items, scope)
    assert load(render(drawn, ".csv")).sample == drawn
    assert load(render(drawn, ".xlsx")).sample == drawn


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_stumble(data: bytes) -> None:
    for start in (b"", b"PK\x03\x04", b"format,tally-sample/1\r\n"):
        with pytest.raises(SheetError):
            load(start + data)


@given(st.data())
def test_a_changed_cell_is_read_or_refused(data: st.DataObject) -> None:
    rows = [row.copy() for row in ROWS]
    for _ in range(data.draw(st.integers(1, 3))):
        row = data.draw(st.sampled_from(rows))
        if row:
            row[data.draw(st.integers(0, len(row) - 1))] = data.draw(CELLS)
    file = io.StringIO(newline="")
    csv.writer(file).writerows(rows)
    with contextlib.suppress(SheetError):
        assert load(file.getvalue().encode()).sample == WHOLE


@given(st.integers(0, len(XLSX) - 1), st.integers(1, 255))
def test_a_changed_byte_of_a_workbook_is_read_or_refused(place: int, change: int) -> None:
    data = bytearray(XLSX)
    data[place] ^= change
    with contextlib.suppress(SheetError):
        assert load(bytes(data)).sample == WHOLE
