"""Whatever bytes a factor file has, it is read or refused by an error of the package."""

from __future__ import annotations

import csv
import io
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from audit.esg.errors import FactorFileError
from audit.esg.factor_file import COLUMNS, FORMAT, FactorTable, read_factor_file
from audit.esg.factors import built_in
from audit.esg.units import scaled

TEXT = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=20)
WORDS = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True)
VALUES = st.integers(-(10**7), 10**7).map(lambda whole: f"{scaled(whole, 6) or Decimal(0):f}")
ROWS = st.lists(
    st.tuples(WORDS, WORDS, VALUES, st.sampled_from(["yes", "derived", "transcribed"]), TEXT),
    min_size=1,
    max_size=8,
    unique_by=lambda row: row[:2],
)
GOOD = (
    b"# format: tally-factors/1\n# name: x\n# version: 1\n# title: t\n# source: s\n# unit: kgCO2e/tonne\n"
    b"# gwp: AR5\n# valid_from: 2020-01-01\n# valid_to: open\n# validity: v\n# licence: l\n# notes: n\n"
    b"material,treatment,value,verified,source\npet,landfill,9.0,yes,s\n"
)


@st.composite
def files(draw: st.DrawFn) -> tuple[dict[str, str], list[tuple[str, ...]], bytes]:
    head = {
        "format": FORMAT,
        "name": draw(WORDS),
        "version": draw(WORDS),
        **{key: draw(TEXT) for key in ("title", "source", "gwp", "validity", "licence", "notes")},
        "unit": draw(st.sampled_from(["kgCO2e/tonne", "MTCO2e/short_ton"])),
        "valid_from": draw(st.dates()).isoformat(),
        "valid_to": "open",
    }
    rows = draw(ROWS)
    text = io.StringIO()
    for key in draw(st.permutations(list(head))):
        text.write(f"# {key}: {head[key]}\n")
    writer = csv.writer(text, lineterminator=draw(st.sampled_from(["\n", "\r\n", "\r"])))
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return head, list(rows), text.getvalue().encode()


@given(files())
def test_a_file_comes_back_as_it_was_written(
    file: tuple[dict[str, str], list[tuple[str, ...]], bytes],
) -> None:
    head, rows, content = file
    table = read_factor_file(content, "any.csv")
    assert {key: str(getattr(table, key) or "open") for key in head if key != "format"} == {
        key: value for key, value in head.items() if key != "format"
    }
    assert sorted(rows) == sorted(
        (row.material, row.treatment, row.factor.text, row.verified, row.source) for row in table.rows
    )


def read(content: bytes) -> FactorTable | None:
    try:
        return read_factor_file(content, "any.csv")
    except FactorFileError as error:
        said = str(error)
    assert said.startswith("any.csv, line ")
    assert said.isprintable()
    return None


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    assert read(content) is None


@given(st.binary(max_size=40))
def test_any_bytes_after_a_good_file_are_read_or_refused(tail: bytes) -> None:
    read(GOOD + tail)


@given(st.data())
def test_a_file_with_bytes_altered_is_refused_or_has_another_digest_or_the_same_meaning(
    data: st.DataObject,
) -> None:
    whole = read(GOOD)
    assert whole is not None
    place = data.draw(st.integers(0, len(GOOD) - 1))
    altered = read(GOOD[:place] + data.draw(st.binary(max_size=3)) + GOOD[place + 1 :])
    assert altered is None or altered.digest != whole.digest or altered == whole


@given(st.sampled_from([t.label for t in built_in().tables]), st.text(max_size=20))
def test_no_other_name_finds_a_material(label: str, material: str) -> None:
    table = next(t for t in built_in().tables if t.label == label)
    known = {row.material for row in table.rows}
    assert (table.find(material, "landfill") is not None) <= (material in known)
