"""A model of readings: split, search, fit, calibrate, export, and only then a look at what is held back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from sklearn.model_selection import train_test_split

from inference.errors import ModelUnusable
from inference.manifest import Reference
from inference.readings import ReadingsEncoder, column_names
from inference.spec import Spec
from inference.training import scores
from inference.training.calibration import (
    answers,
    chosen_cut,
    fitted_temperature,
    logits_of,
    softmax,
)
from inference.training.derived import extended, prefix
from inference.training.estimators import exported, probabilities
from inference.training.graphs import run
from inference.training.reference import of_number, of_readings, reference
from inference.training.result import Evaluated, Numbers
from inference.training.rows import Floats, Rows, fitting_rows
from inference.training.search import Chosen, Say, fitted, search
from inference.training.sources import Simulation, read_table

_LARGEST_DIFFERENCE: Final = 1e-3
"""Between artefact and estimator: of probabilities; of values, in standard deviations of the target."""


def train_readings(
    spec: Spec,
    data_dir: Path | None,
    simulations: Mapping[str, Simulation],
    trials: int | None,
    say: Say,
) -> Evaluated:
    """Train and evaluate one model.

    Raises:
        SpecError: data or specification are not as they must be.
        ModelUnusable: the exported graph does not say what the estimator says.
    """
    table = read_table(spec, data_dir, simulations)
    rows = fitting_rows(spec, table.frame)
    train, held = split(spec, rows)
    say(
        f"{len(rows)} rows, {sum(rows.dropped.values())} dropped; "
        f"{len(train)} to train on, {len(held)} held back; data {table.digest[:12]}"
    )
    chosen = search(spec, train, trials, say)
    model = fitted(spec, chosen.estimator, chosen.parameters, train)
    columns = len(column_names(spec.features))
    artefact = exported(model, columns, len(spec.classes), prefix(spec, "readings"))
    say(f"fitted {chosen.estimator}; {len(artefact):,} bytes of ONNX")
    difference = _difference(spec, model, artefact, held)
    parts = {
        "artefact": artefact,
        "data_digest": table.digest,
        "numbers": Numbers(len(train), len(held), rows.dropped),
        "estimator": chosen.estimator,
        "parameters": chosen.parameters,
        "how": _how(spec, chosen),
        "difference": difference,
    }
    if spec.task == "regression":
        return _regression(spec, chosen, held, parts)
    return _classification(spec, chosen, train, held, parts)


def split(spec: Spec, rows: Rows) -> tuple[Rows, Rows]:
    """The rows to train on and those that are held back; of classes, the same share of each."""
    train, held = train_test_split(
        np.arange(len(rows)),
        test_size=spec.split.held_back,
        random_state=spec.split.seed,
        stratify=None if spec.task == "regression" else rows.target,
    )
    return rows.take(np.sort(train)), rows.take(np.sort(held))


def _classification(spec: Spec, chosen: Chosen, train: Rows, held: Rows, parts: dict[str, Any]) -> Evaluated:
    known = train.target.astype(np.int64)
    temperature = fitted_temperature(logits_of(chosen.unseen), known)
    calibrated = softmax(logits_of(chosen.unseen), temperature)
    cut = None if spec.cut is None else chosen_cut(spec.cut, calibrated[:, 1], known)
    below = spec.serving.review_below
    searched = scores.classification(calibrated, known, cut, below)

    raw = run(parts["artefact"], "readings", "probabilities", _sent(spec, held.matrix))
    target = held.target.astype(np.int64)
    found = softmax(logits_of(raw), temperature)
    answered = answers(found, cut)
    metrics = scores.classification(found, target, cut, below)
    metrics["ece_uncalibrated"] = scores.classification(raw, target, cut, below)["ece"]
    groups = held.groups
    return Evaluated(
        **parts,
        searched=searched,
        temperature=temperature,
        cut=cut,
        metrics=metrics,
        group_metrics={} if groups is None else scores.grouped(found, target, groups, cut, below),
        class_metrics=scores.class_metrics(target, answered, spec.classes),
        confusion=scores.confusion(target, answered, len(spec.classes)),
        reference=reference(
            of_readings(spec.features, held.readings),
            answered,
            found[np.arange(len(found)), answered],
            spec.classes,
        ),
    )


def _regression(spec: Spec, chosen: Chosen, held: Rows, parts: dict[str, Any]) -> Evaluated:
    values = run(parts["artefact"], "readings", "value", _sent(spec, held.matrix))[:, 0]
    target = held.target.astype(np.float64)
    assert spec.search is not None
    group_metrics = {}
    if held.groups is not None:
        for group in sorted(set(held.groups)):
            where = held.groups == group
            group_metrics[group] = scores.regression(values[where], target[where])
            group_metrics[group]["rows"] = float(where.sum())
    inputs = of_readings(spec.features, held.readings)
    return Evaluated(
        **parts,
        searched={spec.search.metric: round(chosen.score, 6)},
        temperature=1.0,
        cut=None,
        metrics=scores.regression(values, target),
        group_metrics=group_metrics,
        class_metrics={},
        confusion=None,
        reference=Reference(inputs=inputs | {"value": of_number(values.tolist())}),
    )


def _difference(spec: Spec, model: Any, artefact: bytes, held: Rows) -> float:
    """How far artefact and estimator are apart, on the held-back rows and on rows without some readings."""
    probe = np.concatenate([held.matrix, *_incomplete(spec, held)])
    expected = probabilities(model, probe)
    answer = "value" if spec.task == "regression" else "probabilities"
    found = run(artefact, "readings", answer, _sent(spec, probe))
    difference = float(np.abs(expected - found).max())
    scale = float(held.target.std()) or 1.0 if spec.task == "regression" else 1.0
    if not np.isfinite(found).all() or difference > _LARGEST_DIFFERENCE * scale:
        raise ModelUnusable(
            f"the exported graph differs from the estimator by up to {difference:.3g}; it is not kept"
        )
    return float(f"{difference:.3g}")


def _incomplete(spec: Spec, held: Rows) -> list[Floats]:
    """Some of the held-back rows, once more without each reading that may be left out."""
    encoder = ReadingsEncoder(spec.features)
    return [
        extended(
            spec,
            np.array(
                [encoder.row({**row, feature.name: None}) for row in held.readings[:50]], dtype=np.float32
            ),
        )
        for feature in spec.features
        if feature.nullable
    ]


def _sent(spec: Spec, matrix: Floats) -> Floats:
    """The columns that a client sends: without those that the artefact derives."""
    return matrix[:, : matrix.shape[1] - len(spec.derived)]


def _how(spec: Spec, chosen: Chosen) -> tuple[str, ...]:
    assert spec.search is not None
    share = ", the same share of each class" if spec.classes else ""
    held_back = (
        f"{spec.split.held_back:.0%} of the rows were held back by a random split with seed "
        f"{spec.split.seed}{share}, before anything else was done."
    )
    searched = (
        f"{chosen.estimator} was chosen in {chosen.trials} trials (Optuna, TPE, seed {spec.search.seed}) by "
        f"{spec.search.metric} in {spec.search.folds}-fold cross-validation on the other rows, and fitted to "
        "all of those."
    )
    sentences = [held_back, searched]
    if spec.classes:
        sentences.append("The temperature was fitted to the same cross-validated answers.")
    if spec.cut is not None:
        wish = (
            f"greatest {spec.cut.maximise}"
            if spec.cut.maximise
            else f"most recall at a precision of at least {spec.cut.precision:g}"
        )
        sentences.append(f"So was the cut between the two classes, for the {wish}.")
    sentences.append("The artefact itself then answered the held-back rows once, for the figures below.")
    return tuple(sentences)
