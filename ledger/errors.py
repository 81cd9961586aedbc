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


class BadProof(LedgerError):
    """A proof does not prove what it should; the message says what is wrong with it."""


class BadNote(LedgerError):
    """Bytes are no signed note, checkpoint, key or policy; the message says where and what was expected."""


class BadSignature(BadNote):
    """A note has a signature by a known key that the key did not make."""
