"""What is known of a served version over a window: how right, how stable, and what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from inference.manifest import Manifest, Reference
from inference.monitoring.accuracy import ReviewTruth, review_truth
from inference.monitoring.stability import bin_index, class_index, feature_index
from inference.monitoring.tickets import TicketTruth, ticket_truth
from store.ground_truth import Answers, LotPart, ReviewedAnswer, Window

Kind = Literal["accuracy_low", "drift"]
NO_EDGES: Final = (0.5,)
"""Where the confidence is cut if there is no reference to compare with."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What raises an alarm, and the confidence below which an answer without a threshold is unsure."""

    accuracy_least: float = 0.85
    drift_most: float = 0.25
    threshold: float = 0.75


@dataclass(frozen=True, slots=True)
class Drift:
    """Population stability indexes; None: no reference, or too few rows to say."""

    classes: float | None
    confidence: float | None
    inputs: Mapping[str, float | None]

    def parts(self) -> dict[str, float]:
        """Those that are known, inputs by ``input:<name>``."""
        named = {"classes": self.classes, "confidence": self.confidence}
        named |= {f"input:{name}": index for name, index in self.inputs.items()}
        return {name: index for name, index in named.items() if index is not None}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that needs somebody: ``value`` is on the wrong side of ``bound``."""

    kind: Kind
    value: float
    bound: float
    sentence: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the ledger has of a version in a window; ``features``: inputs of a random sample of answers."""

    window: Window
    answers: Sequence[Answers]
    features: Sequence[Mapping[str, Any]]
    reviews: Sequence[ReviewedAnswer]
    enqueued: Mapping[str, int]
    lots: Iterable[LotPart]


@dataclass(frozen=True, slots=True)
class ModelHealth:
    """A version over a window.  ``answers`` of it, ``unsure`` ones among them, and by class."""

    window: Window
    answers: int
    unsure: int
    by_class: Mapping[str, int]
    reviews: ReviewTruth
    tickets: TicketTruth
    drift: Drift
    findings: tuple[Finding, ...]


def model_health(evidence: Evidence, manifest: Manifest | None, bounds: Bounds) -> ModelHealth:
    """The health that follows from the evidence; without a manifest nothing is said of drift."""
    by_class: Counter[str] = Counter()
    by_bucket: Counter[int] = Counter()
    for one in evidence.answers:
        by_class[one.material] += one.answers
        by_bucket[one.bucket] += one.answers
    answers, unsure = sum(by_class.values()), sum(one.unsure for one in evidence.answers)
    reviews = review_truth(evidence.reviews, evidence.enqueued, answers - unsure)
    covers = {} if manifest is None else manifest.covers
    reference = None if manifest is None else manifest.reference
    drift = _drift(reference, by_class, by_bucket, evidence.features)
    return ModelHealth(
        window=evidence.window,
        answers=answers,
        unsure=unsure,
        by_class=dict(sorted(by_class.items())),
        reviews=reviews,
        tickets=ticket_truth(evidence.lots, evidence.window.version, covers),
        drift=drift,
        findings=tuple(_findings(evidence.window, reviews, drift, bounds)),
    )


def _drift(
    reference: Reference | None,
    by_class: Mapping[str, int],
    by_bucket: Mapping[int, int],
    features: Sequence[Mapping[str, Any]],
) -> Drift:
    if reference is None:
        return Drift(None, None, {})
    classes, confidence = reference.classes, reference.confidence
    return Drift(
        classes=None if classes is None else class_index(classes, by_class),
        confidence=None if confidence is None or not confidence.edges else bin_index(confidence, by_bucket),
        inputs={
            name: feature_index(then, (row.get(name) for row in features))
            for name, then in reference.inputs.items()
        },
    )


def _findings(window: Window, reviews: ReviewTruth, drift: Drift, bounds: Bounds) -> Iterable[Finding]:
    which = f"{window.model_id} {window.version}"
    accuracy = reviews.accuracy
    if accuracy is not None and accuracy.value < bounds.accuracy_least:
        yield Finding(
            "accuracy_low",
            accuracy.value,
            bounds.accuracy_least,
            f"{which}: accuracy {accuracy.value:.3f} ({accuracy.low:.3f} to {accuracy.high:.3f}) "
            f"is below {bounds.accuracy_least:g}",
        )
    moved = {name: index for name, index in drift.parts().items() if index > bounds.drift_most}
    if moved:
        most = max(moved, key=lambda name: moved[name])
        told = ", ".join(f"{name} {index:.3f}" for name, index in sorted(moved.items()))
        yield Finding(
            "drift", moved[most], bounds.drift_most, f"{which}: {told} drifted beyond {bounds.drift_most:g}"
        )
