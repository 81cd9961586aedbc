"""A measured figure and the bound that it is held against."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured, its bound (None: it has none) and how it came about."""

    name: str
    value: float
    unit: str
    bound: float | None = None
    sense: Literal["at least", "at most"] = "at least"
    detail: str = ""

    @property
    def good(self) -> bool:
        """Within its bound."""
        if self.bound is None:
            return True
        return self.value >= self.bound if self.sense == "at least" else self.value <= self.bound

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {**asdict(self), "good": self.good}


def shown(value: float, unit: str) -> str:
    """A figure as a reader wants it: thousands apart, no false precision."""
    number = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}".rstrip("0").rstrip(".")
    return f"{number} {unit}".strip()


def table(figures: Iterable[Figure]) -> Table:
    """The figures for a terminal."""
    result = Table(title="Tally on this machine", title_justify="left")
    for column, justify in (("measure", "left"), ("result", "right"), ("bound", "right"), ("", "left")):
        result.add_column(column, justify="right" if justify == "right" else "left")
    result.add_column("how", overflow="fold")
    for figure in figures:
        bound = "" if figure.bound is None else f"{figure.sense} {shown(figure.bound, figure.unit)}"
        verdict = "" if figure.bound is None else ("[green]good[/]" if figure.good else "[red]missed[/]")
        result.add_row(figure.name, shown(figure.value, figure.unit), bound, verdict, figure.detail)
    return result
