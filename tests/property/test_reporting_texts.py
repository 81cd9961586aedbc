"""Whatever text a machine or an operator sends, every format renders it, and the exact ones give it back."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import openpyxl
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.reporting import as_csv, as_html, as_json, as_pdf, as_xlsx
from audit.reporting.figures import clipped, shown
from audit.reporting.model import Report
from tests.sample_report import sample_report

TEXT = st.text(st.characters(codec="utf-8"), max_size=60) | st.sampled_from(
    [
        "",
        "=1",
        "'",
        '"',
        "\r\n",
        "<b>",
        "]]>",
        "&amp;",
        "\x00",
        "\ufffe",
        "\u202e",
        "\U0001f5d1",
        "{{x}}",
        "%s",
    ]
)
SAMPLE = sample_report(9, 3)


def with_texts(text: str) -> Report:
    """A report in which every text that comes from elsewhere is ``text``."""
    return replace(
        SAMPLE,
        operator=text,
        boundary=text,
        sites=(text,),
        notes=(text,),
        findings=tuple(
            replace(
                one, machine=text, site=text, transaction_id=text, declared=text, accepted=text, detail=text
            )
            for one in SAMPLE.findings
        ),
        lots=tuple(replace(one, lot=text, ticket=text, machine=text) for one in SAMPLE.lots),
        machine_lines=tuple(replace(one, machine=text, calibration=text) for one in SAMPLE.machine_lines),
        by_material=tuple(replace(one, material=text) for one in SAMPLE.by_material),
    )


@given(TEXT)
@settings(max_examples=25, deadline=None)
def test_any_text_survives_json_and_csv_and_is_rendered_by_the_others(text: str) -> None:
    report = with_texts(text)
    assert as_json.parse(as_json.render(report)) == report
    rows = csv.DictReader(
        io.StringIO(as_csv.render(report)["machines.csv"].decode(), newline=""), strict=True
    )
    assert [as_csv.unguarded(row["machine"]) for row in rows] == [text] * len(report.machine_lines)
    assert as_pdf.render(report).startswith(b"%PDF")
    book = openpyxl.load_workbook(io.BytesIO(as_xlsx.render(report)))
    cell = book["Machines"]["A5"]
    assert (cell.value or "") == shown(text)
    assert cell.data_type != "f"


@given(TEXT)
@settings(max_examples=25, deadline=None)
def test_no_text_adds_an_element_to_the_page(text: str) -> None:
    def elements(report: Report) -> set[str]:
        return set(re.findall(r"<[a-z0-9]+", as_html.render(report).decode()))

    assert elements(with_texts(text)) <= elements(with_texts("a_b")) | elements(SAMPLE)


@given(st.text(max_size=300))
def test_what_is_shown_steers_no_display_and_says_what_it_leaves_out(text: str) -> None:
    visible = clipped(text)
    assert visible.isprintable()
    if len(shown(text)) > 96:
        assert f"({len(text):,} characters)" in visible
        assert len(visible) < 130
    else:
        assert visible == shown(text)


@given(st.text(), st.text())
def test_marks_that_are_made_visible_keep_names_apart(one: str, other: str) -> None:
    spaces = re.compile(r"\s+")
    if spaces.sub(" ", one).strip() != spaces.sub(" ", other).strip():
        assert shown(one) != shown(other) or "\u2039" in one + other
