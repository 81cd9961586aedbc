"""What a PDF page is put together from: wrapped text, cells, section heads, charts.

Text is drawn as it is, never as reportlab's paragraph markup, which can name files.  Widths and heights
are points.
"""

from __future__ import annotations

from typing import Final

from reportlab.lib.colors import Color, HexColor  # type: ignore[import-untyped]
from reportlab.lib.units import mm  # type: ignore[import-untyped]
from reportlab.pdfbase.pdfmetrics import stringWidth  # type: ignore[import-untyped]
from reportlab.pdfgen.canvas import Canvas  # type: ignore[import-untyped]
from reportlab.platypus import (  # type: ignore[import-untyped]
    Flowable,
)

from audit.reporting.blocks import (
    Cell,
    Tone,
)
from audit.reporting.marks import INKS, Box, Chart, Dot, Ink, Label, Lines, Mark, Shape

COLOURS: Final[dict[Ink, Color]] = {name: HexColor(value) for name, value in INKS.items()}
INK, MUTED, RULE, ACCENT, BAD, PAPER = (
    COLOURS[name] for name in ("ink", "muted", "rule", "accent", "bad", "paper")
)
TONES: Final[dict[Tone, Color]] = {
    "": ACCENT,
    "good": HexColor("#1d5c3f"),
    "warn": HexColor("#7a4b00"),
    "bad": BAD,
    "muted": MUTED,
}
PLAIN, BOLD, ITALIC, CODE = "Helvetica", "Helvetica-Bold", "Helvetica-Oblique", "Courier"
_ZEROS: Final = {"0", "0.0", "0.000"}


class Typeface:
    """Brings text into the characters of the built-in fonts, and remembers whether one was replaced."""

    def __init__(self) -> None:
        self.replaced = False

    def printable(self, text: str) -> str:
        """The text in Windows-1252; a minus sign becomes a dash, which has its shape."""
        text = text.replace("\N{MINUS SIGN}", "\N{EN DASH}")
        try:
            text.encode("cp1252")
        except UnicodeEncodeError:
            return "".join(map(self._character, text))
        return text

    def _character(self, char: str) -> str:
        try:
            char.encode("cp1252")
        except UnicodeEncodeError:
            self.replaced = True
            return f"\u2039{ord(char):04X}\u203a"
        return char


def broken_lines(text: str, font: str, size: float, width: float) -> list[str]:
    """The text in lines that fit: broken at spaces, after underscores, in words only if they are too long."""
    if stringWidth(text, font, size) <= width:
        return [text]
    lines: list[str] = []
    line = ""
    for word in text.replace("_", "_\0").replace(" ", " \0").split("\0"):
        if stringWidth((line + word).rstrip(), font, size) <= width:
            line += word
            continue
        if line:
            lines.append(line.rstrip())
        while stringWidth(word.rstrip(), font, size) > width and len(word) > 1:
            fits = _fitting(word, font, size, width)
            lines.append(word[:fits])
            word = word[fits:]  # noqa: PLW2901 - what is left of it
        line = word
    return [*lines, line.rstrip()] if line.strip() or not lines else lines


def _fitting(word: str, font: str, size: float, width: float) -> int:
    used = 0.0
    for index, char in enumerate(word):
        used += stringWidth(char, font, size)
        if used > width:
            return max(index, 1)
    return len(word)


