"""How the transparency-log formats write bytes and numbers in text; each value has one spelling alone."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from ledger.errors import BadNote
from ledger.merkle import MOST_LEAVES

_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}")


def base64_of(content: bytes) -> str:
    """Standard base64 (RFC 4648, 4), with padding."""
    return base64.b64encode(content).decode()


def decoded(text: str, what: str) -> bytes:
    """The inverse of :func:`base64_of`; ``what`` names the value, as in "a checkpoint's root".

    Raises:
        BadNote: it is no base64, or not as it would be written here.
    """
    try:
        content = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise BadNote(f"{what} is no base64") from error
    if base64_of(content) != text:
        raise BadNote(f"{what} is no canonical base64")
    return content


def decoded_hash(text: str, what: str) -> bytes:
    """The 32 bytes of a hash in base64.

    Raises:
        BadNote: it is none.
    """
    content = decoded(text, what)
    if len(content) != 32:
        raise BadNote(f"{what} is 32 bytes in base64, not {len(content)}")
    return content


def decimal(text: str, what: str) -> int:
    """A size or an index: decimal digits without leading zeros, up to ``MOST_LEAVES``.

    Raises:
        BadNote: it is none.
    """
    if _DECIMAL.fullmatch(text) is None or int(text) > MOST_LEAVES:
        raise BadNote(f"{what} is a number without leading zeros, up to 2^63 - 1, unlike {text[:32]!r}")
    return int(text)
