"""Who answers: for each model its champion and, beside it, a challenger; changed while requests go on.

A request takes the seat of its model once and keeps it, so a change drops none: the old version finishes what
it began and is then forgotten.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from inference.errors import ModelUnusable, NotFound, Unavailable
from inference.serving.model import LoadedModel
from inference.serving.shelf import find_all

log = structlog.get_logger("inference.desk")


@dataclass(frozen=True, slots=True)
class Post:
    """A version that is to answer: with the digest that the ledger has of it."""

    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What the ledger says of one model: its champion, and a challenger with its share (0: in shadow)."""

    champion: Post | None
    challenger: Post | None = None
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class Seat:
    """The versions of one model that are loaded."""

    champion: LoadedModel
    challenger: LoadedModel | None = None
    share: float = 0.0

    def choose(self, key: str) -> LoadedModel:
        """Who answers the request of that key, always the same: the challenger for its share of keys."""
        if self.challenger is None or self.share <= 0:
            return self.champion
        drawn = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
        return self.challenger if drawn < self.share * 2**64 else self.champion

    @property
    def shadow(self) -> LoadedModel | None:
        """Who answers beside the champion, for the record only."""
        return self.challenger if self.share <= 0 else None


class Desk:
    """The seats of all models.  ``follow`` is for one task at a time; the rest is for any."""

    def __init__(self, shelves: Sequence[Path], usual: Iterable[str] = ()) -> None:
        """``usual`` names models that will come, if the ledger does not know them yet."""
        self._shelves = tuple(shelves)
        self._expected = frozenset(usual)
        self._known = self._expected
        self._seats: dict[str, Seat] = {}
        self.problems: dict[str, str] = {}

    @property
    def seats(self) -> Mapping[str, Seat]:
        """Every model that has a champion."""
        return self._seats

    def seat(self, model_id: str) -> Seat:
        """The seat of a model.

        Raises:
            NotFound: the ledger knows no such model.
            Unavailable: it has no champion that could be loaded.
        """
        try:
            return self._seats[model_id]
        except KeyError:
            if model_id not in self._known:
                raise NotFound(f"the ledger has no model {model_id}", reason="no_such_model") from None
            raise Unavailable(
                f"the model {model_id} has no champion: promote a version of it", reason="no_champion"
            ) from None

    async def follow(self, plans: Mapping[str, Plan], unseat: Collection[str] = ()) -> bool:
        """Seat what the ledger says; returns whether something changed.

        A version that can't be loaded changes nothing: who sat there goes on, and ``problems`` says why.
        But who sits for a model without a plan, or one of ``unseat``, does not go on.
        """
        problems: dict[str, str] = {}
        seats = {name: seat for name, seat in self._seats.items() if name in plans and name not in unseat}
        for model_id, plan in plans.items():
            try:
                seat, problem = await asyncio.to_thread(self._seated, model_id, plan, seats.get(model_id))
            except ModelUnusable as error:
                seat, problem = seats.get(model_id), str(error)
            if problem is not None:
                problems[model_id] = problem
                if self.problems.get(model_id) != problem:
                    log.warning("a model can't be seated", model=model_id, problem=problem)
            if seat is None:
                seats.pop(model_id, None)
            else:
                seats[model_id] = seat
        changed = seats != self._seats
        self._seats, self.problems = seats, problems
        self._known = self._expected | plans.keys()
        return changed

    def _seated(self, model_id: str, plan: Plan, now: Seat | None) -> tuple[Seat | None, str | None]:
        """The seat, and what is wrong with the challenger: that keeps no champion from its seat."""
        if plan.champion is None:
            return None, None
        present = () if now is None else (now.champion, now.challenger)
        loaded = {(m.manifest.version, m.digest): m for m in present if m is not None}

        def load(post: Post) -> LoadedModel:
            return loaded.get((post.version, post.digest)) or self._load(model_id, post)

        champion = load(plan.champion)
        challenger, problem = None, None
        try:
            challenger = None if plan.challenger is None else load(plan.challenger)
        except ModelUnusable as error:
            problem = str(error)
        seat = Seat(champion, challenger, 0.0 if challenger is None else plan.share)
        return (now if now == seat else seat), problem

    def _load(self, model_id: str, post: Post) -> LoadedModel:
        """From the first folder that can be loaded; if none can, the error is the first one's."""
        failed: list[ModelUnusable] = []
        for folder in find_all(self._shelves, model_id, post.version, post.digest):
            try:
                return LoadedModel(folder, post.digest, model_id=model_id, version=post.version)
            except ModelUnusable as error:
                failed.append(error)
        raise failed[0]
