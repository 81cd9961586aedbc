"""The ledger is what its hash chains say."""

from __future__ import annotations

from audit.invariants.rule import Asked, Rule, Verdict, plural


def _judge(asked: Asked) -> Verdict:
    ledger = asked.ledger
    if ledger.intact is None:
        return Verdict(
            "REVIEW_REQUIRED", 0, "The ledger was not verified: no figure is better than its rows."
        )
    rows = sum(stream.rows for stream in ledger.streams)
    if ledger.intact:
        return Verdict("PASSED", rows, "Every chain verifies; no row was altered, added or removed.")
    return Verdict(
        "FAILED",
        rows,
        f"The ledger contradicts itself in {plural(ledger.break_count, 'place')}: no figure of "
        "this report can be "
        "relied on until that is explained.",
    )


RULE = Rule(
    name="ledger_intact",
    title="The ledger is intact",
    assertion="occurrence",
    says="Every hash chain is recomputed from the rows and compared with what is stored and with the heads.",
    judge=_judge,
    order=10,
)
