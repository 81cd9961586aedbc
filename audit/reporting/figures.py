"""How figures and foreign text are shown to people, the same in HTML, PDF and charts.

Display rounds half to even; nothing is computed from what is shown.  Units stand in table heads, so that the
functions give bare numbers unless their name says otherwise.
"""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

from audit.reporting.as_json import decimal_text
from audit.reporting.model import Opinion, Position, Status

_EXACT: Final = Context(prec=4000, rounding=ROUND_HALF_EVEN)
"""Wide enough that no sum of milligrams is ever rounded by the context instead of by ``grouped``."""
NONE: Final = "\N{EM DASH}"
"""Stands where there is no figure, for instance CO2e of a material without a factor."""
LONGEST: Final = 96
"""Characters of a name or a reason that a table shows."""

STATUS_WORDS: Final[dict[Status, str]] = {
    "PASSED": "Passed",
    "FAILED": "Failed",
    "REVIEW_REQUIRED": "Review",
}
OPINION_WORDS: Final[dict[Opinion, str]] = {
    "no_material_misstatement": "The reported figure holds within its materiality.",
    "review_required": "The reported figure needs review before anyone relies on it.",
    "material_misstatement": "The reported figure is materially misstated.",
    "no_conclusion": "No conclusion can be drawn.",
}
CLASS_WORDS: Final = {
    "matched": "Matched",
    "material_mismatch": "Material mismatch",
    "low_confidence": "Low confidence",
    "missing_prediction": "Missing prediction",
    "orphan_prediction": "Orphan prediction",
    "duplicate": "Duplicate",
    "conflict": "Conflict",
    "lost": "Lost",
    "late": "Late",
    "out_of_period": "Out of period",
}


def class_words(name: str) -> str:
    """The class's name for people; an unknown one as it is."""
    return CLASS_WORDS.get(name) or name.replace("_", " ")


def grouped(value: Decimal | int, places: int = 0) -> str:
    """A number with thousands separators, a true minus sign and ``places`` decimals."""
    rounded = Decimal(value).quantize(Decimal(1).scaleb(-places), context=_EXACT)
    text = format(abs(rounded), ",f")
    return f"\N{MINUS SIGN}{text}" if rounded < 0 else text


def exact(value: Decimal) -> str:
    """A Decimal with thousands separators and every digit that it has."""
    text = decimal_text(value)
    whole, point, fraction = text.removeprefix("-").partition(".")
    sign = "\N{MINUS SIGN}" if text.startswith("-") else ""
    return f"{sign}{int(whole):,}{point}{fraction}"


def signed(text: str) -> str:
    """A figure with its sign even if it is positive; zero has none."""
    return text if text[0] in "\N{MINUS SIGN}\N{EM DASH}" or not text.strip("0.,") else f"+{text}"


def kg(mg: int) -> str:
    """Milligrams as kilograms, to the gram."""
    return grouped(Decimal(mg).scaleb(-6, _EXACT), 3)


def tonnes(mg: int) -> str:
    """Milligrams as metric tons, to the kilogram."""
    return grouped(Decimal(mg).scaleb(-9, _EXACT), 3)


def grams(mg: int) -> str:
    """Milligrams as grams, to a tenth."""
    return grouped(Decimal(mg).scaleb(-3, _EXACT), 1)


def co2e_kg(g: Decimal | None) -> str:
    """Grams of CO2e as kilograms, to the gram; a dash where there is no factor."""
    return NONE if g is None else grouped(g.scaleb(-3, _EXACT), 3)


def co2e_t(g: Decimal | None) -> str:
    """Grams of CO2e as metric tons, to the kilogram; a dash where there is no factor."""
    return NONE if g is None else grouped(g.scaleb(-6, _EXACT), 3)


def co2e_g(g: Decimal | None) -> str:
    """Grams of CO2e, to a tenth; a dash where there is no factor."""
    return NONE if g is None else grouped(g, 1)


def percent(ppm: int) -> str:
    """Parts per million as per cent, with the sign."""
    return f"{grouped(Decimal(ppm).scaleb(-4, _EXACT), 2)} %"


def part(mg: int, whole_mg: int) -> str:
    """What part of ``whole_mg`` it is, in per cent; a dash of nothing."""
    return NONE if whole_mg == 0 else percent(round(Decimal(mg) * 1_000_000 / Decimal(whole_mg)))


def day(moment: datetime) -> str:
    """``1 March 2026``; with the time if it isn't midnight UTC."""
    utc = moment.astimezone(UTC)
    months = "January February March April May June July August September October November December"
    date = f"{utc.day} {months.split()[utc.month - 1]} {utc.year}"
    clock = utc.replace(tzinfo=None).isoformat(sep=" ")[11:]
    return date if clock == "00:00:00" else f"{date}, {clock} UTC"


def period(first: datetime, end: datetime) -> str:
    """From the first to the last day of a period whose end is not in it."""
    last = day(end - timedelta(days=1))
    return f"{day(first)} to {day(end) if ':' in last else last}"


def count(number: int, one: str, many: str | None = None) -> str:
    """``1 row``, ``2 rows``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def place(position: Position) -> str:
    """Where a row lies: stream, chain and number."""
    return f"{position.stream} {position.chain} #{position.seq}"


def shown(text: str) -> str:
    """Foreign text with what steers a display made visible: U+202E becomes its number in angle quotes.

    Controls, directional overrides, zero-width marks and halves of surrogate pairs could make one machine's
    name look like another's.  White space becomes single spaces.
    """
    if text.isprintable():
        return text
    visible = "".join(
        " " if char in "\t\n\r" else f"\u2039{ord(char):04X}\u203a" if _steers(char) else char
        for char in text
    )
    return " ".join(visible.split())


def _steers(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def clipped(text: str, longest: int = LONGEST) -> str:
    """``shown`` text, its middle left out if it is long, and how long it is: the ends tell names apart."""
    visible = shown(text)
    if len(visible) <= longest:
        return visible
    head, tail = longest * 2 // 3, longest // 4
    return f"{visible[:head]} \N{HORIZONTAL ELLIPSIS} {visible[-tail:]} ({len(text):,} characters)"
