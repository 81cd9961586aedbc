"""The charts of a report, drawn with the primitives of ``marks``.

Every chart can be read without colour: what differs in colour differs in filling (full, hatched, outlined)
or in form as well, and figures stand beside their marks.  The colours differ in lightness, so that they
differ for colour-blind readers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from audit.reporting.figures import clipped, count, grouped, kg, percent, signed
from audit.reporting.marks import (
    Box,
    Chart,
    Dot,
    Ink,
    Label,
    Lines,
    Mark,
    Shape,
    hatched,
)
from audit.reporting.model import Conclusion, LotLine, MachineLine, Total

WIDTH: Final = 500.0
MOST_ROWS: Final = 40
"""Machines or lots that a chart shows; those with the largest gap, if there are more."""


def ticks(low: float, high: float, wanted: int = 5) -> tuple[float, ...]:
    """Round numbers from at or above ``low`` to at or below ``high``, about ``wanted`` of them."""
    span = high - low
    if span <= 0:
        return (low,)
    power = 10.0 ** math.floor(math.log10(span / wanted))
    step = next(factor * power for factor in (1, 2, 5, 10) if span / (factor * power) <= wanted)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(number * step for number in range(first, last + 1))


def _tick_text(value: float, step: float) -> str:
    places = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0
    return grouped(Decimal(repr(value)), places)


@dataclass(frozen=True, slots=True)
class _Scale:
    """From values to x."""

    low: float
    high: float
    left: float
    right: float

    def x(self, value: float) -> float:
        span = self.high - self.low or 1.0
        return self.left + (value - self.low) / span * (self.right - self.left)

    def axis(self, top: float, bottom: float, unit: str) -> Iterator[Mark]:
        """Grid, figures below it, and the unit at its right end."""
        at = ticks(self.low, self.high)
        step = at[1] - at[0] if len(at) > 1 else 1.0
        yield Lines(tuple((self.x(value), top, self.x(value), bottom) for value in at), "rule", 0.5)
        for value in at:
            yield Label(self.x(value), bottom + 10, _tick_text(value, step), "middle", "muted")
        yield Label(self.right, bottom + 21, unit, "end", "muted")


def materiality(conclusion: Conclusion) -> Chart:
    """What was found against the two thresholds, per cent of the reported figure."""
    rows = (
        ("Known, gross", conclusion.known_ppm),
        ("In doubt", conclusion.doubt_ppm),
        ("Lost, estimated", abs(conclusion.estimated_ppm)),
    )
    limit, early = conclusion.materiality_ppm, conclusion.performance_materiality_ppm
    most = max(limit, early, *(ppm for _, ppm in rows)) * 1.08 or 1.0
    width = 380.0
    scale = _Scale(0, most / 10_000, 72, width - 66)
    top, pitch = 22.0, 15.0
    bottom = top + pitch * len(rows) + 2
    basis = "reported CO2e" if conclusion.basis == "co2e" else "reported mass"
    marks: list[Mark] = [*scale.axis(top, bottom, f"% of {basis}")]
    for index, (name, ppm) in enumerate(rows):
        y = top + 4 + index * pitch
        end = scale.x(ppm / 10_000)
        bar = Box(scale.left, y, max(end - scale.left, 0.75), 9, ("accent", "paper", "pale")[index], "accent")
        if ppm:
            marks += hatched(bar, "accent") if index == 1 else [bar]
        marks += [
            Label(66, y + 7.5, name, "end"),
            Label(end + 5, y + 7.5, percent(ppm), ink="ink", bold=True),
        ]
    thresholds: tuple[tuple[int, str, Ink, float], ...] = (
        (early, "performance materiality", "muted", 2.5),
        (limit, "materiality", "bad", 0.0),
    )
    for line, (ppm, name, ink, dash) in enumerate(thresholds):
        x, y = scale.x(ppm / 10_000), 7.0 + 10 * line  # a line of its own for each, so that they never meet
        fits = x < width - 130
        marks.append(Lines(((x, y - 5, x, bottom),), ink, 1.2, dash))
        marks.append(
            Label(x + (3 if fits else -3), y, f"{name} {percent(ppm)}", "start" if fits else "end", ink)
        )
    summary = (
        f"Known misstatement {percent(rows[0][1])}, in doubt {percent(rows[1][1])}, lost and estimated "
        f"{percent(rows[2][1])}, against performance materiality {percent(early)} and "
        f"materiality {percent(limit)}."
    )
    return Chart("materiality", summary, width, bottom + 24, tuple(marks))


_STEPS: Final = (
    ("reported", "Reported", 0),
    ("corrections", "Corrections", 1),
    ("overstated", "Overstated", -1),
    ("understated", "Understated", 1),
    ("in_doubt", "In doubt", -1),
    ("supported", "Supported", 0),
)


def waterfall(totals: tuple[Total, ...]) -> Chart | None:
    """From the reported mass, step by step, to the supported one; None if ``totals`` lack a step."""
    mass = {total.name: total.figure.mass.mg for total in totals}
    if any(name not in mass for name, _, _ in _STEPS):
        return None
    bars: list[tuple[str, int, int, int]] = []  # name, sign, from, to
    level = 0
    for name, words, sign in _STEPS:
        start = 0 if sign == 0 else level
        level = mass[name] if sign == 0 else level + sign * mass[name]
        bars.append((words, sign, start, level))
    reached = [to for _, _, _, to in bars]
    low, high = min(reached), max(reached)
    cut = low > 0 and (high - low) < 0.5 * high  # steps would be slivers on an axis from zero
    margin = (high - low) * 0.35 or high * 0.05 or 1_000_000
    start_kg = (low - margin if cut else min(0, low)) / 1e6
    start_kg = max(start_kg, 0.0) if cut else start_kg
    scale = _Scale(
        start_kg, max(high + (high - low or high) * 0.04, start_kg * 1e6 + 1) / 1e6, 74, WIDTH - 74
    )
    top, pitch = 6.0, 21.0
    bottom = top + pitch * len(bars)
    unit = f"kg (the axis starts at {_tick_text(start_kg, 1)}, not at zero)" if cut else "kg"
    marks: list[Mark] = [*scale.axis(top, bottom, unit)]
    for index, (words, sign, begin, to) in enumerate(bars):
        y = top + 4 + index * pitch
        left, right = scale.x(max(min(begin, to) / 1e6, start_kg)), scale.x(max(begin, to) / 1e6)
        fill: Ink = ("ink" if index == 0 else "accent") if sign == 0 else ("pale" if to > begin else "paper")
        bar = Box(left, y, max(right - left, 0.75), 13, fill, "accent" if sign else fill)
        marks += hatched(bar, "accent") if sign and to <= begin else [bar]
        if sign == 0 and cut:
            marks.append(_torn(left + 9, y))
        if index + 1 < len(bars):
            x = scale.x(to / 1e6)
            marks.append(Lines(((x, y + 13, x, y + pitch),), "muted", 0.5, 1.5))
        figure = kg(to) if sign == 0 else signed(kg(to - begin))
        marks += [
            Label(68, y + 9.5, words, "end", bold=sign == 0),
            Label(right + 5, y + 9.5, figure, bold=sign == 0),
        ]
    summary = ", ".join(
        f"{words.lower()} {kg(to) if sign == 0 else signed(kg(to - begin))} kg"
        for words, sign, begin, to in bars
    )
    return Chart(
        "waterfall", f"From reported to supported mass: {summary}.", WIDTH, bottom + 24, tuple(marks)
    )


def _torn(x: float, y: float) -> Shape:
    """A white zigzag across a bar whose start the axis leaves out."""
    edge = [(x + (2.0 if step % 2 else -2.0), y - 1 + step * 3.0) for step in range(6)]
    return Shape((*edge, *((ex + 3.0, ey) for ex, ey in reversed(edge))), "paper")


def coverage(machines: tuple[MachineLine, ...], threshold_ppm: int | None) -> Chart | None:
    """Heartbeats seen of those due, a bar a machine, lowest first if not all fit; None without any machine.

    Args:
        machines: as the report has them.
        threshold_ppm: the coverage that the report's parameters ask for, if they do.
    """
    if not machines:
        return None
    rows = machines
    if len(rows) > MOST_ROWS:
        lowest = sorted(rows, key=lambda one: (one.coverage_ppm is None, one.coverage_ppm or 0, one.machine))
        rows = tuple(lowest[:MOST_ROWS])
    scale = _Scale(0, 100, 112, WIDTH - 46)
    top, pitch = 14.0, 10.5
    bottom = top + pitch * len(rows) + 2
    marks: list[Mark] = [*scale.axis(top, bottom, "% of the heartbeats due")]
    below = 0
    for index, one in enumerate(rows):
        y = top + 2.5 + index * pitch
        marks.append(Label(106, y + 6, clipped(one.machine, 16).partition(" (")[0], "end"))
        if one.coverage_ppm is None:
            marks.append(Label(scale.left + 4, y + 6, "no heartbeat due", ink="muted"))
            continue
        low = threshold_ppm is not None and one.coverage_ppm < threshold_ppm
        below += low
        end = scale.x(one.coverage_ppm / 10_000)
        bar = Box(scale.left, y, max(end - scale.left, 0.75), 7, "paper" if low else "pale", "accent")
        marks += hatched(bar, "accent") if low else [bar]
        marks.append(Label(scale.right + 5, y + 6, percent(one.coverage_ppm), bold=low))
    if threshold_ppm is not None:
        x = scale.x(threshold_ppm / 10_000)
        marks.append(Lines(((x, top - 3, x, bottom),), "bad", 1.2))
        marks.append(Label(x, 8, f"required {percent(threshold_ppm)}", "end", "bad"))
    summary = f"Heartbeat coverage of {count(len(rows), 'machine')}"
    summary += f", {below:,} below the required part (hatched)." if threshold_ppm is not None else "."
    if len(rows) < len(machines):
        summary += f" The lowest of {len(machines):,} are drawn."
    return Chart("coverage", summary, WIDTH, bottom + 24, tuple(marks))


def lot_differences(lots: tuple[LotLine, ...]) -> Chart | None:
    """Recorded minus ticket for each lot, within its band of tolerance; None without any lot."""
    if not lots:
        return None
    rows = lots
    if len(rows) > MOST_ROWS:
        largest = sorted(rows, key=lambda one: (-_against_tolerance(one), one.lot))[:MOST_ROWS]
        rows = tuple(one for one in lots if one in largest)
    most = max(max(abs(one.difference_mg), one.tolerance_mg) for one in rows) / 1e6 * 1.12 or 1.0
    scale = _Scale(-most, most, 112, WIDTH - 60)
    top, pitch = 6.0, 12.0
    bottom = top + pitch * len(rows) + 2
    marks: list[Mark] = [*scale.axis(top, bottom, "kg, recorded minus ticket")]
    zero = scale.x(0)
    for index, one in enumerate(rows):
        middle = top + 7 + index * pitch
        band = one.tolerance_mg / 1e6
        marks.append(Box(scale.x(-band), middle - 4, scale.x(band) - scale.x(-band), 8, "band"))
        x = scale.x(one.difference_mg / 1e6)
        marks.append(Lines(((zero, middle, x, middle),), "accent", 1.0))
        passed = one.status == "PASSED"
        marks.append(Dot(x, middle, 2.6, "accent") if passed else _diamond(x, middle))
        marks.append(Label(106, middle + 2.5, clipped(one.lot, 16).partition(" (")[0], "end"))
        figure = signed(kg(one.difference_mg))
        marks.append(Label(WIDTH, middle + 2.5, figure, "end", "ink" if passed else "bad", bold=not passed))
    marks.append(Lines(((zero, top, zero, bottom),), "ink", 0.75))
    outside = sum(one.status != "PASSED" for one in rows)
    summary = (
        f"Difference of {count(len(rows), 'lot')} from the scale tickets; {outside:,} outside the tolerance "
        "(diamonds), the grey bands."
    )
    if len(rows) < len(lots):
        summary += f" Of {len(lots):,} lots, those with the largest differences are drawn."
    return Chart("lots", summary, WIDTH, bottom + 24, tuple(marks))


def _against_tolerance(lot: LotLine) -> Decimal:
    return Decimal(abs(lot.difference_mg)) / Decimal(max(lot.tolerance_mg, 1))


def _diamond(x: float, y: float) -> Shape:
    return Shape(((x - 4.2, y), (x, y - 4.2), (x + 4.2, y), (x, y + 4.2)), "bad", "bad")
