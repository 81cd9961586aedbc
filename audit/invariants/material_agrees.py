"""Declared and accepted material agree."""

from __future__ import annotations

from audit.invariants.rule import Asked, Row, Rule, Verdict, failing, plural, sql_beside


def _judge(asked: Asked) -> Verdict:
    found = asked.answer.exceptions
    return failing(
        asked,
        asked.counted.transactions,
        "Every deposit was declared as what it was recognised as.",
        f"{plural(found, 'deposit was', 'deposits were')} declared as one material and recognised "
        "as another: the total "
        "mass stays, but its CO2e does not.",
    )


def _detail(row: Row) -> str:
    return f"declared {row['material'] or 'nothing'}, recognised as {row['counter_material'] or 'nothing'}"


RULE = Rule(
    name="material_agrees",
    title="Declared and accepted material agree",
    assertion="classification",
    says="The declared material is the predicted one, or one that the predicted class stands for; "
    "a human's decision comes before the prediction.",
    judge=_judge,
    detail=_detail,
    order=50,
    sql=sql_beside(__file__),
)
