"""Masses are possible."""

from __future__ import annotations

from audit.invariants.rule import Asked, Row, Rule, Verdict, clauses, failing, grams, plural, sql_beside


def _judge(asked: Asked) -> Verdict:
    implausible, unbalanced = asked.answer.sums["implausible"], asked.answer.sums["unbalanced"]
    return failing(
        asked,
        asked.counted.deposits,
        "Every mass is one that its items can have, and net is gross minus tare.",
        clauses(
            (implausible, plural(implausible, "mass is", "masses are") + " none that the items can have"),
            (unbalanced, plural(unbalanced, "mass is", "masses are") + " not gross minus tare"),
        ),
    )


def _detail(row: Row) -> str:
    if row["unbalanced"]:
        return f"net {grams(row['mass_mg'])} is not gross minus tare"
    return f"{grams(row['mass_mg'])} for {row['item_count']} of {row['material']}"


RULE = Rule(
    name="mass_plausible",
    title="Masses are plausible",
    assertion="accuracy",
    says="A deposit weighs what so many items of its material can weigh, and no more than a thousand of them "
    "can; net is gross minus tare.",
    judge=_judge,
    detail=_detail,
    summed=("implausible", "unbalanced"),
    order=100,
    sql=sql_beside(__file__),
)
