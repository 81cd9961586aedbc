"""Each prediction has its deposit."""

from __future__ import annotations

from audit.invariants.rule import Asked, Row, Rule, Verdict, failing, plural, sql_beside


def _judge(asked: Asked) -> Verdict:
    found = asked.answer.exceptions
    return failing(
        asked,
        asked.counted.predictions,
        "Every prediction belongs to a deposit.",
        f"{plural(found, 'prediction has', 'predictions have')} no deposit, which was probably lost.",
        "REVIEW_REQUIRED",
    )


def _detail(row: Row) -> str:
    return f"predicted {row['predicted']}, but no deposit of this transaction is on record"


RULE = Rule(
    name="no_orphan_prediction",
    title="Each prediction has its deposit",
    assertion="completeness",
    says="A prediction whose transaction is on record nowhere points to a deposit that was not reported.",
    judge=_judge,
    detail=_detail,
    order=40,
    sql=sql_beside(__file__),
)
