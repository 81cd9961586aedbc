"""Why a photo is refused: every reason that this package gives, with a sentence for the documentation.

A message never says whether something exists outside the roots, nor which address a name has.
"""

from __future__ import annotations

from typing import Final, Literal

from inference.errors import BadInput

Reason = Literal[
    "url_scheme",
    "url_malformed",
    "path_outside_roots",
    "bucket_not_allowed",
    "host_not_allowed",
    "address_not_allowed",
    "redirect_refused",
    "photo_not_found",
    "host_timeout",
    "host_failed",
    "photo_too_large",
    "too_many_pixels",
    "not_a_photo",
    "photo_truncated",
    "photo_animated",
]

REASONS: Final[tuple[tuple[Reason, str], ...]] = (
    ("url_scheme", "The URL's scheme is none of file, http, https and s3, or is not served here."),
    ("url_malformed", "The URL is too long, or has parts that no photo's URL needs."),
    ("path_outside_roots", "The file's path is not below one of the configured folders."),
    ("bucket_not_allowed", "The bucket is not on the list."),
    ("host_not_allowed", "The host, with that scheme and port, is not on the list."),
    ("address_not_allowed", "The host's name stands for an address that this service does not connect to."),
    (
        "redirect_refused",
        "The host redirected too often, or to where the service would not have gone itself.",
    ),
    ("photo_not_found", "There is no such photo, or none that may be read."),
    ("host_timeout", "The photo was not there in time."),
    ("host_failed", "The host did not answer, or answered something else than a photo."),
    ("photo_too_large", "The photo has more bytes than are taken."),
    ("too_many_pixels", "The photo has more pixels, or takes more work, than is spent on one."),
    ("not_a_photo", "The bytes are no JPEG, PNG or WebP that can be decoded."),
    ("photo_truncated", "The photo's end is missing."),
    ("photo_animated", "The photo is an animation: what the model and a person see of it could differ."),
)


def refusal(reason: Reason, message: str) -> BadInput:
    """The error to raise; ``message`` is for a person and says what was expected and what came."""
    return BadInput(message, reason=reason)
