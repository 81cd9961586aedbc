"""Unsure predictions were reviewed."""

from __future__ import annotations

from audit.invariants.rule import Asked, Row, Rule, Verdict, failing, plural, sql_beside


def _judge(asked: Asked) -> Verdict:
    found = asked.answer.exceptions
    return failing(
        asked,
        asked.counted.predictions,
        "Every unsure prediction was decided by a human.",
        f"{plural(found, 'deposit rests', 'deposits rest')} on a prediction that was unsure and "
        "that nobody confirmed.",
        "REVIEW_REQUIRED",
    )


def _detail(row: Row) -> str:
    if row["decision"] == "rejected":
        return "a human rejected it"
    return f"confidence {row['confidence']:.2f} and no review"


RULE = Rule(
    name="confidence_sufficient",
    title="Unsure predictions were reviewed",
    assertion="accuracy",
    says="A prediction below its threshold counts only once a human confirmed or corrected it.",
    judge=_judge,
    detail=_detail,
    order=60,
    sql=sql_beside(__file__),
)
