"""What a rule is: a question to the evidence, in SQL, and what its answer means.

The SQL gives a row for each offender, with at least these columns:

    subject           what is wrong, in the reader's words: a transaction, a machine, a lot, a version
    stream, chain, seq  the ledger row to look at (NULL where there is none)
    material, effect_mg           reported minus supported mass of this material, milligrams
    counter_material, counter_mg  the same of a second material (NULL, 0: none)
    weight            how much it matters, for the order of the worst

Everything else that it selects is the rule's own, for its sentences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from audit.reporting.model import Assertion, LedgerState, Status

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Counted:
    """How much there was to look at in the period."""

    deposits: int = 0
    predictions: int = 0
    transactions: int = 0
    machines: int = 0
    lots: int = 0
    versions: int = 0
    heartbeats: int = 0
    temperatures: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a rule's SQL gave: how many offenders, their summed effect by material, and the worst ten.

    ``sums`` are the rule's own figures: the sum of each column that it names in ``summed``.
    """

    exceptions: int
    effects: Mapping[str, int] = field(default_factory=dict)
    worst: tuple[Row, ...] = ()
    sums: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a rule judges by."""

    answer: Answer
    counted: Counted
    ledger: LedgerState


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule says."""

    status: Status
    checked: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One invariant.

    Args:
        name: identifier; its SQL, if it has any, is the file of that name beside its module.
        title: what holds if it is passed.
        assertion: which of the auditor's assertions it serves.
        says: the rule in a sentence, with its thresholds.
        judge: from the answer to the verdict.
        detail: a worst offender in words.
        summed: further columns that ``judge`` wants summed up.
        order: where it stands in the report.
        sql: the published text; empty if the rule is not answered by SQL.
    """

    name: str
    title: str
    assertion: Assertion
    says: str
    judge: Callable[[Asked], Verdict]
    detail: Callable[[Row], str] = field(default=lambda _row: "")
    summed: tuple[str, ...] = ()
    order: int = 100
    sql: str = ""


@cache
def sql_beside(module_file: str) -> str:
    """The SQL that lies beside a rule's module."""
    return Path(module_file).with_suffix(".sql").read_text(encoding="utf-8")


def failing(asked: Asked, checked: int, good: str, bad: str, status: Status = "FAILED") -> Verdict:
    """PASSED with the sentence ``good`` if nothing was found, else ``status`` with ``bad``."""
    if asked.answer.exceptions == 0:
        return Verdict("PASSED", checked, good)
    return Verdict(status, checked, bad)


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def grams(mg: int) -> str:
    """A mass in words, with one decimal."""
    tenths = (abs(mg) + 50) // 100
    sign = "-" if mg < 0 and tenths else ""
    return f"{sign}{tenths // 10:,}.{tenths % 10} g"


def clauses(*parts: tuple[int, str]) -> str:
    """The clauses that have something to say, as a sentence."""
    said = "; ".join(clause for count, clause in parts if count)
    return f"{said[:1].upper()}{said[1:]}."
