"""What can go wrong in inference, by what the caller should do about it.

Every error has a ``reason``, a word that a program can rely on, and a sentence for a person.
"""

from __future__ import annotations


class InferenceError(Exception):
    """Root of every error that ``inference`` raises."""

    reason = "inference_failed"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        """``reason`` names the case where a class stands for several."""
        super().__init__(message)
        if reason is not None:
            self.reason = reason


class BadInput(InferenceError):
    """The caller's input can't be classified, now or ever; do not send it again.  HTTP 422."""

    reason = "bad_input"


class NotFound(InferenceError):
    """There is no such model, version or review.  HTTP 404."""

    reason = "not_found"


class NotAllowed(InferenceError):
    """The caller is known and may not do that.  HTTP 403."""

    reason = "not_allowed"


class Conflict(InferenceError):
    """The present state does not admit that step; the message says why.  HTTP 409."""

    reason = "conflict"


class Unavailable(InferenceError):
    """Something that is needed does not answer now; try again.  HTTP 503."""

    reason = "unavailable"


class ModelUnusable(InferenceError):
    """A model folder is damaged or is not what the ledger says it is."""

    reason = "model_unusable"


class SpecError(InferenceError):
    """A specification, or the data that it names, is not as it must be; the message names field and bound."""

    reason = "bad_spec"
