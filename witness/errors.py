"""What can go wrong in a witness, by what is to be done about it."""

from __future__ import annotations

from enum import StrEnum


class WitnessError(Exception):
    """Root of every error that ``witness`` raises."""


class BadConfiguration(WitnessError):
    """A key of the wrong kind, a policy or a setting is unusable: stop; the message says which."""


class StateUnavailable(WitnessError):
    """What was cosigned can't be read or written now: cosign nothing, the log may try later."""


class Outcome(StrEnum):
    """What became of a request, as the metrics count it."""

    COSIGNED = "cosigned"
    MALFORMED = "malformed"
    UNKNOWN_LOG = "unknown_log"
    UNTRUSTED = "untrusted"
    OLD_TOO_LARGE = "old_too_large"
    CONFLICT = "conflict"
    FORK = "fork"
    BAD_PROOF = "bad_proof"
    UNAVAILABLE = "unavailable"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"


class Refused(WitnessError):
    """A checkpoint is not cosigned; ``size`` is that of the latest one that was, for a conflict."""

    def __init__(self, outcome: Outcome, message: str, *, size: int | None = None) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.size = size
