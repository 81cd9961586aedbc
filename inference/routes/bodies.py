"""What callers send and get: the bodies of ``/predict``, with the examples that ``/docs`` shows."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Self

from fastapi.openapi.models import Example
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
    StringConstraints,
    field_validator,
    model_validator,
)

from inference.errors import InferenceError
from inference.manifest import Identifier
from inference.work import Item, Prediction

_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_AHEAD: Final = timedelta(hours=23)
"""An hour less than the collector believes, whose clock may differ."""
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]", re.ASCII)
"""What a time starts with; pydantic would take a count of seconds too."""
MOST_ITEMS: Final = 1_000
MOST_READINGS: Final = 256
"""No model here takes as many; a body of hundreds of thousands would keep the event loop busy for seconds."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
Word = Annotated[StrictStr, StringConstraints(max_length=256)]
Reading = StrictFloat | StrictInt | Word | None
"""A truth value is no number."""

_READ: Final[dict[str, Any]] = {
    "sensor_id": "fleet-rvm-0001",
    "transaction_id": "fleet-rvm-0001-example",
    "readings": {
        "mass_g": 16.0,
        "nir_1120": 0.817,
        "nir_1210": 0.74,
        "nir_1420": 0.663,
        "nir_1660": 0.713,
        "nir_1730": 0.704,
        "nir_2130": 0.669,
        "inductive": -0.847,
        "capacitive": 0.751,
        "optical": 0.0,
    },
}
_SEEN: Final[dict[str, Any]] = {
    "sensor_id": "fleet-rvm-0002",
    "transaction_id": "fleet-rvm-0002-example",
    "image_url": "file:///photos/rvm-0002/00042.jpg",
}
ITEMS: Final[dict[str, Example]] = {
    "readings": {
        "summary": "Readings of a machine without a camera",
        "description": "The sensor must be known: it has sent something before. GET /model/info tells which "
        "readings the model takes.",
        "value": _READ,
    },
    "photo": {
        "summary": "A photo",
        "description": "Name one that is below a folder, or on a host, that this service takes photos from.",
        "value": _SEEN,
    },
}
MANY_ITEMS: Final[dict[str, Example]] = {
    "both": {"summary": "Readings and a photo", "value": {"items": [_READ, _SEEN]}}
}


