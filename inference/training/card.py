"""The model card: what a person must know before trusting a model.

After Mitchell et al., "Model Cards for Model Reporting" (2019).  Markdown; its digest is in the manifest, so
a card can't be exchanged later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from inference.manifest import Feature, sha256_hex
from inference.readings import bounds_text
from inference.spec import Choice, Spec
from inference.training.calibration import BINS
from inference.training.result import Evaluated, Made

MEANINGS: Final = {
    "accuracy": "share of right answers",
    "macro_f1": "F1, each class counting alike",
    "log_loss": "mean of -ln of what the true class was given",
    "ece": f"expected calibration error, {BINS} bins, after temperature scaling",
    "ece_uncalibrated": "the same before",
    "sure_share": "share of answers that need no review",
    "sure_accuracy": "share of right answers among those",
    "precision": "of the answers of the second class, those that are right",
    "recall": "of the rows of the second class, those that are found",
    "f1": "harmonic mean of precision and recall",
    "roc_auc": "chance that a row of the second class is ranked above one of the first",
    "average_precision": "area under precision over recall",
    "rmse": "root of the mean squared error",
    "mae": "mean absolute error",
    "r2": "share of the variance that is explained",
}
"""Of the metrics that a card may have."""


def card(spec: Spec, version: str, evaluated: Evaluated, made: Made) -> str:
    """The card of one version."""
    numbers = evaluated.numbers
    source = " ".join(filter(None, [spec.data.source, spec.data.path or spec.data.simulation]))
    sections = [
        f"# {spec.title}",
        f"Model `{spec.id}`, version `{version}`, trained by {made.by} at {made.at:%Y-%m-%d %H:%M:%S} UTC.",
        "## Intended use",
        spec.intended_use,
        "## Limits",
        "\n".join(f"- {limit}" for limit in spec.limits),
        "## Data",
        f"{spec.data.origin}.".replace("..", "."),
        _table(
            ("what", "value"),
            [
                ("source", source),
                ("SHA-256 of the data", f"`{evaluated.data_digest}`"),
                ("rows trained on", f"{numbers.trained:,}"),
                ("rows held back", f"{numbers.held_back:,}"),
                ("rows left out", _dropped(numbers.dropped)),
            ],
        ),
        "## How it was chosen",
        " ".join(evaluated.how),
        _table(
            ("parameter", "value"),
            [
                ("estimator", evaluated.estimator),
                *((name, _parameter(value)) for name, value in evaluated.parameters.items()),
            ],
        ),
        "## Metrics on held-back data",
        _metrics(spec, evaluated),
        *_groups(spec, evaluated),
        *_classes(spec, evaluated),
        *_calibration(spec, evaluated),
        "## Input",
        _inputs(spec),
        "## Promotion",
        _promotion(spec),
        "## Making",
        _table(
            ("what", "value"),
            [
                ("energy", f"{made.energy.kwh:.3g} kWh ({made.energy.how})"),
                ("time", f"{made.seconds:.1f} s"),
                ("SHA-256 of the specification", f"`{made.spec_digest}`"),
                (
                    "SHA-256 of the artefact",
                    f"`{sha256_hex(evaluated.artefact)}`, {len(evaluated.artefact):,} bytes",
                ),
                ("artefact against estimator", _difference(evaluated.difference)),
                ("libraries", ", ".join(f"{name} {number}" for name, number in made.libraries.items())),
            ],
        ),
    ]
    return "\n\n".join(sections) + "\n"


def number(value: float) -> str:
    """A number for a table."""
    return f"{value:,.0f}" if value == round(value) and abs(value) >= 1000 else f"{value:.4g}"


def _parameter(value: Choice) -> str:
    return number(value) if isinstance(value, float) else str(value)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _dropped(dropped: Mapping[str, int]) -> str:
    if not dropped:
        return "0"
    return "; ".join(f"{count:,} ({why})" for why, count in sorted(dropped.items()))


def _metrics(spec: Spec, evaluated: Evaluated) -> str:
    unit = f" ({spec.target.unit})" if spec.task == "regression" else ""
    rows = [
        (
            name,
            number(value),
            number(evaluated.searched[name]) if name in evaluated.searched else "",
            MEANINGS.get(name, "") + (unit if name in {"rmse", "mae"} else ""),
        )
        for name, value in evaluated.metrics.items()
    ]
    return _table(("metric", "held back", "cross-validated", "meaning"), rows)


def _groups(spec: Spec, evaluated: Evaluated) -> list[str]:
    if not evaluated.group_metrics or spec.groups is None:
        return []
    shown = [
        name for name in evaluated.metrics if any(name in found for found in evaluated.group_metrics.values())
    ]
    rows = [
        (group, number(found.get("rows", 0)), *(number(found[n]) if n in found else "" for n in shown))
        for group, found in evaluated.group_metrics.items()
    ]
    return [f"## Metrics by {spec.groups.column}", _table(("group", "rows", *shown), rows)]


def _classes(spec: Spec, evaluated: Evaluated) -> list[str]:
    if evaluated.confusion is None:
        return []
    rows = [
        (name, number(found["rows"]), number(found["precision"]), number(found["recall"]))
        for name, found in evaluated.class_metrics.items()
    ]
    confusion = [
        (name, *(str(count) for count in line))
        for name, line in zip(spec.classes, evaluated.confusion.tolist(), strict=True)
    ]
    return [
        "## Classes",
        _table(("class", "rows", "precision", "recall"), rows),
        "True class down, answer across:",
        _table(("", *spec.classes), confusion),
    ]


def _calibration(spec: Spec, evaluated: Evaluated) -> list[str]:
    if spec.task == "regression":
        return []
    before, after = evaluated.metrics["ece_uncalibrated"], evaluated.metrics["ece"]
    text = (
        f"Logits are divided by the temperature {evaluated.temperature:g} (Guo et al., 2017). The expected "
        f"calibration error is {number(after)}, and {number(before)} without that. Answers with a confidence "
        f"below {spec.serving.review_below:g} go to a human."
    )
    if evaluated.cut is not None:
        text += f" The answer is {spec.classes[1]} from a probability of {evaluated.cut:g} on."
    return ["## Calibration", text]


def _inputs(spec: Spec) -> str:
    if spec.photo is not None:
        return f"A photo, brought to {spec.photo.width} x {spec.photo.height} pixels, RGB."
    readings = _table(
        ("reading", "admitted", "may be left out", "meaning"), [_input(feature) for feature in spec.features]
    )
    if not spec.derived:
        return readings
    rows = [
        (derived.name, f"{derived.operation[0]} of {' and '.join(derived.operation[1])}", derived.meaning)
        for derived in spec.derived
    ]
    return f"{readings}\n\nThe artefact computes from them:\n\n{_table(('column', 'as', 'meaning'), rows)}"


def _input(feature: Feature) -> tuple[str, str, str, str]:
    return feature.name, bounds_text(feature), "yes" if feature.nullable else "no", feature.meaning


def _promotion(spec: Spec) -> str:
    wished = spec.promotion
    rows = [(name, f"at least {number(bound)}") for name, bound in wished.minimum.items()]
    rows += [(name, f"at most {number(bound)}") for name, bound in wished.maximum.items()]
    if wished.group_metric is not None and wished.group_gap is not None:
        rows.append((f"{wished.group_metric} between groups", f"apart by at most {number(wished.group_gap)}"))
    return _table(("metric", "needed"), rows)


def _difference(difference: float | None) -> str:
    if difference is None:
        return "the figures are the artefact's own"
    return f"differs by at most {difference:.3g} on the held-back rows; the figures are the artefact's own"
