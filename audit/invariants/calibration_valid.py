"""Scales were calibrated."""

from __future__ import annotations

from audit.invariants.rule import Asked, Row, Rule, Verdict, clauses, failing, plural, sql_beside


def _judge(asked: Asked) -> Verdict:
    unknown, expired = asked.answer.sums["unknown"], asked.answer.sums["expired"]
    return failing(
        asked,
        asked.counted.machines,
        "Every machine that recorded deposits had a valid calibration throughout.",
        clauses(
            (expired, plural(expired, "machine") + " weighed without a valid calibration at times"),
            (unknown, plural(unknown, "machine has", "machines have") + " no calibration on record"),
        ),
        "FAILED" if expired else "REVIEW_REQUIRED",
    )


def _detail(row: Row) -> str:
    return "no calibration on record" if row["unknown"] else "its calibrations do not cover the whole period"


RULE = Rule(
    name="calibration_valid",
    title="Scales were calibrated",
    assertion="accuracy",
    says="Calibrations of the machine's scale that together cover the whole period, without a day between "
    "them, are on record.",
    judge=_judge,
    detail=_detail,
    summed=("unknown", "expired", "unwitnessed_mg"),
    order=160,
    sql=sql_beside(__file__),
)
