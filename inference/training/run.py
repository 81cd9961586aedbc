"""``train``: from a specification's file to a model folder."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from threadpoolctl import threadpool_limits

from inference.errors import ModelUnusable, SpecError
from inference.manifest import (
    ARTEFACT,
    CARD,
    MANIFEST,
    Manifest,
    PhotoInput,
    ReadingsInput,
    manifest_bytes,
    read_manifest,
    sha256_hex,
    version_of,
)
from inference.serving.model import LoadedModel
from inference.spec import Spec, read_spec
from inference.training.card import card
from inference.training.energy import Meter, Used
from inference.training.folder import write_folder
from inference.training.photos import train_on_photos
from inference.training.result import Evaluated, Made
from inference.training.sources import Simulation
from inference.training.tabular import train_readings

METRICS: Final = "metrics.json"
NOTICE: Final = "NOTICE"
_LIBRARIES: Final = (
    *("numpy", "pandas", "scikit-learn", "lightgbm", "optuna"),
    *("onnx", "onnxmltools", "skl2onnx", "onnxruntime"),
)
_PHOTO_LIBRARIES: Final = ("numpy", "pillow", "onnx", "torch")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Trained:
    """A version on disk.  ``digest`` is the model digest.

    ``new`` is False where the same training had made this version before: then the earlier folder was kept.
    """

    folder: Path
    manifest: Manifest
    digest: str
    evaluated: Evaluated
    new: bool


def train(
    spec_path: Path,
    *,
    models_dir: Path,
    data_dir: Path | None = None,
    simulations: Mapping[str, Simulation] | None = None,
    trials: int | None = None,
    actor: str,
    say: Say = lambda _line: None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Trained:
    """Train what a specification describes, measure it on held-back data and write its folder.

    The same data, specification, seed and libraries give the same artefact on the same machine.

    Raises:
        SpecError: specification or data are not as they must be.
        ModelUnusable: what was trained does not load, or says other things than the estimator.
        Unavailable: the specification needs an extra that is not installed.
        FolderUnwritable: the folder can't be written.
    """
    spec, spec_digest = read_spec(spec_path)
    begun_s, meter, trained_at = time.monotonic(), Meter.started(), clock().astimezone(UTC)
    say(f"{spec.id}: {spec.title}")
    if spec.photo is not None:
        evaluated = train_on_photos(spec, data_dir, say)
    else:
        # The same sums in the same order, however many processors there are.
        with threadpool_limits(1):
            evaluated = train_readings(spec, data_dir, simulations or {}, trials, say)
    seconds = round(time.monotonic() - begun_s, 3)
    made = Made(trained_at, actor, seconds, meter.used(), spec_digest, _libraries(spec))
    name = version_of(trained_at, evaluated.artefact)
    for attempt in range(1, 1000):
        number = name if attempt == 1 else f"{name}-{attempt}"
        folder = models_dir / spec.id / number
        if not folder.exists():
            return _written(models_dir, spec, number, evaluated, made)
        known, digest = read_manifest(folder)
        same = (known.spec_digest, known.data_digest, known.artefact_digest, known.trained_by)
        if same == (spec_digest, evaluated.data_digest, sha256_hex(evaluated.artefact), actor):
            return Trained(folder, known, digest, evaluated, new=False)
    raise SpecError(f"{models_dir / spec.id}: a thousand versions {name}")


def _written(models_dir: Path, spec: Spec, number: str, evaluated: Evaluated, made: Made) -> Trained:
    text = card(spec, number, evaluated, made).encode()
    try:
        manifest = Manifest(
            model_id=spec.id,
            version=number,
            task=spec.task,
            title=spec.title,
            artefact_digest=sha256_hex(evaluated.artefact),
            card_digest=sha256_hex(text),
            input=ReadingsInput(features=spec.features)
            if spec.photo is None
            else PhotoInput(width=spec.photo.width, height=spec.photo.height),
            output="value"
            if spec.task == "regression"
            else ("probabilities" if spec.photo is None else "logits"),
            classes=spec.classes,
            covers=spec.covers,
            unit=spec.target.unit,
            temperature=evaluated.temperature,
            review_below=spec.serving.review_below,
            cut=evaluated.cut,
            spec_digest=made.spec_digest,
            data_digest=evaluated.data_digest,
            metrics=evaluated.metrics,
            group_metrics=evaluated.group_metrics,
            reference=evaluated.reference,
            promotion=spec.promotion,
            trained_at=made.at,
            trained_by=made.by,
            seconds=made.seconds,
            energy_kwh=made.energy.kwh,
            libraries=made.libraries,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise ModelUnusable(f"{spec.id}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    files = {
        ARTEFACT: evaluated.artefact,
        CARD: text,
        METRICS: _metrics(evaluated, made.energy),
        MANIFEST: manifest_bytes(manifest),
    }
    if spec.notice is not None:
        files[NOTICE] = spec.notice.encode()
    # It is loaded as serving will load it: what does not serve is found here.
    folder = write_folder(models_dir, spec.id, number, files, LoadedModel)
    # Read back: what is put on record then has the same order, to the byte, when it is sent again later.
    return Trained(folder, *read_manifest(folder), evaluated, new=True)


def _metrics(evaluated: Evaluated, energy: Used) -> bytes:
    content = {
        "metrics": evaluated.metrics,
        "cross_validated": evaluated.searched,
        "group_metrics": evaluated.group_metrics,
        "class_metrics": evaluated.class_metrics,
        "confusion": None if evaluated.confusion is None else evaluated.confusion.tolist(),
        "estimator": evaluated.estimator,
        "parameters": evaluated.parameters,
        "temperature": evaluated.temperature,
        "cut": evaluated.cut,
        "rows": {
            "trained": evaluated.numbers.trained,
            "held_back": evaluated.numbers.held_back,
            "dropped": evaluated.numbers.dropped,
        },
        "artefact_difference": evaluated.difference,
        "energy": {"kwh": energy.kwh, "cpu_s": energy.cpu_s, "how": energy.how},
    }
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def _libraries(spec: Spec) -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _LIBRARIES if spec.photo is None else _PHOTO_LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