class Words(Flowable):  # type: ignore[misc]
    """Text in one font, wrapped; splits between lines; ``bar``: a coloured bar at its left."""

    def __init__(
        self,
        text: str,
        *,
        font: str = PLAIN,
        size: float = 9,
        colour: Color = INK,
        after: float = 2 * mm,
        bar: Color | None = None,
        fill: Color | None = None,
        lines: list[str] | None = None,
    ) -> None:
        super().__init__()
        self._text, self._font, self._size, self._colour = text, font, size, colour
        self._after, self._bar, self._fill = after, bar, fill
        self._lines = lines
        self._fixed = lines is not None

    @property
    def _leading(self) -> float:
        return self._size * 1.32

    @property
    def _indent(self) -> float:
        return 5 * mm if self._bar or self._fill else 0

    def wrap(self, width: float, height: float) -> tuple[float, float]:  # noqa: ARG002 - reportlab's
        """Width and height."""
        if not self._fixed:
            room = width - self._indent * (2 if self._fill else 1)
            self._lines = broken_lines(self._text, self._font, self._size, room)
        self.width = width
        padding = 6 * mm if self._fill else 0
        self.height = len(self._lines or ()) * self._leading + self._after + padding
        return width, self.height

    def split(self, width: float, height: float) -> list[Flowable]:
        """The lines that fit, and the others; nothing if less than a line fits."""
        self.wrap(width, height)
        fit = int(height // self._leading) - 1
        lines = self._lines or []
        if fit < 1 or fit >= len(lines) or self._fill:
            return []
        return [self._part(lines[:fit], 0), self._part(lines[fit:], self._after)]

    def _part(self, lines: list[str], after: float) -> Words:
        return Words(
            "", font=self._font, size=self._size, colour=self._colour, after=after, bar=self._bar, lines=lines
        )

    def draw(self) -> None:
        """Draws it on the canvas that reportlab has set."""
        canvas = self.canv
        if self._fill:
            canvas.setFillColor(self._fill)
            canvas.rect(0, self._after, self.width, self.height - self._after, stroke=0, fill=1)
        if self._bar:
            canvas.setFillColor(self._bar)
            canvas.rect(0, 0, 1.3 * mm, self.height, stroke=0, fill=1)
        canvas.setFillColor(self._colour)
        canvas.setFont(self._font, self._size)
        y = self.height - self._size - (3 * mm if self._fill else 0)
        for line in self._lines or ():
            canvas.drawString(self._indent, y, line)
            y -= self._leading


class SectionHead(Flowable):  # type: ignore[misc]
    """A section's number and title, with its entry in the outline."""

    def __init__(self, number: int, title: str, key: str) -> None:
        super().__init__()
        self._number, self._title, self._key = number, title, key

    def wrap(self, width: float, height: float) -> tuple[float, float]:  # noqa: ARG002 - reportlab's
        """Width and height."""
        self.width, self.height = width, 11 * mm
        return width, self.height

    def draw(self) -> None:
        """Draws it on the canvas that reportlab has set."""
        canvas = self.canv
        canvas.bookmarkPage(self._key)
        canvas.addOutlineEntry(f"{self._number} {self._title}", self._key, 0)
        canvas.setFont(PLAIN, 14)
        canvas.setFillColor(ACCENT)
        canvas.drawString(0, 4.5 * mm, str(self._number))
        canvas.setFont(BOLD, 14)
        canvas.setFillColor(INK)
        canvas.drawString(9 * mm, 4.5 * mm, self._title)


class CellWords(Flowable):  # type: ignore[misc]
    """What stands in a cell: text, or a word in a box, and a smaller line below it."""

    def __init__(
        self,
        cell: Cell,
        *,
        font: str,
        size: float,
        right: bool,
        colour: Color = INK,
        head: bool = False,
        sub_font: str = PLAIN,
    ) -> None:
        super().__init__()
        self._cell, self._font, self._size, self._right = cell, font, size, right
        self._colour, self._sub_font = colour, sub_font
        self._sub_size = size * 0.86
        self._head = head
        self._boxed = bool(cell.tone) and cell.tone != "muted"
        self._lines: list[str] = []
        self._subs: list[str] = []

    def wrap(self, width: float, height: float) -> tuple[float, float]:  # noqa: ARG002 - reportlab's
        """Width and height."""
        self.width = width
        cell = self._cell
        self._lines = [cell.text] if self._boxed else broken_lines(cell.text, self._font, self._size, width)
        self._subs = broken_lines(cell.sub, self._sub_font, self._sub_size, width) if cell.sub else []
        self.height = len(self._lines) * self._size * 1.28 + len(self._subs) * self._sub_size * 1.28
        self.height += 2 if self._boxed else 0
        return width, self.height

    def draw(self) -> None:
        """Draws it on the canvas that reportlab has set."""
        y = self.height - self._size
        if self._boxed:
            self._box(y - 1)
            y -= self._size * 1.28 + 2
        else:
            muted = self._cell.tone == "muted" or (self._cell.text in _ZEROS and not self._head)
            font = ITALIC if self._cell.tone == "muted" else self._font
            y = self._draw(self._lines, font, self._size, MUTED if muted else self._colour, y)
        if self._subs:
            self._draw(self._subs, self._sub_font, self._sub_size, MUTED, y + self._size - self._sub_size)

    def _draw(self, lines: list[str], font: str, size: float, colour: Color, y: float) -> float:
        canvas = self.canv
        canvas.setFont(font, size)
        canvas.setFillColor(colour)
        for line in lines:
            if self._right:
                canvas.drawRightString(self.width, y, line)
            else:
                canvas.drawString(0, y, line)
            y -= size * 1.28
        return y

    def _box(self, y: float) -> None:
        """Good: outlined; to review: dashed; bad: full.  So they differ without colour; the word says it."""
        canvas, text, colour = self.canv, self._cell.text, TONES[self._cell.tone]
        size = self._size * 0.95
        width = stringWidth(text, BOLD, size) + 7
        left = self.width - width if self._right else 0
        canvas.saveState()
        canvas.setStrokeColor(colour)
        canvas.setFillColor(colour if self._cell.tone == "bad" else PAPER)
        canvas.setLineWidth(0.7)
        if self._cell.tone == "warn":
            canvas.setDash(2, 1.2)
        canvas.roundRect(left, y - 2, width, size + 3, 1, stroke=1, fill=1)
        canvas.restoreState()
        canvas.setFillColor(PAPER if self._cell.tone == "bad" else colour)
        canvas.setFont(BOLD, size)
        canvas.drawString(left + 3.5, y + 0.6, text)


class Drawing(Flowable):  # type: ignore[misc]
    """A chart, as wide as there is room, up to its own width times 1.05."""

    def __init__(self, chart: Chart, typeface: Typeface) -> None:
        super().__init__()
        self._chart = chart
        self._texts = {mark: typeface.printable(mark.text) for mark in chart.marks if isinstance(mark, Label)}
        self._scale = 1.0

    def wrap(self, width: float, height: float) -> tuple[float, float]:
        """Width and height."""
        self._scale = min(width / self._chart.width, 1.05, max(height, 60 * mm) / (self._chart.height + 6))
        self.width, self.height = width, self._chart.height * self._scale + 6
        return self.width, self.height

    def draw(self) -> None:
        """Draws it on the canvas that reportlab has set."""
        canvas = self.canv
        canvas.saveState()
        canvas.translate(0, self.height - 3)
        canvas.scale(self._scale, self._scale)
        for mark in self._chart.marks:
            self._mark(canvas, mark)
        canvas.restoreState()

    def _mark(self, canvas: Canvas, mark: Mark) -> None:
        if isinstance(mark, Box):
            _pen(canvas, mark.fill, mark.outline)
            canvas.rect(
                mark.x, -mark.y - mark.height, mark.width, mark.height, stroke=bool(mark.outline), fill=1
            )
        elif isinstance(mark, Lines):
            canvas.setStrokeColor(COLOURS[mark.ink])
            canvas.setLineWidth(mark.width)
            canvas.setDash(*((mark.dash, mark.dash) if mark.dash else ()))
            canvas.lines([(x1, -y1, x2, -y2) for x1, y1, x2, y2 in mark.segments])
            canvas.setDash()
        elif isinstance(mark, Shape):
            _pen(canvas, mark.fill, mark.outline)
            path = canvas.beginPath()
            path.moveTo(mark.points[0][0], -mark.points[0][1])
            for x, y in mark.points[1:]:
                path.lineTo(x, -y)
            path.close()
            canvas.drawPath(path, stroke=bool(mark.outline), fill=1)
        elif isinstance(mark, Dot):
            canvas.setFillColor(COLOURS[mark.fill])
            canvas.circle(mark.x, -mark.y, mark.radius, stroke=0, fill=1)
        else:
            canvas.setFillColor(COLOURS[mark.ink])
            canvas.setFont(BOLD if mark.bold else PLAIN, mark.size)
            draw = {
                "start": canvas.drawString,
                "middle": canvas.drawCentredString,
                "end": canvas.drawRightString,
            }
            draw[mark.anchor](mark.x, -mark.y, self._texts[mark])


def _pen(canvas: Canvas, fill: Ink, outline: Ink | None) -> None:
    canvas.setFillColor(COLOURS[fill])
    if outline:
        canvas.setStrokeColor(COLOURS[outline])
        canvas.setLineWidth(0.75)
