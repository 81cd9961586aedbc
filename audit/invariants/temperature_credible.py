"""Sensors read what can be."""

from __future__ import annotations

from audit.invariants.rule import Asked, Row, Rule, Verdict, clauses, failing, plural, sql_beside


def _judge(asked: Asked) -> Verdict:
    spikes, drifts = asked.answer.sums["spikes"], asked.answer.sums["drifts"]
    return failing(
        asked,
        asked.counted.temperatures,
        "Every temperature follows from the one before.",
        clauses(
            (spikes, plural(spikes, "spike") + " of temperature"),
            (drifts, plural(drifts, "drift") + " of temperature"),
            (1, "no mass depends on it, but the sensors need a look"),
        ),
        "REVIEW_REQUIRED",
    )


def _detail(row: Row) -> str:
    return f"{row['kind']} of {row['leap_mc'] / 1000:+.1f} Cel"


RULE = Rule(
    name="temperature_credible",
    title="Temperature sensors read what can be",
    assertion="accuracy",
    says="A temperature neither leaps and leaps back within a few readings, nor comes back from a "
    "drift with a leap.",
    judge=_judge,
    detail=_detail,
    summed=("spikes", "drifts"),
    order=170,
    sql=sql_beside(__file__),
)
