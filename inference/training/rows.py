"""Rows held against a specification: what does not fit is refused, or dropped and counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from inference.errors import BadInput, SpecError
from inference.manifest import Feature
from inference.readings import ReadingsEncoder
from inference.spec import Spec
from inference.training.derived import extended

Floats = NDArray[np.float32]
Targets = NDArray[np.int64] | NDArray[np.float64]

_LISTED: Final = 5
"""Rows that an error names."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that does not fit; ``excess`` is how far it is beyond a bound, in widths of the bounds."""

    row: int
    field: str
    reason: str
    message: str
    excess: float

    def __str__(self) -> str:
        return f"row {self.row}: {self.message}"


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that fit, encoded.

    ``matrix`` is float32 [n, columns] as estimators take it, derived columns last; ``target`` class numbers,
    or values; ``groups`` the group of each row, if the specification has groups.  ``readings`` are the
    features as they are served.
    """

    matrix: Floats
    target: Targets
    readings: tuple[dict[str, float | str | None], ...]
    groups: NDArray[np.object_] | None
    dropped: dict[str, int]

    def __len__(self) -> int:
        return len(self.matrix)

    def take(self, where: NDArray[np.int64]) -> Rows:
        """Those rows, in that order."""
        return Rows(
            self.matrix[where],
            self.target[where],
            tuple(self.readings[at] for at in where),
            None if self.groups is None else self.groups[where],
            self.dropped,
        )


def fitting_rows(spec: Spec, frame: pd.DataFrame) -> Rows:
    """The rows of a table of text that are as the specification says.

    Raises:
        SpecError: some are not, and the specification refuses such; the message lists the worst.
    """
    encoder = ReadingsEncoder(spec.features)
    cells = {feature.name: frame[feature.name].tolist() for feature in spec.features}
    targets = frame[spec.target.column].tolist()
    kept: list[int] = []
    matrix: list[list[float]] = []
    target: list[float | int] = []
    readings: list[dict[str, float | str | None]] = []
    problems: list[Problem] = []
    for at in range(len(frame)):
        row = {feature.name: _value(feature, cells[feature.name][at]) for feature in spec.features}
        try:
            encoded = encoder.row(row)
            answer = _target(spec, targets[at])
        except BadInput as error:
            problems.append(_problem(spec, at + 1, row, error))
            continue
        kept.append(at)
        matrix.append(encoded)
        target.append(answer)
        readings.append(row)
    if problems and spec.data.invalid == "refuse":
        problems.sort(key=lambda problem: -problem.excess)
        raise SpecError(
            f"data: {len(problems)} of {len(frame)} rows are not as the specification says; the worst: "
            + "; ".join(str(problem) for problem in problems[:_LISTED])
        )
    if len(kept) < 50:
        raise SpecError(f"data: only {len(kept)} of {len(frame)} rows are as the specification says")
    return Rows(
        extended(spec, np.asarray(matrix, dtype=np.float32)),
        _targets(spec, target),
        tuple(readings),
        None if spec.groups is None else _groups(spec, frame.iloc[kept]),
        dict(Counter(f"{problem.field}: {problem.reason}" for problem in problems)),
    )


def _targets(spec: Spec, found: list[float | int]) -> Targets:
    if spec.task == "regression":
        return np.asarray(found, dtype=np.float64)
    return np.asarray(found, dtype=np.int64)


def _value(feature: Feature, cell: str | None) -> float | str | None:
    """A cell of text as the client of the service would send it; what is no number stays text."""
    if cell is None or feature.values is not None:
        return cell
    try:
        return float(cell)
    except ValueError:
        return cell


def _target(spec: Spec, cell: str | None) -> float | int:
    target = spec.target
    if cell is None:
        raise BadInput(f"{target.column}: the target is missing", reason="target_missing")
    if spec.task == "classification":
        if cell not in target.classes:
            raise BadInput(
                f"{target.column}: expected one of {', '.join(target.classes)}, got {cell!r}"[:300],
                reason="target_unknown",
            )
        return list(target.classes).index(cell)
    assert target.minimum is not None
    assert target.maximum is not None
    try:
        value = float(cell) / target.divide_by
    except ValueError as error:
        raise BadInput(
            f"{target.column}: expected a number, got {cell!r}"[:300], reason="target_not_a_number"
        ) from error
    if not target.minimum <= value <= target.maximum:
        raise BadInput(
            f"{target.column}: expected {target.minimum:g} to {target.maximum:g} {target.unit}, "
            f"got {value:g}",
            reason="target_out_of_bounds",
        )
    return value


def _problem(spec: Spec, number: int, row: dict[str, float | str | None], error: BadInput) -> Problem:
    message = str(error)
    field = next((feature for feature in spec.features if message.startswith(f"{feature.name}: ")), None)
    if field is None:
        return Problem(number, spec.target.column, error.reason, message, 1.0)
    value = row[field.name]
    excess = 1.0
    if isinstance(value, float) and field.minimum is not None and field.maximum is not None:
        excess = max(value - field.maximum, field.minimum - value) / (field.maximum - field.minimum)
    return Problem(number, field.name, error.reason, message, excess if np.isfinite(excess) else np.inf)


def _groups(spec: Spec, frame: pd.DataFrame) -> NDArray[np.object_]:
    """The name of each row's group."""
    assert spec.groups is not None
    cells = frame[spec.groups.column].tolist()
    if not spec.groups.edges:
        names = spec.target.classes if spec.groups.column == spec.target.column else {}
        return np.array(
            [names.get(str(cell), str(cell)) if cell else "missing" for cell in cells], dtype=object
        )
    edges = spec.groups.edges
    labels = [
        f"below {edges[0]:g}",
        *(f"{low:g} to {high:g}" for low, high in pairwise(edges)),
        f"{edges[-1]:g} or more",
    ]
    found = []
    for cell in cells:
        try:
            place = int(np.searchsorted(edges, float(cell or 0), side="right"))
        except ValueError as error:
            raise SpecError(
                f"groups: {spec.groups.column}: expected numbers, got {str(cell)[:80]!r}"
            ) from error
        found.append(labels[place] if cell else "missing")
    return np.array(found, dtype=object)
