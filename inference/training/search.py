"""The choice of estimator and hyperparameters: Optuna's TPE, judged by cross-validation on training rows.

Bergstra et al., "Algorithms for Hyper-Parameter Optimization" (2011).  The start of each candidate's space is
tried first, so that few trials still give what its author meant.  The same rows, specification and number of
trials give the same choice: the sampler has a seed, trials run one after another, nothing looks at a clock.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import optuna
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, StratifiedKFold

from inference.errors import SpecError
from inference.spec import Candidate, Choice, Choices, Range, Search, Spec
from inference.training import scores
from inference.training.calibration import Floats
from inference.training.estimators import make, probabilities
from inference.training.rows import Rows

Say = Callable[[str], None]
_HALF: Final = 0.5


@dataclass(frozen=True, slots=True)
class Chosen:
    """What search chose.

    ``unseen`` are its answers [n, classes] on training rows, each by a model that had not seen the row;
    ``score`` is the search's metric of them.
    """

    estimator: str
    parameters: dict[str, Choice]
    score: float
    trials: int
    unseen: Floats


def search(spec: Spec, rows: Rows, trials: int | None, say: Say) -> Chosen:
    """The best of ``trials`` (none: as many as the specification says) on training rows.

    Raises:
        SpecError: a parameter that an estimator does not have, or a class with too few rows.
    """
    wish = spec.search
    assert wish is not None
    folds = _folds(spec, rows, wish)
    smaller = wish.metric in scores.SMALLER_IS_BETTER
    best: Chosen | None = None
    count = wish.trials if trials is None else trials

    def objective(trial: optuna.trial.BaseTrial) -> float:
        nonlocal best
        candidate, parameters = _suggested(spec, trial)
        unseen = cross_validated(spec, candidate.estimator, parameters, rows, folds)
        score = _score(spec, unseen, rows)
        if best is None or (score < best.score if smaller else score > best.score):
            best = Chosen(candidate.estimator, parameters, score, count, unseen)
        say(
            f"trial {trial.number + 1} of {count}: {candidate.estimator}, {wish.metric} {score:.4f} "
            f"(best {best.score:.4f})"
        )
        return score

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # our own errors say what went wrong
    study = optuna.create_study(
        direction="minimize" if smaller else "maximize", sampler=optuna.samplers.TPESampler(seed=wish.seed)
    )
    for candidate in spec.candidates:
        study.enqueue_trial(_start(candidate))
    study.optimize(objective, n_trials=count)
    assert best is not None
    return best


def cross_validated(
    spec: Spec, estimator: str, parameters: Mapping[str, Choice], rows: Rows, folds: list[Any]
) -> Floats:
    """Answers on every row by a model that was fitted without it."""
    unseen = np.zeros((len(rows), max(len(spec.classes), 1)))
    for fitted_on, answered in folds:
        model = fitted(spec, estimator, parameters, rows.take(fitted_on))
        unseen[answered] = probabilities(model, rows.matrix[answered])
    return unseen


def fitted(spec: Spec, estimator: str, parameters: Mapping[str, Choice], rows: Rows) -> Any:
    """An estimator fitted to rows.

    Raises:
        SpecError: it refuses a parameter's value.
    """
    assert spec.search is not None
    model = make(estimator, spec.task, parameters, spec.search.seed)
    with warnings.catch_warnings():
        # A search tries what does not converge, and its score shows it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        try:
            return model.fit(rows.matrix, rows.target)
        except (TypeError, ValueError) as error:
            raise SpecError(f"candidates: {estimator}: {' '.join(str(error).split())[:300]}") from error


def _folds(spec: Spec, rows: Rows, wish: Search) -> list[Any]:
    if spec.task == "regression":
        return list(KFold(wish.folds, shuffle=True, random_state=wish.seed).split(rows.matrix))
    counts = np.bincount(rows.target.astype(np.int64), minlength=len(spec.classes))
    if (fewest := int(counts.min())) < wish.folds:
        raise SpecError(
            f"target: class {spec.classes[int(counts.argmin())]} has {fewest} training rows; "
            f"cross-validation in {wish.folds} parts needs {wish.folds}"
        )
    splitter = StratifiedKFold(wish.folds, shuffle=True, random_state=wish.seed)
    return list(splitter.split(rows.matrix, rows.target))


def _score(spec: Spec, unseen: Floats, rows: Rows) -> float:
    assert spec.search is not None
    if spec.task == "regression":
        found = scores.regression(unseen[:, 0], rows.target.astype(np.float64))
    else:
        cut = _HALF if len(spec.classes) == 2 else None
        found = scores.classification(unseen, rows.target.astype(np.int64), cut, spec.serving.review_below)
    return found[spec.search.metric]


def _start(candidate: Candidate) -> dict[str, Any]:
    start: dict[str, Any] = {"estimator": candidate.estimator}
    for name, parameter in candidate.space.items():
        if isinstance(parameter, Range):
            start[_label(candidate, name)] = parameter.start
        elif isinstance(parameter, Choices):
            start[_label(candidate, name)] = _text(parameter.choices[0])
    return start


def _suggested(spec: Spec, trial: optuna.trial.BaseTrial) -> tuple[Candidate, dict[str, Choice]]:
    names: list[str] = [candidate.estimator for candidate in spec.candidates]
    name = trial.suggest_categorical("estimator", names)
    candidate = spec.candidates[names.index(str(name))]
    parameters: dict[str, Choice] = {}
    for key, parameter in candidate.space.items():
        label = _label(candidate, key)
        if isinstance(parameter, Range):
            if parameter.integer:
                parameters[key] = trial.suggest_int(
                    label, int(parameter.low), int(parameter.high), log=parameter.log
                )
            else:
                parameters[key] = trial.suggest_float(
                    label, float(parameter.low), float(parameter.high), log=parameter.log
                )
        elif isinstance(parameter, Choices):
            by_text = {_text(choice): choice for choice in parameter.choices}
            parameters[key] = by_text[str(trial.suggest_categorical(label, list(by_text)))]
        else:
            parameters[key] = parameter
    return candidate, parameters


def _label(candidate: Candidate, name: str) -> str:
    return f"{candidate.estimator}.{name}"


def _text(choice: Choice) -> str:
    """Optuna keeps plain values only; a list of layers is none."""
    return repr(choice)
