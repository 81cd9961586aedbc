"""Timestamps on checkpoints, by an authority that is not the operator's: RFC 3161.

What is stamped is the SHA-512 of a whole note file, signatures included.  What is kept is the authority's
response as it came (DER), which ``openssl ts -verify`` reads too.  Whether a token is to be believed depends
on the roots that a verifier trusts, so asking for one checks only that it answers what was asked.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import sha256, sha384, sha512
from http import HTTPStatus
from typing import Final

from cryptography.x509 import (
    DuplicateExtension,
    InvalidVersion,
    UnsupportedGeneralNameType,
    load_pem_x509_certificates,
)
from rfc3161_client import (
    HashAlgorithm,
    PKIStatus,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from audit.bounded_http import NoAddress, Unanswered, bounded_exchange
from audit.der import in_order
from audit.errors import TimestampError, TimestampUnavailable

MOST_BYTES: Final = 64 * 1024
"""Our choice: a token with its chain of certificates takes 2 to 8 KiB."""
_HASHES: Final = {
    "2.16.840.1.101.3.4.2.1": sha256,
    "2.16.840.1.101.3.4.2.2": sha384,
    "2.16.840.1.101.3.4.2.3": sha512,
}
"""By object identifier (RFC 5754); what is shorter is no longer free of collisions."""
_WRONG: Final = (
    VerificationError,
    ValueError,
    TypeError,
    InvalidVersion,
    DuplicateExtension,
    UnsupportedGeneralNameType,
)
"""What the libraries raise for responses and certificates that they don't like."""
_OPENSSL: Final = re.compile(r'(?:reason|data): "([^"]*)"')


def request_timestamp(note_bytes: bytes, url: str, timeout_s: float) -> bytes:
    """A token for these bytes, asked of the authority at ``url`` with a fresh nonce and its certificates.

    Takes at most ``timeout_s``, and blocks: where an event loop runs, call it in a thread beside that.

    Raises:
        TimestampUnavailable: the authority can't be reached, is too slow, refuses, or answers no token.
        TimestampError: its token is for something else; or the address is none.
    """
    if not note_bytes:
        raise TimestampError("nothing to stamp: expected the bytes of a note")
    request = TimestampRequestBuilder(note_bytes, HashAlgorithm.SHA512).build()
    token = _post(url, request.as_bytes(), timeout_s)
    try:
        response = _decoded(token)
    except TimestampError as error:
        raise TimestampUnavailable(
            f"{url} answers no timestamp token ({error}); is it an authority?"
        ) from error
    if response.status not in {PKIStatus.GRANTED, PKIStatus.GRANTED_WITH_MODS}:
        said = "; ".join(response.status_string)[:200] or "no reason given"
        raise TimestampUnavailable(f"{url} refuses a timestamp: status {response.status}, {said}")
    _check_imprint(response, note_bytes)
    try:
        nonce = response.tst_info.nonce
    except ValueError:
        nonce = None
    if nonce != request.nonce:
        raise TimestampError(f"{url} answers another request: its token has another nonce")
    return token


def check_timestamp(token: bytes, note_bytes: bytes, roots: bytes) -> datetime:
    """The moment (UTC) at which an authority says that these bytes existed.

    Its certificate must be for timestamps and lead to one of ``roots`` (certificates, PEM) at that moment.

    Raises:
        TimestampError: the token does not say so; the message says why.
    """
    try:
        trusted = load_pem_x509_certificates(roots)
    except _WRONG as error:
        raise TimestampError(
            "the roots are no certificates: expected PEM, as authorities publish it"
        ) from error
    response = _decoded(token)
    _check_imprint(response, note_bytes)
    try:
        VerifierBuilder(roots=trusted).build().verify_message(response, note_bytes)
        return response.tst_info.gen_time.astimezone(UTC)
    except _WRONG as error:
        raise TimestampError(f"the timestamp does not hold: {_in_words(error)}") from error


def _decoded(token: bytes) -> TimeStampResponse:
    if len(token) > MOST_BYTES:
        raise TimestampError(f"more than {MOST_BYTES} bytes: no timestamp token")
    try:
        return decode_timestamp_response(in_order(token))
    except _WRONG as error:
        raise TimestampError("no timestamp token: expected a DER TimeStampResp of RFC 3161, whole") from error


def _check_imprint(response: TimeStampResponse, note_bytes: bytes) -> None:
    try:
        imprint = response.tst_info.message_imprint
        algorithm, digest = imprint.hash_algorithm.dotted_string, imprint.message
    except _WRONG as error:
        raise TimestampError("the response has no token in it: the authority did not grant one") from error
    if algorithm not in _HASHES:
        raise TimestampError(f"the timestamp is of a digest {algorithm}: expected SHA-256, -384 or -512")
    if digest != _HASHES[algorithm](note_bytes).digest():
        raise TimestampError("the timestamp is of other bytes than this note's: their digests differ")


def _in_words(error: Exception) -> str:
    """One line; of OpenSSL's stack of errors the reasons alone."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    return "; ".join(_OPENSSL.findall(said)) or said[:200]


def _post(url: str, body: bytes, timeout_s: float) -> bytes:
    headers = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
    try:
        status, content = bounded_exchange(
            "POST", url, content=body, headers=headers, timeout_s=timeout_s, most_bytes=MOST_BYTES
        )
    except NoAddress as error:
        raise TimestampError(
            f"{url!r} is no address of an authority: expected http:// or https://"
        ) from error
    except Unanswered as error:
        raise TimestampUnavailable(
            f"{url} does not answer with a token ({error}): ask again later"
        ) from error
    if status != HTTPStatus.OK:
        raise TimestampUnavailable(f"{url} answers {status}: expected 200 and a token")
    return content
