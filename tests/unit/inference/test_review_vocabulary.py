"""Which materials a review may name."""

from __future__ import annotations

import asyncio
from pathlib import Path

from inference.manifest import MANIFEST, read_manifest
from inference.reviews.vocabulary import Vocabulary
from inference.serving.desk import Desk, Plan, Post
from inference.serving.model import LoadedModel
from tests.inference_models import READINGS, write_readings_model
from tests.integration.model_folders import MODEL, make_folder

COVERS = {"metal": ("aluminium_cans", "steel_cans")}


def test_the_words_are_the_classes_and_what_they_cover(tmp_path: Path) -> None:
    make_folder(tmp_path, "v1", covers=COVERS)
    known = Vocabulary(Desk([tmp_path]), [tmp_path / "none", tmp_path])
    assert known(MODEL, "v1") == frozenset({"glass", "metal", "aluminium_cans", "steel_cans"})
    assert known(MODEL, "v2") is None
    assert known("../etc", "v1") is None


def test_a_version_that_is_seated_or_was_read_needs_no_file(tmp_path: Path) -> None:
    desk = Desk([tmp_path])
    folder = write_readings_model(tmp_path, "v1")
    asyncio.run(desk.follow({READINGS: Plan(Post("v1", LoadedModel(folder).digest))}))
    read = make_folder(tmp_path, "v1")
    known = Vocabulary(desk, [tmp_path])
    classes = set(read_manifest(folder)[0].classes)
    before = known(MODEL, "v1")
    for gone in (folder, read):
        (gone / MANIFEST).unlink()
    assert known(READINGS, "v1") is not None
    assert classes <= set(known(READINGS, "v1") or ())
    assert known(MODEL, "v1") == before == frozenset({"glass", "metal"})


def test_a_regression_has_no_words(tmp_path: Path) -> None:
    make_folder(tmp_path, "v1", task="regression", output="value", classes=())
    assert Vocabulary(Desk([tmp_path]), [tmp_path])(MODEL, "v1") is None
