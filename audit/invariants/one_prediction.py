"""Each deposit has one prediction."""

from __future__ import annotations

from audit.invariants.rule import Asked, Row, Rule, Verdict, failing, plural, sql_beside


def _judge(asked: Asked) -> Verdict:
    missing, extra = asked.answer.sums["missing"], asked.answer.sums["extra"]
    return failing(
        asked,
        asked.counted.transactions,
        "Every deposit has exactly one prediction.",
        f"{plural(missing, 'deposit has', 'deposits have')} no prediction, so nothing but the machine's word supports "
        f"{'it' if missing == 1 else 'them'}; {plural(extra, 'prediction is', 'predictions are')} one too many.",
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
    says="Every deposit needs one prediction for its transaction.  A deposit without is not supported; of several the earliest counts.",
    judge=_judge,
    detail=_detail,
    summed=("missing", "extra"),
    order=30,
    sql=sql_beside(__file__),
)
