"""A model of photos: class folders in, fine-tuning by ``inference.training.vision``, evaluation on the rest.

The validation photos show how good a recipe is, and the recipe's author looked at that; the card says so.
Nothing is trained on them.  Confidence is judged on photos that the temperature was not fitted to: it is
fitted on one half and judged on the other, both ways; the model gets the temperature of both together.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from inference.errors import BadInput, SpecError, Unavailable
from inference.photos.decode import decode
from inference.photos.statistics import FEATURES, statistics
from inference.spec import Choice, Spec
from inference.training import scores
from inference.training.calibration import Floats, Ints, answers, fitted_temperature, softmax
from inference.training.graphs import run
from inference.training.reference import of_number, reference
from inference.training.result import Evaluated, Numbers
from inference.training.sources import within

if TYPE_CHECKING:
    from inference.training.vision import PhotoRecipe

Say = Callable[[str], None]
_MOST_PIXELS: Final = 100_000_000
_LARGEST_FILE: Final = 64 << 20
_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})
_INDEX: Final = "index.csv"


@dataclass(frozen=True, slots=True)
class PhotoFile:
    """A photo, its class as the folder calls it, and the part that the data's authors gave it, if any."""

    path: Path
    label: str
    part: str | None


@dataclass(frozen=True, slots=True)
class Decoded:
    """Photos of one part: ``pixels`` uint8 [n, height, width, 3], class numbers, SHA-256 of each file."""

    pixels: NDArray[np.uint8]
    labels: Ints
    digests: tuple[str, ...]

    def take(self, where: NDArray[np.int64]) -> Decoded:
        """Those photos."""
        return Decoded(self.pixels[where], self.labels[where], tuple(self.digests[at] for at in where))


def train_on_photos(spec: Spec, data_dir: Path | None, say: Say) -> Evaluated:
    """Train and evaluate one model.

    Raises:
        SpecError: folder or specification are not as they must be.
        Unavailable: PyTorch is not installed.
    """
    recipe = photo_recipe(spec)
    from inference.training.vision import PhotoSet, train_photos  # noqa: PLC0415 - an extra

    train, held, digest, dropped = read_photos(spec, data_dir)
    say(f"{len(train.labels)} photos to train on, {len(held.labels)} held back; data {digest[:12]}")
    artefact = train_photos(
        PhotoSet(train.pixels, train.labels, spec.classes),
        PhotoSet(held.pixels, held.labels, spec.classes),
        recipe,
        say,
    )
    return evaluate(spec, artefact, held, trained=len(train.labels), digest=digest, dropped=dropped)


def photo_recipe(spec: Spec) -> PhotoRecipe:
    """The recipe of ``inference.training.vision`` with what the specification fixes.

    Raises:
        SpecError: there is no such number in a recipe, or it is to be searched.
        Unavailable: PyTorch is not installed.
    """
    try:
        from inference.training.vision import PhotoRecipe  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise Unavailable(
            "training on photos needs PyTorch: install the [train] extra "
            f"(pip install -r requirements-train.txt); {error}",
            reason="extra_missing",
        ) from error
    known = {field.name: field.type for field in fields(PhotoRecipe)}
    fixed: dict[str, Any] = {}
    for name, value in spec.candidates[0].space.items():
        if name not in known:
            raise SpecError(f"candidates: a recipe has no {name}; it has {', '.join(known)}")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SpecError(f"candidates: {name}: expected a number; photos are not searched, got {value!r}")
        if known[name] in {"int", int} and not isinstance(value, int):
            raise SpecError(f"candidates: {name}: expected an integer, got {value!r}")
        fixed[name] = value
    return PhotoRecipe(**fixed)


def read_photos(spec: Spec, data_dir: Path | None) -> tuple[Decoded, Decoded, str, dict[str, int]]:
    """Photos to train on, photos held back, the digest of all, and how many were left out, by reason.

    Raises:
        SpecError: there are none, a class is unknown, or one can't be read and such are to be refused.
    """
    assert spec.photo is not None
    files = list_photos(within(data_dir, spec.data), spec)
    order = list(spec.target.classes)
    pixels, labels, parts, digests, lines = [], [], [], [], []
    dropped: dict[str, int] = {}
    for file in files:
        try:
            content = _content(file.path)
            picture = decode(content, spec.photo.width, spec.photo.height, _MOST_PIXELS)
        except BadInput as error:
            if spec.data.invalid == "refuse":
                raise SpecError(f"{file.path}: {error}") from error
            dropped[error.reason] = dropped.get(error.reason, 0) + 1
            continue
        digest = hashlib.sha256(content).hexdigest()
        lines.append(f"{digest} {file.label} {file.part or ''}\n")
        pixels.append(picture)
        labels.append(order.index(file.label))
        parts.append(file.part)
        digests.append(digest)
    if not pixels:
        raise SpecError(f"data.path: {spec.data.path}: there is no photo of {', '.join(order)}")
    everything = Decoded(np.stack(pixels), np.asarray(labels, dtype=np.int64), tuple(digests))
    train, held = _parts(spec, everything, parts)
    if (counts := np.bincount(everything.labels[train], minlength=len(order))).min() < 2:
        raise SpecError(f"target: class {order[int(counts.argmin())]} has fewer than two photos to train on")
    if not len(held):
        raise SpecError(f"data.path: {spec.data.path}: no photo is held back: the index has none of val")
    digest = hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
    return everything.take(train), everything.take(held), digest, dropped


