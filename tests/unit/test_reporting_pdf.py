"""The report as PDF: the same document, with the digest and the page at every foot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import pytest
from pypdf import PdfReader

from audit.reporting.as_json import report_digest
from audit.reporting.as_pdf import render
from audit.reporting.document import document
from audit.reporting.model import Report
from audit.reporting.pdf_parts import Typeface, broken_lines
from tests.sample_report import broken_report, empty_report, restated_report, sample_report


def pages(data: bytes) -> list[str]:
    return [" ".join(page.extract_text().split()) for page in PdfReader(BytesIO(data)).pages]


@pytest.mark.parametrize("make", [sample_report, empty_report, broken_report, restated_report])
def test_every_section_is_there_in_order_and_in_the_outline(make: Callable[[], Report]) -> None:
    data = render(make())
    titles = [section.title for section in document(make()).sections]
    reader = PdfReader(BytesIO(data))
    outline = [entry.title for entry in reader.outline if not isinstance(entry, list)]
    assert outline == [f"{number} {title}" for number, title in enumerate(titles, 1)]
    text = " ".join(pages(data))
    found = [text.index(f"{number} {title}") for number, title in enumerate(titles, 1)]
    assert found == sorted(found)


def test_every_page_has_the_digest_and_its_number() -> None:
    report = sample_report()
    found = pages(render(report))
    for number, text in enumerate(found, 1):
        assert f"Report digest {report_digest(report)}" in text
        assert f"{number} / {len(found)}" in text


def test_the_first_page_holds_the_conclusion_the_figures_and_the_digest() -> None:
    first = pages(render(sample_report()))[0]
    for words in (
        "Example Returns Cooperative",
        "The reported figure needs review",
        "1,373.764",
        "1,362.272",
        "materiality 5.00 %",
        "Intact",
        "Boundary",
    ):
        assert words in first


def test_a_broken_ledger_is_the_first_thing_on_the_first_page() -> None:
    first = pages(render(broken_report()))[0]
    assert first.startswith("The ledger is broken. The ledger contradicts itself in 6 places")
    assert "No conclusion can be drawn: the ledger is broken." in first


def test_the_heads_of_a_table_stand_on_each_of_its_pages() -> None:
    of_findings = [
        text for text in pages(render(sample_report())) if "finding" in text or "deposits rvm" in text
    ]
    assert sum("Machine, site Time, transaction" in text for text in of_findings) > 3


def test_characters_that_the_fonts_lack_are_printed_as_numbers_and_it_says_so() -> None:
    with_them = " ".join(pages(render(sample_report(9, names=("\u673a\u5668", "caf\xe9")))))
    assert "\u2039673A\u203a\u20395668\u203a" in with_them
    assert "caf\xe9" in with_them
    assert "A number between angle quotes" in with_them
    assert "A number between angle quotes" not in " ".join(pages(render(sample_report(9))))


def test_markup_in_a_name_is_text_and_names_no_file() -> None:
    evil = '<img src="/etc/passwd"/><b>x</b>&amp;'
    text = " ".join(pages(render(sample_report(9, names=(evil,), reason=evil))))
    assert '<img src="/etc/passwd"/>' in text


@pytest.mark.parametrize("name", ["x" * 1_000, "W" * 5_000, "a_" * 400, "\u202e" * 300, " ", "\n" * 50])
def test_no_name_breaks_the_layout(name: str) -> None:
    report = sample_report(27, names=(name,) * 5, reason=name)
    report = replace(report, operator=name, boundary=name, notes=(name * 3,), sites=(name,) * 30)
    assert pages(render(report))


def test_metadata_names_the_report_and_no_clock() -> None:
    reader = PdfReader(BytesIO(render(sample_report(9))))
    assert reader.metadata is not None
    assert "Example Returns Cooperative" in (reader.metadata.title or "")
    assert "Report digest" in (reader.metadata.subject or "")
    assert "2000" in str(reader.metadata.get("/CreationDate"))


def test_a_line_is_broken_at_spaces_and_within_words_only_if_it_must() -> None:
    assert broken_lines("one two", "Helvetica", 8, 500) == ["one two"]
    assert broken_lines("one two three", "Helvetica", 8, 30) == ["one two", "three"]
    assert broken_lines("mixed_metals", "Helvetica", 8, 32) == ["mixed_", "metals"]
    lines = broken_lines("x" * 100, "Helvetica", 8, 50)
    assert "".join(lines) == "x" * 100
    assert len(lines) > 5


def test_a_minus_sign_has_a_glyph() -> None:
    typeface = Typeface()
    assert typeface.printable("\u22121.5") == "\u20131.5"
    assert not typeface.replaced
