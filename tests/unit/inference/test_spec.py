"""Specifications: those that come with Tally are good; a bad one is refused with field, bound and value."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from inference.errors import SpecError
from inference.spec import LARGEST_SPEC, PACKAGED, find_spec, read_spec

GOOD: dict[str, Any] = {
    "id": "flowers",
    "title": "Flowers",
    "task": "classification",
    "intended_use": "a test",
    "limits": ["it is small"],
    "data": {"source": "csv", "path": "flowers.csv", "origin": "made up"},
    "features": [
        {"name": "length", "unit": "cm", "minimum": 0, "maximum": 10},
        {"name": "width", "unit": "cm", "minimum": 1, "maximum": 5},
        {"name": "colour", "values": ["red", "blue"]},
    ],
    "target": {"column": "kind", "classes": {"a": "rose", "b": "tulip"}},
    "search": {"metric": "log_loss", "trials": 2, "folds": 2},
    "candidates": [{"estimator": "logistic"}],
    "promotion": {"minimum": {"accuracy": 0.5}},
}


def written(tmp_path: Path, **changes: object) -> Path:
    content = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    path = tmp_path / "spec.yaml"
    path.write_text(json.dumps(content))  # which is YAML too
    return path


@pytest.mark.parametrize("path", sorted(PACKAGED.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_specification_that_comes_with_tally_is_good_and_is_named_as_its_model(path: Path) -> None:
    spec, digest = read_spec(path)
    assert spec.id == path.stem
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert find_spec(path.stem) == path


def test_a_good_specification_is_read(tmp_path: Path) -> None:
    spec, _ = read_spec(written(tmp_path))
    assert spec.classes == ("rose", "tulip")
    assert spec.split.held_back == 0.2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"titel": "Flowers"}, ["titel", "not permitted"]),
        ({"split": {"held_back": 0.9}}, ["split.held_back", "0.5", "0.9"]),
        ({"search": {"metric": "rmse"}}, ["search.metric", "rmse", "classification"]),
        ({"search": {"metric": "log_loss", "trials": 0}}, ["search.trials", "1", "0"]),
        ({"data": {"source": "csv", "path": "../secret.csv", "origin": "?"}}, ["data.path", "../secret.csv"]),
        ({"data": {"source": "csv", "origin": "?"}}, ["data", "needs a path"]),
        ({"data": {"source": "ftp", "origin": "?"}}, ["data.source", "ftp"]),
        ({"target": {"column": "kind", "classes": {"a": "rose"}}}, ["target.classes", "got 1"]),
        ({"target": {"column": "kind", "classes": {"a": "rose", "b": "rose"}}}, ["rose is there twice"]),
        ({"target": {"column": "length", "classes": {"a": "x", "b": "y"}}}, ["length is the target"]),
        ({"covers": {"oak": ["wood"]}}, ["covers", "oak"]),
        ({"candidates": [{"estimator": "magic"}]}, ["candidates.0.estimator", "magic"]),
        ({"candidates": [{"estimator": "linear"}]}, ["linear", "classification"]),
        ({"candidates": [{"estimator": "efficientnet_lite0"}]}, ["efficientnet_lite0", "readings"]),
        (
            {"candidates": [{"estimator": "logistic", "space": {"C": {"low": 2, "high": 1, "start": 1}}}]},
            ["low <= start <= high", "2"],
        ),
        ({"features": [{"name": "length", "minimum": 5, "maximum": 5}]}, ["length", "5"]),
        ({"features": [{"name": "length", "minimum": 0, "maximum": 1e39}]}, ["length", "32 bits"]),
        ({"features": [{"name": "length"}]}, ["length", "minimum and maximum, or values"]),
        ({"features": [GOOD["features"][0]] * 2}, ["length is there 2 times"]),
        ({"derived": [{"name": "x", "product": ["length", "colour"]}]}, ["derived", "colour"]),
        ({"derived": [{"name": "x", "quotient": ["width", "length"]}]}, ["length may be 0"]),
        ({"derived": [{"name": "x"}]}, ["one of product, difference, quotient"]),
        ({"promotion": {}}, ["promotion", "at least one metric"]),
        ({"promotion": {"minimum": {"acuracy": 0.5}}}, ["acuracy is not measured", "accuracy"]),
        ({"search": None}, ["search: is missing"]),
        ({"features": []}, ["features: is missing"]),
        ({"promotion": {"minimum": {"accuracy": 0.5}, "group_gap": 0.1}}, ["group_metric and group_gap"]),
        ({"photo": {"width": 224, "height": 224}}, ["a model of readings"]),
        ({"limits": []}, ["limits"]),
        ({"serving": {"review_below": 1.5}}, ["serving.review_below", "1.5"]),
    ],
)
def test_a_bad_specification_is_refused_with_field_bound_and_value(
    tmp_path: Path, changes: dict[str, object], said: list[str]
) -> None:
    with pytest.raises(SpecError) as refused:
        read_spec(written(tmp_path, **changes))
    assert "spec.yaml" in str(refused.value)
    for word in said:
        assert word in str(refused.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "mapping"),
        (b"- a\n- b\n", "mapping"),
        (b"id: [", "YAML"),
        (b"id: a\nid: b\n", "there twice"),
        (b"a: &x [1]\nb: *x\n", "aliases"),
        (b"id: !!python/object/apply:os.system [echo]\n", "YAML"),
        (b"? [a, b]\n: c\n", "YAML"),
        (b"\xff\xfe", "UTF-8"),
        (b"a: " + b"[" * 5_000, "YAML"),
        (b"#" * (LARGEST_SPEC + 1), "at most"),
    ],
)
def test_what_is_no_specification_at_all_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(SpecError, match=said):
        read_spec(path)


def test_a_name_that_is_none_lists_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"iris.*waste-sensors"):
        find_spec("irises")
    with pytest.raises(SpecError, match="no such file"):
        find_spec(str(tmp_path / "none.yaml"))
    with pytest.raises(SpecError, match="can't be read"):
        read_spec(tmp_path)


def test_every_field_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("id: mine\ntask: regression\n")
    with pytest.raises(
        SpecError, match="missing: title, intended_use, limits, data, target, candidates, promotion"
    ):
        read_spec(path)