class Asked(BaseModel):
    """One item to classify: a photo or readings; of both the photo is classified, the readings are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [_READ]})

    sensor_id: Name = Field(description="the machine, by the name that its telemetry has")
    image_url: Annotated[str, StringConstraints(min_length=1, max_length=2048)] | None = Field(
        None,
        description="file:, http(s): or s3: URL of a JPEG, PNG or WebP, within configured roots and hosts",
    )
    readings: Annotated[dict[Name, Reading], Field(max_length=MOST_READINGS)] | None = Field(
        None, description="sensor readings by name; GET /model/info?model=... lists names, units and bounds"
    )
    transaction_id: Name | None = Field(None, description="the deposit that the item belongs to")
    site_id: Name | None = Field(None, description="where the machine stands")
    observed_at: datetime | None = Field(
        None, description="when the photo or the readings were taken, with time zone; left out: now"
    )
    model: Identifier | None = Field(None, description="a model other than the one for this kind of input")

    @field_validator("readings", mode="before")
    @classmethod
    def _not_too_many(cls, readings: object) -> object:
        # Before each of them is looked at: an error for each would take long to make.
        if isinstance(readings, dict) and len(readings) > MOST_READINGS:
            raise ValueError(f"at most {MOST_READINGS} readings, got {len(readings)}")
        return readings

    @field_validator("observed_at", mode="before")
    @classmethod
    def _written_out(cls, moment: object) -> object:
        if moment is not None and not (isinstance(moment, str) and _DATE.match(moment)):
            raise ValueError("must be an RFC 3339 time, as in 2026-03-01T08:30:00Z")
        return moment

    @field_validator("observed_at")
    @classmethod
    def _believable(cls, moment: datetime | None) -> datetime | None:
        if moment is None:
            return None
        if moment.tzinfo is None:
            raise ValueError("must name its time zone")
        if not _EARLIEST <= moment <= datetime.now(UTC) + _AHEAD:
            raise ValueError("must lie between the year 2000 and 23 hours from now")
        return moment

    @model_validator(mode="after")
    def _one_kind_of_input(self) -> Self:
        if self.image_url is None and self.readings is None:
            raise ValueError("give image_url or readings")
        return self

    def item(self, photo_model: str, readings_model: str, caller: str) -> Item:
        """The item, with the model that answers it and the principal who asks."""
        usual = photo_model if self.image_url is not None else readings_model
        return Item(
            sensor_id=self.sensor_id,
            site_id=self.site_id,
            transaction_id=self.transaction_id,
            observed_ns=None if self.observed_at is None else _nanoseconds(self.observed_at),
            model_id=self.model or usual,
            image_url=self.image_url,
            readings=self.readings,
            caller=caller,
        )


class Answered(BaseModel):
    """The answer; it is on record under ``prediction_id``."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "prediction": "glass",
                    "unit": None,
                    "confidence_score": 0.9731,
                    "processing_time_ms": 14.2,
                    "prediction_id": "pred-0b0f8e0e-6a54-4b0e-9a55-0d6d6f2f2a53",
                    "model": "waste-photos",
                    "model_version": "2026.11.21-1a2b3c4d",
                    "top": {"glass": 0.9731, "plastic": 0.0182, "metal": 0.0061},
                    "review": False,
                }
            ]
        }
    )

    prediction: str | float = Field(description="the class; of a regression, the value")
    unit: str | None = Field(None, description="of a regression's value")
    confidence_score: float | None = Field(description="calibrated probability of it; null of a regression")
    processing_time_ms: float = Field(description="from arrival until the answer was on record")
    prediction_id: str
    model: str
    model_version: str
    top: dict[str, float] = Field(description="the likeliest classes")
    review: bool = Field(description="true: not sure enough, a human will decide")


class AskedMany(BaseModel):
    """Up to a thousand items, answered together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    items: Annotated[list[Asked], Field(min_length=1, max_length=MOST_ITEMS, fail_fast=True)]


class Problem(BaseModel):
    """Why there is no answer."""

    reason: str = Field(
        description="a word for programs; docs/models.md lists them", examples=["not_a_photo"]
    )
    message: str = Field(description="a sentence for people")
    details: dict[str, Any] | list[dict[str, Any]] | None = None


class Failed(BaseModel):
    """The body of every answer with a status of 400 or more."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"error": {"reason": "not_a_photo", "message": "the bytes are neither JPEG nor PNG nor WebP"}}
            ]
        }
    )

    error: Problem


def failure(description: str, reason: str) -> dict[str, Any]:
    """A response of an OpenAPI document: a ``Failed`` with an example of that reason."""
    example = {"error": {"reason": reason, "message": description}}
    content = {"application/json": {"example": example}}
    return {"model": Failed, "description": description, "content": content}


class AnsweredMany(BaseModel):
    """An answer or a problem for each item, in their order."""

    results: list[Answered | Failed]


def answered(made: Prediction) -> Answered:
    """A prediction as it is told."""
    manifest, answer = made.model.manifest, made.answer
    return Answered(
        prediction=answer.label if answer.value is None else answer.value,
        unit=None if answer.value is None else manifest.unit,
        confidence_score=None if answer.confidence is None else round(answer.confidence, 6),
        processing_time_ms=round(made.seconds * 1000, 3),
        prediction_id=made.prediction_id,
        model=manifest.model_id,
        model_version=manifest.version,
        top=answer.top,
        review=answer.unsure,
    )


def failed(error: InferenceError) -> Failed:
    """An error as it is told."""
    return Failed(
        error=Problem(reason=error.reason, message=str(error), details=getattr(error, "details", None))
    )


def _nanoseconds(moment: datetime) -> int:
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) * 1000
