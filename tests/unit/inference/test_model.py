"""A loaded model: numbers become answers; what is damaged or does not fit its manifest is not loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.errors import ModelUnusable
from inference.manifest import ARTEFACT, MANIFEST, Manifest, manifest_bytes, read_manifest
from inference.serving.model import LoadedModel, answer_of
from tests.inference_models import (
    GLASS,
    METAL,
    SHADES,
    SIDE,
    write_model,
    write_photo_model,
    write_readings_model,
)


def grey(*shades: int) -> Any:
    return np.stack([np.full((SIDE, SIDE, 3), shade, np.uint8) for shade in shades])


def manifest(tmp_path: Path, **changes: Any) -> Manifest:
    found, _ = read_manifest(write_readings_model(tmp_path, "v1"))
    return Manifest.model_validate(found.model_dump() | changes)


def test_a_photo_model_answers_by_brightness_in_any_batch(tmp_path: Path) -> None:
    model = LoadedModel(write_photo_model(tmp_path, "v1"))
    together = model.answer(grey(*SHADES.values()))
    assert [answer.label for answer in together] == list(SHADES)
    for shade, answer in zip(SHADES.values(), together, strict=True):
        (alone,) = model.answer(grey(shade))
        assert alone.label == answer.label
        assert alone.confidence == pytest.approx(answer.confidence, abs=1e-6)
    assert model.name == "waste-photos/v1"


def test_readings_are_answered(tmp_path: Path) -> None:
    model = LoadedModel(write_readings_model(tmp_path, "v1"))
    assert model.encoder is not None
    rows = np.array([model.encoder.row(GLASS), model.encoder.row(METAL)], np.float32)
    assert [answer.label for answer in model.answer(rows)] == ["glass", "metal"]


def test_a_temperature_makes_less_sure_and_changes_no_answer(tmp_path: Path) -> None:
    sharp = LoadedModel(write_photo_model(tmp_path, "v1"))
    soft = LoadedModel(write_photo_model(tmp_path, "v2", temperature=20.0))
    for shade in (30, 90, 200):
        one, other = sharp.answer(grey(shade))[0], soft.answer(grey(shade))[0]
        assert one.label == other.label
        assert one.confidence is not None
        assert other.confidence is not None
        assert other.confidence < one.confidence


@pytest.mark.parametrize(
    ("row", "changes", "label", "unsure"),
    [
        ([0.9, 0.1], {}, "glass", False),
        ([0.5, 0.5], {}, "glass", True),
        ([0.75, 0.25], {}, "glass", False),
        ([0.7499, 0.2501], {}, "glass", True),
        ([0.7, 0.3], {"cut": 0.3}, "metal", True),
        ([0.71, 0.29], {"cut": 0.3}, "glass", True),
        ([0.2, 0.8], {"review_below": 0.9}, "metal", True),
    ],
)
def test_a_row_becomes_an_answer(
    tmp_path: Path, row: list[float], changes: dict[str, Any], label: str, unsure: bool
) -> None:
    answer = answer_of(manifest(tmp_path, **changes), row)
    assert (answer.label, answer.unsure) == (label, unsure)
    assert answer.confidence == row[["glass", "metal"].index(label)]
    assert answer.top == dict(zip(("glass", "metal"), row, strict=True))


def test_a_value_of_a_regression_is_its_answer(tmp_path: Path) -> None:
    asked = manifest(tmp_path, task="regression", output="value", classes=())
    answer = answer_of(asked, [1234.5678])
    assert (answer.label, answer.value, answer.confidence) == ("1234.57", 1234.5678, None)
    assert not answer.unsure


@pytest.mark.parametrize("name", [ARTEFACT, MANIFEST])
def test_any_flipped_byte_of_a_model_is_found(tmp_path: Path, name: str) -> None:
    folder = write_readings_model(tmp_path, "v1")
    digest = LoadedModel(folder).digest
    content = (folder / name).read_bytes()
    for place in range(0, len(content), 7):
        (folder / name).write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(ModelUnusable):
            LoadedModel(folder, digest)
    (folder / name).write_bytes(content)
    LoadedModel(folder, digest)


def test_what_is_missing_or_another_model_is_not_loaded(tmp_path: Path) -> None:
    folder = write_readings_model(tmp_path, "v1")
    with pytest.raises(ModelUnusable, match="the ledger has model digest"):
        LoadedModel(folder, "0" * 64)
    (folder / ARTEFACT).unlink()
    with pytest.raises(ModelUnusable, match="can't be read"):
        LoadedModel(folder)
    with pytest.raises(ModelUnusable, match="can't be read"):
        LoadedModel(tmp_path / "none")


def test_a_manifest_of_another_model_or_version_is_not_loaded(tmp_path: Path) -> None:
    folder = write_readings_model(tmp_path, "v1")
    LoadedModel(folder, model_id="waste-sensors", version="v1")
    for model_id, version in (("waste-sensors", "v2"), ("other", "v1")):
        with pytest.raises(ModelUnusable, match=f"{model_id}/{version} is asked for"):
            LoadedModel(folder, model_id=model_id, version=version)


def test_an_artefact_that_is_none_or_does_not_fit_its_manifest_is_not_loaded(tmp_path: Path) -> None:
    good, _ = read_manifest(write_readings_model(tmp_path, "v1"))
    values = {"input": good.input, "classes": good.classes}
    with pytest.raises(ModelUnusable, match="can't be loaded"):
        LoadedModel(write_model(tmp_path, "m", "v2", b"no model", **values))
    artefact = (tmp_path / "waste-sensors" / "v1" / ARTEFACT).read_bytes()
    three = write_model(tmp_path, "m", "v3", artefact, **{**values, "classes": ("a", "b", "c")})
    with pytest.raises(ModelUnusable, match="shape"):
        LoadedModel(three)
    other = write_model(tmp_path, "m", "v4", artefact, **values, output="probabilities")
    with pytest.raises(ModelUnusable, match="does not run"):
        LoadedModel(other)
    photos = write_model(
        tmp_path, "m", "v5", artefact, **{**values, "input": {"kind": "photo", "width": 32, "height": 32}}
    )
    with pytest.raises(ModelUnusable, match="does not run"):
        LoadedModel(photos)


def test_a_number_that_is_not_finite_is_no_answer(tmp_path: Path) -> None:
    model = LoadedModel(write_readings_model(tmp_path, "v1"))
    with pytest.raises(ModelUnusable) as refused:
        model.answer(np.full((1, 4), np.nan, np.float32))
    assert refused.value.reason == "model_failed"


def test_a_manifest_is_the_same_bytes_again(tmp_path: Path) -> None:
    folder = write_readings_model(tmp_path, "v1")
    assert manifest_bytes(read_manifest(folder)[0]) == (folder / MANIFEST).read_bytes()
