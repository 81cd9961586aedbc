"""What lies beside a model's artefact: everything that serving and governance need to know of it.

A model version is a folder ``<model id>/<version>/`` with ``manifest.json``, the artefact ``model.onnx``, the
card ``card.md`` and, where the artefact builds on others' work, ``NOTICE``.  The manifest has the digests of
artefact and card, so the manifest's own digest stands for all of them: it is the model digest that the
governance stream and each prediction carry.

Nothing here imports what trains or runs a model.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from inference.errors import ModelUnusable

ARTEFACT: Final = "model.onnx"
CARD: Final = "card.md"
MANIFEST: Final = "manifest.json"

IDENTIFIER: Final = r"^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$"
Identifier = Annotated[str, Field(pattern=IDENTIFIER)]
"""Names a model or a version; it is also a folder's name."""
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256, in hexadecimal."""
Share = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    """Frozen, and strict about names: a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Feature(Part):
    """One reading: a number within bounds, or one of a list of words."""

    name: str = Field(min_length=1, max_length=64)
    unit: str = Field("1", description="UCUM; 1 for a pure number")
    meaning: str = ""
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str, ...] | None = Field(None, description="the words that are allowed, of a category")
    nullable: bool = Field(False, description="whether it may be left out")

    @model_validator(mode="after")
    def _has_bounds_or_values(self) -> Self:
        if self.values is None and (self.minimum is None or self.maximum is None):
            raise ValueError(f"feature {self.name}: give minimum and maximum, or values")
        return self


class PhotoInput(Part):
    """An RGB photo.  The artefact's input ``photos`` is uint8 [n, height, width, 3]."""

    kind: Literal["photo"] = "photo"
    width: int = Field(ge=16, le=1024)
    height: int = Field(ge=16, le=1024)


class ReadingsInput(Part):
    """Named readings.  The artefact's input ``readings`` is float32 [n, columns].

    A number is one column (NaN if it is missing); a category is one column for each of its values, 0 or 1,
    all 0 if it is missing; columns are in the order of ``features``.
    """

    kind: Literal["readings"] = "readings"
    features: tuple[Feature, ...] = Field(min_length=1)


class Histogram(Part):
    """How a number, or a category, was distributed when the model was evaluated: what drift is from.

    For a number ``edges`` rise and ``shares`` has one more: below the first edge, between each two, from the
    last on.  For a category ``names`` has one for each share.  ``missing`` is the share of rows without it.
    """

    edges: tuple[float, ...] = ()
    names: tuple[str, ...] = ()
    shares: tuple[Share, ...]
    missing: Share = 0.0


class Reference(Part):
    """Distributions on the held-back data: of each input feature, of the answers and of their confidence.

    A photo's features are ``brightness``, ``contrast`` and ``saturation`` (``inference.photos.statistics``).
    """

    inputs: dict[str, Histogram] = Field(default_factory=dict)
    classes: Histogram | None = None
    confidence: Histogram | None = None


class Promotion(Part):
    """What the compliance rules demand before this model may become champion."""

    minimum: dict[str, float] = Field(default_factory=dict, description="metric to its least value")
    maximum: dict[str, float] = Field(default_factory=dict, description="metric to its greatest value")
    group_metric: str | None = Field(None, description="the metric that is compared between groups")
    group_gap: float | None = Field(None, ge=0, description="greatest difference between two groups")


class Manifest(Part):
    """A model version.  ``metrics`` are measured on held-back data, ``group_metrics`` too, group by group."""

    format: Literal[1] = 1
    model_id: Identifier
    version: Identifier
    task: Literal["classification", "regression"]
    title: str
    artefact_digest: Digest
    card_digest: Digest
    input: Annotated[PhotoInput | ReadingsInput, Field(discriminator="kind")]
    output: Literal["logits", "probabilities", "value"] = Field(
        description="the artefact's output of that name: float32 [n, classes], or [n, 1] of a value"
    )
    classes: tuple[str, ...] = ()
    covers: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="for a class, the materials of machines that it stands for"
    )
    unit: str = Field("1", description="of a regression's value")
    temperature: float = Field(1.0, gt=0, description="logits are divided by it before the softmax")
    review_below: Share = Field(0.75, description="an answer less sure than that goes to a human")
    cut: Share | None = Field(
        None, description="of two classes, the second is answered from this probability on; none: one half"
    )
    spec_digest: Digest
    data_digest: Digest
    metrics: dict[str, float]
    group_metrics: dict[str, dict[str, float]] = Field(default_factory=dict)
    reference: Reference = Reference()
    promotion: Promotion
    trained_at: datetime
    trained_by: str = Field(min_length=1)
    seconds: float = Field(ge=0, description="that training took")
    energy_kwh: float | None = Field(None, ge=0)
    libraries: dict[str, str] = Field(default_factory=dict, description="name to version")

    @model_validator(mode="after")
    def _answers_fit_the_task(self) -> Self:
        if (self.task == "classification") != (len(self.classes) > 1):
            raise ValueError("a classification has two classes or more, a regression none")
        if (self.task == "regression") != (self.output == "value"):
            raise ValueError("a regression's output is value, a classification's logits or probabilities")
        if self.cut is not None and len(self.classes) != 2:
            raise ValueError("cut is for two classes")
        if set(self.covers) - set(self.classes):
            raise ValueError("covers names a class that there is not")
        return self


def manifest_bytes(manifest: Manifest) -> bytes:
    """The manifest as its file holds it; its SHA-256 is the model digest."""
    return (json.dumps(manifest.model_dump(mode="json"), indent=2, sort_keys=True) + "\n").encode()


def sha256_hex(content: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def version_of(trained_at: datetime, artefact: bytes) -> str:
    """A version's name: the day, then the artefact's digest; no register is needed to keep names apart."""
    return f"{trained_at:%Y.%m.%d}-{sha256_hex(artefact)[:8]}"


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """The manifest of a model folder, and the model digest.

    Raises:
        ModelUnusable: there is none, or it is not one.
    """
    try:
        content = (folder / MANIFEST).read_bytes()
        manifest = Manifest.model_validate_json(content)
    except OSError as error:
        raise ModelUnusable(f"{folder.name}: {MANIFEST} can't be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ModelUnusable(f"{folder.name}: {MANIFEST}: {place}: {first['msg']}") from error
    return manifest, sha256_hex(content)
