"""One item on its way: what is asked, who answers it, what came of it, and what goes on record."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inference.evidence import Recorded
from inference.serving.desk import Seat
from inference.serving.model import Answer, LoadedModel

Kind = Literal["photo", "readings"]
Row = NDArray[np.uint8] | NDArray[np.float32]
"""A model's input: pixels [height, width, 3], or columns of readings [columns]."""

Key = tuple[str, str, str, str]
"""Sensor, transaction, model and digest of the input."""


@dataclass(frozen=True, slots=True)
class Item:
    """One item to classify: a photo by its URL, or readings."""

    sensor_id: str
    site_id: str | None
    transaction_id: str | None
    observed_ns: int | None
    model_id: str
    image_url: str | None
    readings: Mapping[str, object] | None
    caller: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """An answer that is on record."""

    prediction_id: str
    model: LoadedModel
    answer: Answer
    input_digest: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Task:
    """An item with who answers it."""

    item: Item
    seat: Seat
    model: LoadedModel
    prediction_id: str


@dataclass(frozen=True, slots=True)
class Done:
    """A task that is answered, with what else is kept of its input."""

    task: Task
    answer: Answer
    row: Row
    digest: str
    statistics: Mapping[str, float]


def kind_of(item: Item) -> Kind:
    """Whether it is a photo or readings."""
    return "photo" if item.image_url is not None else "readings"


def role_of(done: Done) -> Literal["champion", "challenger"]:
    """As what its model answered."""
    return "champion" if done.task.model is done.task.seat.champion else "challenger"


def key_of(task: Task, digest: str) -> Key | None:
    """What makes a request of a deposit the same as another.

    The model's version is not part of it: what is asked again after a promotion was answered before.
    """
    item = task.item
    return (
        None if item.transaction_id is None else (item.sensor_id, item.transaction_id, item.model_id, digest)
    )


def recorded(
    done: Done, answer: Answer, model: LoadedModel, role: Literal["champion", "challenger", "shadow"]
) -> Recorded:
    """An answer of ``model`` to the task of ``done``, as it goes on record."""
    now = time.time_ns()
    item = done.task.item
    return Recorded(
        prediction_id=done.task.prediction_id,
        sensor_id=item.sensor_id,
        site_id=item.site_id,
        transaction_id=item.transaction_id,
        observed_ns=now if item.observed_ns is None else item.observed_ns,
        answered_ns=now,
        manifest=model.manifest,
        model_digest=model.digest,
        role=role,
        input_digest=done.digest,
        answer=answer,
        statistics=done.statistics,
        champion_label=done.answer.label if role == "shadow" else None,
        caller=item.caller,
        readings=_beside(item),
        image_url=None if item.image_url is None else re.split(r"[?#]", item.image_url, maxsplit=1)[0],
    )


def _beside(item: Item) -> dict[str, float | str]:
    """The readings that came with a photo; of readings alone, all that is a number is in the statistics."""
    if item.image_url is None:
        return {}
    return {
        name: value for name, value in (item.readings or {}).items() if isinstance(value, int | float | str)
    }
