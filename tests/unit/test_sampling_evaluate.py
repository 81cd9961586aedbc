"""What follows from a filled sheet, against examples worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from audit.sampling.errors import SheetIncomplete
from audit.sampling.evaluate import (
    AttributeResult,
    MonetaryResult,
    evaluate,
    misstatement,
    upper_items,
    upper_rate,
)
from audit.sampling.items import Item
from audit.sampling.plan import Method, Plan, Sample, Scope, SeedFrom, draw, plan_of
from audit.sampling.sheet import Answer, FilledSheet, Finding, digest_of

SURE = Fraction(95, 100)
CORRECT = Answer(None, Finding.CORRECT, "")


def plan(method: Method, tolerable: str = "5", expected: str = "0") -> Plan:
    return plan_of(
        method,
        confidence="95",
        tolerable=tolerable,
        expected=expected,
        seed="5a" * 32,
        seed_from=SeedFrom.LEDGER,
        scope=Scope(),
    )


def population(count: int, mass_mg: int = 20_000) -> list[Item]:
    return [Item("transactions", "rvm-0001", seq, f"tx-{seq}", "pet", mass_mg) for seq in range(1, count + 1)]


def filled(sample: Sample, *answers: Answer) -> FilledSheet:
    """The first items get these answers, all others are correct."""
    rest = len(sample.items) - len(answers)
    return FilledSheet(sample, (*answers, *[CORRECT] * rest), digest_of(sample))


def attribute(*answers: Answer, count: int = 1000) -> AttributeResult:
    result = evaluate(filled(draw(plan(Method.ATTRIBUTE), population(count)), *answers))
    assert isinstance(result, AttributeResult)
    return result


def monetary(*answers: Answer, items: list[Item] | None = None) -> MonetaryResult:
    result = evaluate(filled(draw(plan(Method.MONETARY), items or population(1000)), *answers))
    assert isinstance(result, MonetaryResult)
    return result


def test_the_limit_of_a_rate_is_clopper_and_pearsons() -> None:
    """No error among 59: 1 - 0.05 ** (1 / 59) = 4.9508 %.  Two among 100: 6.162 % (tables)."""
    assert float(upper_rate(0, 59, SURE)) == pytest.approx(0.049508, abs=1e-6)
    assert float(upper_rate(2, 100, SURE)) == pytest.approx(0.06162, abs=1e-6)
    assert upper_rate(5, 5, SURE) == 1


def test_the_limit_of_a_finite_population_is_the_last_number_that_is_not_excluded() -> None:
    """45 of 100 without error exclude 5 wrong ones, which is what the size was planned for, but not 4.

    C(95, 45) / C(100, 45) = 0.0462 (55 x 54 x 53 x 52 x 51 / 100 x 99 x 98 x 97 x 96), and with 4: 0.0870.
    """
    assert upper_items(0, 45, 100, SURE) == 4
    assert upper_items(3, 100, 100, SURE) == 3  # all were examined
    assert upper_items(2, 2, 10, SURE) == 10


def test_a_sample_without_errors_supports_the_tolerable_rate() -> None:
    result = attribute()
    assert (result.examined, result.errors, result.upper_items) == (57, 0, 49)
    assert result.supported
    assert result.conclusion == (
        "0 of 57 examined items are wrong: at 95 % confidence at most 49 of 1,000 items (4.9000 %) are, "
        "below the tolerable 5 %."
    )


@pytest.mark.parametrize("finding", [Finding.MISSTATED, Finding.NOT_FOUND])
def test_one_error_more_than_planned_does_not(finding: Finding) -> None:
    result = attribute(Answer(None, finding, ""))
    assert not result.supported
    assert result.conclusion.endswith("so a rate below the tolerable 5 % is not supported.")


def test_a_textbook_sample_of_monetary_units() -> None:
    """Interval 20 000.  Three drawn items are overstated; table factors 3.00, 4.75, 6.30, 7.76 at 95 %.

    ======  =======  ========  ==========  =============  =====================
    book    audited  tainting  projection  increment - 1  incremental allowance
    ======  =======  ========  ==========  =============  =====================
    100     0        1.00      20 000      0.75           15 000
    400     300      0.25       5 000      0.55            2 750
    500     475      0.05       1 000      0.46              460
    ======  =======  ========  ==========  =============  =====================

    One item of 30 000, above the interval, is overstated by 1 200.  Likely 26 000 + 1 200 = 27 200; basic
    precision 60 000; allowance 18 210; limit 105 410.  The exact factors 2.9957, 4.7439, 6.2958 and 7.7537
    give 59 915 + 0.7481 x 20 000 + 0.5519 x 5 000 + 0.4579 x 1 000 = 59 915 + 14 963 + 2 760 + 458.
    """
    found = misstatement(
        [Fraction(25, 500), Fraction(1), Fraction(100, 400)], [1_200], 20_000, SURE, complete=False
    )
    assert found.projected_mg == 26_000
    assert found.likely_mg == 27_200
    assert float(found.basic_mg) == pytest.approx(59_915, abs=1)
    assert float(found.incremental_mg) == pytest.approx(14_963 + 2_760 + 458, abs=2)
    assert found.upper_mg == pytest.approx(105_410, rel=0.002)


def test_without_misstatement_the_limit_is_the_basic_precision() -> None:
    result = monetary()
    assert result.over == result.under
    assert result.over.upper_mg == 998_577  # 2.9957323 x 333 333 = 998 576.4, rounded up
    assert result.supported
    assert result.conclusion == (
        "At 95 % confidence 20000.000 g are overstated by at most 998.577 g and understated by at most "
        "998.577 g, within the tolerable 1000.000 g (5 %)."
    )


def test_over_and_understatement_are_never_set_off() -> None:
    result = monetary(
        Answer(10_000, Finding.MISSTATED, ""), Answer(30_000, Finding.MISSTATED, ""), Answer(20_000, None, "")
    )
    assert result.over.projected_mg == result.under.projected_mg == Fraction(333_333, 2)
    assert (result.over.items, result.under.items) == (1, 1)
    assert not result.supported
    assert "is not supported" in result.conclusion


def test_an_item_that_is_not_found_is_wholly_overstated() -> None:
    result = monetary(Answer(None, Finding.NOT_FOUND, ""))
    assert result.over.projected_mg == 333_333


def test_an_understatement_above_the_book_value_widens_the_basic_precision() -> None:
    result = monetary(Answer(80_000, Finding.MISSTATED, ""))
    assert result.under.basic_mg == 3 * result.over.basic_mg


def test_a_likely_misstatement_above_the_tolerable_one_is_named() -> None:
    result = monetary(*[Answer(None, Finding.NOT_FOUND, "")] * 4)
    assert "the likely misstatement alone is above the tolerable 1000.000 g" in result.conclusion


def test_where_everything_was_taken_nothing_is_inferred() -> None:
    items = population(3)
    result = monetary(Answer(19_000, Finding.MISSTATED, ""), items=items)
    assert result.over.upper_mg == result.over.likely_mg == 1000
    assert result.under.upper_mg == 0
    assert result.supported


def test_items_as_large_as_the_interval_count_as_they_are() -> None:
    """Interval: 30 000 g / 60 = 500 g; the item of 10 kg is certain, and 500 g too much in it stay 500 g."""
    items = population(1000)
    items[0] = replace(items[0], book_mg=10_020_000)
    result = monetary(Answer(9_520_000, Finding.MISSTATED, ""), items=items)
    assert result.over.certain_mg == 500_000
    assert result.over.projected_mg == result.over.incremental_mg == 0


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(None, None, ""), "item 1 has no finding"),
        (Answer(20_000, None, ""), "item 1 has no finding"),
        (Answer(19_000, Finding.CORRECT, ""), "item 1 is called correct"),
    ],
)
def test_an_attribute_sheet_must_be_filled_in(answer: Answer, message: str) -> None:
    with pytest.raises(SheetIncomplete, match=message):
        attribute(answer)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(None, None, "note"), "item 1 has no audited mass"),
        (Answer(None, Finding.MISSTATED, ""), "item 1 has no audited mass"),
        (Answer(20_000, Finding.MISSTATED, ""), "is its book mass"),
        (Answer(19_000, Finding.CORRECT, ""), "called correct, but"),
        (Answer(19_000, Finding.NOT_FOUND, ""), "called not_found, but"),
    ],
)
def test_a_monetary_sheet_must_be_filled_in(answer: Answer, message: str) -> None:
    with pytest.raises(SheetIncomplete, match=message):
        monetary(answer)


def test_results_are_json_without_floats() -> None:
    found = monetary(Answer(10_000, Finding.MISSTATED, "")).to_json()
    assert found["overstatement"] == {
        "items": 1,
        "certain_g": "0.000",
        "projected_g": "166.666",
        "basic_precision_g": "998.576",
        "incremental_allowance_g": "124.689",
        "upper_limit_g": "1289.932",
    }
    assert attribute().to_json()["upper_limit_percent"] == "4.9000"
