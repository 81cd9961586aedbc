"""What is known of predictions afterwards: reviews, plant scale tickets, and what was answered how often."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from store.reviews import sample_bound
from store.sessions import Sessions


@dataclass(frozen=True, slots=True)
class Window:
    """A model version, and a span of event time."""

    model_id: str
    version: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Answers:
    """How often a class was answered with a confidence in interval ``bucket``; of these, how many unsure."""

    material: str
    bucket: int
    answers: int
    unsure: int


@dataclass(frozen=True, slots=True)
class ReviewedAnswer:
    """A prediction with its latest review; ``covers``: the materials that the predicted class stands for."""

    predicted: str
    confidence: float
    covers: tuple[str, ...]
    decision: str
    seen: str | None
    reason: str
    sample_rate: float


@dataclass(frozen=True, slots=True)
class LotPart:
    """A part of a weighed lot: the mass of its deposits with one answer of one version; None: with none."""

    lot_id: str
    ticket_mg: int
    composition: Mapping[str, float]
    version: str | None
    predicted: str | None
    mass_mg: int


class GroundTruthStore:
    """Reads with the rights of ``tally_inference``; each query is bounded by event time.

    Raises (every method):
        StoreUnavailable: the database can't be reached.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def answers(self, window: Window, edges: Sequence[float], threshold: float) -> list[Answers]:
        """Answers by class and confidence, cut at ``edges`` (rising; at least one)."""
        rows = await self._sessions.fetch("truth_population", *_values(window), list(edges), threshold)
        return [Answers(row["material"], row["bucket"], row["answers"], row["unsure"]) for row in rows]

    async def statistics(self, window: Window, share: float) -> list[Mapping[str, Any]]:
        """The inputs' features of a random ``share`` of the answers (0 to 1); one without any is empty."""
        bound = sample_bound(min(share, 1.0))
        rows = await self._sessions.fetch("truth_statistics", *_values(window), bound)
        return [_object(row["statistics"]) for row in rows]

    async def reviews(self, window: Window) -> list[ReviewedAnswer]:
        """The answers of the window that were reviewed."""
        return [
            ReviewedAnswer(
                row["predicted"],
                row["confidence"],
                _words(row["covers"]),
                row["decision"],
                row["seen"],
                row["reason"],
                row["sample_rate"],
            )
            for row in await self._sessions.fetch("truth_reviews", *_values(window))
        ]

    async def enqueued(self, window: Window) -> dict[str, int]:
        """How many of the window's answers came to the review queue, by reason."""
        rows = await self._sessions.fetch("truth_enqueued", *_values(window))
        return {row["reason"]: row["items"] for row in rows}

    async def lots(self, window: Window, filling: timedelta) -> list[LotPart]:
        """The lots weighed in the window, in parts; they were filled within ``filling`` before it at most."""
        rows = await self._sessions.fetch(
            "truth_tickets", window.since, window.until, window.since - filling, window.model_id
        )
        return [
            LotPart(
                row["lot_id"],
                row["ticket_mg"],
                _composition(row["composition"], row["material"]),
                row["model_version"],
                row["predicted"],
                row["mass_mg"],
            )
            for row in rows
        ]


def _values(window: Window) -> tuple[object, ...]:
    return window.model_id, window.version, window.since, window.until


def _object(text: str | None) -> dict[str, Any]:
    found = json.loads(text or "{}")
    return found if isinstance(found, dict) else {}


def _words(text: str | None) -> tuple[str, ...]:
    found = json.loads(text or "[]")
    return tuple(map(str, found)) if isinstance(found, list) else ()


def _composition(text: str | None, material: str | None) -> dict[str, float]:
    """Shares of mass by material that sum to 1; empty if the ticket does not say."""
    parts = {
        name: float(share)
        for name, share in _object(text).items()
        if isinstance(share, int | float) and not isinstance(share, bool) and share > 0
    }
    total = sum(parts.values())
    if total > 0:
        return {name: share / total for name, share in parts.items()}
    return {} if material is None else {material: 1.0}
