"""The photo model that comes with Tally: complete, small, and as good as its card says."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from inference.manifest import ARTEFACT, CARD, sha256_hex
from inference.photos.decode import decode
from inference.serving.model import LoadedModel
from inference.settings import InferenceSettings
from inference.spec import find_spec

ROOT: Final = Path(__file__).resolve().parents[2]
PHOTOS: Final = ROOT.parent / "shared" / "data" / "trashnet"
SHELF: Final = ROOT / "inference" / "models" / "waste-photos"


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    """The one version that is packaged."""
    (folder,) = sorted(path for path in SHELF.iterdir() if path.is_dir())
    return LoadedModel(folder)


def test_it_lies_where_the_service_looks() -> None:
    assert InferenceSettings.model_construct().packaged == SHELF.parent


def test_it_is_complete_and_at_most_ten_megabytes(model: LoadedModel) -> None:
    assert (model.folder / ARTEFACT).stat().st_size <= 10_000_000
    assert sha256_hex((model.folder / CARD).read_bytes()) == model.manifest.card_digest
    notice = (model.folder / "NOTICE").read_text()
    assert "Apache-2.0" in notice
    assert "TrashNet" in notice


def test_it_was_made_from_the_specification_that_comes_with_it(model: LoadedModel) -> None:
    assert model.manifest.spec_digest == sha256_hex(find_spec("waste-photos").read_bytes())


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="TrashNet is not beside the checkout")
def test_on_the_photos_held_back_it_is_as_right_and_as_calibrated_as_its_manifest_says(
    model: LoadedModel,
) -> None:
    with (PHOTOS / "index.csv").open(newline="") as file:
        held_back = [row for row in csv.DictReader(file) if row["official_split"] == "val"]
    answers = []
    for row in held_back:
        pixels = decode((PHOTOS / row["file"]).read_bytes(), 224, 224, 25_000_000)
        answers += model.answer(pixels[np.newaxis])
    right = [answer.label == row["class"] for answer, row in zip(answers, held_back, strict=True)]
    sure = [answer.confidence or 0.0 for answer in answers]
    assert len(right) == 328
    # Other processors round otherwise, which may turn an answer or two.
    assert np.mean(right) == pytest.approx(model.manifest.metrics["accuracy"], abs=0.01)
    assert np.mean(right) >= 0.92
    assert abs(np.mean(sure) - np.mean(right)) <= 0.05
