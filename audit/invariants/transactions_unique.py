"""Each transaction is on record once."""

from __future__ import annotations

from audit.invariants.rule import Asked, Row, Rule, Verdict, clauses, failing, grams, plural, sql_beside


def _judge(asked: Asked) -> Verdict:
    sums = asked.answer.sums
    return failing(
        asked,
        asked.counted.deposits,
        "No transaction is on record twice.",
        clauses(
            (
                sums["duplicate"],
                plural(sums["duplicate"], "record repeats", "records repeat") + " another",
            ),
            (
                sums["conflict"],
                plural(sums["conflict"], "record contradicts", "records contradict") + " another",
            ),
            (1, "the mass of a transaction was reported more than once"),
        ),
    )


def _detail(row: Row) -> str:
    kind = "repeats" if row["duplicate"] else "contradicts"
    return f"{kind} a transaction that is on record already, with {grams(row['effect_mg'])}"


RULE = Rule(
    name="transactions_unique",
    title="Each transaction is recorded once",
    assertion="occurrence",
    says="A transaction id stands for one deposit.  The same content again is a duplicate, other "
    "content a conflict; the record with the least mass counts.",
    judge=_judge,
    detail=_detail,
    summed=("duplicate", "conflict"),
    order=20,
    sql=sql_beside(__file__),
)
