"""What can go wrong in the ledger's pure part."""

from __future__ import annotations


class LedgerError(Exception):
    """Root of every error that ``ledger`` raises."""


class EncodingError(LedgerError):
    """A value can't be written in its column's canonical form; the message names column and value."""


class DecodingError(LedgerError):
    """Bytes are not a tuple image of the stream; the message says where and what was expected."""


class UnknownStream(LedgerError):
    """No stream has this name; the message lists those that exist."""
