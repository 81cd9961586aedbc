"""What is in the period belongs to it."""

from __future__ import annotations

from audit.invariants.rule import Asked, Row, Rule, Verdict, clauses, failing, plural, sql_beside


def _judge(asked: Asked) -> Verdict:
    sums = asked.answer.sums
    early, after, elsewhere = sums["claimed_early"], sums["arrived_after"], sums["elsewhere"]
    return failing(
        asked,
        asked.counted.deposits,
        "No deposit crosses the borders of the period.",
        clauses(
            (early, plural(early, "deposit claims", "deposits claim") + " the period but arrived before it"),
            (after, plural(after, "deposit") + " of the period arrived after its end"),
            (elsewhere, plural(elsewhere, "deposit") + " arrived in the period and belongs to another"),
        ),
        "FAILED" if early else "REVIEW_REQUIRED",
    )


def _detail(row: Row) -> str:
    if row["claimed_early"]:
        return "claims the period, but arrived before it began"
    if row["arrived_after"]:
        return "of the period, but arrived after its end"
    return "arrived in the period, but claims another"


RULE = Rule(
    name="cut_off",
    title="Deposits are in the period they belong to",
    assertion="cut-off",
    says="A deposit belongs to the period of its event.  One that arrived before the period it "
    "claims, or whose arrival and event lie on two sides of a border, is named.",
    judge=_judge,
    detail=_detail,
    summed=("claimed_early", "arrived_after", "elsewhere"),
    order=90,
    sql=sql_beside(__file__),
)
