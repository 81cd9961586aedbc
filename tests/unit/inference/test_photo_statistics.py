from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from inference.photos.statistics import FEATURES, statistics


def plain(red: int, green: int, blue: int) -> dict[str, float]:
    return statistics(np.full((224, 224, 3), (red, green, blue), dtype=np.uint8))


def test_black_and_white_have_no_contrast_and_no_colour() -> None:
    assert plain(0, 0, 0) == {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0}
    white = plain(255, 255, 255)
    assert white["brightness"] == pytest.approx(1)
    assert white["contrast"] == pytest.approx(0, abs=1e-3)
    assert white["saturation"] == 0


def test_a_pure_colour_is_saturated_and_as_light_as_its_weight() -> None:
    red = plain(255, 0, 0)
    assert red["brightness"] == pytest.approx(0.299, abs=1e-4)
    assert red["saturation"] == 1


def test_half_black_and_half_white_is_the_greatest_contrast() -> None:
    pixels = np.zeros((224, 224, 3), dtype=np.uint8)
    pixels[:112] = 255
    assert statistics(pixels) == pytest.approx(
        {"brightness": 0.5, "contrast": 1.0, "saturation": 0.0}, abs=1e-3
    )


def test_a_darker_photo_is_less_bright_and_a_paler_one_less_saturated() -> None:
    photo = np.random.default_rng(7).integers(0, 256, (64, 48, 3)).astype(np.uint8)
    before = statistics(photo)
    assert statistics(photo // 2)["brightness"] < before["brightness"]
    assert statistics((photo // 2) + 100)["saturation"] < before["saturation"]


@settings(deadline=None)
@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 130), st.integers(1, 130), st.just(3))))
def test_every_photo_has_three_numbers_from_0_to_1(pixels: np.ndarray) -> None:
    found = statistics(pixels)
    assert tuple(found) == FEATURES
    assert all(0 <= value <= 1 for value in found.values())
