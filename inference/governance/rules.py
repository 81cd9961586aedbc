"""The compliance rules: what a version must fulfil before its answers may be returned.

A rule is a function from a version to a verdict with words for a person.  ``compliance`` runs them all, for
the fold of the ledger (``inference.governance.lifecycle``), which alone decides what is served, and for the
answers of the API.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from inference.governance.state import RuleResult, Version

Rule = Callable[[Version, str | None], tuple[bool, str, str]]
"""From a version, and the digest that the step names, to: passed, what is expected, what is found."""
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def digest_agrees(version: Version, digest: str | None) -> tuple[bool, str, str]:
    """The step names the digest of the manifest that was trained."""
    return version.digest == digest, version.digest, digest or "no digest"


def evaluated(version: Version, _digest: str | None) -> tuple[bool, str, str]:
    """It was evaluated on held-back data, and the metrics are in the ledger."""
    at = version.evaluated_seq
    return at is not None, "an evaluation", "none" if at is None else f"row {at}"


def minimum_metrics(version: Version, _digest: str | None) -> tuple[bool, str, str]:
    """Every metric with a least value reaches it, and at least one metric has a bound."""
    bounds = version.promotion.minimum
    if not bounds and not version.promotion.maximum:
        return False, "a bound for at least one metric", "no bound at all"
    passed = all(version.metrics.get(name, float("-inf")) >= bound for name, bound in bounds.items())
    return passed, _bounds(bounds, ">="), _found(version, bounds)


def maximum_metrics(version: Version, _digest: str | None) -> tuple[bool, str, str]:
    """Every metric with a greatest value stays within it."""
    bounds = version.promotion.maximum
    passed = all(version.metrics.get(name, float("inf")) <= bound for name, bound in bounds.items())
    return passed, _bounds(bounds, "<="), _found(version, bounds)


def group_gap(version: Version, _digest: str | None) -> tuple[bool, str, str]:
    """Between any two groups, the metric differs by no more than the bound."""
    metric, bound = version.promotion.group_metric, version.promotion.group_gap
    if metric is None or bound is None:
        return metric is None and bound is None, "metric and bound, or neither", "no bound on groups"
    values = {group: metrics.get(metric) for group, metrics in version.group_metrics.items()}
    known = [value for value in values.values() if value is not None]
    expected = f"{metric} differs by at most {bound:g}"
    if len(known) < 2 or len(known) < len(values):
        return False, expected, f"{metric} of {len(known)} of {len(values)} groups"
    gap = max(known) - min(known)
    return gap <= bound, expected, f"{gap:.4g} between {len(known)} groups"


def card_complete(version: Version, _digest: str | None) -> tuple[bool, str, str]:
    """It has a model card, whose digest is in the ledger."""
    return _digest_present(version.card_digest, "card")


def data_digest_present(version: Version, _digest: str | None) -> tuple[bool, str, str]:
    """The ledger says which data it was trained on."""
    return _digest_present(version.data_digest, "data")


def approval_present(version: Version, _digest: str | None) -> tuple[bool, str, str]:
    """Somebody other than the trainer approved it, as it was last measured, and nobody refused it since."""
    expected = f"an approval by somebody other than {version.trainer} after row {version.measured_seq}"
    if (refusal := version.refusal) is not None:
        return False, expected, f"refused by {refusal.actor} in row {refusal.seq}"
    found = [
        approval
        for approval in version.approvals
        if approval.seq > version.measured_seq and approval.actor != version.trainer
    ]
    if not found:
        return False, expected, "an approval of an earlier measurement" if version.approvals else "none"
    return True, expected, f"approved by {found[-1].actor} in row {found[-1].seq}"


def not_retired(version: Version, _digest: str | None) -> tuple[bool, str, str]:
    """It has not been retired."""
    at = version.retired_seq
    return at is None, "not retired", "not retired" if at is None else f"retired in row {at}"


RULES: Final[tuple[Rule, ...]] = (
    digest_agrees,
    evaluated,
    minimum_metrics,
    maximum_metrics,
    group_gap,
    card_complete,
    data_digest_present,
    approval_present,
    not_retired,
)


def compliance(version: Version, digest: str | None) -> tuple[RuleResult, ...]:
    """The verdict of every rule on a step that names ``digest``."""
    return tuple(_result(rule, version, digest) for rule in RULES)


def _result(rule: Rule, version: Version, digest: str | None) -> RuleResult:
    passed, expected, found = rule(version, digest)
    sentence = (rule.__doc__ or "").strip()
    return RuleResult(rule.__name__, sentence, passed, expected, found)


def _digest_present(digest: str | None, what: str) -> tuple[bool, str, str]:
    present = digest is not None and _DIGEST.fullmatch(digest) is not None
    return present, f"the digest of its {what}", digest or "none"


def _bounds(bounds: dict[str, float], sign: str) -> str:
    return ", ".join(f"{name} {sign} {bound:g}" for name, bound in sorted(bounds.items())) or "no bound"


def _found(version: Version, bounds: dict[str, float]) -> str:
    return (
        ", ".join(
            f"{name} {version.metrics[name]:.4g}" if name in version.metrics else f"{name} not measured"
            for name in sorted(bounds)
        )
        or "nothing to compare"
    )
