"""Canonical JSON (RFC 8785) for ``attributes`` and ``resources``.

Integers beyond plus or minus 2**53 - 1 can't be told apart by a JSON reader that uses IEEE doubles (RFC 7493,
section 2.2), so they are written as decimal strings; bytes are written as standard base64 strings.
"""

from __future__ import annotations

import base64
import math
from hashlib import sha256
from typing import Final

import rfc8785

from ledger.errors import EncodingError

Json = None | bool | int | float | str | bytes | list["Json"] | dict[str, "Json"]

SAFE_INTEGER: Final = 2**53 - 1


def _representable(value: Json, path: str) -> object:
    match value:
        case bool() | None:
            return value
        case str():
            if "\x00" in value:
                raise EncodingError(f"{path or 'the value'} holds a NUL character")
            return value
        case int():
            return value if -SAFE_INTEGER <= value <= SAFE_INTEGER else str(value)
        case float():
            if not math.isfinite(value):
                raise EncodingError(f"{path or 'the value'} is {value}, which JSON can't hold")
            return value
        case bytes():
            return base64.b64encode(value).decode()
        case list():
            return [_representable(item, f"{path}[{index}]") for index, item in enumerate(value)]
        case dict():
            return {
                _representable(key, f"{path}'s key"): _representable(item, f"{path}.{key}" if path else key)
                for key, item in value.items()
            }


def canonical_json(value: Json) -> bytes:
    """RFC 8785 text of ``value``, UTF-8.

    Raises:
        EncodingError: it holds NaN, an infinity, a NUL character or a lone surrogate.
    """
    try:
        return rfc8785.dumps(_representable(value, ""))  # type: ignore[arg-type]  # narrowed just above
    except (rfc8785.CanonicalizationError, UnicodeError) as error:
        raise EncodingError(f"not canonical JSON: {error}") from error


def content_digest(canonical: bytes) -> bytes:
    """The name of a canonical text: its SHA-256, 32 bytes."""
    return sha256(canonical).digest()
