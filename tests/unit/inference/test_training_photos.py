"""Photos as training reads and judges them; PyTorch is not needed for that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from inference.errors import SpecError
from inference.spec import Spec, read_spec
from inference.training.photos import Decoded, evaluate, list_photos, read_photos

MakeSpec = Callable[..., Spec]


@pytest.fixture
def make_spec(tmp_path: Path) -> MakeSpec:
    def make_one(**data: object) -> Spec:
        content: dict[str, Any] = {
            "id": "shades",
            "title": "Shades",
            "task": "classification",
            "intended_use": "a test",
            "limits": ["it is small"],
            "data": {"source": "photos", "path": "photos", "origin": "made up"} | data,
            "photo": {"width": 16, "height": 16},
            "target": {"column": "class", "classes": {"dark": "dark", "light": "light"}},
            "groups": {"column": "class"},
            "candidates": [{"estimator": "efficientnet_lite0", "space": {"epochs": 1}}],
            "promotion": {"minimum": {"accuracy": 0.5}},
        }
        path = tmp_path / "spec.yaml"
        path.write_text(json.dumps(content))
        return read_spec(path)[0]

    return make_one


def photos(folder: Path, count: int = 10) -> None:
    rng = np.random.default_rng(4)
    for label, shade in (("dark", 60), ("light", 180)):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            pixels = np.clip(rng.normal(shade, 40, size=(24, 32, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")


def index(folder: Path, *lines: str) -> None:
    (folder / "index.csv").write_text("\n".join(["file,class,official_split", *lines]) + "\n")


def brightness_model() -> bytes:
    """Logits that say light from a mean of 120 on, far too surely."""
    weights = numpy_helper.from_array(np.array([[-0.1, 0.1]] * 3, dtype=np.float32) / 3, "weights")
    bias = numpy_helper.from_array(np.array([12, -12], dtype=np.float32), "bias")
    nodes = [
        helper.make_node("Cast", ["photos"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["numbers"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("photos", TensorProto.UINT8, [None, 16, 16, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [None, 2])],
        [weights, bias],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert isinstance(model, onnx.ModelProto)
    return model.SerializeToString()


def test_class_folders_are_split_by_class_and_the_digest_is_of_every_photo(
    tmp_path: Path, make_spec: MakeSpec
) -> None:
    photos(tmp_path / "photos")
    spec = make_spec()
    train, held, digest, dropped = read_photos(spec, tmp_path)
    assert train.pixels.shape == (16, 16, 16, 3)
    assert np.bincount(held.labels).tolist() == [2, 2]
    assert not set(train.digests) & set(held.digests)
    assert not dropped
    assert read_photos(spec, tmp_path)[2] == digest
    other = tmp_path / "photos" / "dark" / "0.png"
    other.write_bytes((tmp_path / "photos" / "dark" / "1.png").read_bytes())
    assert read_photos(spec, tmp_path)[2] != digest


def test_an_index_names_the_parts_and_a_test_part_is_left_alone(tmp_path: Path, make_spec: MakeSpec) -> None:
    photos(tmp_path / "photos", 4)
    parts = ["train", "train", "val", "test"]
    index(
        tmp_path / "photos",
        *(f"{label}/{n}.png,{label},{part}" for label in ("dark", "light") for n, part in enumerate(parts)),
    )
    train, held, _, _ = read_photos(make_spec(), tmp_path)
    seen = {*train.digests, *held.digests}
    assert (len(train.labels), len(held.labels), len(seen)) == (4, 2, 6)
    tested = (tmp_path / "photos" / "dark" / "3.png").read_bytes()
    assert hashlib.sha256(tested).hexdigest() not in seen


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("dark/0.png,grey,train", "line 2: class: expected one of dark, light, got 'grey'"),
        ("dark/0.png,dark,later", "line 2: official_split"),
        ("../spec.yaml,dark,train", "leads out of the folder"),
    ],
)
def test_an_index_that_names_what_it_may_not_is_refused(
    tmp_path: Path, make_spec: MakeSpec, line: str, said: str
) -> None:
    photos(tmp_path / "photos", 1)
    index(tmp_path / "photos", line)
    with pytest.raises(SpecError, match=said):
        list_photos(tmp_path / "photos", make_spec())


def test_a_damaged_photo_is_refused_or_dropped_as_the_specification_says(
    tmp_path: Path, make_spec: MakeSpec
) -> None:
    photos(tmp_path / "photos")
    (tmp_path / "photos" / "dark" / "damaged.jpg").write_bytes(b"no photo")
    with pytest.raises(SpecError, match=r"damaged\.jpg"):
        read_photos(make_spec(), tmp_path)
    train, held, _, dropped = read_photos(make_spec(invalid="drop"), tmp_path)
    assert len(train.labels) + len(held.labels) == 20
    assert sum(dropped.values()) == 1


def test_a_folder_without_one_of_the_classes_is_refused(tmp_path: Path, make_spec: MakeSpec) -> None:
    (tmp_path / "photos" / "dark").mkdir(parents=True)
    with pytest.raises(SpecError, match="no folder light"):
        read_photos(make_spec(), tmp_path)


def test_confidence_is_judged_on_photos_that_the_temperature_was_not_fitted_to(
    tmp_path: Path, make_spec: MakeSpec
) -> None:
    photos(tmp_path / "photos", 200)
    spec = make_spec()
    train, _, digest, _ = read_photos(spec, tmp_path)
    labels = train.labels.copy()
    labels[::5] = 1 - labels[::5]  # one in five is labelled wrongly, so surety is misplaced
    held = Decoded(train.pixels, labels, train.digests)
    found = evaluate(spec, brightness_model(), held, trained=len(train.labels), digest=digest, dropped={})
    assert found.metrics["accuracy"] == pytest.approx(0.8, abs=0.02)
    assert found.metrics["ece"] < 0.1 < found.metrics["ece_uncalibrated"]
    assert found.temperature > 2
    assert set(found.group_metrics) == {"dark", "light"}
    assert set(found.reference.inputs) == {"brightness", "contrast", "saturation"}
    assert found.confusion is not None
    assert found.confusion.sum() == len(labels)
