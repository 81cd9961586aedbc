"""Event and arrival agree."""

from __future__ import annotations

from audit.invariants.rule import Asked, Row, Rule, Verdict, clauses, failing, plural, sql_beside


def _judge(asked: Asked) -> Verdict:
    skewed, late = asked.answer.sums["skewed"], asked.answer.sums["late"]
    return failing(
        asked,
        asked.counted.deposits,
        "Every record arrived when its event time says, and no clock was off.",
        clauses(
            (skewed, "a clock was off in " + plural(skewed, "stretch", "stretches") + " of time"),
            (late, plural(late, "deposit") + " arrived late"),
        ),
        "REVIEW_REQUIRED",
    )


def _detail(row: Row) -> str:
    if row["late"]:
        return f"arrived {row['most_us'] // 60_000_000} min after its event"
    most = max(abs(row["least_us"]), abs(row["most_us"])) // 1_000_000
    return f"the clock was off by up to {most} s, for {row['lasted_us'] // 60_000_000} min"


RULE = Rule(
    name="times_consistent",
    title="Event time and arrival agree",
    assertion="cut-off",
    says="A record arrives within the allowed time after its event, never before it; a machine's "
    "clock is right within the tolerance.",
    judge=_judge,
    detail=_detail,
    summed=("skewed", "late"),
    order=80,
    sql=sql_beside(__file__),
)