def list_photos(folder: Path, spec: Spec) -> list[PhotoFile]:
    """The photos of a folder, by its index if there is one, else by the folders of the classes; sorted.

    Raises:
        SpecError: the index is none, or names a class that the specification does not know.
    """
    if (folder / _INDEX).is_file():
        return _indexed(folder, spec)
    found = []
    for label in spec.target.classes:
        if not (folder / label).is_dir():
            raise SpecError(f"target.classes: {folder} has no folder {label}, and no {_INDEX}")
        found += [
            PhotoFile(path, label, None)
            for path in sorted((folder / label).iterdir())
            if path.suffix.lower() in _SUFFIXES
        ]
    return found


def evaluate(
    spec: Spec, artefact: bytes, held: Decoded, *, trained: int, digest: str, dropped: dict[str, int]
) -> Evaluated:
    """What an artefact is worth on the photos that were held back."""
    logits = run(artefact, "photos", "logits", held.pixels)
    target = held.labels
    temperature = fitted_temperature(logits, target)
    found = _cross_fitted(logits, target, held.digests)
    answered = answers(found, None)
    below = spec.serving.review_below
    metrics = scores.classification(found, target, None, below)
    metrics["ece_uncalibrated"] = scores.classification(softmax(logits), target, None, below)["ece"]
    groups = None if spec.groups is None else np.array(spec.classes, dtype=object)[target]
    seen = [statistics(photo) for photo in held.pixels]
    return Evaluated(
        artefact=artefact,
        data_digest=digest,
        numbers=Numbers(trained, len(target), dropped),
        estimator=spec.candidates[0].estimator,
        parameters={name: _fixed(value) for name, value in spec.candidates[0].space.items()},
        searched={},
        how=_how(spec),
        temperature=temperature,
        cut=None,
        metrics=metrics,
        group_metrics={} if groups is None else scores.grouped(found, target, groups, None, below),
        class_metrics=scores.class_metrics(target, answered, spec.classes),
        confusion=scores.confusion(target, answered, len(spec.classes)),
        reference=reference(
            {name: of_number([one[name] for one in seen]) for name in FEATURES},
            answered,
            found[np.arange(len(found)), answered],
            spec.classes,
        ),
        difference=None,
    )


def _cross_fitted(logits: Floats, target: Ints, digests: tuple[str, ...]) -> Floats:
    """Probabilities of every photo, by the temperature of the half that it is not in (halves by digest)."""
    first = np.array([int(digest[:2], 16) % 2 == 0 for digest in digests])
    found = np.zeros_like(logits)
    for half in (first, ~first):
        # A half without photos has no temperature; then nothing is divided.
        temperature = fitted_temperature(logits[~half], target[~half]) if (~half).any() else 1.0
        if half.any():
            found[half] = softmax(logits[half], temperature)
    return found


def _parts(spec: Spec, photos: Decoded, parts: list[str | None]) -> tuple[Ints, Ints]:
    if any(part is not None for part in parts):
        return (
            np.array([at for at, part in enumerate(parts) if part == "train"], dtype=np.int64),
            np.array([at for at, part in enumerate(parts) if part == "val"], dtype=np.int64),
        )
    train, held = train_test_split(
        np.arange(len(parts)),
        test_size=spec.split.held_back,
        random_state=spec.split.seed,
        stratify=photos.labels,
    )
    return np.sort(train), np.sort(held)


def _indexed(folder: Path, spec: Spec) -> list[PhotoFile]:
    try:
        with (folder / _INDEX).open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SpecError(f"{folder / _INDEX}: can't be read: {error}") from error
    if not lines or not {"file", "class", "official_split"} <= set(lines[0]):
        raise SpecError(f"{folder / _INDEX}: expected columns file, class and official_split")
    found = []
    for number, line in enumerate(lines, start=2):
        path = folder / line["file"]
        if line["class"] not in spec.target.classes:
            raise SpecError(
                f"{folder / _INDEX}, line {number}: class: expected one of "
                f"{', '.join(spec.target.classes)}, got {line['class']!r}"
            )
        if line["official_split"] not in {"train", "val", "test"}:
            raise SpecError(
                f"{folder / _INDEX}, line {number}: official_split: expected train, val or test, "
                f"got {line['official_split']!r}"
            )
        if not path.resolve().is_relative_to(folder.resolve()):
            raise SpecError(f"{folder / _INDEX}, line {number}: {line['file']} leads out of the folder")
        if line["official_split"] != "test":  # somebody else's to measure with
            found.append(PhotoFile(path, line["class"], line["official_split"]))
    return sorted(found, key=lambda photo: str(photo.path))


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise BadInput(f"{path.name}: more than {_LARGEST_FILE:,} bytes", reason="photo_too_large")
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path.name}: can't be read: {error.strerror}", reason="photo_unreadable") from error


def _fixed(value: object) -> Choice:
    assert isinstance(value, int | float)
    return value


def _how(spec: Spec) -> tuple[str, ...]:
    held_back = (
        "The photos of val were held back: nothing was trained on them. Where the data name no parts, "
        f"{spec.split.held_back:.0%} of each class were, by a random split with seed {spec.split.seed}."
    )
    seen = (
        "The recipe was chosen by its author, who saw accuracy on those photos; the figures are therefore a "
        "little better than on photos that nobody looked at. The last pass was kept, whatever it scored."
    )
    calibrated = (
        "Calibration error and log-loss are cross-fitted: the temperature was fitted to one half of the "
        "held-back photos and judged on the other, both ways."
    )
    return held_back, seen, calibrated
