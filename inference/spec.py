"""What a specification says: the data, features, target, search, bounds and serving of one model.

A specification is a YAML file (``inference/specs/*.yaml``); a new one is a new model, without new code.  Its
SHA-256 is kept with every model that is made from it.  Nothing here imports what trains.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Annotated, Final, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from inference.errors import SpecError
from inference.manifest import Feature, Identifier, Part, Promotion, Share, sha256_hex
from inference.strict_yaml import NotStrictYaml, load

LARGEST_SPEC: Final = 1 << 20  # bytes; a specification is a page or two
PACKAGED: Final = Path(__file__).with_name("specs")  # ``tally train iris`` means one of them

MEASURED: Final = {
    "classification": (
        *("accuracy", "macro_f1", "log_loss", "ece", "sure_share", "sure_accuracy"),
        *("precision", "recall", "f1", "roc_auc", "average_precision"),
    ),
    "regression": ("rmse", "mae", "r2"),
}
"""Metrics that bounds may name; those from precision on are of two classes."""
Estimator = Literal[
    "lightgbm", "random_forest", "extra_trees", "linear", "logistic", "mlp", "blend", "efficientnet_lite0"
]
Choice = float | int | str | bool | None | tuple[int, ...]
_FLOAT32_MOST: Final = 3.4e38
_MISSING: Final = ("", "NA", "N/A", "NaN", "nan", "null", "NULL")


class Range(Part):
    """Where a hyperparameter is searched: numbers from ``low`` to ``high``; ``start`` is tried first.

    All three integers: only integers are tried.  ``log``: orders of magnitude are equally likely.
    """

    low: int | float
    high: int | float
    start: int | float
    log: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not self.low <= self.start <= self.high or self.low == self.high:
            raise ValueError(f"expected low <= start <= high, got {self.low}, {self.start}, {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range starts above 0, got {self.low}")
        return self

    @property
    def integer(self) -> bool:
        """Whether only integers are tried."""
        return all(isinstance(number, int) for number in (self.low, self.high, self.start))


class Choices(Part):
    """A hyperparameter that is one of a list; the first is tried first."""

    choices: tuple[Choice, ...] = Field(min_length=2)


Parameter = Range | Choices | Choice


class Candidate(Part):
    """An estimator and its hyperparameters: fixed values, or where to search."""

    estimator: Estimator
    space: dict[str, Parameter] = Field(default_factory=dict)


class Data(Part):
    """Where the rows come from.

    ``csv``: a file with a header.  ``photos``: a folder with ``index.csv`` (columns file, class,
    official_split: train or val), or with a folder of photos for each class.  ``iris``: scikit-learn's own
    copy.  ``simulated``: a generator of this project, by name.
    """

    source: Literal["csv", "photos", "iris", "simulated"]
    path: str | None = Field(None, description="of csv and photos: within the data folder")
    simulation: str | None = Field(None, description="of simulated: the generator's name")
    rows: int | None = Field(None, ge=50, le=10_000_000, description="of simulated")
    seed: int = Field(1, ge=0, description="of simulated")
    origin: str = Field(description="who made the data, and under which licence, for the card")
    missing: tuple[str, ...] = Field(_MISSING, description="of csv: what stands for no value")
    invalid: Literal["refuse", "drop"] = Field(
        "refuse", description="what to do with rows that are not as the specification says"
    )

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str | None) -> str | None:
        if path is not None and (PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts):
            raise ValueError(f"expected a path within the data folder, got {path!r}")
        return path

    @model_validator(mode="after")
    def _has_what_its_source_needs(self) -> Self:
        if (self.source in {"csv", "photos"}) != (self.path is not None):
            raise ValueError(f"source {self.source} {'has no' if self.path else 'needs a'} path")
        if self.source == "simulated" and (self.simulation is None or self.rows is None):
            raise ValueError("source simulated needs simulation and rows")
        return self


class Target(Part):
    """What is predicted.

    ``classes`` maps a value in the data to the class that it means, in the order of the model's answers; of
    two, the second is the one that precision and recall are about.  A regression's value is divided by
    ``divide_by`` and then has ``unit`` and must lie within ``minimum`` and ``maximum``.
    """

    column: str
    meaning: str = ""
    classes: dict[str, str] = Field(default_factory=dict)
    divide_by: float = Field(1.0, gt=0)
    unit: str = "1"
    minimum: float | None = None
    maximum: float | None = None


class Derived(Part):
    """A column that the artefact computes from two readings: one of product, difference or quotient."""

    name: str = Field(min_length=1, max_length=64)
    meaning: str = ""
    product: tuple[str, str] | None = None
    difference: tuple[str, str] | None = None
    quotient: tuple[str, str] | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(pair is not None for pair in (self.product, self.difference, self.quotient)) != 1:
            raise ValueError(f"derived {self.name}: give one of product, difference, quotient")
        return self

    @property
    def operation(self) -> tuple[Literal["product", "difference", "quotient"], tuple[str, str]]:
        """Which one, and of which readings."""
        if self.product is not None:
            return "product", self.product
        if self.difference is not None:
            return "difference", self.difference
        assert self.quotient is not None
        return "quotient", self.quotient


class Groups(Part):
    """Groups that metrics are compared between: values of a column, or intervals between ``edges`` of it."""

    column: str
    edges: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _edges_rise(self) -> Self:
        if list(self.edges) != sorted(set(self.edges)):
            raise ValueError(f"edges must rise, got {list(self.edges)}")
        return self


class Split(Part):
    """Which rows are held back: never seen by search, fit, calibration or the choice of a cut."""

    held_back: float = Field(default=0.2, ge=0.05, le=0.5)
    seed: int = Field(default=1, ge=0)


class Search(Part):
    """How hyperparameters are chosen: by cross-validation within the rows that are not held back."""

    metric: Literal["log_loss", "accuracy", "f1", "roc_auc", "average_precision", "rmse", "mae", "r2"]
    trials: int = Field(20, ge=1, le=1_000)
    folds: int = Field(5, ge=2, le=20)
    seed: int = Field(1, ge=0)


class Cut(Part):
    """How the second of two classes is answered: from the probability that does best in cross-validation.

    ``maximise``: the metric is as great as can be.  ``precision``: of all cuts with at least that precision,
    the one with most recall.
    """

    maximise: Literal["f1", "accuracy"] | None = None
    precision: Share | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.maximise is None) == (self.precision is None):
            raise ValueError("give maximise or precision")
        return self


class Serving(Part):
    """How answers are treated."""

    review_below: Share = 0.75


class Photo(Part):
    """The size that photos are brought to."""

    width: int = Field(224, ge=16, le=1024)
    height: int = Field(224, ge=16, le=1024)


class Spec(Part):
    """A model, before there is one."""

    id: Identifier
    title: str = Field(min_length=1)
    task: Literal["classification", "regression"]
    intended_use: str = Field(min_length=1)
    limits: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)
    data: Data
    features: tuple[Feature, ...] = ()
    derived: tuple[Derived, ...] = ()
    photo: Photo | None = None
    target: Target
    covers: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    groups: Groups | None = None
    split: Split = Split()
    search: Search | None = None
    candidates: tuple[Candidate, ...] = Field(min_length=1)
    cut: Cut | None = None
    promotion: Promotion
    serving: Serving = Serving()
    notice: str | None = Field(None, description="NOTICE of an artefact that builds on others' work")

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in the order of the answers; none of a regression."""
        return tuple(self.target.classes.values())

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        for complaint in (*_target_complaints(self), *_input_complaints(self), *_promotion_complaints(self)):
            raise ValueError(complaint)
        return self


