"""Models were approved when they predicted."""

from __future__ import annotations

from audit.invariants.rule import Asked, Row, Rule, Verdict, failing, plural, sql_beside


def _judge(asked: Asked) -> Verdict:
    found = asked.answer.sums["unapproved"]
    return failing(
        asked,
        asked.counted.predictions,
        "Every prediction comes from a version that somebody other than its trainer had approved.",
        f"{plural(found, 'prediction comes', 'predictions come')} from a version without an "
        "approval in force.",
    )


def _detail(row: Row) -> str:
    return f"{row['unapproved']:,} of {row['predictions']:,} predictions without an approval in force"


RULE = Rule(
    name="model_approved",
    title="Model versions were approved when they predicted",
    assertion="accuracy",
    says="At the time that an answer states, or when it was recorded, an approval of that very version, by "
    "somebody other than its trainer, was in force.",
    judge=_judge,
    detail=_detail,
    summed=("unapproved", "predictions"),
    order=150,
    sql=sql_beside(__file__),
)
