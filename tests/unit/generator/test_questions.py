"""What a fleet asks of a prediction service: a pure function of the spec, and true to the manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from generator import api
from generator.errors import SpecError
from generator.materials import MATERIAL_IDS
from generator.photos import CLASS_OF, photo_folder
from generator.questions import Question, Questioner
from generator.readings import READING_NAMES
from generator.simulate import Simulation
from generator.spec import FaultKind, FleetSpec

SPEC = FleetSpec(
    seed=11, machines=4, sites=2, duration_s=8 * 3_600, step_s=600, window_s=1_200, deposits_per_day=500,
    at_least=2,
)  # fmt: skip


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of photos by class; their content is nobody's business here."""
    for name in {*CLASS_OF.values(), "trash"}:
        (tmp_path / name).mkdir()
        for number in range(3):
            (tmp_path / name / f"{name} {number}.jpg").touch()
    (tmp_path / "paper" / "notes.txt").touch()
    return tmp_path


def asked(spec: FleetSpec, questioner: Questioner, chunk_windows: int | None = None) -> Iterator[Question]:
    for batch in Simulation(spec, questioner=questioner, chunk_windows=chunk_windows).batches():
        yield from batch.questions


def with_photos(folder: Path, named_as: str = "file") -> Questioner:
    return Questioner(SPEC.seed, photo_folder(folder, named_as))


@pytest.mark.parametrize("chunk_windows", [1, 3, 1_000])
def test_the_same_spec_asks_the_same_in_whatever_pieces(photos: Path, chunk_windows: int) -> None:
    whole = list(asked(SPEC, with_photos(photos)))
    assert list(asked(SPEC, with_photos(photos), chunk_windows)) == whole
    assert list(asked(replace(SPEC, seed=12), with_photos(photos))) != whole


def test_every_prediction_that_would_have_been_sent_is_asked_for_at_its_own_time(photos: Path) -> None:
    made_up = {}
    for batch in Simulation(SPEC).batches():
        for event in batch.content if batch.signal == "logs" else ():
            if getattr(event, "name", "") == "inference.prediction":
                about = dict(event.attributes)  # type: ignore[union-attr]
                made_up[about["deposit.transaction_id"]] = (event.observed_ns, about["prediction.material"])  # type: ignore[union-attr]
    questions = {q.transaction_id: (q.asked_ns, q.material) for q in asked(SPEC, with_photos(photos))}
    assert questions == made_up


def test_a_lost_prediction_is_never_asked_for_and_the_manifest_says_so(photos: Path) -> None:
    simulation = Simulation(SPEC, questioner=with_photos(photos))
    questions = {q.transaction_id for batch in simulation.batches() for q in batch.questions}
    lost = [fault for fault in simulation.facts.faults if fault.kind is FaultKind.LOST_PREDICTION]
    assert len(lost) >= 2
    for fault in simulation.facts.faults:
        for row in fault.rows:
            if row["stream"] == "predictions" and "count" in row:
                assert row["count"] == (row["transaction_id"] in questions)


def test_nothing_is_made_up_that_the_service_or_people_do(photos: Path) -> None:
    simulation = Simulation(replace(SPEC, low_confidence_share=0.5), questioner=with_photos(photos))
    batches = list(simulation.batches())
    assert {"governance", "reviews"} & simulation.facts.rows_by_stream.keys() == set()
    asked_for = sum(len(batch.questions) for batch in batches)
    assert simulation.facts.rows_by_stream["predictions"] == asked_for > 0
    assert all(batch.signal != "logs" or "predictions" not in batch.rows for batch in batches)


def test_half_of_the_machines_have_a_camera_whose_photo_is_of_the_true_material(photos: Path) -> None:
    seen = set()
    for question in asked(SPEC, with_photos(photos)):
        camera = question.machine in {"fleet-rvm-0001", "fleet-rvm-0002"}
        assert (question.input == "photo") == camera == ("image_url" in question.item)
        if camera:
            name = CLASS_OF[question.material]
            assert question.item["image_url"].startswith(f"file://{photos}/{name}/{name}%20")
            seen.add(question.item["image_url"])
        else:
            assert list(question.item["readings"]) == list(READING_NAMES)
    assert len(seen) > 8


def test_without_photos_every_machine_has_sensors() -> None:
    assert {question.input for question in asked(SPEC, Questioner(SPEC.seed))} == {"readings"}


def test_photos_may_be_named_by_a_url_that_they_are_below(photos: Path) -> None:
    folder = photo_folder(photos, "s3://bucket/waste/")
    assert folder.choose(MATERIAL_IDS.index("glass"), 0.999) == "s3://bucket/waste/glass/glass%202.jpg"
    assert folder.choose(MATERIAL_IDS.index("mixed_paper"), 0.0).endswith("paper/paper%200.jpg")


def test_a_folder_without_a_class_is_refused_by_its_name(photos: Path) -> None:
    for file in (photos / "metal").iterdir():
        file.unlink()
    with pytest.raises(SpecError, match="metal"):
        photo_folder(photos)
    (photos / "metal").rmdir()
    with pytest.raises(SpecError, match="no folder metal"):
        photo_folder(photos)
    with pytest.raises(SpecError, match="photos-as"):
        photo_folder(photos, "ftp")


def test_a_plan_has_the_questions_in_its_digest_and_asks_nobody(photos: Path, tmp_path: Path) -> None:
    nobody = api.PredictSpec("http://127.0.0.1:9", photos=photos)
    manifest = tmp_path / "manifest.jsonl"
    report = api.plan(SPEC, manifest, predict=nobody)
    assert report.facts.digest == api.plan(SPEC, predict=nobody).facts.digest
    assert report.facts.digest != api.plan(SPEC).facts.digest
    machines = [
        line for line in map(json.loads, manifest.read_text().splitlines()) if line["record"] == "machine"
    ]
    assert [machine["input"] for machine in machines] == ["photo", "photo", "readings", "readings"]
