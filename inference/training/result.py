"""What training hands on: to the card, to the model folder, to the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from inference.manifest import Reference
from inference.spec import Choice
from inference.training.energy import Used


@dataclass(frozen=True, slots=True)
class Numbers:
    """Rows that were read, dropped with reasons, trained on and held back."""

    trained: int
    held_back: int
    dropped: dict[str, int]


@dataclass(frozen=True, slots=True)
class Made:
    """When, by whom and from which specification a version was made, and what that took."""

    at: datetime
    by: str
    seconds: float
    energy: Used
    spec_digest: str
    libraries: dict[str, str]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A model and what it is worth.

    ``metrics`` are measured with the artefact itself on rows that nothing else looked at; ``searched`` is the
    search's metric on training rows.  ``difference`` is the greatest between the artefact's numbers and the
    estimator's, None where there is only the artefact.  ``how`` says in words how it was chosen.
    """

    artefact: bytes
    data_digest: str
    numbers: Numbers
    estimator: str
    parameters: dict[str, Choice]
    searched: dict[str, float]
    how: tuple[str, ...]
    temperature: float
    cut: float | None
    metrics: dict[str, float]
    group_metrics: dict[str, dict[str, float]]
    class_metrics: dict[str, dict[str, float]]
    confusion: NDArray[np.int64] | None
    reference: Reference
    difference: float | None
