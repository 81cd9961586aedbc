"""Charts: the same marks for SVG and PDF, inside their box, readable without colour."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.reporting.charts import MOST_ROWS, coverage, lot_differences, materiality, ticks, waterfall
from audit.reporting.marks import Box, Chart, Dot, Label, Lines, Shape, to_svg
from audit.reporting.model import Co2e, Conclusion, Figure, Mass, Total
from audit.reporting.sections_fleet import coverage_threshold
from tests.sample_report import empty_report, sample_report

REPORT = sample_report()


def extent(chart: Chart) -> list[tuple[float, float]]:
    points: list[tuple[float, float]] = []
    for mark in chart.marks:
        if isinstance(mark, Box):
            points += [(mark.x, mark.y), (mark.x + mark.width, mark.y + mark.height)]
        elif isinstance(mark, Lines):
            points += [point for x1, y1, x2, y2 in mark.segments for point in ((x1, y1), (x2, y2))]
        elif isinstance(mark, Shape):
            points += mark.points
        elif isinstance(mark, Dot):
            points.append((mark.x, mark.y))
        else:
            width = len(mark.text) * mark.size * 0.56
            left = mark.x - {"start": 0.0, "middle": width / 2, "end": width}[mark.anchor]
            points += [(left, mark.y), (left + width, mark.y)]
    return points


def check(chart: Chart | None) -> Chart:
    assert chart is not None
    for x, y in extent(chart):
        assert -12 <= x <= chart.width + 12, chart.name
        assert -2 <= y <= chart.height + 1, chart.name
    ET.fromstring(str(to_svg(chart)))
    return chart


def labels(chart: Chart) -> list[str]:
    return [mark.text for mark in chart.marks if isinstance(mark, Label)]


def test_every_chart_stays_in_its_box_and_is_well_formed() -> None:
    check(materiality(REPORT.conclusion))
    check(waterfall(REPORT.totals))
    check(coverage(REPORT.machine_lines, coverage_threshold(REPORT)))
    check(lot_differences(REPORT.lots))


def test_every_axis_states_its_unit() -> None:
    assert "% of reported mass" in labels(materiality(REPORT.conclusion))
    assert any(text.startswith("kg") for text in labels(check(waterfall(REPORT.totals))))
    assert "% of the heartbeats due" in labels(check(coverage(REPORT.machine_lines, None)))
    assert "kg, recorded minus ticket" in labels(check(lot_differences(REPORT.lots)))


def test_an_axis_that_does_not_start_at_zero_says_so() -> None:
    chart = check(waterfall(REPORT.totals))
    assert any("not at zero" in text for text in labels(chart))
    assert sum(isinstance(mark, Shape) and mark.fill == "paper" for mark in chart.marks) == 2


def total(name: str, mg: int) -> Total:
    return Total(name, "", Figure(Mass("", mg), Co2e("", None)))


@given(
    *(st.integers(0, 10**13) for _ in range(4)),
    st.integers(-(10**13), 10**13),
)
def test_any_waterfall_can_be_drawn(
    reported: int, over: int, under: int, doubt: int, corrections: int
) -> None:
    masses = {
        "reported": reported,
        "corrections": corrections,
        "overstated": over,
        "understated": under,
        "in_doubt": doubt,
        "supported": reported + corrections - over + under - doubt,
    }
    chart = waterfall(tuple(total(name, mg) for name, mg in masses.items()))
    assert chart is not None
    to_svg(chart)
    assert all(abs(x) < 10_000 and abs(y) < 10_000 for x, y in extent(chart))


def test_a_waterfall_without_its_steps_is_not_drawn() -> None:
    assert waterfall(REPORT.totals[:3]) is None
    assert "0.000" in labels(check(waterfall(empty_report().totals)))


def conclusion(known: int, doubt: int, lost: int, materiality_ppm: int, performance: int) -> Conclusion:
    return Conclusion("review_required", (), materiality_ppm, performance, known, 0, doubt, lost, "mass")


@given(*(st.integers(0, 5_000_000) for _ in range(5)))
def test_any_materiality_can_be_drawn(known: int, doubt: int, lost: int, limit: int, early: int) -> None:
    chart = materiality(conclusion(known, doubt, lost, limit, early))
    to_svg(chart)
    assert all(-1 <= x <= chart.width + 60 for x, _ in extent(chart))


def test_more_machines_and_lots_than_fit_are_cut_and_it_says_so() -> None:
    many = tuple(replace(REPORT.machine_lines[0], machine=f"m{number}") for number in range(MOST_ROWS + 60))
    chart = check(coverage(many, 975_000))
    assert f"The lowest of {len(many)} are drawn." in chart.summary
    lots = tuple(replace(REPORT.lots[0], lot=f"l{number}") for number in range(MOST_ROWS + 1))
    assert f"Of {len(lots)} lots" in check(lot_differences(lots)).summary


def test_a_machine_below_the_required_coverage_differs_without_colour() -> None:
    chart = check(coverage(REPORT.machine_lines, 975_000))
    below = [line for line in REPORT.machine_lines if (line.coverage_ppm or 10**6) < 975_000]
    hatchings = [mark for mark in chart.marks if isinstance(mark, Lines) and len(mark.segments) > 20]
    assert len(hatchings) == len(below) > 0
    assert "no heartbeat due" in labels(chart)


def test_a_lot_outside_its_tolerance_has_another_mark() -> None:
    chart = check(lot_differences(REPORT.lots))
    failed = sum(lot.status == "FAILED" for lot in REPORT.lots)
    assert sum(isinstance(mark, Shape) for mark in chart.marks) == failed > 0
    assert sum(isinstance(mark, Dot) for mark in chart.marks) == len(REPORT.lots) - failed


def test_nothing_to_draw_is_no_chart() -> None:
    assert coverage((), None) is None
    assert lot_differences(()) is None


def test_a_name_in_a_chart_is_escaped() -> None:
    lots = (replace(REPORT.lots[0], lot='<a b="c">&'),)
    svg = str(to_svg(check(lot_differences(lots))))
    assert "<a" not in svg
    assert "&lt;a b=" in svg


@given(st.floats(-1e7, 1e7), st.floats(1e-3, 1e7))
def test_ticks_are_round_few_and_within_the_axis(low: float, span: float) -> None:
    high = low + span
    found = ticks(low, high)
    assert len(found) <= 7
    if len(found) > 1:
        step = found[1] - found[0]
        assert all(abs(b - a - step) <= abs(step) * 1e-3 + 1e-6 for a, b in pairwise(found))
        assert found[0] >= low - step * 1e-3
        assert found[-1] <= high + step * 1e-3


def test_svg_numbers_are_short_and_have_no_exponent() -> None:
    svg = str(to_svg(check(waterfall(REPORT.totals))))
    attributes = re.findall(r' (?:x|y|d|points|width|height|cx|cy)="([^"]*)"', svg)
    assert len(attributes) > 50
    assert not [value for value in attributes if re.search(r"\.\d{3}|\de[+-]", value)]


@pytest.mark.parametrize(("unit", "value", "ppm"), [("ppm", "975000", 975_000), ("%", "97.5", 975_000)])
def test_the_required_coverage_is_read_in_its_unit(unit: str, value: str, ppm: int) -> None:
    parameters = tuple(
        replace(one, value=value, unit=unit) if one.name.startswith("heartbeat_coverage") else one
        for one in REPORT.parameters
    )
    assert coverage_threshold(replace(REPORT, parameters=parameters)) == ppm
    assert coverage_threshold(REPORT) == 975_000
    for text in ("high", "NaN", "1e999999", "-1", "2"):
        spoilt = tuple(replace(one, value=text) for one in REPORT.parameters)
        assert coverage_threshold(replace(REPORT, parameters=spoilt)) is None
