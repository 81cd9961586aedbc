"""Why a part that programs share could not do its work."""

from __future__ import annotations


class ServiceError(Exception):
    """Root of every error that ``service`` raises."""


class KeyUnusable(ServiceError):
    """A signing key is not where it should be, is none, is open to others, or can't be stored.

    The message never has any of the key.
    """