def _target_complaints(spec: Spec) -> list[str]:
    found = []
    classes = spec.classes
    if spec.task == "classification" and len(classes) < 2:
        found.append(f"target.classes: a classification has two classes or more, got {len(classes)}")
    if spec.task == "regression" and classes:
        found.append("target.classes: a regression has none")
    if len(set(classes)) < len(classes):
        found.append(f"target.classes: {Counter(classes).most_common(1)[0][0]} is there twice")
    if spec.task == "regression" and (spec.target.minimum is None or spec.target.maximum is None):
        found.append("target: a regression needs minimum and maximum")
    if spec.cut is not None and len(classes) != 2:
        found.append(f"cut: is for two classes, got {len(classes)}")
    found += [
        f"covers: {name} is none of the classes {', '.join(classes)}"
        for name in spec.covers
        if name not in classes
    ]
    return found


def _input_complaints(spec: Spec) -> list[str]:
    if spec.data.source == "photos":
        if spec.features or spec.derived or spec.photo is None or spec.search is not None:
            return ["a model of photos has photo, and neither features nor search"]
        if len(spec.candidates) != 1 or spec.candidates[0].estimator != "efficientnet_lite0":
            return ["candidates: photos have one, efficientnet_lite0"]
        return []
    if spec.photo is not None:
        return ["photo: a model of readings has none"]
    if not spec.features or spec.search is None:
        return [f"{'search' if spec.features else 'features'}: is missing, and a model of readings needs it"]
    found = [
        f"candidates: {candidate.estimator} can't do a {spec.task} of readings"
        for candidate in spec.candidates
        if candidate.estimator == "efficientnet_lite0"
        or (candidate.estimator == "logistic" and spec.task == "regression")
        or (candidate.estimator == "linear" and spec.task == "classification")
    ]
    found += _feature_complaints(spec)
    found += _derived_complaints(spec)
    regression_metrics = {"rmse", "mae", "r2"}
    if (spec.search.metric in regression_metrics) != (spec.task == "regression"):
        found.append(f"search.metric: {spec.search.metric} is no metric of a {spec.task}")
    if spec.search.metric in {"f1", "roc_auc", "average_precision"} and len(spec.classes) != 2:
        found.append(f"search.metric: {spec.search.metric} is for two classes")
    return found


