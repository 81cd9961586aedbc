"""The certificates of a timestamp in the order that DER asks for.

``rfc3161-client`` reads strict DER, where a SET is sorted (X.690, 11.6).  Authorities that run on OpenSSL
send theirs as they come, the signer's first.  The set is not signed, so putting it in order changes nothing
that anybody vouched for; whether the certificates are good is checked after, as before.
"""

from __future__ import annotations

from typing import Final

from audit.errors import TimestampError

_SEQUENCE: Final = 0x30
_SET: Final = 0x31
_INTEGER: Final = 0x02
_OBJECT: Final = 0x06
_FIELD_0: Final = 0xA0


def in_order(response: bytes) -> bytes:
    """A TimeStampResp (RFC 3161, DER) with the certificates of its token sorted; without a token, as it is.

    Raises:
        TimestampError: it is no such structure.
    """
    start, end = _inside(response, 0, len(response), _SEQUENCE)
    if end != len(response):
        raise TimestampError("no timestamp token: bytes follow it")
    at = _after(response, start, end, _SEQUENCE)  # the status
    if at == end:
        return response
    start, end = _inside(response, at, end, _SEQUENCE)  # ContentInfo
    start, end = _inside(response, _after(response, start, end, _OBJECT), end, _FIELD_0)
    at, end = _inside(response, start, end, _SEQUENCE)  # SignedData
    for tag in (_INTEGER, _SET, _SEQUENCE):  # version, digest algorithms, what is signed
        at = _after(response, at, end, tag)
    if at == end or response[at] != _FIELD_0:
        return response
    start, end = _inside(response, at, end, _FIELD_0)
    at = start
    certificates = []
    while at < end:
        after = _after(response, at, end, _SEQUENCE)
        certificates.append(response[at:after])
        at = after
    return response[:start] + b"".join(sorted(certificates)) + response[end:]


def _after(data: bytes, at: int, end: int, tag: int) -> int:
    """Where the element at ``at``, which must have this tag, ends."""
    return _inside(data, at, end, tag)[1]


def _inside(data: bytes, at: int, end: int, tag: int) -> tuple[int, int]:
    """Where the content of the element at ``at`` starts and ends: of this tag, and not after ``end``."""
    if at + 2 > end or data[at] != tag:
        raise TimestampError("no timestamp token: expected a DER TimeStampResp of RFC 3161, whole")
    length, start = data[at + 1], at + 2
    if length >= 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[at + 2 : start], "big")
    if start + length > end:
        raise TimestampError("no timestamp token: expected a DER TimeStampResp of RFC 3161, whole")
    return start, start + length
