"""Readings: checked and encoded alike for training and serving, and the simulated ones worth training on."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from generator.materials import MATERIAL_IDS, MATERIALS
from generator.readings import READING_NAMES, readings, table
from inference.errors import BadInput
from inference.manifest import Feature
from inference.readings import ReadingsEncoder, column_names, validated
from inference.spec import find_spec, read_spec

FEATURES = tuple(
    Feature.model_validate(plain)
    for plain in (
        {"name": "mass_g", "unit": "g", "minimum": 0, "maximum": 1000},
        {"name": "kind", "values": ("L", "M", "H")},
        {"name": "ph", "minimum": 0, "maximum": 14, "nullable": True},
        {"name": "shade", "values": ("dark", "light"), "nullable": True},
    )
)
GOOD = {"mass_g": 12, "kind": "M", "ph": 7.5, "shade": "light"}


def test_a_row_is_encoded_in_the_order_of_the_columns() -> None:
    assert column_names(FEATURES) == (
        "mass_g",
        "kind=L",
        "kind=M",
        "kind=H",
        "ph",
        "shade=dark",
        "shade=light",
    )
    assert validated(FEATURES, GOOD) == [12, 0, 1, 0, 7.5, 0, 1]


def test_a_missing_number_is_nan_and_a_missing_category_all_zeros() -> None:
    for row in ({"mass_g": 1.0, "kind": "L"}, {"mass_g": 1.0, "kind": "L", "ph": None, "shade": None}):
        encoded = validated(FEATURES, row)
        assert math.isnan(encoded[4])
        assert encoded[5:] == [0, 0]


@pytest.mark.parametrize(
    ("field", "value", "reason", "said"),
    [
        ("mass_g", 1000.1, "out_of_bounds", ["mass_g", "0 to 1000 g", "1000.1"]),
        ("mass_g", -1, "out_of_bounds", ["mass_g", "-1"]),
        ("mass_g", 10**400, "out_of_bounds", ["mass_g", "2^1329"]),
        ("mass_g", math.nan, "not_finite", ["mass_g", "nan"]),
        ("mass_g", math.inf, "not_finite", ["mass_g", "inf"]),
        ("mass_g", "12", "not_a_number", ["mass_g", "'12'"]),
        ("mass_g", True, "not_a_number", ["mass_g", "True"]),
        ("mass_g", [1], "not_a_number", ["mass_g", "a list"]),
        ("mass_g", None, "missing_reading", ["mass_g", "null"]),
        ("kind", "X", "unknown_value", ["kind", "L, M, H", "'X'"]),
        ("kind", 1, "unknown_value", ["kind", "1"]),
        ("kind", {}, "unknown_value", ["kind", "a dict"]),
        ("colour", 1, "unknown_reading", ["colour", "mass_g, kind, ph, shade"]),
    ],
)
def test_a_bad_reading_is_refused_with_field_bound_and_value(
    field: str, value: object, reason: str, said: list[str]
) -> None:
    with pytest.raises(BadInput) as refused:
        validated(FEATURES, {**GOOD, field: value})
    assert refused.value.reason == reason
    for word in said:
        assert word in str(refused.value)
    assert len(str(refused.value)) < 400


def test_a_reading_that_is_left_out_is_named() -> None:
    with pytest.raises(BadInput, match="kind: expected one of L, M, H, got nothing") as refused:
        validated(FEATURES, {"mass_g": 1})
    assert refused.value.reason == "missing_reading"


def test_checking_and_encoding_ten_readings_takes_microseconds() -> None:
    spec, _ = read_spec(find_spec("waste-sensors"))
    encoder = ReadingsEncoder(spec.features)
    row = readings("pet", 22.0, np.random.default_rng(1))
    best = math.inf
    for _ in range(5):
        begun = time.perf_counter()
        for _ in range(1_000):
            encoder.row(row)
        best = min(best, (time.perf_counter() - begun) / 1_000)
    assert best < 20e-6, f"{best * 1e6:.1f} us"


def test_every_material_gives_readings_that_the_packaged_specification_admits() -> None:
    spec, _ = read_spec(find_spec("waste-sensors"))
    encoder = ReadingsEncoder(spec.features)
    rng = np.random.default_rng(2)
    for material in MATERIALS:
        for mass_g in (material.min_g, material.median_g, 4 * material.max_g, 40_000.0):
            row = readings(material.id, mass_g, rng)
            assert tuple(row) == READING_NAMES
            assert all(type(value) is float for value in row.values())
            encoder.row(row)
    assert spec.classes == MATERIAL_IDS


def test_a_material_that_there_is_not_has_no_readings() -> None:
    with pytest.raises(KeyError, match="gold"):
        readings("gold", 1.0, np.random.default_rng(1))


def test_the_same_seed_gives_the_same_table_and_another_another() -> None:
    first = table(200, 5)
    assert first.equals(table(200, 5))
    assert not first.equals(table(200, 6))
    assert set(first["material"]) == set(MATERIAL_IDS)
    assert set(first["condition"]) == {"clean", "soiled"}
    assert not first.isna().any().any()


def test_the_bands_show_the_physics_that_they_are_chosen_for() -> None:
    frame = table(8_000, 3)

    def mean(reading: str, material: str) -> float:
        return float(frame[reading].to_numpy()[(frame["material"] == material).to_numpy()].mean())

    assert mean("nir_1660", "pet") < min(mean("nir_1660", "hdpe"), mean("nir_1660", "pp"))
    assert mean("nir_1730", "hdpe") < mean("nir_1730", "pp") < mean("nir_1730", "pet")
    assert mean("nir_1420", "corrugated") < mean("nir_1120", "corrugated")
    assert min(MATERIAL_IDS, key=lambda name: mean("inductive", name)) == "aluminium_cans"
    assert max(MATERIAL_IDS, key=lambda name: mean("inductive", name)) == "steel_cans"
    assert max(MATERIAL_IDS, key=lambda name: mean("optical", name)) == "pet"
