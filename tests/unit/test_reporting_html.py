"""The report as HTML: one file that asks for nothing, says what matters first and escapes its text."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import get_args

import pytest

from audit.reporting.as_html import anchor, render
from audit.reporting.as_json import report_digest
from audit.reporting.figures import OPINION_WORDS
from audit.reporting.model import CLASSES, LedgerState, Opinion, Report
from audit.reporting.sections_rules import SHOWN_FINDINGS
from tests.sample_report import broken_report, empty_report, restated_report, sample_report

EVIL = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>'",
    "rvm\u202egpj.exe",
    "x" * 1_000,
    "\u673a\u5668\u4e00\u53f7",
    "{{ 7 * 7 }}{% raw %}",
)
VOID = {"meta", "br", "col", "wbr"}


class Page(HTMLParser):
    """Collects elements, attributes and text, and checks that every element is closed."""

    def __init__(self, data: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(data.decode())
        self.close()
        assert not self._open

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in {"wbr", "bdi"}:
            self.words.append(" ")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.words.append(data)


@pytest.mark.parametrize("make", [sample_report, empty_report, broken_report, restated_report])
def test_the_file_is_well_formed_and_asks_for_nothing(make: Callable[[], Report]) -> None:
    page = Page(render(make()))
    assert not page.tags.keys() & {
        "script",
        "img",
        "link",
        "iframe",
        "object",
        "form",
        "base",
        "use",
        "image",
    }
    assert not [name for _, name, _ in page.attributes if name.startswith("on") or name in {"src", "style"}]
    assert all(value.startswith("#") for _, name, value in page.attributes if name == "href")
    assert b"url(" not in render(make())
    assert b"@import" not in render(make())


def test_the_policy_allows_the_one_style_sheet_by_its_hash_and_nothing_else() -> None:
    html = render(sample_report(9)).decode()
    style = html.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert "REPORT-DIGEST" not in style
    assert "INK-" not in style


def test_the_first_page_says_the_conclusion_and_the_headline_figures() -> None:
    report = sample_report()
    front = Page(render(report).split(b'<header class="front')[1].split(b"</header>")[0])
    assert front.text.startswith('"> Reconciliation report Example Returns Cooperative')
    assert OPINION_WORDS[report.conclusion.opinion] in front.text
    assert "Review required" in front.text
    for name in ("Reported", "Overstated", "Understated", "In doubt", "Supported", "Lost, estimated"):
        assert name in front.text
    assert "1,373.764" in front.text
    assert "2,415.186" in front.text
    assert report_digest(report) in front.text
    assert "Intact" in front.text
    assert "materiality 5.00 %" in front.text


@pytest.mark.parametrize("opinion", get_args(Opinion))
def test_every_opinion_has_a_sentence_of_its_own(opinion: Opinion) -> None:
    report = sample_report(9)
    page = Page(render(replace(report, conclusion=replace(report.conclusion, opinion=opinion))))
    assert OPINION_WORDS[opinion] in page.text


def test_a_broken_ledger_is_said_before_everything_else_whatever_the_opinion_says() -> None:
    report = broken_report()
    report = replace(report, conclusion=replace(report.conclusion, opinion="no_material_misstatement"))
    text = Page(render(report)).text
    body = text[text.index("The ledger is broken") :]
    assert body.startswith("The ledger is broken. The ledger contradicts itself in 6 places")
    assert "No conclusion can be drawn: the ledger is broken." in body
    assert OPINION_WORDS["no_material_misstatement"] not in text
    assert "Where the ledger is broken" in text
    assert "row 76 is followed by row 81" in text
    assert "3 more breaks" in text


def test_a_ledger_that_was_not_verified_is_not_called_intact() -> None:
    report = sample_report(9)
    ledger = LedgerState(None, (), 0, report.ledger.streams, report.ledger.evidence_digest)
    text = Page(render(replace(report, ledger=ledger))).text
    assert "Not verified Verification was switched off" in text
    assert "Intact" not in text


def test_what_the_fleet_calls_itself_is_never_markup() -> None:
    data = render(sample_report(names=EVIL, reason="</td><svg onload=alert(1)>"))
    page = Page(data)
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert EVIL[0] in page.text
    assert "{{ 7 * 7 }}{% raw %}" in page.text
    assert "</td><svg onload=alert(1)>" in page.text
    assert EVIL[4] in page.text


def test_a_mark_that_turns_the_direction_of_text_is_made_visible() -> None:
    page = Page(render(sample_report(names=EVIL)))
    assert "\u202e" not in page.text
    assert "rvm\u2039202E\u203agpj.exe" in page.text


def test_a_name_of_a_thousand_characters_is_cut_and_says_so() -> None:
    page = Page(render(sample_report(names=EVIL)))
    assert max(map(len, page.text.split())) < 200
    assert "(1,000 characters)" in page.text
    assert "x" * 1_000 in [value for _, name, value in page.attributes if name == "title"]


def test_every_figure_carries_its_ref_and_has_one_anchor() -> None:
    report = sample_report()
    page = Page(render(report))
    refs = {value for _, name, value in page.attributes if name == "data-ref"}
    expected = {total.figure.mass.ref for total in report.totals}
    expected |= {line.supported.co2e.ref for line in report.by_material if line.supported.co2e.g}
    expected |= {one.ref for one in report.by_class} | {one.ref for one in report.invariants}
    expected |= {one.ref for one in report.corrections}
    assert expected <= refs
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {anchor(ref) for ref in expected} <= set(ids)
    for ref in expected:
        assert ref in page.text  # the list of references


def test_an_anchor_is_a_valid_fragment_whatever_the_ref_is() -> None:
    assert anchor('a "b" <c>') == "ref-a%20%22b%22%20%3Cc%3E"
    assert anchor("a") != anchor("A")


def test_only_the_first_findings_of_a_class_are_listed_and_it_says_so() -> None:
    report = sample_report(9 * (SHOWN_FINDINGS + 1))
    text = Page(render(report)).text
    assert f"The first {SHOWN_FINDINGS} of each class are listed here" in text
    for name in CLASSES[1:]:
        assert f"{name.replace('_', ' ').capitalize()}: {SHOWN_FINDINGS} of {SHOWN_FINDINGS + 1}" in text


def test_what_is_only_counted_is_said() -> None:
    assert "1,234 more were found" in Page(render(replace(sample_report(), findings_omitted=1_234))).text


def test_an_empty_period_is_told_in_sentences() -> None:
    text = Page(render(empty_report())).text
    for sentence in (
        "No material was recorded in the period.",
        "Nothing was reported, so nothing moves the figure.",
        "No rule was applied.",
        "there is no finding.",
        "No machine reported in the period.",
        "No lot of the period has a scale ticket",
        "No correction was recorded",
        "This report restates no earlier one.",
        "No disclosure was asked for.",
    ):
        assert sentence in text


def test_a_status_is_a_word_and_not_a_colour_alone() -> None:
    html = render(sample_report()).decode()
    chips = set(re.findall(r'<span class="chip (\w+)">([^<]+)</span>', html))
    assert {("good", "Passed"), ("warn", "Review"), ("bad", "Failed")} <= chips


def test_a_factor_that_is_not_verified_is_marked() -> None:
    html = render(sample_report()).decode()
    assert '<span class="chip warn">Transcribed</span>' in html
    assert '<span class="chip warn">Derived</span>' in html


def test_a_datapoint_without_evidence_is_not_a_zero() -> None:
    text = Page(render(sample_report())).text
    assert "E5-5_07 Total waste generated no evidence t" in text


def test_a_restatement_names_the_earlier_report_and_its_sum() -> None:
    report = restated_report()
    assert report.restatement is not None
    text = Page(render(report)).text
    assert report.restatement.earlier_digest in text
    assert (
        "Difference to the earlier report \u22120.838 \u221212,832.227" not in text
    )  # grams are not kilograms
    assert "Difference to the earlier report \u22120.838 \u221212.832" in text


def test_every_chart_says_in_words_what_it_draws() -> None:
    page = Page(render(sample_report()))
    labels = [value for tag, name, value in page.attributes if tag == "svg" and name == "aria-label"]
    assert len(labels) == 4
    assert all(len(label) > 40 for label in labels)