def _feature_complaints(spec: Spec) -> list[str]:
    names = Counter(feature.name for feature in spec.features)
    found = [f"features: {name} is there {count} times" for name, count in names.items() if count > 1]
    if spec.target.column in names:
        found.append(f"features: {spec.target.column} is the target")
    for feature in spec.features:
        if feature.minimum is not None and feature.maximum is not None:
            if feature.minimum >= feature.maximum:
                found.append(f"features: {feature.name}: minimum {feature.minimum} is not below the maximum")
            if max(abs(feature.minimum), abs(feature.maximum)) > _FLOAT32_MOST:
                found.append(f"features: {feature.name}: bounds must fit in 32 bits, at most {_FLOAT32_MOST}")
        if feature.values is not None and len(set(feature.values)) < len(feature.values):
            found.append(f"features: {feature.name}: a value is there twice")
    return found


def _derived_complaints(spec: Spec) -> list[str]:
    numbers = {feature.name: feature for feature in spec.features if feature.values is None}
    found = []
    for derived in spec.derived:
        operation, operands = derived.operation
        if strange := [name for name in operands if name not in numbers]:
            found.append(f"derived: {derived.name}: {strange[0]} is none of the features that are numbers")
            continue
        below = numbers[operands[1]]
        assert below.minimum is not None
        assert below.maximum is not None
        if operation == "quotient" and below.minimum <= 0 <= below.maximum:
            found.append(f"derived: {derived.name}: {below.name} may be 0, and nothing is divided by that")
        largest = [max(abs(numbers[n].minimum or 0), abs(numbers[n].maximum or 0)) for n in operands]
        if operation == "product" and largest[0] * largest[1] > _FLOAT32_MOST:
            found.append(f"derived: {derived.name}: the product may be too large for 32 bits")
    return found


def _promotion_complaints(spec: Spec) -> list[str]:
    promotion = spec.promotion
    known = MEASURED[spec.task]
    for name in (*promotion.minimum, *promotion.maximum, promotion.group_metric):
        if name is not None and name not in known:
            return [f"promotion: {name} is not measured; a {spec.task} has {', '.join(known)}"]
    if not promotion.minimum and not promotion.maximum:
        return ["promotion: a bound for at least one metric is needed"]
    if (promotion.group_metric is None) != (promotion.group_gap is None):
        return ["promotion: give group_metric and group_gap, or neither"]
    if promotion.group_metric is not None and spec.groups is None:
        return ["promotion: group_metric needs groups"]
    return []


def find_spec(name: str) -> Path:
    """The file of a specification: a path, or the name of one that comes with the package.

    Raises:
        SpecError: there is no such file.
    """
    path = Path(name)
    if path.is_file():
        return path
    if path.name == name and not path.suffix and (packaged := PACKAGED / f"{name}.yaml").is_file():
        return packaged
    known = ", ".join(sorted(found.stem for found in PACKAGED.glob("*.yaml")))
    raise SpecError(f"{name}: no such file; specifications that come with Tally: {known}")


def read_spec(path: Path) -> tuple[Spec, str]:
    """The specification in a file, and the SHA-256 of the file's bytes.

    Raises:
        SpecError: it can't be read or is not one; the message names file, field, bound and value.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_SPEC + 1)
    except OSError as error:
        raise SpecError(f"{path}: can't be read: {error.strerror}") from error
    if len(content) > LARGEST_SPEC:
        raise SpecError(f"{path}: a specification has at most {LARGEST_SPEC:,} bytes")
    try:
        parsed = load(content)
    except NotStrictYaml as error:
        raise SpecError(f"{path}: {error}") from error
    if not isinstance(parsed, dict):
        raise SpecError(f"{path}: expected a mapping of fields, got {type(parsed).__name__}")
    try:
        return Spec.model_validate(parsed), sha256_hex(content)
    except ValidationError as error:
        raise SpecError(f"{path}: {_in_words(error)}") from error


def _in_words(error: ValidationError) -> str:
    first = error.errors()[0]
    if first["type"] == "missing":
        places = [one["loc"] for one in error.errors() if one["type"] == "missing"]
        return "missing: " + ", ".join(".".join(map(str, place)) for place in places)
    place = ".".join(str(part) for part in first["loc"])
    more = f" (and {error.error_count() - 1} more)" * (error.error_count() > 1)
    if first["type"] == "value_error":
        text = str(first["msg"]).removeprefix("Value error, ")
        return (f"{place}: " if place else "") + text + more
    return f"{place}: {first['msg'].lower()}, got {repr(first.get('input'))[:80]}{more}"
