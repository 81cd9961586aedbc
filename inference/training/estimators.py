"""Estimators by the names that specifications use: how each is made, and how it becomes an ONNX graph.

Each is deterministic for its parameters and seed, on one thread: several would only wait for each other on
the small machines that this runs on.  Where an estimator can't do without a number, the median of the
training rows stands in; where scale matters to it, readings are standardised first.  Both are in the graph.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import numpy as np
import onnx
from lightgbm import Booster, LGBMClassifier, LGBMModel, LGBMRegressor
from numpy.typing import NDArray
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from inference.errors import SpecError
from inference.spec import Choice
from inference.training.derived import Prefix
from inference.training.graphs import plain_graph

Task = Literal["classification", "regression"]
Parameters = Mapping[str, Choice]
_OPSET: Final = 17


def make(name: str, task: Task, parameters: Parameters, seed: int) -> Any:
    """An estimator that is not fitted yet.

    Raises:
        SpecError: it has no such parameter.
    """
    try:
        return _MAKERS[name, task](dict(parameters), seed)
    except (TypeError, ValueError) as error:
        raise SpecError(f"candidates: {name}: {error}") from error


def probabilities(estimator: Any, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """A fitted classifier's [n, classes], or a fitted regression's values [n, 1]."""
    if hasattr(estimator, "predict_proba"):
        return np.asarray(estimator.predict_proba(matrix), dtype=np.float64)
    return np.asarray(estimator.predict(matrix), dtype=np.float64).reshape(-1, 1)


def exported(estimator: Any, columns: int, classes: int, first: Prefix | None = None) -> bytes:
    """A fitted estimator as the ONNX graph that ``inference.manifest`` describes.  Same model, same bytes.

    ``columns`` are those of the readings, without the derived ones of ``first``; ``classes`` is 0 for a
    regression.
    """
    classifies = classes > 0
    taken = columns if first is None else columns + len(first.nodes[-1].input) - 1
    if isinstance(estimator, LGBMModel):
        model = convert_lightgbm(
            _with_narrow_thresholds(estimator),
            initial_types=[("readings", FloatTensorType([None, taken]))],
            target_opset=15,
            **({"zipmap": False} if classifies else {}),
        )
    else:
        model = to_onnx(
            estimator,
            np.zeros((1, taken), np.float32),
            target_opset=_OPSET,
            **({"options": {"zipmap": False}} if classifies else {}),
        )
    assert isinstance(model, onnx.ModelProto)
    return plain_graph(
        model,
        feed="readings",
        columns=columns,
        answer="probabilities" if classifies else "value",
        width=classes or 1,
        first=first,
    )


def _with_narrow_thresholds(estimator: LGBMModel) -> LGBMModel:
    """The same model with thresholds that 32 bits hold, each rounded down.

    Readings have 32 bits, so every ``reading <= threshold`` keeps its outcome; the converter would round to
    the nearest, and send readings beside a threshold down the wrong branch.
    """
    text = estimator.booster_.model_to_string()
    text = re.sub(r"^tree_sizes=.*\n", "", text, flags=re.MULTILINE)  # sizes in bytes, which change
    narrow = re.sub(r"(?<=^threshold=).*$", lambda line: _narrowed(line[0]), text, flags=re.MULTILINE)
    changed = copy.copy(estimator)
    changed._Booster = Booster(model_str=narrow)  # noqa: SLF001 - there is no public way to set it
    return changed


def _narrowed(thresholds: str) -> str:
    wide = np.array(thresholds.split(), dtype=np.float64)
    narrow = wide.astype(np.float32)
    down = np.where(narrow.astype(np.float64) > wide, np.nextafter(narrow, np.float32(-np.inf)), narrow)
    return " ".join(repr(float(threshold)) for threshold in down)


def _lightgbm(kind: Any) -> Callable[[dict[str, Any], int], Any]:
    def maker(parameters: dict[str, Any], seed: int) -> Any:
        fixed = {"random_state": seed, "n_jobs": 1, "deterministic": True, "force_row_wise": True}
        return kind(**(fixed | {"verbose": -1} | parameters))

    return maker


def _forest(kind: Any) -> Callable[[dict[str, Any], int], Any]:
    def maker(parameters: dict[str, Any], seed: int) -> Any:
        return make_pipeline(_filled(), kind(**({"random_state": seed, "n_jobs": 1} | parameters)))

    return maker


def _scaled(kind: Any) -> Callable[[dict[str, Any], int], Any]:
    def maker(parameters: dict[str, Any], seed: int) -> Any:
        return make_pipeline(
            _filled(), StandardScaler(), kind(**({"random_state": seed, "max_iter": 500} | parameters))
        )

    return maker


def _blend(vote: Any, trees: Any, network: Any) -> Callable[[dict[str, Any], int], Any]:
    """Extra trees and a neural network, averaged; parameters are named ``trees_...`` and ``network_...``."""

    def maker(parameters: dict[str, Any], seed: int) -> Any:
        own = {
            part: {
                name.removeprefix(f"{part}_"): value
                for name, value in parameters.items()
                if name.startswith(f"{part}_")
            }
            for part in ("trees", "network")
        }
        if strange := [name for name in parameters if not name.startswith(("trees_", "network_"))]:
            raise ValueError(f"{strange[0]}: parameters begin with trees_ or network_")
        both = [
            ("trees", trees(**({"random_state": seed, "n_jobs": 1} | own["trees"]))),
            ("network", network(**({"random_state": seed, "max_iter": 500} | own["network"]))),
        ]
        soft = {"voting": "soft", "flatten_transform": False} if vote is VotingClassifier else {}
        return make_pipeline(_filled(), StandardScaler(), vote(both, n_jobs=1, **soft))

    return maker


def _filled() -> Any:
    return SimpleImputer(strategy="median", keep_empty_features=True)


_MAKERS: Final[dict[tuple[str, Task], Callable[[dict[str, Any], int], Any]]] = {
    ("lightgbm", "classification"): _lightgbm(LGBMClassifier),
    ("lightgbm", "regression"): _lightgbm(LGBMRegressor),
    ("random_forest", "classification"): _forest(RandomForestClassifier),
    ("random_forest", "regression"): _forest(RandomForestRegressor),
    ("extra_trees", "classification"): _forest(ExtraTreesClassifier),
    ("extra_trees", "regression"): _forest(ExtraTreesRegressor),
    ("logistic", "classification"): _scaled(LogisticRegression),
    ("linear", "regression"): _scaled(Ridge),
    ("mlp", "classification"): _scaled(MLPClassifier),
    ("mlp", "regression"): _scaled(MLPRegressor),
    ("blend", "classification"): _blend(VotingClassifier, ExtraTreesClassifier, MLPClassifier),
    ("blend", "regression"): _blend(VotingRegressor, ExtraTreesRegressor, MLPRegressor),
}
