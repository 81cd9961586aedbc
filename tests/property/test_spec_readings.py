"""Whatever a client sends as readings is encoded within bounds or refused with a reason."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from inference.errors import BadInput
from inference.manifest import Feature
from inference.readings import ReadingsEncoder

FEATURES = tuple(
    Feature.model_validate(plain)
    for plain in (
        {"name": "a", "minimum": -3.5, "maximum": 1e6},
        {"name": "b", "minimum": 0, "maximum": 1, "nullable": True},
        {"name": "c", "values": ("x", "y")},
        {"name": "d", "values": ("x", "z"), "nullable": True},
    )
)
ENCODER = ReadingsEncoder(FEATURES)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.integers(), max_size=2),
)
REASONS = {
    *("out_of_bounds", "not_finite", "not_a_number"),
    *("unknown_value", "unknown_reading", "missing_reading"),
}
NAMES = st.sampled_from(["a", "b", "c", "d", "e", ""])


@given(st.dictionaries(NAMES, VALUES))
def test_any_row_is_encoded_or_refused(row: dict[str, Any]) -> None:
    refused: BadInput | None = None
    encoded: list[float] = []
    try:
        encoded = ENCODER.row(row)
    except BadInput as error:
        refused = error
    if refused is not None:
        assert refused.reason in REASONS
        assert len(str(refused)) < 400
        return
    assert len(encoded) == len(ENCODER.columns)
    assert -3.5 <= encoded[0] <= 1e6
    assert math.isnan(encoded[1]) or 0 <= encoded[1] <= 1
    assert sum(encoded[2:4]) == 1
    assert sum(encoded[4:6]) == (row.get("d") is not None)


@given(
    a=st.floats(-3.5, 1e6),
    b=st.one_of(st.none(), st.floats(0, 1)),
    c=st.sampled_from("xy"),
    d=st.sampled_from(["x", "z", None]),
)
def test_a_good_row_is_encoded_whatever_the_order_of_its_names(
    a: float, b: float | None, c: str, d: str | None
) -> None:
    row: dict[str, object] = {"a": a, "b": b, "c": c, "d": d}
    expected = [a, math.nan if b is None else b, c == "x", c == "y", d == "x", d == "z"]
    for order in (row, dict(reversed(row.items()))):
        encoded = ENCODER.row(order)
        assert [repr(float(value)) for value in encoded] == [repr(float(value)) for value in expected]
