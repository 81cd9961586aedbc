"""Lots weigh what was deposited."""

from __future__ import annotations

from audit.invariants.rule import Asked, Row, Rule, Verdict, clauses, failing, grams, plural, sql_beside


def _judge(asked: Asked) -> Verdict:
    differing, unweighed = asked.answer.sums["differing"], asked.answer.sums["unweighed"]
    if not asked.counted.lots:
        return Verdict(
            "REVIEW_REQUIRED", 0, "No whole lot ended in the period, so nothing was weighed against it."
        )
    return failing(
        asked,
        asked.counted.lots,
        "Every lot weighs what was recorded into it.",
        clauses(
            (
                differing,
                plural(differing, "lot differs", "lots differ") + " from the plant's ticket by too much",
            ),
            (unweighed, plural(unweighed, "closed lot has", "closed lots have") + " no ticket"),
        ),
        "FAILED" if differing else "REVIEW_REQUIRED",
    )


def _detail(row: Row) -> str:
    if row["unweighed"]:
        return f"no ticket for {grams(row['recorded_mg'])}"
    return (
        f"recorded {grams(row['recorded_mg'])}, weighed {grams(row['ticket_mg'])}: "
        f"{grams(row['recorded_mg'] - row['ticket_mg'])} apart"
    )


RULE = Rule(
    name="lots_balance",
    title="Lots weigh what was recorded into them",
    assertion="accuracy",
    says="Between two emptyings, the sum of a machine's deposits is what the plant's scale shows, "
    "within the tolerance.",
    judge=_judge,
    detail=_detail,
    summed=("differing", "unweighed", "unwitnessed_mg"),
    order=110,
    sql=sql_beside(__file__),
)
