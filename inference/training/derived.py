"""Columns that a specification derives from readings: inside the artefact, so that no client computes them.

Both sides compute in 32 bits, numpy when training and ONNX when serving, and get the same bits.  What is
derived from a missing reading is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from inference.readings import column_names
from inference.spec import Spec

_COMPUTED: Final = {"product": np.multiply, "difference": np.subtract, "quotient": np.divide}
_OPERATORS: Final = {"product": "Mul", "difference": "Sub", "quotient": "Div"}


@dataclass(frozen=True, slots=True)
class Prefix:
    """The nodes between the artefact's input and the ``result`` that the model itself takes."""

    nodes: tuple[onnx.NodeProto, ...]
    initializers: tuple[onnx.TensorProto, ...]
    result: str


def extended(spec: Spec, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """``matrix`` [n, columns] with a column more for everything that is derived."""
    places = {name: at for at, name in enumerate(column_names(spec.features))}
    columns = [matrix]
    for derived in spec.derived:
        operation, (left, right) = derived.operation
        a, b = matrix[:, places[left]], matrix[:, places[right]]
        columns.append(_COMPUTED[operation](a, b)[:, None])
    return np.concatenate(columns, axis=1)


def prefix(spec: Spec, feed: str) -> Prefix | None:
    """The same as nodes that follow the input ``feed``; None if nothing is derived."""
    if not spec.derived:
        return None
    places = {name: at for at, name in enumerate(column_names(spec.features))}
    nodes: list[onnx.NodeProto] = []
    initializers: list[onnx.TensorProto] = []
    results = [feed]
    for number, derived in enumerate(spec.derived):
        operation, operands = derived.operation
        taken = []
        for side, name in enumerate(operands):
            index, value = f"derived_{number}_{side}_column", f"derived_{number}_{side}"
            initializers.append(numpy_helper.from_array(np.array([places[name]], dtype=np.int64), index))
            nodes.append(helper.make_node("Gather", [feed, index], [value], axis=1))
            taken.append(value)
        results.append(f"derived_{number}")
        nodes.append(helper.make_node(_OPERATORS[operation], taken, [results[-1]]))
    nodes.append(helper.make_node("Concat", results, ["extended"], axis=1))
    return Prefix(tuple(nodes), tuple(initializers), "extended")
