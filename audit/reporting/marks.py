"""The primitives that a chart is made of, which SVG draws here and PDF in ``pdf_parts``.

Coordinates are points in a box of ``width`` by ``height``, y downwards; a colour is a name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from markupsafe import Markup, escape

Ink = Literal["ink", "muted", "rule", "band", "accent", "pale", "bad", "paper"]
INKS: Final[dict[Ink, str]] = {
    "ink": "#1b2327",
    "muted": "#5c686e",
    "rule": "#d3d9dc",
    "band": "#e6eaec",
    "accent": "#0f5468",
    "pale": "#bdd3da",
    "bad": "#a5311f",
    "paper": "#ffffff",
}
SMALL: Final = 7.5


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle; ``outline`` is drawn if it is given."""

    x: float
    y: float
    width: float
    height: float
    fill: Ink
    outline: Ink | None = None


@dataclass(frozen=True, slots=True)
class Lines:
    """Segments x1, y1, x2, y2 of one pen; ``dash``: on and off lengths are this."""

    segments: tuple[tuple[float, float, float, float], ...]
    ink: Ink
    width: float
    dash: float = 0.0


@dataclass(frozen=True, slots=True)
class Shape:
    """A filled polygon."""

    points: tuple[tuple[float, float], ...]
    fill: Ink
    outline: Ink | None = None


@dataclass(frozen=True, slots=True)
class Dot:
    """A disc."""

    x: float
    y: float
    radius: float
    fill: Ink


@dataclass(frozen=True, slots=True)
class Label:
    """A line of text, its baseline at y."""

    x: float
    y: float
    text: str
    anchor: Literal["start", "middle", "end"] = "start"
    ink: Ink = "ink"
    size: float = SMALL
    bold: bool = False


Mark = Box | Lines | Shape | Dot | Label


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing with the sentence that says the same in words."""

    name: str
    summary: str
    width: float
    height: float
    marks: tuple[Mark, ...]


def to_svg(chart: Chart) -> Markup:
    """The chart as an inline ``<svg>``: presentation attributes only, so that no style policy stops it."""
    body = Markup("").join(_svg(mark) for mark in chart.marks)
    return Markup(
        '<svg class="chart" role="img" viewBox="0 0 {} {}" aria-label="{}" font-size="{}">{}</svg>'
    ).format(_number(chart.width), _number(chart.height), chart.summary, SMALL, body)


def _svg(mark: Mark) -> Markup:
    if isinstance(mark, Box):
        return Markup('<rect x="{}" y="{}" width="{}" height="{}" fill="{}"{}/>').format(
            *map(_number, (mark.x, mark.y, mark.width, mark.height)), INKS[mark.fill], _outline(mark.outline)
        )
    if isinstance(mark, Lines):
        path = "".join("M{} {}L{} {}".format(*map(_number, segment)) for segment in mark.segments)
        dash = Markup(' stroke-dasharray="{}"').format(_number(mark.dash)) if mark.dash else ""
        return Markup('<path d="{}" fill="none" stroke="{}" stroke-width="{}"{}/>').format(
            path, INKS[mark.ink], _number(mark.width), dash
        )
    if isinstance(mark, Shape):
        points = " ".join(f"{_number(x)},{_number(y)}" for x, y in mark.points)
        return Markup('<polygon points="{}" fill="{}"{}/>').format(
            points, INKS[mark.fill], _outline(mark.outline)
        )
    if isinstance(mark, Dot):
        return Markup('<circle cx="{}" cy="{}" r="{}" fill="{}"/>').format(
            *map(_number, (mark.x, mark.y, mark.radius)), INKS[mark.fill]
        )
    bold = Markup(' font-weight="600"') if mark.bold else ""
    size = Markup(' font-size="{}"').format(_number(mark.size)) if mark.size != SMALL else ""
    return Markup('<text x="{}" y="{}" text-anchor="{}" fill="{}"{}{}>{}</text>').format(
        _number(mark.x), _number(mark.y), mark.anchor, INKS[mark.ink], bold, size, escape(mark.text)
    )


def _outline(ink: Ink | None) -> Markup:
    return Markup(' stroke="{}" stroke-width="0.75"').format(INKS[ink]) if ink else Markup("")


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def hatched(box: Box, ink: Ink) -> Iterator[Mark]:
    """The box with diagonal lines over it, cut at its edges."""
    yield box
    right, bottom = box.x + box.width, box.y + box.height
    segments = []
    total = box.x + box.y + 3.5
    while total < right + bottom:
        left_end, right_end = max(box.x, total - bottom), min(right, total - box.y)
        segments.append((left_end, total - left_end, right_end, total - right_end))
        total += 3.5
    if segments:
        yield Lines(tuple(segments), ink, 0.6)
