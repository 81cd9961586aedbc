"""Canonical JSON: RFC 8785, with what a JSON reader would lose written as strings."""

from __future__ import annotations

import hashlib
import math

import pytest

from ledger.canonical import SAFE_INTEGER, Json, canonical_json, content_digest
from ledger.errors import EncodingError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        ({}, "{}"),
        ([], "[]"),
        ({"b": 1, "a": [True, False, None]}, '{"a":[true,false,null],"b":1}'),
        (1.0, "1"),
        (-0.0, "0"),
        (1e21, "1e+21"),
        (1e-7, "1e-7"),
        (333333333.33333329, "333333333.3333333"),
        ('€ / \\ " \n \x7f \u2028', '"€ / \\\\ \\" \\n \x7f \u2028"'),
        (SAFE_INTEGER, "9007199254740991"),
        (SAFE_INTEGER + 1, '"9007199254740992"'),
        (-SAFE_INTEGER - 1, '"-9007199254740992"'),
        (b"\x00\xff", '"AP8="'),
    ],
)
def test_a_value_has_one_text(value: Json, text: str) -> None:
    assert canonical_json(value) == text.encode()


def test_names_are_sorted_by_their_utf_16_code_units() -> None:
    """RFC 8785, section 3.2.3: the emoji's surrogates sort before the Hebrew presentation form."""
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    expected = ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    text = canonical_json(dict.fromkeys(names, 0)).decode()
    assert [part.split('":')[0] for part in text[2:].split(',"')] == [
        name.replace("\r", "\\r") for name in expected
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": math.nan}, "a is nan"),
        ({"a": [1, math.inf]}, r"a\[1\] is inf"),
        ({"a": {"b": "\x00"}}, "a.b holds a NUL"),
        ({"\x00": 1}, "key holds a NUL"),
        ("\ud800", "not canonical JSON"),
        ({"\udc00": 1}, "not canonical JSON"),
    ],
)
def test_what_json_cannot_hold_is_refused_by_its_place(value: Json, message: str) -> None:
    with pytest.raises(EncodingError, match=message):
        canonical_json(value)


def test_a_content_is_named_by_its_sha_256() -> None:
    assert content_digest(b"{}") == hashlib.sha256(b"{}").digest()
