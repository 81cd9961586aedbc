"""Each deposit has one prediction."""

from __future__ import annotations

from audit.invariants.rule import Asked, Row, Rule, Verdict, clauses, failing, plural, sql_beside


def _judge(asked: Asked) -> Verdict:
    missing, extra = asked.answer.sums["missing"], asked.answer.sums["extra"]
    return failing(
        asked,
        asked.counted.transactions,
        "Every deposit has exactly one prediction.",
        clauses(
            (missing, plural(missing, "deposit rests", "deposits rest") + " on the machine's word alone"),
            (extra, plural(extra, "prediction comes", "predictions come") + " after a first one"),
        ),
        "REVIEW_REQUIRED",
    )


def _detail(row: Row) -> str:
    return (
        "no prediction names this transaction"
        if row["missing"]
        else "a second prediction of this transaction"
    )


RULE = Rule(
    name="one_prediction",
    title="Each deposit has exactly one prediction",
    assertion="occurrence",
    says="Every deposit needs one prediction for its transaction.  A deposit without is not "
    "supported; of several the earliest counts.",
    judge=_judge,
    detail=_detail,
    summed=("missing", "extra"),
    order=30,
    sql=sql_beside(__file__),
)
